//! The guests' way to the world: `slirp4netns`, a program that speaks TCP and UDP with the host's
//! sockets on behalf of a network namespace.
//!
//! It may not be led to the host's own loopback, where services trust whoever can reach them. It
//! ends when the broker does.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use crate::domain::port_filter::Cidr;

/// As large as on the guests' wires: larger packets would be cut up on the way.
const MTU: u16 = 1500;
const PATIENCE_MS: i32 = 5_000;

#[derive(Debug)]
pub(super) struct Uplink {
    /// Closed to end the program.
    alive: Option<io::PipeWriter>,
    program: Child,
}

/// Where the program is, if it is installed.
pub(super) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|place| place.join("slirp4netns"));
    places.find(|program| program.is_file())
}

impl Uplink {
    /// Connects a process's network namespace with ours, and waits until it is.
    pub fn start(process: libc::pid_t, network: Cidr) -> io::Result<Uplink> {
        let program =
            program().ok_or_else(|| io::Error::other("`slirp4netns` is not installed"))?;
        let (ready, readiness) = io::pipe()?;
        let (watched, alive) = io::pipe()?;
        let words = scratch()?;
        let mut command = Command::new(program);
        command
            .args(["--configure", "--disable-host-loopback", "--enable-seccomp"])
            .arg(format!("--mtu={MTU}"))
            .arg(format!("--cidr={network}"))
            .arg(format!("--ready-fd={}", readiness.as_raw_fd()))
            .arg(format!("--exit-fd={}", watched.as_raw_fd()))
            .arg(process.to_string())
            .arg(super::UPLINK)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(words.try_clone()?);
        let inherited = [readiness.as_raw_fd(), watched.as_raw_fd()];
        // SAFETY: `fcntl` may be called between fork and exec, and both descriptors are open there.
        unsafe { command.pre_exec(move || inherited.into_iter().try_for_each(inherit)) };
        let mut child = command.spawn()?;
        drop((readiness, watched));
        if is_ready(ready)? {
            return Ok(Uplink { alive: Some(alive), program: child });
        }
        let _ = child.kill();
        let _ = child.wait();
        Err(io::Error::other(format!("`slirp4netns` failed: {}", last_line(words)?)))
    }
}

impl Uplink {
    /// A descriptor of the process, which is readable when it has ended.
    pub fn process(&self) -> io::Result<OwnedFd> {
        // SAFETY: no pointers are passed.
        let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, self.program.id(), 0) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        Ok(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        drop(self.alive.take());
        // It is a child not waited for, so there is one to end, or it has ended.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Lets an exec leave a descriptor open.
fn inherit(descriptor: RawFd) -> io::Result<()> {
    // SAFETY: no pointers are passed.
    match unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether the program says so, before it ends and in reasonable time.
fn is_ready(mut ready: io::PipeReader) -> io::Result<bool> {
    let mut waiting =
        libc::pollfd { fd: ready.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one live structure is passed.
    let heard = unsafe { libc::poll(&raw mut waiting, 1, PATIENCE_MS) };
    let mut word = [0];
    Ok(heard > 0 && ready.read(&mut word)? == 1)
}

/// A file without a name.
fn scratch() -> io::Result<File> {
    // SAFETY: the name is a C string.
    let descriptor = unsafe { libc::memfd_create(c"uplink".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }.into())
}

fn last_line(mut words: File) -> io::Result<String> {
    words.rewind()?;
    let mut text = Vec::new();
    words.take(64 << 10).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason").to_owned())
}
