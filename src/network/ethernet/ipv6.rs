//! IPv6 as far as neighbour discovery (RFC 4861) tells who has which address.

use super::{HEADER, TYPE_IPV6, half, mac};
use crate::domain::interface::MacAddress;
use std::net::Ipv6Addr;

const FIXED: usize = 40;
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// The ICMPv6 header and the target.
const DISCOVERY: usize = 24;
const SOURCE_LINK: u8 = 1;
const TARGET_LINK: u8 = 2;
/// Discovery that passed a router is not believed.
const HOP_LIMIT: u8 = 255;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6<'a> {
    pub source: Ipv6Addr,
    pub destination: Ipv6Addr,
    pub discovery: Option<Discovery>,
    pub payload: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discovery {
    /// Who has the target? With the asker's own link address, if it says so.
    Solicitation { target: Ipv6Addr, source_mac: Option<MacAddress> },
    /// The target is at this link address.
    Advertisement { target: Ipv6Addr, target_mac: Option<MacAddress> },
}

impl<'a> Ipv6<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<Ipv6<'a>> {
        let (header, rest) = bytes.split_first_chunk::<FIXED>()?;
        if header[0] >> 4 != 6 {
            return None;
        }
        let payload = rest.get(..usize::from(half(header, 4)))?;
        let discovery = match (header[6], header[7]) {
            (ICMPV6, HOP_LIMIT) => Discovery::read(payload),
            _ => None,
        };
        Some(Ipv6 {
            source: address(&header[8..24]),
            destination: address(&header[24..40]),
            discovery,
            payload,
        })
    }
}

impl Discovery {
    fn read(bytes: &[u8]) -> Option<Discovery> {
        let (header, options) = bytes.split_first_chunk::<DISCOVERY>()?;
        let target = address(&header[8..24]);
        match (header[0], header[1]) {
            (SOLICITATION, 0) => {
                Some(Discovery::Solicitation { target, source_mac: link(options, SOURCE_LINK) })
            }
            (ADVERTISEMENT, 0) => {
                Some(Discovery::Advertisement { target, target_mac: link(options, TARGET_LINK) })
            }
            _ => None,
        }
    }

    /// The frame that advertises, solicited, who has the target.
    pub fn advertisement(
        target: Ipv6Addr,
        holder: MacAddress,
        asker: (MacAddress, Ipv6Addr),
    ) -> [u8; HEADER + FIXED + DISCOVERY + 8] {
        const SOLICITED_OVERRIDE: u8 = 0x60;
        let mut frame = [0; HEADER + FIXED + DISCOVERY + 8];
        frame[0..6].copy_from_slice(&asker.0.0);
        frame[6..12].copy_from_slice(&holder.0);
        frame[12..14].copy_from_slice(&TYPE_IPV6.to_be_bytes());
        frame[14] = 6 << 4;
        frame[19] = (DISCOVERY + 8) as u8;
        frame[20] = ICMPV6;
        frame[21] = HOP_LIMIT;
        frame[22..38].copy_from_slice(&target.octets());
        frame[38..54].copy_from_slice(&asker.1.octets());
        frame[54] = ADVERTISEMENT;
        frame[58] = SOLICITED_OVERRIDE;
        frame[62..78].copy_from_slice(&target.octets());
        frame[78] = TARGET_LINK;
        frame[79] = 1;
        frame[80..86].copy_from_slice(&holder.0);
        let sum = checksum(&frame[22..86]);
        frame[56..58].copy_from_slice(&sum.to_be_bytes());
        frame
    }
}

/// Of addresses and an ICMPv6 message, with the pseudo header's length and protocol.
fn checksum(addresses_and_message: &[u8]) -> u16 {
    let length = (addresses_and_message.len() - 32) as u32;
    let halves = addresses_and_message.chunks_exact(2).map(|two| u32::from(half(two, 0)));
    let mut sum = halves.sum::<u32>() + length + u32::from(ICMPV6);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The link address in an option of this kind.
fn link(mut options: &[u8], wanted: u8) -> Option<MacAddress> {
    while let [kind, units, ..] = *options {
        let (option, rest) = options.split_at_checked(usize::from(units) * 8)?;
        // A length of zero would never end.
        if option.is_empty() {
            return None;
        }
        if kind == wanted {
            return Some(mac(&option[2..8]));
        }
        options = rest;
    }
    None
}

/// The caller has cut out 16 bytes.
fn address(bytes: &[u8]) -> Ipv6Addr {
    Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(|i| bytes[i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ethernet::{Content, Ethernet};
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    #[test]
    fn an_advertisement_is_one_that_others_read_too() {
        let target: Ipv6Addr = "fe80::2".parse().unwrap();
        let asker = (MacAddress([2, 0, 0, 0, 0, 1]), "fe80::1".parse().unwrap());
        let holder = MacAddress([2, 0, 0, 0, 0, 2]);
        let bytes = Discovery::advertisement(target, holder, asker);
        let Content::Ipv6(packet) = Ethernet::read(&bytes).unwrap().content else { panic!() };
        let expected = Discovery::Advertisement { target, target_mac: Some(holder) };
        assert_eq!(packet.discovery, Some(expected));
        let other = SlicedPacket::from_ethernet(&bytes).unwrap();
        let Some(NetSlice::Ipv6(ip)) = other.net else { panic!() };
        let Some(TransportSlice::Icmpv6(icmp)) = other.transport else { panic!() };
        let header = ip.header().to_header();
        assert!(icmp.is_checksum_valid(header.source, header.destination));
    }
}
