//! Datagrams as they go out: collected, and sent with as few system calls as may be.
//!
//! Datagrams for one address that are equally long, the last perhaps shorter, are one message that
//! the kernel cuts; several messages are one call. A datagram that the kernel does not take is lost,
//! as on any wire, and counted; that it was too long for the way is told to who can shorten it.

use super::socket::{Address, UDP_SEGMENT};
use serde::Serialize;
use std::{
    io,
    mem::MaybeUninit,
    net::{SocketAddr, UdpSocket},
    ops::Range,
    os::fd::AsRawFd,
    sync::Arc,
};

pub(super) struct Outbox {
    socket: Arc<UdpSocket>,
    is_ipv6: bool,
    bytes: Vec<u8>,
    messages: Vec<Message>,
    can_segment: bool,
    too_long: Vec<(SocketAddr, usize)>,
    pub sent: Sent,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Sent {
    pub datagrams: u64,
    pub bytes: u64,
    pub undelivered: u64,
}

#[derive(Debug, Clone)]
struct Message {
    range: Range<usize>,
    to: SocketAddr,
    /// Of every datagram but the last.
    length: usize,
    count: usize,
    is_closed: bool,
}

/// The kernel cuts a message into no more (`UDP_MAX_SEGMENTS`),
const DATAGRAMS: usize = 64;
/// and takes no longer one.
const LONGEST: usize = 65_000;
/// After so much is sent, so that the other end has something to do meanwhile.
const BYTES: usize = 128 << 10;
const MESSAGES: usize = 16;

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; 32]);

impl Outbox {
    pub fn new(socket: Arc<UdpSocket>, is_ipv6: bool) -> Outbox {
        Outbox {
            socket,
            is_ipv6,
            bytes: Vec::with_capacity(BYTES + LONGEST),
            messages: Vec::with_capacity(MESSAGES),
            can_segment: true,
            too_long: Vec::new(),
            sent: Sent::default(),
        }
    }

    /// Adds the datagram that `seal` appends, if it does.
    pub fn add<F>(
        &mut self,
        seal: impl FnOnce(&mut Vec<u8>) -> Result<SocketAddr, F>,
    ) -> Result<(), F> {
        let start = self.bytes.len();
        let to = seal(&mut self.bytes)?;
        let end = self.bytes.len();
        let length = end - start;
        match self.messages.last_mut() {
            Some(message) if self.can_segment && message.takes(to, length) => {
                message.range.end = end;
                message.count += 1;
                message.is_closed = length < message.length || message.count == DATAGRAMS;
            }
            _ => {
                if self.messages.len() == MESSAGES {
                    self.send(start);
                    self.bytes.copy_within(start..end, 0);
                    self.bytes.truncate(length);
                }
                let range = self.bytes.len() - length..self.bytes.len();
                self.messages.push(Message { range, to, length, count: 1, is_closed: false });
            }
        }
        if self.bytes.len() >= BYTES {
            self.flush();
        }
        Ok(())
    }

    pub fn flush(&mut self) {
        self.send(self.bytes.len());
        self.bytes.clear();
    }

    /// Datagrams that were longer than the way to their address allows.
    pub fn take_too_long(&mut self) -> Vec<(SocketAddr, usize)> {
        std::mem::take(&mut self.too_long)
    }

    /// Sends all messages, which end before `end`.
    fn send(&mut self, end: usize) {
        let messages = std::mem::take(&mut self.messages);
        debug_assert!(messages.last().is_none_or(|last| last.range.end <= end));
        let mut rest = &messages[..];
        while !rest.is_empty() {
            match self.send_some(rest) {
                Ok(count) => {
                    for message in &rest[..count] {
                        self.sent.datagrams += message.count as u64;
                        self.sent.bytes += message.range.len() as u64;
                    }
                    rest = &rest[count..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.refused(&rest[0], &error);
                    rest = &rest[1..];
                }
            }
        }
        self.messages = messages;
        self.messages.clear();
    }

    /// The first of these messages was not taken.
    fn refused(&mut self, message: &Message, error: &io::Error) {
        match error.raw_os_error() {
            // A device that cannot make the checksums of what it cuts: cut here from now on.
            Some(libc::EIO) if message.count > 1 => {
                self.can_segment = false;
                for start in message.range.clone().step_by(message.length) {
                    let range = start..message.range.end.min(start + message.length);
                    let (to, length) = (message.to, range.len());
                    let single = Message { range, to, length, count: 1, is_closed: true };
                    match self.send_some(std::slice::from_ref(&single)) {
                        Ok(_) => {
                            self.sent.datagrams += 1;
                            self.sent.bytes += length as u64;
                        }
                        Err(error) => self.refused(&single, &error),
                    }
                }
                return;
            }
            Some(libc::EMSGSIZE) => self.too_long.push((message.to, message.length)),
            // Older kernels' word for datagrams that are too long after the cut.
            Some(libc::EINVAL) if message.count > 1 => {
                self.too_long.push((message.to, message.length));
            }
            _ => {}
        }
        self.sent.undelivered += message.count as u64;
    }

    fn send_some(&self, messages: &[Message]) -> io::Result<usize> {
        // As much as is used, and not as much as could be: most calls are for a message or two.
        let mut slots: [MaybeUninit<Slot>; MESSAGES] = [const { MaybeUninit::uninit() }; MESSAGES];
        let mut headers: [MaybeUninit<libc::mmsghdr>; MESSAGES] =
            [const { MaybeUninit::uninit() }; MESSAGES];
        let count = messages.len().min(MESSAGES);
        for ((message, slot), header) in messages.iter().zip(&mut slots).zip(&mut headers) {
            let bytes = &self.bytes[message.range.clone()];
            let slot = slot.write(Slot {
                address: Address::of(message.to, self.is_ipv6),
                part: libc::iovec {
                    iov_base: bytes.as_ptr().cast_mut().cast(),
                    iov_len: bytes.len(),
                },
                control: Control([0; 32]),
            });
            // SAFETY: all zeros are a valid header, of a message without any part.
            let header = header.write(unsafe { std::mem::zeroed() });
            let header = &mut header.msg_hdr;
            header.msg_name = slot.address.pointer_mut().cast();
            header.msg_namelen = slot.address.length;
            header.msg_iov = &raw mut slot.part;
            header.msg_iovlen = 1;
            if message.count > 1 {
                header.msg_control = (&raw mut slot.control).cast();
                // SAFETY: these only compute, and the buffer has room for one control message.
                unsafe {
                    header.msg_controllen = libc::CMSG_SPACE(size_of::<u16>() as u32) as _;
                    let control = &mut *libc::CMSG_FIRSTHDR(header);
                    control.cmsg_level = libc::SOL_UDP;
                    control.cmsg_type = UDP_SEGMENT;
                    control.cmsg_len = libc::CMSG_LEN(size_of::<u16>() as u32) as _;
                    let data = libc::CMSG_DATA(control).cast::<u16>();
                    data.write_unaligned(message.length as u16);
                }
            }
        }
        let (fd, flags) = (self.socket.as_raw_fd(), libc::MSG_DONTWAIT);
        let headers = headers.as_mut_ptr().cast();
        // SAFETY: so many headers were written above, and each names memory that is valid during
        // the call and that the kernel only reads.
        let sent = unsafe { libc::sendmmsg(fd, headers, count as u32, flags) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// What a message's header points to.
struct Slot {
    address: Address,
    part: libc::iovec,
    control: Control,
}

impl Message {
    fn takes(&self, to: SocketAddr, length: usize) -> bool {
        !self.is_closed
            && self.to == to
            && length <= self.length
            && self.range.len() + length <= LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::super::{inbox::Inbox, socket};
    use super::*;

    /// Everything that arrives at the other end of datagrams of these lengths, numbered.
    fn check(lengths: &[usize], batches: usize) {
        let local = "127.0.0.1:0".parse().unwrap();
        let sender = Arc::new(socket::open(local).unwrap());
        let receiver = socket::open(local).unwrap();
        let to = receiver.local_addr().unwrap();
        let mut outbox = Outbox::new(sender, false);
        for (number, length) in lengths.iter().enumerate() {
            let added: Result<(), ()> = outbox.add(|into| {
                into.extend(std::iter::repeat_n(number as u8, *length));
                Ok(to)
            });
            added.unwrap();
        }
        assert_eq!(outbox.messages.len(), batches);
        outbox.flush();
        assert_eq!(outbox.sent.datagrams, lengths.len() as u64);
        let mut inbox = Inbox::new();
        let mut arrived = Vec::new();
        while arrived.len() < lengths.len() {
            for number in 0..inbox.receive(&receiver).unwrap() {
                let (_, datagrams) = inbox.message(number).unwrap();
                arrived.extend(datagrams.map(|datagram| (datagram[0], datagram.len())));
            }
        }
        let sent: Vec<_> =
            lengths.iter().enumerate().map(|(n, length)| (n as u8, *length)).collect();
        assert_eq!(arrived, sent);
    }

    #[test]
    fn datagrams_of_one_length_are_one_message_and_a_shorter_one_is_its_last() {
        check(&[1000; 50], 1);
        check(&[1000, 1000, 400, 1000], 2);
        check(&[1000, 1001], 2);
        check(&[100; 70], 2);
        check(&[1400; 50], 2);
    }

    #[test]
    fn a_datagram_longer_than_the_way_is_told_and_lost_alone() {
        let local = "127.0.0.1:0".parse().unwrap();
        let sender = Arc::new(socket::open(local).unwrap());
        let receiver = socket::open(local).unwrap();
        let to = receiver.local_addr().unwrap();
        let mut outbox = Outbox::new(sender, false);
        for length in [10, 65_530, 20] {
            let added: Result<(), ()> = outbox.add(|into| {
                into.resize(into.len() + length, 0);
                Ok(to)
            });
            added.unwrap();
        }
        outbox.flush();
        assert_eq!(outbox.take_too_long(), [(to, 65_530)]);
        assert_eq!((outbox.sent.datagrams, outbox.sent.undelivered), (2, 1));
    }

    #[test]
    fn what_is_not_sealed_is_not_sent() {
        let socket = Arc::new(socket::open("127.0.0.1:0".parse().unwrap()).unwrap());
        let mut outbox = Outbox::new(socket, false);
        assert_eq!(outbox.add(|_| Err("down")), Err("down"));
        outbox.flush();
        assert_eq!(outbox.sent.datagrams, 0);
    }
}
