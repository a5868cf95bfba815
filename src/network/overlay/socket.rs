//! The one UDP socket of the cables, and addresses as the kernel writes them.
//!
//! Nothing that leaves by it is fragmented: a datagram that is too long for the way is refused or
//! lost, and the cables find out which lengths are not. Datagrams of one length for one address go
//! out as one large one, and come in so; the kernel cuts and joins them.

use std::{
    io,
    mem::MaybeUninit,
    net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

pub(super) const UDP_SEGMENT: i32 = 103;
pub(super) const UDP_GRO: i32 = 104;

/// What many guests say at once must wait somewhere while the thread does something else.
const BUFFER: i32 = 4 << 20;

pub(super) fn open(listen: SocketAddr) -> io::Result<UdpSocket> {
    let family = if listen.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
    let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers are passed.
    let descriptor = unsafe { libc::socket(family, kind, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let socket = UdpSocket::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
    set(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)?;
    if listen.is_ipv6() {
        set(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?;
        set(&socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)?;
    }
    set(&socket, libc::SOL_UDP, UDP_GRO, 1)?;
    for (forced, asked) in
        [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
    {
        // An ordinary user gets as much as the system lets everybody have.
        if set(&socket, libc::SOL_SOCKET, forced, BUFFER).is_err() {
            set(&socket, libc::SOL_SOCKET, asked, BUFFER)?;
        }
    }
    let address = Address::of(listen, listen.is_ipv6());
    // SAFETY: the address is valid for its length during the call.
    let result = unsafe { libc::bind(socket.as_raw_fd(), address.pointer(), address.length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

fn set(socket: &UdpSocket, level: i32, option: i32, value: i32) -> io::Result<()> {
    let length = size_of::<i32>() as libc::socklen_t;
    let value = (&raw const value).cast();
    // SAFETY: the value is valid for its length during the call.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A socket's address in the kernel's form.
#[derive(Clone, Copy)]
pub(super) struct Address {
    storage: libc::sockaddr_storage,
    pub length: libc::socklen_t,
}

impl Address {
    /// As much as a kernel may write.
    pub const ROOM: libc::socklen_t = size_of::<libc::sockaddr_storage>() as libc::socklen_t;

    /// For a kernel to write to.
    pub fn blank() -> Address {
        // SAFETY: all zeros are a valid address of no family, which has plain numbers only.
        let storage = unsafe { MaybeUninit::zeroed().assume_init() };
        Address { storage, length: Address::ROOM }
    }

    /// A socket of IPv6 names IPv4's addresses within its own.
    pub fn of(address: SocketAddr, by_ipv6: bool) -> Address {
        let mut blank = Address::blank();
        match address {
            SocketAddr::V4(v4) if by_ipv6 => {
                let mapped = SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0);
                return Address::of(mapped.into(), true);
            }
            SocketAddr::V4(v4) => {
                let written = libc::sockaddr_in {
                    sin_family: libc::AF_INET as u16,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                // SAFETY: the storage is large enough for, and aligned as, an address of any kind.
                unsafe { (&raw mut blank.storage).cast::<libc::sockaddr_in>().write(written) };
                blank.length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            }
            SocketAddr::V6(v6) => {
                let written = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as u16,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                // SAFETY: as above.
                unsafe { (&raw mut blank.storage).cast::<libc::sockaddr_in6>().write(written) };
                blank.length = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            }
        }
        blank
    }

    /// What a kernel wrote. None for a family that no socket of ours has.
    pub fn read(&self) -> Option<SocketAddr> {
        match i32::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: an address of this family is a `sockaddr_in`, for which there is room.
                let v4 = unsafe { (&raw const self.storage).cast::<libc::sockaddr_in>().read() };
                let ip = v4.sin_addr.s_addr.to_ne_bytes().into();
                Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: an address of this family is a `sockaddr_in6`, for which there is room.
                let v6 = unsafe { (&raw const self.storage).cast::<libc::sockaddr_in6>().read() };
                let (ip, port) = (Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port));
                Some(match ip.to_ipv4_mapped() {
                    Some(v4) => SocketAddrV4::new(v4, port).into(),
                    None => SocketAddrV6::new(ip, port, 0, v6.sin6_scope_id).into(),
                })
            }
            _ => None,
        }
    }

    pub fn pointer(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }
    pub fn pointer_mut(&mut self) -> *mut libc::sockaddr {
        (&raw mut self.storage).cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_were_written() {
        for (text, by_ipv6) in [
            ("192.0.2.7:8777", false),
            ("192.0.2.7:8777", true),
            ("[2001:db8::1]:1", true),
            ("[fe80::1%3]:65535", true),
        ] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Address::of(address, by_ipv6).read(), Some(address));
        }
        assert_eq!(Address::blank().read(), None);
    }

    #[test]
    fn a_socket_of_ipv6_hears_ipv4_as_itself() {
        let socket = open("[::]:0".parse().unwrap()).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        sender.send_to(b"datagram", ("127.0.0.1", port)).unwrap();
        let mut inbox = super::super::inbox::Inbox::new();
        // A datagram over the loopback is there when it has been sent.
        assert_eq!(inbox.receive(&socket).unwrap(), 1);
        let (from, mut datagrams) = inbox.message(0).unwrap();
        assert_eq!(from, sender.local_addr().unwrap());
        assert_eq!(datagrams.next().unwrap(), b"datagram");
    }
}
