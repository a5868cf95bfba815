//! A tap of our own, opened with the kernel's header before each frame.
//!
//! That is why it is opened here: the crate `tun-tap` asks for no header, and without it every
//! segment is a system call and every checksum is made twice.

use super::{Batch, Losses, Port, vnet};
use crate::network::frame::Frame;
use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
};

#[derive(Debug)]
pub(super) struct Tap {
    file: File,
    losses: Losses,
}

impl Tap {
    pub fn open(name: &str) -> io::Result<Tap> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open("/dev/net/tun")?;
        let mut request = named(name)?;
        let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        request.ifr_ifru.ifru_flags = flags as libc::c_short;
        // SAFETY: the request is valid during the call, and of the type that `TUNSETIFF` takes.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        let offload = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
        let offload = libc::c_ulong::from(offload);
        // SAFETY: this request takes a plain number.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, offload) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Tap { file, losses: Losses::default() })
    }
}

fn named(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: all zeros are a valid `ifreq`, which has plain numbers only.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero, as the name's end.
    if name.is_empty() || name.len() >= request.ifr_name.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("a device `{name}`")));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

impl Port for Tap {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn read(&mut self, into: &mut Batch) -> io::Result<()> {
        vnet::read_all(into, &mut self.losses, |room| self.file.read(room))
    }

    fn write(&mut self, frame: Frame<'_>) {
        // A tap that is down takes no frames, like a cable without a NIC.
        self.losses.undelivered += u64::from(vnet::send(self.file.as_fd(), &frame).is_err());
    }

    fn losses(&self) -> Losses {
        self.losses
    }
}
