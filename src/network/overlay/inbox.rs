//! Datagrams as they come in: several system-call messages at once, each of many datagrams that the
//! kernel has joined because they came from one address and had one length.

use super::socket::{Address, UDP_GRO};
use std::{
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd,
};

/// Messages taken at once.
const MESSAGES: usize = 32;
const LONGEST: usize = 65_535;
/// Room for the one thing we are told beside a message: the length of its datagrams.
const CONTROL: usize = 64;

pub(super) struct Inbox {
    buffers: Vec<Box<[u8]>>,
    addresses: [Address; MESSAGES],
    controls: [Control; MESSAGES],
    lengths: [usize; MESSAGES],
    segments: [usize; MESSAGES],
}

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

impl Inbox {
    pub fn new() -> Inbox {
        Inbox {
            buffers: (0..MESSAGES).map(|_| vec![0; LONGEST].into_boxed_slice()).collect(),
            addresses: [Address::blank(); MESSAGES],
            controls: [Control([0; CONTROL]); MESSAGES],
            lengths: [0; MESSAGES],
            segments: [0; MESSAGES],
        }
    }

    /// Whether so many messages are as many as could be.
    pub fn is_full(count: usize) -> bool {
        count == MESSAGES
    }

    /// Takes what waits; how many messages it was.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let mut parts: [libc::iovec; MESSAGES] = std::array::from_fn(|n| libc::iovec {
            iov_base: self.buffers[n].as_mut_ptr().cast(),
            iov_len: LONGEST,
        });
        let mut headers: [libc::mmsghdr; MESSAGES] = std::array::from_fn(|n| {
            // SAFETY: all zeros are a valid header, of a message without any part.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_name = self.addresses[n].pointer_mut().cast();
            header.msg_hdr.msg_namelen = Address::ROOM;
            header.msg_hdr.msg_iov = &raw mut parts[n];
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = (&raw mut self.controls[n]).cast();
            header.msg_hdr.msg_controllen = CONTROL as _;
            header
        });
        let (fd, flags) = (socket.as_raw_fd(), libc::MSG_DONTWAIT);
        // SAFETY: every header names memory of ours that is valid for its length during the call.
        let count = unsafe {
            libc::recvmmsg(fd, headers.as_mut_ptr(), MESSAGES as u32, flags, std::ptr::null_mut())
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (n, header) in headers[..count].iter().enumerate() {
            self.lengths[n] = header.msg_len as usize;
            self.segments[n] = segment_length(&header.msg_hdr).unwrap_or(LONGEST);
        }
        Ok(count)
    }

    /// A message's sender and its datagrams.
    pub fn message(
        &mut self,
        number: usize,
    ) -> Option<(SocketAddr, impl Iterator<Item = &mut [u8]>)> {
        let from = self.addresses[number].read()?;
        let bytes = &mut self.buffers[number][..self.lengths[number]];
        Some((from, bytes.chunks_mut(self.segments[number])))
    }
}

fn segment_length(header: &libc::msghdr) -> Option<usize> {
    // SAFETY: the kernel has filled the header, whose control buffer is still there.
    let control = unsafe { libc::CMSG_FIRSTHDR(header).as_ref() }?;
    if (control.cmsg_level, control.cmsg_type) != (libc::SOL_UDP, UDP_GRO) {
        return None;
    }
    // SAFETY: a message of this type has an `int`, as the kernel documents it.
    let length = unsafe { libc::CMSG_DATA(control).cast::<i32>().read_unaligned() };
    usize::try_from(length).ok().filter(|length| *length > 0)
}
