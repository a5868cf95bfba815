//! IPv4 with the ports behind it: TCP, UDP, ICMP, and what ICMP errors are about.

use super::half;
use std::net::Ipv4Addr;

const SHORTEST_HEADER: usize = 20;
const SHORTEST_TCP: usize = 20;
const UDP_HEADER: usize = 8;
const ICMP_HEADER: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4<'a> {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub protocol: u8,
    pub identification: u16,
    pub part: Part,
    pub transport: Transport,
    /// Behind the header, without what pads the frame.
    pub payload: &'a [u8],
}

/// Which part of a datagram a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Whole,
    /// With the ports.
    First,
    Later,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp(Tcp),
    Udp {
        source: u16,
        destination: u16,
    },
    Icmp {
        kind: u8,
        code: u8,
        /// What an echo and its answer have in common.
        identifier: u16,
        /// The packet that an error is about.
        about: Option<Flow>,
    },
    /// Of another protocol, or in an earlier fragment.
    Opaque,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    pub source: u16,
    pub destination: u16,
    pub syn: bool,
    pub ack: bool,
    pub fin: bool,
    pub rst: bool,
}

/// Who spoke with whom, of a packet that an error quotes. An echo's identifier is its source port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub protocol: u8,
    pub source_port: u16,
    pub destination_port: u16,
}

impl<'a> Ipv4<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<Ipv4<'a>> {
        let header = Header::read(bytes)?;
        let payload = bytes.get(header.length..header.total)?;
        let part = match (header.offset, header.more) {
            (0, false) => Part::Whole,
            (0, true) => Part::First,
            _ => Part::Later,
        };
        let transport = match (part, header.protocol) {
            // A fragment that begins inside a TCP header could change the flags that were judged
            // (RFC 3128).
            (Part::Later, 6) if header.offset * 8 < SHORTEST_TCP as u16 => return None,
            (Part::Later, _) => Transport::Opaque,
            (_, 1) => icmp(payload)?,
            (_, 6) => tcp(payload)?,
            (_, 17) => udp(payload)?,
            _ => Transport::Opaque,
        };
        Some(Ipv4 {
            source: header.source,
            destination: header.destination,
            protocol: header.protocol,
            identification: header.identification,
            part,
            transport,
            payload,
        })
    }
}

struct Header {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    identification: u16,
    /// In units of 8 bytes.
    offset: u16,
    more: bool,
    length: usize,
    total: usize,
}

impl Header {
    /// The payload may be cut short, as that of a packet which an error quotes is.
    fn read(bytes: &[u8]) -> Option<Header> {
        let fixed = bytes.first_chunk::<SHORTEST_HEADER>()?;
        let length = usize::from(fixed[0] & 15) * 4;
        let total = usize::from(half(fixed, 2));
        let is_well_formed = fixed[0] >> 4 == 4
            && length >= SHORTEST_HEADER
            && length <= bytes.len()
            && length <= total;
        let fragment = half(fixed, 6);
        is_well_formed.then_some(Header {
            source: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]),
            destination: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]),
            protocol: fixed[9],
            identification: half(fixed, 4),
            offset: fragment & 0x1fff,
            more: fragment & 0x2000 != 0,
            length,
            total,
        })
    }
}

fn tcp(bytes: &[u8]) -> Option<Transport> {
    let header = bytes.first_chunk::<SHORTEST_TCP>()?;
    let flag = |bit: u8| header[13] & (1 << bit) != 0;
    Some(Transport::Tcp(Tcp {
        source: half(header, 0),
        destination: half(header, 2),
        fin: flag(0),
        syn: flag(1),
        rst: flag(2),
        ack: flag(4),
    }))
}

fn udp(bytes: &[u8]) -> Option<Transport> {
    let header = bytes.first_chunk::<UDP_HEADER>()?;
    Some(Transport::Udp { source: half(header, 0), destination: half(header, 2) })
}

fn icmp(bytes: &[u8]) -> Option<Transport> {
    let (header, quoted) = bytes.split_first_chunk::<ICMP_HEADER>()?;
    let kind = header[0];
    let is_error = matches!(kind, 3 | 4 | 5 | 11 | 12);
    Some(Transport::Icmp {
        kind,
        code: header[1],
        identifier: half(header, 4),
        about: is_error.then(|| Flow::read(quoted)).flatten(),
    })
}

impl Flow {
    /// From a packet of which an error quotes the header and at least 8 bytes.
    fn read(quoted: &[u8]) -> Option<Flow> {
        let header = Header::read(quoted)?;
        let ports = quoted[header.length..].first_chunk::<8>()?;
        let (source_port, destination_port) = match header.protocol {
            _ if header.offset != 0 => return None,
            // Kind and code are where TCP has a port: an echo is known by its identifier.
            1 => (half(ports, 4), u16::from(ports[0])),
            6 | 17 => (half(ports, 0), half(ports, 2)),
            _ => (0, 0),
        };
        Some(Flow {
            source: header.source,
            destination: header.destination,
            protocol: header.protocol,
            source_port,
            destination_port,
        })
    }
}
