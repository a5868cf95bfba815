//! Threads that hear what the kernel tells of its own accord.
//!
//! A laptop changes from a cable to the air, a dialled line comes back as a new device, another
//! program empties the packet filter: the kernel tells of every change of its routes and rules to
//! who subscribes. What is then to be done is looked up and not guessed from the news.

use std::{
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    thread::JoinHandle,
    time::Duration,
};

/// What the news are about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Topic {
    /// IPv4 routes.
    Routes,
    /// The rules of nftables, with all they hang on.
    PacketFilter,
}

/// What was told since the last time.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub messages: Vec<Vec<u8>>,
    /// There was more than the socket held.
    pub is_incomplete: bool,
}

/// A thread that hears of a topic, until it is dropped.
#[derive(Debug)]
pub(super) struct Listener {
    /// Closed to stop the thread.
    alive: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

/// Longer than any datagram of the kernel's about our topics.
const LONGEST: usize = 64 << 10;

impl Listener {
    /// Calls with all that is told of this thread's network namespace; and with nothing, if a call
    /// has asked for it, after as long as it said.
    pub fn start(
        topic: Topic,
        mut hear: impl FnMut(&Told) -> Option<Duration> + Send + 'static,
    ) -> io::Result<Listener> {
        let news = subscribe(topic)?;
        let (alive, watched) = UnixStream::pair()?;
        let thread =
            std::thread::Builder::new().name(topic.name().to_owned()).spawn(move || {
                let mut again = None;
                while wait(&news, &watched, again) {
                    again = hear(&take(&news));
                }
            })?;
        Ok(Listener { alive: Some(alive), thread: Some(thread) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Topic {
    fn name(self) -> &'static str {
        match self {
            Topic::Routes => "routes",
            Topic::PacketFilter => "packet-filter",
        }
    }

    /// The family of sockets that tell of it, and the bit of its group there.
    fn group(self) -> (libc::c_int, libc::c_int) {
        match self {
            Topic::Routes => (libc::NETLINK_ROUTE, libc::RTMGRP_IPV4_ROUTE),
            Topic::PacketFilter => (libc::NETLINK_NETFILTER, 1 << (libc::NFNLGRP_NFTABLES - 1)),
        }
    }
}

fn subscribe(topic: Topic) -> io::Result<OwnedFd> {
    let (family, group) = topic.group();
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers are passed.
    let descriptor = unsafe { libc::socket(libc::AF_NETLINK, kind, family) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    // SAFETY: all of its fields are numbers, for which zero is a value.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as u16;
    address.nl_groups = group as u32;
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

/// Waits for news, or as long as was asked for. False when it is time to end.
fn wait(news: &OwnedFd, watched: &UnixStream, limit: Option<Duration>) -> bool {
    let mut descriptors = [news.as_raw_fd(), watched.as_raw_fd()].map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    let limit = limit.map_or(-1, |limit| i32::try_from(limit.as_millis()).unwrap_or(i32::MAX));
    // SAFETY: the array is valid for its length during the call. It fails only for being
    // interrupted.
    while unsafe { libc::poll(descriptors.as_mut_ptr(), 2, limit) } < 0 {}
    descriptors[1].revents == 0
}

/// All there is.
fn take(news: &OwnedFd) -> Told {
    let mut told = Told::default();
    let mut buffer = vec![0u8; LONGEST];
    loop {
        // SAFETY: the buffer is writable for its length during the call.
        let length = unsafe {
            libc::recv(news.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_TRUNC)
        };
        match usize::try_from(length) {
            Ok(length) => {
                told.is_incomplete |= length > buffer.len();
                told.messages.push(buffer[..length.min(buffer.len())].to_vec());
            }
            // That is said once, and what came after it is still there.
            Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::ENOBUFS) => {
                told.is_incomplete = true;
            }
            Err(_) => return told,
        }
    }
}
