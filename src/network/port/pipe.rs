//! A port whose other end is in this process: for tests, and for what has no kernel's device.
//!
//! Both ends are ports. What is left to be done to a frame travels with it.

use super::{Batch, Losses, Port, vnet};
use crate::network::frame::Frame;
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd},
    sync::Arc,
};

/// One end. Copies of it are the same end.
#[derive(Debug, Clone)]
pub struct Pipe {
    socket: Arc<OwnedFd>,
    losses: Losses,
}

impl PartialEq for Pipe {
    fn eq(&self, other: &Pipe) -> bool {
        Arc::ptr_eq(&self.socket, &other.socket)
    }
}

impl Eq for Pipe {}

impl Pipe {
    pub fn pair() -> io::Result<(Pipe, Pipe)> {
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let mut ends = [-1; 2];
        // SAFETY: the array has room for the two descriptors.
        if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) } < 0 {
            return Err(io::Error::last_os_error());
        }
        let [one, other] = ends.map(|descriptor| {
            // SAFETY: the descriptor is new and nobody else's.
            let socket = Arc::new(unsafe { OwnedFd::from_raw_fd(descriptor) });
            Pipe { socket, losses: Losses::default() }
        });
        Ok((one, other))
    }
}

impl Port for Pipe {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn read(&mut self, into: &mut Batch) -> io::Result<()> {
        vnet::read_all(into, &mut self.losses, |room| vnet::receive(self.socket.as_fd(), room))
    }

    fn write(&mut self, frame: Frame<'_>) {
        self.losses.undelivered += u64::from(vnet::send(self.socket.as_fd(), &frame).is_err());
    }

    fn losses(&self) -> Losses {
        self.losses
    }
}
