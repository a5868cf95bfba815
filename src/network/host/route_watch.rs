//! The thread that notices when the host's way to the world moves.
//!
//! A laptop changes from a cable to the air, a dialled line comes back as a new device: the new
//! uplink must forward for guests as the old one did, and its switch is off. The kernel tells of
//! every change of its routes; what is then to be done is looked up and not guessed from the news.

use std::{
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    thread::JoinHandle,
};

#[derive(Debug)]
pub(super) struct RouteWatch {
    /// Closed to stop the thread.
    alive: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl RouteWatch {
    /// Calls after every change of the IPv4 routes of this thread's network namespace.
    pub fn start(moved: impl Fn() + Send + 'static) -> io::Result<RouteWatch> {
        let news = subscribe()?;
        let (alive, watched) = UnixStream::pair()?;
        let thread = std::thread::Builder::new().name("routes".to_owned()).spawn(move || {
            while is_told(&news, &watched) {
                moved();
            }
        })?;
        Ok(RouteWatch { alive: Some(alive), thread: Some(thread) })
    }
}

impl Drop for RouteWatch {
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

fn subscribe() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers are passed.
    let descriptor = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_ROUTE) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    // SAFETY: all of its fields are numbers, for which zero is a value.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as u16;
    address.nl_groups = libc::RTMGRP_IPV4_ROUTE as u32;
    // SAFETY: the address outlives the call, and its length is given.
    let bound = unsafe {
        libc::bind(
            descriptor,
            (&raw const address).cast(),
            size_of::<libc::sockaddr_nl>() as libc::socklen_t,
        )
    };
    if bound < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

/// Waits for news, and takes all there is. False when it is time to end.
fn is_told(news: &OwnedFd, watched: &UnixStream) -> bool {
    let mut descriptors = [news.as_raw_fd(), watched.as_raw_fd()].map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: the array is valid for its length during the call. It fails only for being
    // interrupted.
    while unsafe { libc::poll(descriptors.as_mut_ptr(), 2, -1) } < 0 {}
    let mut message = [0u8; 4096];
    // SAFETY: the buffer is writable for its length during the call. It ends by an error: that
    // there is no more, or that there was more than the socket held, which is news as well.
    while unsafe { libc::recv(news.as_raw_fd(), message.as_mut_ptr().cast(), message.len(), 0) } > 0
    {
    }
    descriptors[1].revents == 0
}
