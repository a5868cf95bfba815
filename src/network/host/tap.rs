//! A guest's cable: a persistent tap.
//!
//! It is made here and opened by name by QEMU. Being persistent it stays, with the guest's end
//! plugged in, when this process goes.

use std::{io, os::fd::AsRawFd};
use tun_tap::{Iface, Mode};

/// Makes a tap and leaves it, closed, in the kernel.
pub(super) fn create(name: &str) -> io::Result<()> {
    let tap = Iface::without_packet_info(name, Mode::Tap)?;
    // SAFETY: the descriptor is open while `tap` lives, and this request takes a plain number.
    let result = unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETPERSIST, 1) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
