//! What a guest's port lets through: security groups, compiled for one interface.
//!
//! The cloud resolves groups that name other groups into the addresses of their members, so that a
//! node needs to know nothing of security groups. Filters are stateful: what answers an admitted
//! packet is admitted. What no permit names is dropped.

use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

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
}

/// "This traffic, in this direction, with these peers."
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Permit {
    pub direction: Direction,
    pub traffic: Traffic,
    pub peers: Vec<Cidr>,
}

/// Everything one interface admits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PortFilter {
    pub permits: Vec<Permit>,
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
