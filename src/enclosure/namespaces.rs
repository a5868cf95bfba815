//! Making the namespaces, and finding them again.
//!
//! The user keeps their own number inside: libvirt takes number 0 for root and would ask for what
//! the namespace does not give. Capabilities, which the maker of a namespace has in it, survive as
//! long as nothing is executed.
//!
//! Guests outlive this process, and so do their namespaces. A restarted process must go back to
//! them; it knows them by the kernel's cookie of the network namespace, which within one boot is
//! never given twice.

use std::{
    collections::BTreeSet,
    ffi::CString,
    fs, io,
    io::Write as _,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
    time::{Duration, Instant},
};

/// Which step of making namespaces the kernel refused.
#[derive(Debug)]
pub(super) struct Refused {
    pub step: Step,
    pub source: io::Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Unshare,
    Map,
    Loopback,
}

const BOTH: libc::c_int = libc::CLONE_NEWUSER | libc::CLONE_NEWNET;
/// Newer than the `libc` crate's list for some targets; the same number on all of ours.
const SO_NETNS_COOKIE: libc::c_int = 71;

/// Leaves the host's user and network namespaces for new ones. Allocates nothing, so that it may
/// also be tried in a forked copy of a process with threads.
pub(super) fn make() -> Result<(), Refused> {
    let at = |step| move |source| Refused { step, source };
    // SAFETY: these calls cannot fail and take no pointers.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    // SAFETY: no pointers are passed; it concerns this process only.
    check(unsafe { libc::unshare(BOTH) }).map_err(at(Step::Unshare))?;
    // The kernel lets a user map groups only in a namespace that cannot drop any.
    write(c"/proc/self/setgroups", format_args!("deny")).map_err(at(Step::Map))?;
    write(c"/proc/self/uid_map", format_args!("{user} {user} 1")).map_err(at(Step::Map))?;
    write(c"/proc/self/gid_map", format_args!("{group} {group} 1")).map_err(at(Step::Map))?;
    raise_loopback().map_err(at(Step::Loopback))
}

/// Writes down which enclosure this process is in.
pub(super) fn record(path: &Path) -> io::Result<()> {
    let text = match cookie() {
        Ok(cookie) => format!("{} {cookie}", boot()?),
        // Before Linux 5.14 there are no cookies; guests are then lost with their process.
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => String::new(),
        Err(error) => return Err(error),
    };
    fs::write(path, text)
}

/// Goes back into the enclosure that was recorded, if any process is left in it.
pub(super) fn rejoin(record: &Path) -> Option<io::Result<()>> {
    let text = fs::read_to_string(record).ok()?;
    let (booted, cookie) = text.split_once(' ')?;
    if boot().ok()? != booted {
        return None;
    }
    let inhabitant = find(cookie.parse().ok()?)?;
    Some(enter(&inhabitant))
}

/// Waits a little for a device of an earlier process to follow it.
pub(super) fn wait_until_gone(device: &str) {
    let Ok(name) = CString::new(device) else { return };
    let deadline = Instant::now() + Duration::from_secs(2);
    // SAFETY: the name is a C string that outlives the call.
    while unsafe { libc::if_nametoindex(name.as_ptr()) } != 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A process in the network namespace with this cookie.
fn find(cookie: u64) -> Option<OwnedFd> {
    let own = fs::read_link("/proc/self/ns/net").ok()?;
    // SAFETY: this call cannot fail and takes no pointers.
    let user = unsafe { libc::geteuid() };
    let mut seen = BTreeSet::from([own]);
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<libc::pid_t>().ok());
        let Some(pid) = pid else { continue };
        let ours = entry.metadata().is_ok_and(|process| process.uid() == user);
        let Ok(namespace) = fs::read_link(entry.path().join("ns/net")) else { continue };
        if !ours || !seen.insert(namespace) {
            continue;
        }
        let Ok(process) = open_process(pid) else { continue };
        if is_in(&process, cookie) {
            return Some(process);
        }
    }
    None
}

/// Looks from a forked copy, because there is no way back.
fn is_in(process: &OwnedFd, cookie: u64) -> bool {
    let mut status = 0;
    // SAFETY: the process has one thread, so the copy is complete; it ends by `_exit`, running no
    // destructor of ours. `status` is live.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            let same = enter(process).is_ok() && self::cookie().is_ok_and(|its| its == cookie);
            libc::_exit(i32::from(!same));
        }
        child > 0 && libc::waitpid(child, &raw mut status, 0) == child && status == 0
    }
}

fn open_process(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
}

fn enter(process: &OwnedFd) -> io::Result<()> {
    // SAFETY: no pointers are passed, and the descriptor is open.
    check(unsafe { libc::setns(process.as_raw_fd(), BOTH) })
}

fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

fn cookie() -> io::Result<u64> {
    let socket = datagram_socket()?;
    let mut cookie = 0u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: value and length are live, and the length is the value's.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    })?;
    Ok(cookie)
}

fn raise_loopback() -> io::Result<()> {
    let socket = datagram_socket()?;
    // SAFETY: an all-zero `ifreq` is a valid value of that plain structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request is live, and holds a name that ends in zero.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) })
}

fn datagram_socket() -> io::Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    check(socket.min(0))?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

/// Writes to one of the kernel's files, in a single write, as these demand.
fn write(path: &std::ffi::CStr, text: std::fmt::Arguments<'_>) -> io::Result<()> {
    let mut buffer = [0u8; 64];
    let mut rest = &mut buffer[..];
    rest.write_fmt(text)?;
    let left = rest.len();
    let length = buffer.len() - left;
    // SAFETY: the path is a C string.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    check(file.min(0))?;
    // SAFETY: the descriptor is new and nobody else's.
    let file = unsafe { OwnedFd::from_raw_fd(file) };
    // SAFETY: the buffer is valid for its length during the call.
    let written = unsafe { libc::write(file.as_raw_fd(), buffer.as_ptr().cast(), length) };
    check(written.min(0) as i32)
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
