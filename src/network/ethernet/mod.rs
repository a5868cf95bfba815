//! Views of bytes from guests, as far as a switch looks at them.
//!
//! A view exists only over bytes that are long enough for it, and no bytes make one fall over.
//! Checksums are not looked at: a frame may still be without (`frame::Offload`), and its receiver
//! looks at them anyway. Nothing is copied.

mod arp;
mod ipv4;
mod ipv6;

pub use arp::{Arp, Operation};
pub use ipv4::{Flow, Ipv4, Part, Tcp, Transport};
pub use ipv6::{Discovery, Ipv6};

use crate::domain::interface::MacAddress;

/// Of an Ethernet header without a VLAN tag.
pub const HEADER: usize = 14;

pub const BROADCAST: MacAddress = MacAddress([0xff; 6]);

const TYPE_IPV4: u16 = 0x0800;
const TYPE_ARP: u16 = 0x0806;
const TYPE_IPV6: u16 = 0x86dd;

#[derive(Debug, Clone, Copy)]
pub struct Ethernet<'a> {
    pub destination: MacAddress,
    pub source: MacAddress,
    pub content: Content<'a>,
}

#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    Arp(Arp),
    Ipv4(Ipv4<'a>),
    Ipv6(Ipv6<'a>),
    /// Nothing that a guest has business with.
    Other,
    /// It says what it is and is not it.
    Malformed,
}

impl<'a> Ethernet<'a> {
    /// None for what is shorter than the header.
    pub fn read(frame: &'a [u8]) -> Option<Ethernet<'a>> {
        let (header, payload) = frame.split_first_chunk::<HEADER>()?;
        let content = match u16::from_be_bytes([header[12], header[13]]) {
            TYPE_IPV4 => Ipv4::read(payload).map(Content::Ipv4),
            TYPE_ARP => Arp::read(payload).map(Content::Arp),
            TYPE_IPV6 => Ipv6::read(payload).map(Content::Ipv6),
            _ => Some(Content::Other),
        };
        Some(Ethernet {
            destination: mac(&header[0..6]),
            source: mac(&header[6..12]),
            content: content.unwrap_or(Content::Malformed),
        })
    }

    pub fn is_to_many(&self) -> bool {
        is_multicast(self.destination)
    }
}

/// Whether an address is of many, as the broadcast address is; never of one station.
pub fn is_multicast(address: MacAddress) -> bool {
    address.0[0] & 1 == 1
}

/// The caller has cut out six bytes.
fn mac(bytes: &[u8]) -> MacAddress {
    MacAddress(std::array::from_fn(|i| bytes[i]))
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;
    use proptest::{collection::vec, prelude::any, proptest};

    const A: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const B: [u8; 6] = [2, 0, 0, 0, 0, 2];

    fn tcp() -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(A, B)
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .tcp(1234, 80, 1, 1000)
            .syn()
            .write(&mut frame, b"hello")
            .unwrap();
        frame
    }

    #[test]
    fn a_tcp_segment_shows_its_addresses_ports_and_flags() {
        let bytes = tcp();
        let frame = Ethernet::read(&bytes).unwrap();
        assert_eq!((frame.source.0, frame.destination.0), (A, B));
        let Content::Ipv4(packet) = frame.content else { panic!("{frame:?}") };
        assert_eq!(packet.source.octets(), [10, 0, 0, 1]);
        assert_eq!(packet.destination.octets(), [10, 0, 0, 2]);
        let Transport::Tcp(tcp) = packet.transport else { panic!("{packet:?}") };
        assert_eq!((tcp.source, tcp.destination), (1234, 80));
        assert!(tcp.syn && !tcp.ack && !tcp.fin && !tcp.rst);
    }

    #[test]
    fn every_cut_of_a_packet_is_malformed_or_nothing() {
        let bytes = tcp();
        for length in 0..bytes.len() {
            match Ethernet::read(&bytes[..length]) {
                None => assert!(length < HEADER),
                Some(frame) => {
                    assert!(matches!(frame.content, Content::Malformed), "{length}: {frame:?}");
                }
            }
        }
        let padded = [&bytes[..], &[0; 30]].concat();
        let Some(Ethernet { content: Content::Ipv4(_), .. }) = Ethernet::read(&padded) else {
            panic!("padding does not matter");
        };
    }

    #[test]
    fn an_error_about_a_flow_names_the_flow() {
        let inner = &tcp()[HEADER..];
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(B, A)
            .ipv4([10, 0, 0, 9], [10, 0, 0, 1], 64)
            .icmpv4_raw(3, 4, [0, 0, 5, 0])
            .write(&mut frame, &inner[..28])
            .unwrap();
        let Content::Ipv4(packet) = Ethernet::read(&frame).unwrap().content else { panic!() };
        let Transport::Icmp { kind: 3, code: 4, about: Some(flow), .. } = packet.transport else {
            panic!("{packet:?}")
        };
        assert_eq!(flow.protocol, 6);
        assert_eq!(
            (flow.source.octets(), flow.destination.octets()),
            ([10, 0, 0, 1], [10, 0, 0, 2])
        );
        assert_eq!((flow.source_port, flow.destination_port), (1234, 80));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fall_over(bytes in vec(any::<u8>(), 0..200)) {
            let _ = Ethernet::read(&bytes);
            for kind in [TYPE_IPV4, TYPE_ARP, TYPE_IPV6] {
                let mut bytes = bytes.clone();
                if bytes.len() >= HEADER {
                    bytes[12..14].copy_from_slice(&kind.to_be_bytes());
                }
                let _ = Ethernet::read(&bytes);
            }
        }

        #[test]
        fn no_damage_to_a_good_packet_makes_it_fall_over(
            damage in vec((0usize..60, any::<u8>()), 0..8),
            length in 0usize..60,
        ) {
            let mut bytes = tcp();
            for (at, byte) in damage {
                if let Some(slot) = bytes.get_mut(at) {
                    *slot = byte;
                }
            }
            bytes.truncate(length);
            let _ = Ethernet::read(&bytes);
        }
    }
}
