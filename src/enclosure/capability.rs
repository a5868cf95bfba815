//! What this process may do to the network it is in.

use std::io;

const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;
const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// The low and the high 32 capabilities are two of these.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Whether the network this process is in is out of its hands.
pub fn lacks_net_admin() -> bool {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut sets = [Sets::default(); 2];
    // SAFETY: both structures are laid out as the kernel's third version has them, and are ours.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) };
    result != 0 || sets[0].effective & (1 << CAP_NET_ADMIN) == 0
}

/// A new namespace begins with every privilege over itself. The data plane needs two.
pub(super) fn keep_only_the_networks() -> io::Result<()> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let kept = 1 << CAP_NET_ADMIN | 1 << CAP_NET_RAW;
    let sets = [Sets { effective: kept, permitted: kept, inheritable: 0 }, Sets::default()];
    // SAFETY: as above; the process has one thread, so no other keeps more.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
