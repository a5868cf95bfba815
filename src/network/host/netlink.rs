//! Links and addresses, asked of the kernel by rtnetlink.
//!
//! A small client of our own: the dozen attributes we need are fewer lines than a general library,
//! no process is spawned, and unlike sysfs a socket belongs to the network namespace it was opened
//! in. Requests are made one at a time, and each waits for the kernel's acknowledgement.

use crate::domain::interface::MacAddress;
use std::{
    io,
    net::Ipv4Addr,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

/// A network device as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub index: u32,
    pub name: String,
    /// `tun`, `bridge`, ...; empty for hardware.
    pub kind: String,
    pub mac: Option<MacAddress>,
    /// A text of its maker's; ours say whom the device is for.
    pub alias: String,
    /// The index of the bridge it is a port of.
    pub bridge: Option<u32>,
    /// A number that rules may name several devices by.
    pub group: u32,
}

/// The group that the public bridges of all clouds of a host are in: the letters `MALL`.
pub(super) const PUBLIC_BRIDGES: u32 = 0x4d41_4c4c;

#[derive(Debug)]
pub(super) struct Netlink {
    socket: OwnedFd,
    sequence: u32,
}

const ACKNOWLEDGE: i32 = libc::NLM_F_REQUEST | libc::NLM_F_ACK;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_GROUP: u16 = 27;
const IFLA_BR_MCAST_SNOOPING: u16 = 23;
const IFLA_BRPORT_ISOLATED: u16 = 33;
const VETH_INFO_PEER: u16 = 1;
const NESTED: u16 = 1 << 15;
const HEADER: usize = 16;
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const ROUTE_HEADER: usize = 12;
/// Behind whatever the host has itself, and told from it.
const ROUTE_PRIORITY: u32 = 0x4d41;

impl Netlink {
    pub fn open() -> io::Result<Netlink> {
        Netlink::speaking(libc::NETLINK_ROUTE)
    }

    /// With another part of the kernel.
    pub fn speaking(protocol: i32) -> io::Result<Netlink> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: no pointers are passed.
        let descriptor = unsafe { libc::socket(libc::AF_NETLINK, kind, protocol) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and nobody else's.
        let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Netlink { socket, sequence: 0 })
    }

    pub fn links(&mut self) -> io::Result<Vec<Link>> {
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
        let answers = self.ask(Message::link(libc::RTM_GETLINK, flags, 0))?;
        Ok(answers.iter().filter_map(|answer| link(answer)).collect())
    }

    pub fn link(&mut self, name: &str) -> io::Result<Option<Link>> {
        let mut message = Message::link(libc::RTM_GETLINK, ACKNOWLEDGE, 0);
        message.text(libc::IFLA_IFNAME, name);
        match self.ask(message) {
            Ok(answers) => Ok(answers.iter().find_map(|answer| link(answer))),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A bridge that forwards at once and floods multicast, as a dumb switch would: no spanning
    /// tree (there can be no loop) and no snooping (there is no querier). The kernel would ignore
    /// an alias given here.
    pub fn create_bridge(&mut self, name: &str, mac: [u8; 6]) -> io::Result<()> {
        let flags = ACKNOWLEDGE | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let mut message = Message::link(libc::RTM_NEWLINK, flags, 0);
        message.text(libc::IFLA_IFNAME, name);
        message.attribute(libc::IFLA_ADDRESS, &mac);
        message.nest(libc::IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "bridge");
            info.nest(IFLA_INFO_DATA, |data| data.attribute(IFLA_BR_MCAST_SNOOPING, &[0]));
        });
        self.ask(message).map(drop)
    }

    /// A cable whose ends have one address between them, and ask nobody for others'.
    pub fn create_cable(&mut self, ends: &[String; 2], mac: [u8; 6]) -> io::Result<()> {
        let flags = ACKNOWLEDGE | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let mut message = Message::link(libc::RTM_NEWLINK, flags, 0);
        message.set_flags(libc::IFF_NOARP as u32);
        message.text(libc::IFLA_IFNAME, &ends[0]);
        message.attribute(libc::IFLA_ADDRESS, &mac);
        message.nest(libc::IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "veth");
            info.nest(IFLA_INFO_DATA, |data| {
                data.nest(VETH_INFO_PEER, |peer| {
                    peer.bytes.extend([0; LINK_HEADER]);
                    peer.text(libc::IFLA_IFNAME, &ends[1]);
                    peer.attribute(libc::IFLA_ADDRESS, &mac);
                });
            });
        });
        self.ask(message).map(drop)
    }

    pub fn set_alias(&mut self, index: u32, alias: &str) -> io::Result<()> {
        let mut message = Message::link(libc::RTM_SETLINK, ACKNOWLEDGE, index);
        message.attribute(libc::IFLA_IFALIAS, alias.as_bytes());
        self.ask(message).map(drop)
    }

    pub fn set_group(&mut self, index: u32, group: u32) -> io::Result<()> {
        let mut message = Message::link(libc::RTM_SETLINK, ACKNOWLEDGE, index);
        message.attribute(IFLA_GROUP, &group.to_ne_bytes());
        self.ask(message).map(drop)
    }

    pub fn set_bridge(&mut self, index: u32, bridge: u32) -> io::Result<()> {
        let mut message = Message::link(libc::RTM_SETLINK, ACKNOWLEDGE, index);
        message.attribute(libc::IFLA_MASTER, &bridge.to_ne_bytes());
        self.ask(message).map(drop)
    }

    /// An isolated port of a bridge reaches the host and no other isolated port.
    pub fn isolate_port(&mut self, index: u32) -> io::Result<()> {
        let mut message = Message::link(libc::RTM_SETLINK, ACKNOWLEDGE, index);
        message.bytes[HEADER] = libc::AF_BRIDGE as u8;
        message.nest(libc::IFLA_PROTINFO, |port| port.attribute(IFLA_BRPORT_ISOLATED, &[1]));
        self.ask(message).map(drop)
    }

    pub fn set_up(&mut self, index: u32) -> io::Result<()> {
        let mut message = Message::link(libc::RTM_SETLINK, ACKNOWLEDGE, index);
        message.set_flags(libc::IFF_UP as u32);
        self.ask(message).map(drop)
    }

    /// A device that is gone already is no error.
    pub fn delete(&mut self, index: u32) -> io::Result<()> {
        match self.ask(Message::link(libc::RTM_DELLINK, ACKNOWLEDGE, index)) {
            Err(error) if error.raw_os_error() != Some(libc::ENODEV) => Err(error),
            _ => Ok(()),
        }
    }

    pub fn add_address(&mut self, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        self.add_scoped_address(index, address, prefix, libc::RT_SCOPE_UNIVERSE)
    }

    /// One that is nobody's but this host's, and that it does not speak from.
    pub fn add_host_address(&mut self, index: u32, address: Ipv4Addr) -> io::Result<()> {
        self.add_scoped_address(index, address, 32, libc::RT_SCOPE_HOST)
    }

    fn add_scoped_address(
        &mut self,
        index: u32,
        address: Ipv4Addr,
        prefix: u8,
        scope: u8,
    ) -> io::Result<()> {
        let flags = ACKNOWLEDGE | libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
        let mut message = Message::new(libc::RTM_NEWADDR, flags);
        message.bytes.extend([libc::AF_INET as u8, prefix, 0, scope]);
        message.bytes.extend(index.to_ne_bytes());
        message.attribute(libc::IFA_LOCAL, &address.octets());
        message.attribute(libc::IFA_ADDRESS, &address.octets());
        self.ask(message).map(drop)
    }

    /// The IPv4 addresses of all devices, each with the device's index and the length of its prefix.
    pub fn addresses(&mut self) -> io::Result<Vec<(u32, Ipv4Addr, u8)>> {
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
        let mut message = Message::new(libc::RTM_GETADDR, flags);
        message.bytes.extend([libc::AF_INET as u8, 0, 0, 0, 0, 0, 0, 0]);
        Ok(self.ask(message)?.iter().filter_map(|answer| address(answer)).collect())
    }

    /// Leads an address to a device; the host speaks to it from `source`. A route of the host's own to
    /// that very address goes before it.
    pub fn add_route(&mut self, index: u32, to: Ipv4Addr, source: Ipv4Addr) -> io::Result<()> {
        let flags = ACKNOWLEDGE | libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
        let mut message = Message::route(libc::RTM_NEWROUTE, flags, index, to);
        message.attribute(libc::RTA_PREFSRC, &source.octets());
        self.ask(message).map(drop)
    }

    /// One that is gone already is no error.
    pub fn remove_route(&mut self, index: u32, to: Ipv4Addr) -> io::Result<()> {
        match self.ask(Message::route(libc::RTM_DELROUTE, ACKNOWLEDGE, index, to)) {
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => Err(error),
            _ => Ok(()),
        }
    }

    /// Where the routes lead that were added to a device.
    pub fn routes(&mut self, index: u32) -> io::Result<Vec<Ipv4Addr>> {
        let flags = libc::NLM_F_REQUEST | libc::NLM_F_DUMP;
        let mut message = Message::new(libc::RTM_GETROUTE, flags);
        message.bytes.extend([0; ROUTE_HEADER]);
        message.bytes[HEADER] = libc::AF_INET as u8;
        let answers = self.ask(message)?;
        Ok(answers.iter().filter_map(|answer| route(answer, index)).collect())
    }

    /// Sends a request and collects what answers it, up to the acknowledgement.
    pub fn ask(&mut self, mut message: Message) -> io::Result<Vec<Vec<u8>>> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = message.bytes.len() as u32;
        message.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        message.bytes[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
        let socket = self.socket.as_raw_fd();
        // SAFETY: the buffer is valid for its length during the call.
        let sent = unsafe { libc::send(socket, message.bytes.as_ptr().cast(), length as usize, 0) };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut answers = Vec::new();
        let mut buffer = vec![0u8; 64 << 10];
        loop {
            // SAFETY: the buffer is valid and writable for its length during the call.
            let read = unsafe { libc::recv(socket, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
            let Ok(read) = usize::try_from(read) else { return Err(io::Error::last_os_error()) };
            for one in messages(&buffer[..read]).filter(|one| one.sequence == self.sequence) {
                match i32::from(one.kind) {
                    libc::NLMSG_DONE => return Ok(answers),
                    libc::NLMSG_ERROR => {
                        let code = number(one.body, 0).map_or(0, |code| code as u32 as i32);
                        return match code {
                            0 => Ok(answers),
                            code => Err(io::Error::from_raw_os_error(-code)),
                        };
                    }
                    _ => answers.push(one.body.to_vec()),
                }
            }
        }
    }
}

/// A message of the kernel's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard<'a> {
    pub kind: u16,
    pub sequence: u32,
    /// The socket whose request it answers or tells of.
    pub sender: u32,
    /// What follows the header.
    pub body: &'a [u8],
}

/// The messages in what was received at once.
pub(super) fn messages(mut rest: &[u8]) -> impl Iterator<Item = Heard<'_>> {
    std::iter::from_fn(move || {
        let length = number(rest, 0).filter(|length| (HEADER..=rest.len()).contains(length))?;
        let (one, after) = rest.split_at(length);
        rest = after.get(align(length) - length..).unwrap_or_default();
        let (header, body) = one.split_at(HEADER);
        Some(Heard {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            sequence: number(header, 8)? as u32,
            sender: number(header, 12)? as u32,
            body,
        })
    })
}

/// A request in the making.
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    pub fn new(kind: u16, flags: i32) -> Message {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags as u16).to_ne_bytes());
        Message { bytes }
    }

    /// Of one address, to the device's own wire.
    fn route(kind: u16, flags: i32, index: u32, to: Ipv4Addr) -> Message {
        let mut message = Message::new(kind, flags);
        message.bytes.extend([libc::AF_INET as u8, 32, 0, 0]);
        message.bytes.extend([libc::RT_TABLE_MAIN, libc::RTPROT_STATIC]);
        message.bytes.extend([libc::RT_SCOPE_LINK, libc::RTN_UNICAST, 0, 0, 0, 0]);
        message.attribute(libc::RTA_DST, &to.octets());
        message.attribute(libc::RTA_OIF, &index.to_ne_bytes());
        message.attribute(libc::RTA_PRIORITY, &ROUTE_PRIORITY.to_ne_bytes());
        message
    }

    fn link(kind: u16, flags: i32, index: u32) -> Message {
        let mut message = Message::new(kind, flags);
        message.bytes.extend([0; LINK_HEADER]);
        message.bytes[HEADER + 4..HEADER + 8].copy_from_slice(&index.to_ne_bytes());
        message
    }

    /// What follows the header.
    #[cfg(test)]
    pub fn body(&self) -> &[u8] {
        &self.bytes[HEADER..]
    }

    pub fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// An attribute that consists of attributes, as it was received.
    pub fn nested(&mut self, kind: u16, value: &[u8]) {
        self.attribute(kind | NESTED, value);
    }

    /// Of a link, and leaves others as they are.
    fn set_flags(&mut self, flags: u32) {
        let flags = flags.to_ne_bytes();
        self.bytes[HEADER + 8..HEADER + 12].copy_from_slice(&flags);
        self.bytes[HEADER + 12..HEADER + 16].copy_from_slice(&flags);
    }

    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.bytes.extend(((4 + value.len()) as u16).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.bytes.resize(align(self.bytes.len()), 0);
    }

    fn text(&mut self, kind: u16, value: &str) {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat());
    }

    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Message)) {
        let start = self.bytes.len();
        self.attribute(kind | NESTED, &[]);
        fill(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }
}

/// Attributes are padded to four bytes.
fn align(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?) as usize)
}

/// What a message consists of after its fixed part.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(0..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & !NESTED;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(align(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn link(message: &[u8]) -> Option<Link> {
    let mut link = Link {
        index: number(message, 4)? as u32,
        name: String::new(),
        kind: String::new(),
        mac: None,
        alias: String::new(),
        bridge: None,
        group: 0,
    };
    let text = |value: &[u8]| {
        String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned()
    };
    for (kind, value) in attributes(message.get(LINK_HEADER..)?) {
        match kind {
            libc::IFLA_IFNAME => link.name = text(value),
            libc::IFLA_IFALIAS => link.alias = text(value),
            libc::IFLA_ADDRESS => link.mac = value.try_into().ok().map(MacAddress),
            libc::IFLA_MASTER => link.bridge = number(value, 0).map(|index| index as u32),
            IFLA_GROUP => link.group = number(value, 0).unwrap_or_default() as u32,
            libc::IFLA_LINKINFO => {
                let found = attributes(value).find(|(kind, _)| *kind == IFLA_INFO_KIND);
                link.kind = found.map(|(_, kind)| text(kind)).unwrap_or_default();
            }
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

fn address(message: &[u8]) -> Option<(u32, Ipv4Addr, u8)> {
    let length = *message.get(1)?;
    let index = number(message, 4)? as u32;
    let mut found = attributes(message.get(ADDRESS_HEADER..)?);
    let (_, octets) = found.find(|(kind, _)| *kind == libc::IFA_LOCAL)?;
    Some((index, Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?), length))
}

fn route(message: &[u8], index: u32) -> Option<Ipv4Addr> {
    let (mut to, mut device, mut priority) = (None, None, None);
    for (kind, value) in attributes(message.get(ROUTE_HEADER..)?) {
        match kind {
            libc::RTA_DST => to = <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from),
            libc::RTA_OIF => device = number(value, 0),
            libc::RTA_PRIORITY => priority = number(value, 0),
            _ => {}
        }
    }
    let is_ours = device == Some(index as usize) && priority == Some(ROUTE_PRIORITY as usize);
    to.filter(|_| is_ours)
}
