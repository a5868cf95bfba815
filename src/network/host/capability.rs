//! Privileges over the network, for the programs we run.
//!
//! In a namespace of their own an ordinary user's process has capabilities, and loses them as soon
//! as it executes another program, unless they are made ambient. That is done for the programs that
//! need it, one by one: a guest's QEMU is to have none.

use std::{io, os::unix::process::CommandExt, process::Command};

const CAP_NET_ADMIN: u32 = 12;
const VERSION_3: u32 = 0x2008_0522;

/// Lets a program keep `CAP_NET_ADMIN`, if this process has it. Root's programs do so anyway.
pub(super) fn keep_net_admin(command: &mut Command) {
    // SAFETY: this call cannot fail and takes no pointers.
    if unsafe { libc::geteuid() } == 0 {
        return;
    }
    // SAFETY: what is called between fork and exec are system calls only.
    unsafe { command.pre_exec(make_ambient) };
}

fn make_ambient() -> io::Result<()> {
    let mut header = [VERSION_3, 0];
    // Effective, permitted and inheritable; first of the low 32 capabilities, then of the high.
    let mut sets = [[0u32; 3]; 2];
    // SAFETY: both arrays are laid out as the kernel's third version has its structures.
    let known = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) };
    if known != 0 {
        return Err(io::Error::last_os_error());
    }
    sets[0][2] |= 1 << CAP_NET_ADMIN;
    let (raise, capability) = (libc::PR_CAP_AMBIENT_RAISE, libc::c_ulong::from(CAP_NET_ADMIN));
    // SAFETY: as above; `prctl` takes plain numbers.
    let kept = unsafe {
        libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) == 0
            && libc::prctl(libc::PR_CAP_AMBIENT, raise, capability, 0, 0) == 0
    };
    if kept { Ok(()) } else { Err(io::Error::last_os_error()) }
}
