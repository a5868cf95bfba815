//! Where a frame's headers are, and the fields that differ from piece to piece.

use super::checksum::{fold, sum};
use crate::network::frame::PartialChecksum;

/// Ethernet with a VLAN tag, IPv4 and TCP with all their options.
pub(super) const LONGEST: usize = 18 + 60 + 60;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const TCP: u8 = 6;
const UDP: u8 = 17;
const TCP_CHECKSUM: u16 = 16;
const UDP_CHECKSUM: u16 = 6;

/// Fragmented, of any kind: more to come, or not the first.
const FRAGMENTED: u16 = 0x3fff;

const FIN: u8 = 1;
const PSH: u8 = 8;
const CWR: u8 = 0x80;

/// Where an unfragmented IP packet's payload is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transport {
    ip: usize,
    start: usize,
    is_ipv6: bool,
    protocol: u8,
}

impl Transport {
    pub fn find(bytes: &[u8]) -> Option<Transport> {
        let (kind, ip) = match half(bytes, 12)? {
            VLAN => (half(bytes, 16)?, 18),
            kind => (kind, 14),
        };
        let version = bytes.get(ip)? >> 4;
        let (length, is_ipv6) = match (kind, version) {
            (IPV4, 4) => (usize::from(bytes[ip] & 15) * 4, false),
            (IPV6, 6) => (40, true),
            _ => return None,
        };
        let start = ip + length;
        if bytes.len() < start || length < 20 {
            return None;
        }
        if !is_ipv6 && half(bytes, ip + 6)? & FRAGMENTED != 0 {
            return None;
        }
        let protocol = bytes[if is_ipv6 { ip + 6 } else { ip + 9 }];
        Some(Transport { ip, start, is_ipv6, protocol })
    }

    /// Where the payload's own checksum belongs.
    pub fn checksum(&self) -> Option<PartialChecksum> {
        let offset = match self.protocol {
            TCP => TCP_CHECKSUM,
            UDP => UDP_CHECKSUM,
            _ => return None,
        };
        Some(PartialChecksum { start: self.start as u16, offset })
    }
}

/// Where a TCP packet's headers are. Within the frame it was found in, and in copies of its
/// beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TcpHeaders {
    ip: usize,
    tcp: usize,
    /// All headers together.
    pub length: usize,
    pub is_ipv6: bool,
}

impl TcpHeaders {
    pub fn find(bytes: &[u8]) -> Option<TcpHeaders> {
        let Transport { ip, start: tcp, is_ipv6, protocol } = Transport::find(bytes)?;
        let own = usize::from(bytes.get(tcp + 12)? >> 4) * 4;
        let length = tcp + own;
        let is_whole = protocol == TCP && own >= 20 && length <= bytes.len();
        is_whole.then_some(TcpHeaders { ip, tcp, length, is_ipv6 })
    }

    pub fn checksum(&self) -> PartialChecksum {
        PartialChecksum { start: self.tcp as u16, offset: TCP_CHECKSUM }
    }

    pub fn sequence(&self, headers: &[u8]) -> u32 {
        u32::from_be_bytes(std::array::from_fn(|i| headers[self.tcp + 4 + i]))
    }

    /// The pseudo header's sum but for the length.
    pub fn pseudo_sum(&self, headers: &[u8]) -> u64 {
        let addresses =
            if self.is_ipv6 { self.ip + 8..self.ip + 40 } else { self.ip + 12..self.ip + 20 };
        sum(&headers[addresses]) + u64::from(TCP)
    }

    /// From a segment's headers to those of the piece `index` that begins `offset` bytes later.
    pub fn advance(&self, headers: &mut [u8], index: u16, offset: usize) {
        let sequence = self.sequence(headers).wrapping_add(offset as u32);
        headers[self.tcp + 4..self.tcp + 8].copy_from_slice(&sequence.to_be_bytes());
        if !self.is_ipv6 {
            let at = self.ip + 4;
            let id = u16::from_be_bytes([headers[at], headers[at + 1]]).wrapping_add(index);
            headers[at..at + 2].copy_from_slice(&id.to_be_bytes());
        }
    }

    /// What is said once, with the first piece or with the last, is said by no other.
    pub fn keep_flags(&self, headers: &mut [u8], is_first: bool, is_last: bool) {
        let flags = &mut headers[self.tcp + 13];
        if !is_first {
            *flags &= !CWR;
        }
        if !is_last {
            *flags &= !(FIN | PSH);
        }
    }

    /// The flags of another piece that the whole has too.
    pub fn add_flags(&self, headers: &mut [u8], last: &[u8]) {
        headers[self.tcp + 13] |= last[self.tcp + 13] & (FIN | PSH);
    }

    /// Whether nothing ends with this piece.
    pub fn goes_on(&self, headers: &[u8]) -> bool {
        headers[self.tcp + 13] & (FIN | PSH) == 0
    }

    /// Lengths, the IPv4 header's checksum and the sum in place of TCP's, for a payload of `length`.
    pub fn set_lengths(&self, headers: &mut [u8], pseudo: u64, length: usize) {
        let ip = self.ip;
        let all = self.length + length;
        if self.is_ipv6 {
            headers[ip + 4..ip + 6].copy_from_slice(&((all - self.tcp) as u16).to_be_bytes());
        } else {
            headers[ip + 2..ip + 4].copy_from_slice(&((all - ip) as u16).to_be_bytes());
            headers[ip + 10..ip + 12].fill(0);
            let checksum = !fold(sum(&headers[ip..self.tcp]));
            headers[ip + 10..ip + 12].copy_from_slice(&checksum.to_be_bytes());
        }
        let partial = fold(pseudo + (all - self.tcp) as u64);
        let at = self.tcp + usize::from(TCP_CHECKSUM);
        headers[at..at + 2].copy_from_slice(&partial.to_be_bytes());
    }

    /// Whether `next` may continue `first`: all is equal but what counts on from piece to piece.
    pub fn same_stream(&self, first: &[u8], next: &[u8]) -> bool {
        let (ip, tcp) = (self.ip, self.tcp);
        let flags = |headers: &[u8]| headers[tcp + 13] & !(FIN | PSH | CWR);
        let equal = |from: usize, to: usize| first[from..to] == next[from..to];
        let network = if self.is_ipv6 {
            equal(ip + 2, ip + 4) && equal(ip + 6, tcp)
        } else {
            equal(ip + 6, ip + 10) && equal(ip + 12, tcp)
        };
        equal(0, ip + 2)
            && network
            && equal(tcp, tcp + 4)
            && equal(tcp + 8, tcp + 13)
            && flags(first) == flags(next)
            && equal(tcp + 14, tcp + 16)
            && equal(tcp + 18, self.length)
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}
