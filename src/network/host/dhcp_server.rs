//! The thread that answers guests' DHCP.
//!
//! One packet socket hears every device, before bridges and firewalls do; the kernel hands it only
//! UDP to port 67, and the device a frame came from is the interface that asks. The answer leaves
//! by that same tap, so it concerns nobody else and nobody else can give it.

use crate::network::dhcp::{self, Lease};
use std::{
    collections::HashMap,
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

type Leases = Arc<Mutex<HashMap<u32, Lease>>>;

#[derive(Debug)]
pub(super) struct DhcpServer {
    leases: Leases,
    /// Closed to stop the thread.
    alive: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl DhcpServer {
    pub fn start() -> io::Result<DhcpServer> {
        let socket = packet_socket()?;
        let (alive, watched) = UnixStream::pair()?;
        let leases = Leases::default();
        let answered = Arc::clone(&leases);
        let thread = std::thread::Builder::new()
            .name("dhcp".to_owned())
            .spawn(move || serve(&socket, &watched, &answered))?;
        Ok(DhcpServer { leases, alive: Some(alive), thread: Some(thread) })
    }

    /// From now on the device of this index is told this.
    pub fn offer(&self, device: u32, lease: Lease) {
        lock(&self.leases).insert(device, lease);
    }

    pub fn withdraw(&self, device: u32) {
        lock(&self.leases).remove(&device);
    }
}

impl Drop for DhcpServer {
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

fn lock(leases: &Leases) -> MutexGuard<'_, HashMap<u32, Lease>> {
    // Every change is one insertion or removal, so a panic elsewhere leaves no half of one.
    leases.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(socket: &OwnedFd, watched: &UnixStream, leases: &Leases) {
    let mut buffer = [0u8; 2048];
    while wait(socket.as_raw_fd(), watched.as_raw_fd()) {
        let (length, device) = match receive(socket, &mut buffer) {
            Ok(received) => received,
            // A device that goes down is reported on the socket once, and does not concern it.
            Err(error) => {
                log::debug!("cannot hear a DHCP request: {error}");
                continue;
            }
        };
        let Some(lease) = lock(leases).get(&device).cloned() else { continue };
        let Some(answer) = dhcp::answer(&buffer[..length], &lease) else { continue };
        if let Err(error) = send(socket, device, &answer) {
            // The guest asks again.
            log::debug!("cannot answer a DHCP request of `{}`: {error}", lease.address);
        }
    }
}

/// Waits for a frame. False when it is time to end.
fn wait(socket: RawFd, watched: RawFd) -> bool {
    let mut descriptors =
        [socket, watched].map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    loop {
        // SAFETY: the array is valid for its length during the call.
        let ready = unsafe { libc::poll(descriptors.as_mut_ptr(), 2, -1) };
        if ready > 0 {
            return descriptors[1].revents == 0;
        }
        if ready < 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            log::error!("cannot wait for DHCP requests: {}", io::Error::last_os_error());
            return false;
        }
    }
}

fn packet_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // With protocol 0 nothing is heard until `bind`, when the filter is in place already.
    // SAFETY: no pointers are passed.
    let descriptor = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let ignore_outgoing: libc::c_int = 1;
    set_option(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &ignore_outgoing)?;
    let mut program = requests_only();
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    set_option(&socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)?;
    let everywhere = address(0);
    // SAFETY: the address is a `sockaddr_ll` that outlives the call.
    let result = unsafe {
        libc::bind(
            descriptor,
            (&raw const everywhere).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

/// All of a device's frames are heard: by protocol alone, a bridge takes its ports' frames first.
fn address(device: u32) -> libc::sockaddr_ll {
    // SAFETY: all of its fields are numbers, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = device as i32;
    address
}

/// Classic BPF: IPv4, UDP, not a later fragment, to port 67.
fn requests_only() -> [libc::sock_filter; 11] {
    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const LOAD_HALF_INDEXED: u16 = 0x48;
    const LOAD_IP_HEADER_LENGTH: u16 = 0xb1;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const JUMP_IF_ANY_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    [
        step(LOAD_HALF, 0, 0, 12),
        step(JUMP_IF_EQUAL, 0, 7, 0x0800),
        step(LOAD_BYTE, 0, 0, 23),
        step(JUMP_IF_EQUAL, 0, 5, 17),
        step(LOAD_HALF, 0, 0, 20),
        step(JUMP_IF_ANY_BIT, 3, 0, 0x1fff),
        step(LOAD_IP_HEADER_LENGTH, 0, 0, 14),
        step(LOAD_HALF_INDEXED, 0, 0, 16),
        step(JUMP_IF_EQUAL, 1, 0, 67),
        step(RETURN, 0, 0, 0),
        step(RETURN, 0, 0, u32::MAX),
    ]
}

fn set_option<T>(socket: &OwnedFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: the value outlives the call, and its size is given with it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A frame's length and the device it came from.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<(usize, u32)> {
    let mut from = address(0);
    let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: buffer and address are writable for the lengths given, during the call.
    let received = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            0,
            (&raw mut from).cast(),
            &raw mut length,
        )
    };
    match usize::try_from(received) {
        Ok(received) => Ok((received, from.sll_ifindex as u32)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

fn send(socket: &OwnedFd, device: u32, frame: &[u8]) -> io::Result<()> {
    let to = address(device);
    // SAFETY: frame and address are valid for the lengths given, during the call.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const to).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
