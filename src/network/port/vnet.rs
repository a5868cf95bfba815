//! The header by which the kernel says what is left to be done to a frame, and descriptors that
//! take and give frames behind it.
//!
//! It is virtio's (1.2, section 5.1.6), ten bytes in the machine's own byte order, and the same on
//! taps and packet sockets.

use super::{Batch, Losses};
use crate::network::{
    frame::{Frame, Offload, PartialChecksum, Segmented},
    segments::{Malformed, settle},
};
use std::{
    io::{self, IoSlice},
    os::fd::{AsRawFd, BorrowedFd},
};

pub(super) const HEADER: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;
const NOT_SEGMENTED: u8 = 0;
const TCP4: u8 = 1;
const TCP6: u8 = 4;
/// The first piece alone says that the sender has slowed down.
const CONGESTION: u8 = 0x80;

/// What a header says of the frame behind it.
pub(super) fn read(header: &[u8; HEADER], frame: &mut [u8]) -> Result<Offload, Malformed> {
    let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let checksum = (header[0] & NEEDS_CHECKSUM != 0)
        .then(|| PartialChecksum { start: half(6), offset: half(8) });
    let segmented = match header[1] & !CONGESTION {
        NOT_SEGMENTED => None,
        TCP4 => Some((Segmented::Tcp4, half(4))),
        TCP6 => Some((Segmented::Tcp6, half(4))),
        _ => return Err(Malformed),
    };
    settle(frame, checksum, segmented)
}

pub(super) fn write(frame: &Frame<'_>) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    if let Some(checksum) = frame.offload.checksum {
        header[0] = NEEDS_CHECKSUM;
        header[6..8].copy_from_slice(&checksum.start.to_ne_bytes());
        header[8..10].copy_from_slice(&checksum.offset.to_ne_bytes());
        if let Some(segmentation) = frame.offload.segmentation {
            header[1] = match segmentation.protocol {
                Segmented::Tcp4 => TCP4,
                Segmented::Tcp6 => TCP6,
            };
            if says_congestion_reduced(frame.bytes, checksum) {
                header[1] |= CONGESTION;
            }
            header[2..4].copy_from_slice(&segmentation.headers.to_ne_bytes());
            header[4..6].copy_from_slice(&segmentation.size.to_ne_bytes());
        }
    }
    header
}

fn says_congestion_reduced(frame: &[u8], tcp: PartialChecksum) -> bool {
    const FLAGS: usize = 13;
    const CWR: u8 = 0x80;
    frame.get(usize::from(tcp.start) + FLAGS).is_some_and(|flags| flags & CWR != 0)
}

/// Reads frames behind headers until there are no more. `receive` is the system call.
pub(super) fn read_all(
    into: &mut Batch,
    losses: &mut Losses,
    mut receive: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> io::Result<()> {
    // A frame that is refused takes its turn too.
    for _ in 0..into.frames_left() {
        let Some(room) = into.room() else { return Ok(()) };
        match receive(room) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) if length > room.len() => losses.malformed += 1,
            Ok(length) => losses.malformed += u64::from(into.push_headed(length).is_err()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A packet socket's word for a frame that the header has no words for.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => losses.malformed += 1,
            // The device is down, and may come up again.
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// `recv` that says how long the message was even where it did not fit.
pub(super) fn receive(socket: BorrowedFd<'_>, room: &mut [u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    // SAFETY: the buffer is valid for its length during the call.
    let length =
        unsafe { libc::recv(socket.as_raw_fd(), room.as_mut_ptr().cast(), room.len(), flags) };
    usize::try_from(length).map_err(|_| io::Error::last_os_error())
}

/// A frame behind its header, in one system call.
pub(super) fn send(descriptor: BorrowedFd<'_>, frame: &Frame<'_>) -> io::Result<()> {
    let header = write(frame);
    let parts = [IoSlice::new(&header), IoSlice::new(frame.bytes)];
    // SAFETY: `IoSlice` is an `iovec`, and both slices are valid during the call.
    let length = unsafe { libc::writev(descriptor.as_raw_fd(), parts.as_ptr().cast(), 2) };
    if length < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::frame::Segmentation;

    #[test]
    fn a_header_says_what_is_left_to_be_done() {
        let mut bytes = vec![0; 3000];
        bytes[12..15].copy_from_slice(&[8, 0, 0x45]);
        bytes[23] = 6;
        bytes[46] = 0x50;
        bytes[47] = 0x80;
        let offload = Offload {
            checksum: Some(PartialChecksum { start: 34, offset: 16 }),
            segmentation: Some(Segmentation { protocol: Segmented::Tcp4, size: 1400, headers: 54 }),
        };
        let header = write(&Frame { bytes: &bytes, offload });
        assert_eq!(header[..2], [NEEDS_CHECKSUM, TCP4 | CONGESTION]);
        assert_eq!(read(&header, &mut bytes), Ok(offload));
        assert_eq!(write(&Frame::whole(&bytes)), [0; HEADER]);
        assert_eq!(read(&[0; HEADER], &mut bytes), Ok(Offload::default()));
    }

    #[test]
    fn what_no_port_offered_to_take_is_refused() {
        const UDP: u8 = 3;
        const UDP_SEGMENTS: u8 = 5;
        for kind in [UDP, UDP_SEGMENTS, 2, 0x7f] {
            let mut header = [0; HEADER];
            header[0] = NEEDS_CHECKSUM;
            header[1] = kind;
            assert_eq!(read(&header, &mut [0; 100]), Err(Malformed));
        }
    }
}
