//! ARP for IPv4 over Ethernet (RFC 826), and no other.

use super::{HEADER, TYPE_ARP, half, mac};
use crate::domain::interface::MacAddress;
use std::net::Ipv4Addr;

const LENGTH: usize = 28;
/// Ethernet, IPv4, and the lengths of their addresses.
const FIXED: [u8; 6] = [0, 1, 8, 0, 6, 4];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Request,
    Reply,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arp {
    pub operation: Operation,
    pub sender_mac: MacAddress,
    /// Unspecified in a probe, which asks whether anybody has an address before it is used.
    pub sender: Ipv4Addr,
    pub target_mac: MacAddress,
    pub target: Ipv4Addr,
}

impl Arp {
    pub(super) fn read(bytes: &[u8]) -> Option<Arp> {
        let bytes = bytes.first_chunk::<LENGTH>()?;
        let operation = match half(bytes, 6) {
            _ if bytes[..6] != FIXED => return None,
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return None,
        };
        let address =
            |at: usize| Ipv4Addr::from(std::array::from_fn::<u8, 4, _>(|i| bytes[at + i]));
        Some(Arp {
            operation,
            sender_mac: mac(&bytes[8..14]),
            sender: address(14),
            target_mac: mac(&bytes[18..24]),
            target: address(24),
        })
    }

    /// A frame that says it.
    pub fn frame(&self, destination: MacAddress) -> [u8; HEADER + LENGTH] {
        let mut frame = [0; HEADER + LENGTH];
        frame[0..6].copy_from_slice(&destination.0);
        frame[6..12].copy_from_slice(&self.sender_mac.0);
        frame[12..14].copy_from_slice(&TYPE_ARP.to_be_bytes());
        frame[14..20].copy_from_slice(&FIXED);
        frame[21] = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        frame[22..28].copy_from_slice(&self.sender_mac.0);
        frame[28..32].copy_from_slice(&self.sender.octets());
        frame[32..38].copy_from_slice(&self.target_mac.0);
        frame[38..42].copy_from_slice(&self.target.octets());
        frame
    }

    /// What answers a request, for who has the address.
    pub fn answer(&self, holder: MacAddress) -> Arp {
        Arp {
            operation: Operation::Reply,
            sender_mac: holder,
            sender: self.target,
            target_mac: self.sender_mac,
            target: self.sender,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ethernet::{BROADCAST, Content, Ethernet};

    #[test]
    fn what_is_written_is_read_and_the_answer_goes_back() {
        let asker = MacAddress([2, 0, 0, 0, 0, 1]);
        let question = Arp {
            operation: Operation::Request,
            sender_mac: asker,
            sender: Ipv4Addr::new(10, 0, 0, 1),
            target_mac: MacAddress([0; 6]),
            target: Ipv4Addr::new(10, 0, 0, 2),
        };
        let bytes = question.frame(BROADCAST);
        let Content::Arp(read) = Ethernet::read(&bytes).unwrap().content else { panic!() };
        assert_eq!(read, question);
        let holder = MacAddress([2, 0, 0, 0, 0, 2]);
        let answer = question.answer(holder);
        assert_eq!((answer.sender_mac, answer.sender), (holder, question.target));
        assert_eq!((answer.target_mac, answer.target), (asker, question.sender));
    }

    #[test]
    fn other_address_families_and_operations_are_not_read() {
        let mut bytes = [0; LENGTH];
        bytes[..6].copy_from_slice(&FIXED);
        bytes[7] = 1;
        assert!(Arp::read(&bytes).is_some());
        for (at, byte) in [(1, 6), (2, 0x86), (4, 8), (5, 16), (7, 3), (6, 1)] {
            let mut bytes = bytes;
            bytes[at] = byte;
            assert_eq!(Arp::read(&bytes), None);
        }
    }
}
