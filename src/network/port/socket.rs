//! A pair of unix datagram sockets, a frame a datagram: QEMU without any privilege.
//!
//! Either side may be restarted: each names the other by its path. The guest's side takes few
//! datagrams at a time, so frames for it are kept for a while here, up to a limit. It knows no
//! offload: frames are finished before they are sent.
//!
//! Whoever can write to our socket is the guest, so only our own user can; the directory is the
//! caller's.

use super::{Batch, Losses, Port};
use crate::network::{frame::Frame, segments::finish};
use std::{
    collections::VecDeque,
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::{fs::FileTypeExt, net::UnixDatagram},
    },
    path::{Path, PathBuf},
};

#[derive(Debug)]
pub(super) struct Socket {
    /// Never connected: it would not hear a guest that was started anew.
    socket: UnixDatagram,
    ours: PathBuf,
    guests: PathBuf,
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    scratch: Vec<u8>,
    losses: Losses,
}

/// Some large segments.
const WAITING_MAX: usize = 1 << 20;

impl Socket {
    pub fn open(ours: &Path, guests: &Path) -> io::Result<Socket> {
        Ok(Socket {
            socket: bind_private(ours)?,
            ours: ours.to_owned(),
            guests: guests.to_owned(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            scratch: Vec::new(),
            losses: Losses::default(),
        })
    }

    fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.send_to(frame, &self.guests).map(drop)
    }

    fn hand_over(&mut self, frame: &[u8]) {
        if self.waiting.is_empty() {
            match self.send(frame) {
                Ok(()) => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => {
                    self.losses.undelivered += 1;
                    return;
                }
            }
        }
        if self.waiting_bytes + frame.len() > WAITING_MAX {
            self.losses.undelivered += 1;
            return;
        }
        self.waiting_bytes += frame.len();
        self.waiting.push_back(frame.to_vec());
    }
}

impl Port for Socket {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn read(&mut self, into: &mut Batch) -> io::Result<()> {
        while let Some(room) = into.room() {
            match self.socket.recv(room) {
                Ok(length) => into.push_whole(length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write(&mut self, frame: Frame<'_>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let finished = finish(frame, &mut scratch, &mut |whole| self.hand_over(whole));
        self.losses.undelivered += u64::from(finished.is_err());
        self.scratch = scratch;
    }

    fn flush(&mut self) -> bool {
        while let Some(frame) = self.waiting.pop_front() {
            match self.send(&frame) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.waiting.push_front(frame);
                    return true;
                }
                sent => self.losses.undelivered += u64::from(sent.is_err()),
            }
            self.waiting_bytes -= frame.len();
        }
        false
    }

    fn losses(&self) -> Losses {
        self.losses
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // If it cannot be removed, the next one to be opened there removes it.
        let _ = fs::remove_file(&self.ours);
    }
}

/// A socket at a path, to which no other user could write at any time.
fn bind_private(path: &Path) -> io::Result<UnixDatagram> {
    match fs::symlink_metadata(path) {
        // Of an earlier process: as long as it is there, the name cannot be bound.
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    // The mode of an unbound socket is the mode of the file that binding makes (unix(7), Linux).
    // SAFETY: no pointers are passed, and the descriptor is open.
    if unsafe { libc::fchmod(socket.as_raw_fd(), 0o600) } < 0 {
        return Err(io::Error::last_os_error());
    }
    bind(&socket, path)?;
    Ok(socket)
}

/// The standard library binds new sockets only.
fn bind(socket: &UnixDatagram, path: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: all zeros are a valid address of this kind, which has plain numbers only.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as u16;
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() >= address.sun_path.len() || bytes.contains(&0) {
        let words = format!("a socket's path must be shorter: `{}`", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: the address is valid for its length during the call.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
