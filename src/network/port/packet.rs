//! A packet socket on a device that somebody else has opened: a guest's tap.
//!
//! What the guest sends comes in on the device, and what is sent on the device the guest receives;
//! QEMU sees no difference to a bridge. Large segments stay large in both directions.
//!
//! A frame with a VLAN tag is dropped: the kernel takes the tag off before we see the frame.

use super::{Batch, Losses, Port, vnet};
use crate::network::frame::Frame;
use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

#[derive(Debug)]
pub(super) struct Packet {
    socket: OwnedFd,
    losses: Losses,
}

/// Large frames weigh more than they are long.
const BUFFER: libc::c_int = 8 << 20;
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

impl Packet {
    pub fn open(device: &str) -> io::Result<Packet> {
        let index = index_of(device)?;
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // Protocol 0: nothing is received before the socket is bound to its device.
        // SAFETY: no pointers are passed.
        let descriptor = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
        set(&socket, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &1)?;
        set(&socket, libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, &1)?;
        // Not `PACKET_QDISC_BYPASS`: that drops large segments for a guest that takes none.
        set(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &BUFFER)?;
        set(&socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &BUFFER)?;
        refuse_tagged(&socket)?;
        bind(&socket, index)?;
        Ok(Packet { socket, losses: Losses::default() })
    }
}

fn index_of(device: &str) -> io::Result<libc::c_int> {
    let name = CString::new(device)?;
    // SAFETY: the name is a C string that lives during the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index as libc::c_int),
    }
}

fn bind(socket: &OwnedFd, index: libc::c_int) -> io::Result<()> {
    // SAFETY: all zeros are a valid address of this kind, which has plain numbers only.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the address is valid for its length during the call.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn refuse_tagged(socket: &OwnedFd) -> io::Result<()> {
    let instruction =
        |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let is_tagged = (libc::SKF_AD_OFF + libc::SKF_AD_VLAN_TAG_PRESENT) as u32;
    let mut program = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, is_tagged),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0, 0),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    ];
    let filter =
        libc::sock_fprog { len: program.len() as libc::c_ushort, filter: program.as_mut_ptr() };
    // The kernel copies the program, which lives until the call returns.
    set(socket, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
}

/// `T` is what the option's documentation says it takes.
fn set<T>(socket: &OwnedFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    let value = (&raw const *value).cast();
    // SAFETY: the value is valid for its length during the call.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl Port for Packet {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn read(&mut self, into: &mut Batch) -> io::Result<()> {
        vnet::read_all(into, &mut self.losses, |room| vnet::receive(self.socket.as_fd(), room))
    }

    fn write(&mut self, frame: Frame<'_>) {
        self.losses.undelivered += u64::from(vnet::send(self.socket.as_fd(), &frame).is_err());
    }

    /// The kernel says that a device went in the same words as that it is down; but it takes the
    /// device's index from the socket.
    fn check(&self) -> io::Result<()> {
        // SAFETY: all zeros are a valid address of this kind, which has plain numbers only.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        let (socket, place) = (self.socket.as_raw_fd(), (&raw mut address).cast());
        // SAFETY: both places are valid during the call, and `length` says how long the first is.
        if unsafe { libc::getsockname(socket, place, &raw mut length) } < 0 {
            return Err(io::Error::last_os_error());
        }
        match address.sll_ifindex {
            index if index > 0 => Ok(()),
            _ => Err(io::Error::from_raw_os_error(libc::ENODEV)),
        }
    }

    fn losses(&self) -> Losses {
        self.losses
    }
}
