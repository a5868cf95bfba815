//! Waiting for many descriptors at once, and a bell that ends the wait.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    time::Duration,
};

/// What has something to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Bell,
    Clock,
    Underlay,
    Edge(u32),
}

const BELL: u64 = u64::MAX;
const UNDERLAY: u64 = u64::MAX - 1;
const CLOCK: u64 = u64::MAX - 2;

impl Token {
    fn number(self) -> u64 {
        match self {
            Token::Bell => BELL,
            Token::Clock => CLOCK,
            Token::Underlay => UNDERLAY,
            Token::Edge(index) => u64::from(index),
        }
    }
    fn of(number: u64) -> Token {
        match number {
            BELL => Token::Bell,
            CLOCK => Token::Clock,
            UNDERLAY => Token::Underlay,
            index => Token::Edge(index as u32),
        }
    }
}

/// Told anew at each wait as long as something waits, and in turn where more wait than are told.
pub(super) struct Poll {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// How many are told at once.
const EVENTS: usize = 64;

impl Poll {
    pub fn new() -> io::Result<Poll> {
        // SAFETY: no pointers are passed.
        let epoll = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Poll { epoll, events: Vec::with_capacity(EVENTS) })
    }

    pub fn add(&self, descriptor: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: token.number() };
        self.control(libc::EPOLL_CTL_ADD, descriptor, &mut event)
    }

    pub fn remove(&self, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        self.control(libc::EPOLL_CTL_DEL, descriptor, &mut event)
    }

    fn control(
        &self,
        operation: i32,
        descriptor: BorrowedFd<'_>,
        event: &mut libc::epoll_event,
    ) -> io::Result<()> {
        let (epoll, descriptor) = (self.epoll.as_raw_fd(), descriptor.as_raw_fd());
        // SAFETY: both descriptors are open, and the event is valid during the call.
        let result = unsafe { libc::epoll_ctl(epoll, operation, descriptor, event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Who has something to say, after at most this time if there is any.
    pub fn wait(&mut self, patience: Option<Duration>) -> io::Result<impl Iterator<Item = Token>> {
        let milliseconds = patience.map_or(-1, |time| time.as_millis() as i32);
        self.events.clear();
        let (epoll, events) = (self.epoll.as_raw_fd(), self.events.as_mut_ptr());
        // SAFETY: there is room for as many events as are asked for.
        let count = unsafe { libc::epoll_wait(epoll, events, EVENTS as i32, milliseconds) };
        match usize::try_from(count) {
            // SAFETY: the kernel has written so many.
            Ok(count) => unsafe { self.events.set_len(count) },
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
        Ok(self.events.iter().map(|event| Token::of(event.u64)))
    }
}

/// Readable at each of its strokes. Cheaper than a limit to each wait: those are many a stroke.
#[derive(Debug)]
pub(super) struct Clock(OwnedFd);

impl Clock {
    pub fn new(interval: Duration) -> io::Result<Clock> {
        let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
        // SAFETY: no pointers are passed.
        let timer = owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
        let interval = libc::timespec {
            tv_sec: interval.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(interval.subsec_nanos() as i32),
        };
        let times = libc::itimerspec { it_interval: interval, it_value: interval };
        let fd = timer.as_raw_fd();
        // SAFETY: the times are valid during the call, and nothing is asked for in return.
        if unsafe { libc::timerfd_settime(fd, 0, &times, std::ptr::null_mut()) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Clock(timer))
    }

    /// Strokes that were missed are one with the last.
    pub fn silence(&self) {
        drain(&self.0);
    }
}

impl AsFd for Clock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Rung from any thread; readable until silenced.
#[derive(Debug)]
pub(super) struct Bell(OwnedFd);

impl Bell {
    pub fn new() -> io::Result<Bell> {
        // SAFETY: no pointers are passed.
        owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }).map(Bell)
    }

    pub fn ring(&self) {
        let one = 1u64.to_ne_bytes();
        // It fails only where it has been rung so often that it rings anyhow.
        // SAFETY: the buffer is valid for its length during the call.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    pub fn silence(&self) {
        drain(&self.0);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Takes the number that a bell or clock has counted to.
fn drain(counter: &OwnedFd) {
    let mut count = [0; 8];
    // It fails only where there is nothing to take.
    // SAFETY: the buffer is valid for its length during the call.
    unsafe { libc::read(counter.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
}

fn owned(descriptor: i32) -> io::Result<OwnedFd> {
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
