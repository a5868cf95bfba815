//! What a guest's port lets through: security groups, compiled for one interface.
//!
//! A rule that names a group stands for the members of the moment. Who they are is told apart from
//! the filter, so that an instance that comes or goes changes one set of addresses, and the filter
//! of nobody. Filters are stateful: what answers an admitted packet is admitted. What no permit
//! names is dropped.

use super::id::SecurityGroupId;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, net::Ipv4Addr};

/// An IPv4 range, its host bits zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cidr {
    address: Ipv4Addr,
    prefix_length: u8,
}

impl Cidr {
    pub const ANY: Cidr = Cidr { address: Ipv4Addr::UNSPECIFIED, prefix_length: 0 };

    /// Host bits are cleared, as EC2 does; a prefix over 32 is no range.
    pub fn new(address: Ipv4Addr, prefix_length: u8) -> Option<Cidr> {
        let mask = mask(prefix_length)?;
        Some(Cidr { address: Ipv4Addr::from(u32::from(address) & mask), prefix_length })
    }
    pub fn host(address: Ipv4Addr) -> Cidr {
        Cidr { address, prefix_length: 32 }
    }
    pub fn address(self) -> Ipv4Addr {
        self.address
    }
    pub fn prefix_length(self) -> u8 {
        self.prefix_length
    }
    /// The range as DHCP says it: `255.255.0.0`.
    pub fn netmask(self) -> Ipv4Addr {
        Ipv4Addr::from(mask(self.prefix_length).expect("a range's prefix is at most 32"))
    }
    /// How many addresses the range holds.
    pub fn size(self) -> u64 {
        1 << (32 - u32::from(self.prefix_length))
    }
    pub fn contains(self, address: Ipv4Addr) -> bool {
        Cidr::new(address, self.prefix_length) == Some(self)
    }
    pub fn overlaps(self, other: Cidr) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }
    /// The address `offset` places after the first.
    pub fn nth(self, offset: u64) -> Option<Ipv4Addr> {
        (offset < self.size()).then(|| Ipv4Addr::from(u32::from(self.address) + offset as u32))
    }
}

fn mask(prefix_length: u8) -> Option<u32> {
    match prefix_length {
        0 => Some(0),
        1..=32 => Some(u32::MAX << (32 - u32::from(prefix_length))),
        _ => None,
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_length)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an IPv4 CIDR range")]
pub struct MalformedCidr(pub String);

impl std::str::FromStr for Cidr {
    type Err = MalformedCidr;
    fn from_str(text: &str) -> Result<Cidr, MalformedCidr> {
        let malformed = || MalformedCidr(text.to_owned());
        let (address, length) = text.split_once('/').ok_or_else(malformed)?;
        let address: Ipv4Addr = address.parse().map_err(|_| malformed())?;
        let length: u8 = length.parse().map_err(|_| malformed())?;
        Cidr::new(address, length).ok_or_else(malformed)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Direction {
    Ingress,
    Egress,
}

/// Which packets a permit is about. Port ranges are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Traffic {
    Any,
    Tcp {
        from: u16,
        to: u16,
    },
    Udp {
        from: u16,
        to: u16,
    },
    /// `None` is every type, or every code of the type.
    Icmp {
        kind: Option<u8>,
        code: Option<u8>,
    },
    /// Any other IP protocol, by number.
    Protocol(u8),
    /// Kept and shown; guests have no IPv6 yet, so it covers nothing.
    Icmpv6 {
        kind: Option<u8>,
        code: Option<u8>,
    },
}

/// "This traffic, in this direction, with these peers."
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Permit {
    pub direction: Direction,
    pub traffic: Traffic,
    pub peers: Peers,
}

/// Who is at the far end of what is permitted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Peers {
    Ranges(Vec<Cidr>),
    /// Whoever is in the security group.
    Members(SecurityGroupId),
}

/// The addresses of a security group's members, on both wires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMembers {
    pub group: SecurityGroupId,
    pub addresses: BTreeSet<Ipv4Addr>,
}

/// Everything one interface admits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PortFilter {
    pub permits: Vec<Permit>,
}

/// The first packet of a flow, as far as a filter looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    pub direction: Direction,
    /// The far end: the source of what comes in, the destination of what goes out.
    pub peer: Ipv4Addr,
    pub payload: Payload,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    Tcp { port: u16 },
    Udp { port: u16 },
    Icmp { kind: u8, code: u8 },
    Other { protocol: u8 },
}

impl PortFilter {
    /// Whether a flow may begin with this packet, given who is a member of what.
    pub fn admits(
        &self,
        packet: Packet,
        is_member: impl Fn(&SecurityGroupId, Ipv4Addr) -> bool,
    ) -> bool {
        self.permits.iter().any(|permit| {
            permit.direction == packet.direction
                && permit.traffic.covers(packet.payload)
                && match &permit.peers {
                    Peers::Ranges(ranges) => ranges.iter().any(|r| r.contains(packet.peer)),
                    Peers::Members(group) => is_member(group, packet.peer),
                }
        })
    }

    /// The groups whose members it is about.
    pub fn groups(&self) -> impl Iterator<Item = &SecurityGroupId> {
        self.permits.iter().filter_map(|permit| match &permit.peers {
            Peers::Members(group) => Some(group),
            Peers::Ranges(_) => None,
        })
    }
}

impl<const N: usize> From<[Cidr; N]> for Peers {
    fn from(ranges: [Cidr; N]) -> Peers {
        Peers::Ranges(ranges.into())
    }
}

impl Traffic {
    pub fn covers(self, payload: Payload) -> bool {
        match (self, payload) {
            (Traffic::Any, _) => true,
            (Traffic::Tcp { from, to }, Payload::Tcp { port })
            | (Traffic::Udp { from, to }, Payload::Udp { port }) => (from..=to).contains(&port),
            (Traffic::Icmp { kind, code }, Payload::Icmp { kind: its_kind, code: its_code }) => {
                kind.is_none_or(|kind| kind == its_kind) && code.is_none_or(|code| code == its_code)
            }
            (Traffic::Protocol(number), payload) => number == payload.protocol(),
            (
                Traffic::Tcp { .. }
                | Traffic::Udp { .. }
                | Traffic::Icmp { .. }
                | Traffic::Icmpv6 { .. },
                _,
            ) => false,
        }
    }
}

impl Payload {
    /// The IP protocol number.
    pub fn protocol(self) -> u8 {
        match self {
            Payload::Icmp { .. } => 1,
            Payload::Tcp { .. } => 6,
            Payload::Udp { .. } => 17,
            Payload::Other { protocol } => protocol,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_cleared_and_bad_ranges_refused() {
        assert_eq!("10.1.2.3/8".parse::<Cidr>().unwrap().to_string(), "10.0.0.0/8");
        for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/0", "10.0.0.0/x"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    fn nobody(_: &SecurityGroupId, _: Ipv4Addr) -> bool {
        false
    }

    #[test]
    fn a_permit_for_a_group_admits_its_members_of_the_moment() {
        let group: SecurityGroupId = "sg-00000001".parse().unwrap();
        let permit = Permit {
            direction: Direction::Ingress,
            traffic: Traffic::Any,
            peers: Peers::Members(group.clone()),
        };
        let filter = PortFilter { permits: vec![permit] };
        let peer = Ipv4Addr::new(10, 0, 0, 4);
        let payload = Payload::Tcp { port: 1 };
        let packet = Packet { direction: Direction::Ingress, peer, payload };
        assert!(filter.admits(packet, |of, who| *of == group && who == peer));
        assert!(!filter.admits(packet, nobody));
        assert_eq!(filter.groups().collect::<Vec<_>>(), [&group]);
    }

    fn check(traffic: Traffic, payload: Payload, admitted: bool) {
        let peers = ["10.0.0.0/8".parse().unwrap(), Cidr::host(Ipv4Addr::new(192, 0, 2, 1))].into();
        let filter =
            PortFilter { permits: vec![Permit { direction: Direction::Ingress, traffic, peers }] };
        for (peer, inside) in
            [([10, 9, 9, 9], true), ([192, 0, 2, 1], true), ([192, 0, 2, 2], false)]
        {
            let peer = Ipv4Addr::from(peer);
            let packet = Packet { direction: Direction::Ingress, peer, payload };
            assert_eq!(filter.admits(packet, nobody), admitted && inside, "{packet:?}");
            assert!(!filter.admits(Packet { direction: Direction::Egress, ..packet }, nobody));
            assert!(
                !PortFilter::default().admits(packet, nobody),
                "nothing is admitted by default"
            );
        }
    }

    #[test]
    fn a_permit_admits_its_traffic_with_its_peers_in_its_direction_and_nothing_else() {
        let ssh = Traffic::Tcp { from: 22, to: 23 };
        check(ssh, Payload::Tcp { port: 22 }, true);
        check(ssh, Payload::Tcp { port: 23 }, true);
        check(ssh, Payload::Tcp { port: 24 }, false);
        check(ssh, Payload::Udp { port: 22 }, false);
        check(Traffic::Any, Payload::Other { protocol: 47 }, true);
        check(Traffic::Protocol(47), Payload::Other { protocol: 47 }, true);
        check(Traffic::Protocol(6), Payload::Tcp { port: 1 }, true);
        check(Traffic::Protocol(47), Payload::Tcp { port: 1 }, false);
        let echo = Payload::Icmp { kind: 8, code: 0 };
        check(Traffic::Icmp { kind: None, code: None }, echo, true);
        check(Traffic::Icmp { kind: Some(8), code: None }, echo, true);
        check(Traffic::Icmp { kind: Some(8), code: Some(1) }, echo, false);
        check(Traffic::Icmp { kind: Some(0), code: None }, echo, false);
    }

    #[test]
    fn ranges_know_what_they_hold() {
        let subnet: Cidr = "172.31.16.0/20".parse().unwrap();
        assert!(subnet.contains("172.31.31.255".parse().unwrap()));
        assert!(!subnet.contains("172.31.32.0".parse().unwrap()));
        assert_eq!(subnet.nth(4), Some("172.31.16.4".parse().unwrap()));
        assert_eq!(subnet.nth(4096), None);
        assert!(subnet.overlaps("172.31.0.0/16".parse().unwrap()));
        assert!(Cidr::ANY.contains("255.255.255.255".parse().unwrap()));
    }
}
