//! A child process that stays in the host's namespaces and opens sockets there for us.
//!
//! One question at a time, eight bytes long, over a socket pair; the answer is an error number and
//! words, or a descriptor. The broker believes nothing: it opens sockets on loopback addresses that
//! can stand for guests, starts `slirp4netns` for the process it is a child of, and refuses the
//! rest. It has no privileges of its own, and ends when the other end of the pair is closed,
//! however that came about.
//!
//! What ends in any other way is replaced: the child is a guard that only forks brokers, one after
//! another, and waits. Sockets that were given live on with us; `slirp4netns` ends with its broker
//! and is asked for again (`watch`).

mod descriptor;

use super::{forward, uplink};
use crate::domain::port_filter::Cidr;
use descriptor::{receive, send};
use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The asking end.
#[derive(Debug)]
pub struct Broker {
    socket: Mutex<OwnedFd>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    /// Listen for connections there.
    Tcp(SocketAddrV4),
    /// Receive datagrams there.
    Udp(SocketAddrV4),
    /// Connect the asker's network namespace with the world, by this network.
    Uplink(Cidr),
}

const QUESTION: usize = 8;
/// Longer than any answer takes: a broker that ended will not give one.
const PATIENCE_MS: i32 = 15_000;
/// Between a broker that failed and the next.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_ANSWER: usize = 4 + 2048;
/// In the broker, beside standard input, output and error, there is only this.
const BROKERS_END: i32 = 3;

impl Broker {
    /// Forks. To be called while this process has one thread.
    pub(super) fn start() -> io::Result<Broker> {
        let (ours, its) = pair()?;
        // SAFETY: the process has one thread, so the copy is complete.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                // SAFETY: this call cannot fail and takes no pointers.
                let asker = unsafe { libc::getppid() };
                settle(&its);
                guard(asker)
            }
            _ => Ok(Broker { socket: Mutex::new(ours) }),
        }
    }

    /// A socket on one of the host's loopback addresses.
    pub(super) fn listen(&self, at: SocketAddrV4) -> io::Result<TcpListener> {
        Ok(self.ask(Question::Tcp(at))?.ok_or_else(nothing)?.into())
    }

    pub(super) fn receive(&self, at: SocketAddrV4) -> io::Result<UdpSocket> {
        Ok(self.ask(Question::Udp(at))?.ok_or_else(nothing)?.into())
    }

    /// A descriptor of the process that connects, which is readable when that has ended.
    pub(super) fn connect(&self, network: Cidr) -> Result<OwnedFd, String> {
        let connected = self.ask(Question::Uplink(network));
        connected.and_then(|process| process.ok_or_else(nothing)).map_err(|e| e.to_string())
    }

    /// Hangs up when there is no broker any more, nor will be.
    pub(super) fn line(&self) -> io::Result<OwnedFd> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner).try_clone()
    }

    fn ask(&self, question: Question) -> io::Result<Option<OwnedFd>> {
        // A panic elsewhere leaves at worst an answer unread, which the next asker would notice as
        // one of the wrong kind; there is no such panic.
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        send(&socket, &question.bytes(), None)?;
        if !is_heard(&socket)? {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the broker ended without a word"));
        }
        let mut answer = [0; LONGEST_ANSWER];
        let (length, descriptor) = receive(&socket, &mut answer)?;
        let Some((code, words)) = answer[..length].split_first_chunk() else {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the broker is gone"));
        };
        match i32::from_ne_bytes(*code) {
            0 => Ok(descriptor),
            code if words.is_empty() => Err(io::Error::from_raw_os_error(code)),
            _ => Err(io::Error::other(String::from_utf8_lossy(words).into_owned())),
        }
    }
}

impl Question {
    fn bytes(self) -> [u8; QUESTION] {
        let (kind, length, address, port) = match self {
            Question::Tcp(at) => (1, 0, *at.ip(), at.port()),
            Question::Udp(at) => (2, 0, *at.ip(), at.port()),
            Question::Uplink(network) => (3, network.prefix_length(), network.address(), 0),
        };
        let [a, b, c, d] = address.octets();
        let [high, low] = port.to_be_bytes();
        [kind, length, high, low, a, b, c, d]
    }

    /// Reads and judges: what the broker would not do is no question.
    fn read(bytes: &[u8]) -> Option<Question> {
        let [kind, length, high, low, a, b, c, d] = *bytes.first_chunk::<QUESTION>()?;
        let address = Ipv4Addr::new(a, b, c, d);
        let port = u16::from_be_bytes([high, low]);
        let at = SocketAddrV4::new(address, port);
        let good = bytes.len() == QUESTION && port != 0 && forward::stands_for_a_guest(address);
        match kind {
            1 if good => Some(Question::Tcp(at)),
            2 if good => Some(Question::Udp(at)),
            3 if (8..=28).contains(&length) && address.is_private() => {
                Cidr::new(address, length).map(Question::Uplink)
            }
            _ => None,
        }
    }
}

/// The guard's whole life.
fn guard(asker: libc::pid_t) -> ! {
    loop {
        let mut status = 0;
        // SAFETY: this process has one thread, so the copy is complete; `status` is live.
        let broker = unsafe {
            match libc::fork() {
                0 => {
                    libc::prctl(libc::PR_SET_NAME, c"mallee-broker".as_ptr());
                    serve(asker)
                }
                broker => libc::waitpid(broker, &raw mut status, 0),
            }
        };
        // Its own end is the asker's. Any other is not, and neither is there haste.
        if broker < 0 || status == 0 {
            // SAFETY: it ends the process at once; the copy's memory belongs to the asker's life.
            unsafe { libc::_exit(0) }
        }
        std::thread::sleep(PAUSE);
    }
}

/// The broker's whole life.
fn serve(asker: libc::pid_t) -> ! {
    // SAFETY: `settle` put the descriptor there, and nobody else in this process knows of it.
    let socket = unsafe { OwnedFd::from_raw_fd(BROKERS_END) };
    let mut uplink = None;
    let mut question = [0; QUESTION + 1];
    loop {
        let length = match receive(&socket, &mut question) {
            Ok((0, _)) | Err(_) => break,
            Ok((length, _)) => length,
        };
        let answer = Question::read(&question[..length]).map_or_else(
            || Err(io::Error::from_raw_os_error(libc::EACCES)),
            |question| perform(question, asker, &mut uplink),
        );
        let sent = match answer {
            Ok(descriptor) => send(&socket, &0i32.to_ne_bytes(), Some(&descriptor)),
            Err(error) => send(&socket, &refusal(&error), None),
        };
        if sent.is_err() {
            break;
        }
    }
    drop(uplink);
    // SAFETY: it ends the process at once; the copy's other memory belongs to the asker's life.
    unsafe { libc::_exit(0) }
}

fn perform(
    question: Question,
    asker: libc::pid_t,
    uplink: &mut Option<uplink::Uplink>,
) -> io::Result<OwnedFd> {
    match question {
        Question::Tcp(at) => Ok(TcpListener::bind(at)?.into()),
        Question::Udp(at) => Ok(UdpSocket::bind(at)?.into()),
        Question::Uplink(network) => {
            // An earlier one first: it has the device's name.
            *uplink = None;
            uplink.insert(uplink::Uplink::start(asker, network)?).process()
        }
    }
}

fn refusal(error: &io::Error) -> Vec<u8> {
    let mut answer = error.raw_os_error().unwrap_or(libc::EIO).to_ne_bytes().to_vec();
    if error.raw_os_error().is_none() {
        let words = error.to_string();
        answer.extend(words.bytes().take(LONGEST_ANSWER - 4));
    }
    answer
}

/// Out of reach of the terminal's signals, with nothing open that belongs to others: the endpoint's
/// socket must be free again when its owner is gone.
fn settle(socket: &OwnedFd) {
    // SAFETY: plain calls; every descriptor but the socket is closed without any owner left to use
    // it, since this copy never returns to the code that owned them.
    unsafe {
        libc::setsid();
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGPIPE] {
            libc::signal(signal, libc::SIG_IGN);
        }
        libc::prctl(libc::PR_SET_NAME, c"mallee-guard".as_ptr());
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for standard in 0..3 {
            libc::dup2(null, standard);
        }
        libc::dup2(socket.as_raw_fd(), BROKERS_END);
        libc::fcntl(BROKERS_END, libc::F_SETFD, libc::FD_CLOEXEC);
        libc::syscall(libc::SYS_close_range, BROKERS_END + 1, u32::MAX, 0);
    }
}

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: the array has room for the two descriptors.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptors are new and nobody else's.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Whether an answer comes, or the end of the line.
fn is_heard(socket: &OwnedFd) -> io::Result<bool> {
    let mut waiting = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    loop {
        // SAFETY: one live structure is passed.
        match unsafe { libc::poll(&raw mut waiting, 1, PATIENCE_MS) } {
            -1 => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
            ready => return Ok(ready > 0),
        }
    }
}

fn nothing() -> io::Error {
    io::Error::other("the broker answered without a socket")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(question: Question, good: bool) {
        let read = Question::read(&question.bytes());
        assert_eq!(read, good.then_some(question), "{question:?}");
    }

    #[test]
    fn the_broker_takes_questions_about_guests_loopback_addresses_only() {
        let at = |address: [u8; 4], port| SocketAddrV4::new(address.into(), port);
        check(Question::Tcp(at([127, 213, 0, 4], 22)), true);
        check(Question::Udp(at([127, 0, 1, 1], 65535)), true);
        for address in [[127, 0, 0, 1], [127, 0, 0, 53], [0; 4], [10, 213, 0, 4], [192, 0, 2, 1]] {
            check(Question::Tcp(at(address, 22)), false);
            check(Question::Udp(at(address, 22)), false);
        }
        check(Question::Tcp(at([127, 213, 0, 4], 0)), false);
    }

    #[test]
    fn an_uplink_is_a_private_network() {
        for (network, good) in
            [("10.0.2.0/24", true), ("192.0.2.0/24", false), ("10.0.0.0/30", false)]
        {
            check(Question::Uplink(network.parse().unwrap()), good);
        }
    }

    #[test]
    fn what_is_too_short_too_long_or_unknown_is_no_question() {
        let good = Question::Tcp(SocketAddrV4::new(Ipv4Addr::new(127, 1, 2, 3), 22)).bytes();
        assert_eq!(Question::read(&good[..7]), None);
        assert_eq!(Question::read(&[&good[..], &[0]].concat()), None);
        assert_eq!(Question::read(&[9, 0, 0, 22, 127, 1, 2, 3]), None);
    }
}
