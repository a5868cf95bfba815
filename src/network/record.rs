//! What one switch says to the next over a cable: the plaintext inside a sealed datagram.
//!
//! ```text
//!  0       1       2       3       4
//!  ├───────┼───────┴───────┴───────┤
//!  │ kind  │ network               │   kind: 1 frame · 2 piece of a large segment · 3 fragment
//!  ├───────┼───────┬───────────────┤         4 routing · 5 cable's own
//!  │ hops  │ flags │ index         │   hops left; flags: bit 0 checksum is partial,
//!  ├───────┴───────┴───────────────┤     bit 1 last piece or fragment, bit 2 TCP over IPv6
//!  │ destination switch, 0: all    │
//!  ├───────────────────────────────┤
//!  │ source switch                 │
//!  ├───────────────────────────────┤
//!  │ sequence                      │   of the source, one for each frame
//!  ├───────────────┬───────────────┤
//!  │ checksum start│ offset        │   where a checksum is still to be made
//!  ├───────────────┴───────────────┤
//!  │ frame …                       │
//! ```
//!
//! All numbers are big-endian. A header is read whole or not at all.

use crate::domain::overlay::{NetworkId, SwitchId};

pub const HEADER: usize = 24;

/// How many switches a frame may pass.
pub const HOPS: u8 = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A whole frame.
    Frame = 1,
    /// A large TCP segment's piece, itself a whole frame: pieces with one sequence and successive
    /// indexes may be joined again.
    Piece = 2,
    /// A part of a frame too long for the cable. `index` is where it begins, in units of 8 bytes.
    Fragment = 3,
    /// Between the switches themselves: who is there, and who has which address.
    Routing = 4,
    /// Between the two ends of the cable.
    Cable = 5,
}

/// Who sends what to whom, authenticated with the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    pub kind: Kind,
    /// None where the record concerns no network.
    pub network: Option<NetworkId>,
    pub hops: u8,
    pub is_last: bool,
    pub is_ipv6: bool,
    pub index: u16,
    pub destination: SwitchId,
    pub source: SwitchId,
    pub sequence: u32,
    pub checksum: Option<super::frame::PartialChecksum>,
}

const PARTIAL_CHECKSUM: u8 = 1;
const LAST: u8 = 2;
const IPV6: u8 = 4;
const FLAGS: u8 = PARTIAL_CHECKSUM | LAST | IPV6;

impl RecordHeader {
    pub fn write(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let network = self.network.map_or(0, NetworkId::number);
        bytes[0..4].copy_from_slice(&network.to_be_bytes());
        bytes[0] = self.kind as u8;
        bytes[4] = self.hops;
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        bytes[5] = flag(self.checksum.is_some(), PARTIAL_CHECKSUM)
            | flag(self.is_last, LAST)
            | flag(self.is_ipv6, IPV6);
        bytes[6..8].copy_from_slice(&self.index.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.destination.0.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.source.0.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.sequence.to_be_bytes());
        if let Some(checksum) = self.checksum {
            bytes[20..22].copy_from_slice(&checksum.start.to_be_bytes());
            bytes[22..24].copy_from_slice(&checksum.offset.to_be_bytes());
        }
        bytes
    }

    /// The header and what follows it. None for what no switch of this version writes.
    pub fn read(record: &[u8]) -> Option<(RecordHeader, &[u8])> {
        let (header, rest) = record.split_at_checked(HEADER)?;
        let word = |at: usize| u32::from_be_bytes(std::array::from_fn(|i| header[at + i]));
        let half = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let kind = match header[0] {
            1 => Kind::Frame,
            2 => Kind::Piece,
            3 => Kind::Fragment,
            4 => Kind::Routing,
            5 => Kind::Cable,
            _ => return None,
        };
        let flags = header[5];
        if flags & !FLAGS != 0 {
            return None;
        }
        let network = NetworkId::new(word(0) & NetworkId::MAX);
        let carries_frames = matches!(kind, Kind::Frame | Kind::Piece | Kind::Fragment);
        if network.is_some() != carries_frames {
            return None;
        }
        let partial = flags & PARTIAL_CHECKSUM != 0;
        let checksum = super::frame::PartialChecksum { start: half(20), offset: half(22) };
        if !partial && (checksum.start, checksum.offset) != (0, 0) {
            return None;
        }
        let header = RecordHeader {
            kind,
            network,
            hops: header[4],
            is_last: flags & LAST != 0,
            is_ipv6: flags & IPV6 != 0,
            index: half(6),
            destination: SwitchId(word(8)),
            source: SwitchId(word(12)),
            sequence: word(16),
            checksum: partial.then_some(checksum),
        };
        Some((header, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::frame::PartialChecksum;

    fn piece() -> RecordHeader {
        RecordHeader {
            kind: Kind::Piece,
            network: NetworkId::new(0x0102_03),
            hops: 7,
            is_last: true,
            is_ipv6: false,
            index: 0x1122,
            destination: SwitchId(0xa1a2_a3a4),
            source: SwitchId(0xb1b2_b3b4),
            sequence: 0xc1c2_c3c4,
            checksum: Some(PartialChecksum { start: 34, offset: 16 }),
        }
    }

    #[test]
    fn a_header_is_these_bytes() {
        let bytes = [
            2, 1, 2, 3, 7, 3, 0x11, 0x22, 0xa1, 0xa2, 0xa3, 0xa4, 0xb1, 0xb2, 0xb3, 0xb4, 0xc1,
            0xc2, 0xc3, 0xc4, 0, 34, 0, 16,
        ];
        assert_eq!(piece().write(), bytes);
        assert_eq!(
            RecordHeader::read(&[&bytes[..], b"frame"].concat()),
            Some((piece(), &b"frame"[..]))
        );
    }

    #[test]
    fn what_no_switch_writes_is_not_read() {
        let good = piece().write();
        assert_eq!(RecordHeader::read(&good[..HEADER - 1]), None);
        let with = |at: usize, byte: u8| {
            let mut bytes = good;
            bytes[at] = byte;
            RecordHeader::read(&bytes).map(|(header, _)| header)
        };
        assert_eq!(with(0, 0), None, "no such kind");
        assert_eq!(with(0, 4), None, "routing concerns no network");
        assert_eq!(with(5, 8), None, "no such flag");
        assert_eq!(with(5, 0), None, "a place for a checksum that is whole");
        let no_network = RecordHeader { network: None, ..piece() }.write();
        assert_eq!(RecordHeader::read(&no_network), None, "a frame is in some network");
    }
}
