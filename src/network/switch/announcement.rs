//! What switches tell each other about themselves, as bytes in records of `Kind::Routing`.
//!
//! What a switch has to say is divided into pages that change apart. An edition of a page is told
//! from another by the switch's incarnation and the page's version; the later one counts.
//!
//! ```text
//! record   1 (this format), then messages
//! message  kind 1 · length 2 · body
//!   1 page     origin 4 · page 2 · incarnation 8 · version 4 · seconds since it was new 4 · items
//!   2 known    (origin 4 · page 2 · incarnation 8 · version 4) …    received, or had already
//!   3 digest   sum of the hashes of all editions 8 · how many pages 4
//!   4 summary  after: origin 4 · page 2 | up to: origin 4 · page 2 | editions as in `known` …
//! item     1 · neighbour 4 · cost 4
//!          2 · flags 1 (bit 0: assigned) · network 4 · MAC 6 · number of IPv4 1, of IPv6 1 · them
//! ```
//!
//! All numbers are big-endian. A record is read as far as it is well-formed, and a page wholly or
//! not at all.

use super::{directory::Station, hash::hash_of};
use crate::domain::{
    interface::MacAddress,
    overlay::{NetworkId, SwitchId},
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A record's payload is not longer, so that it fits any path in a datagram of 1200 bytes: behind
/// IP and UDP that is what IPv6 demands of every link. Records are not cut.
pub const ROOM: usize = 1_100;

/// Of a page's items.
pub const PAGE_ROOM: usize = ROOM - RECORD_HEADER - MESSAGE_HEADER - PAGE_HEADER;

/// A station with more addresses is announced as several.
pub const ADDRESSES_PER_STATION: usize = 60;

const FORMAT: u8 = 1;
const RECORD_HEADER: usize = 1;
const MESSAGE_HEADER: usize = 3;
const PAGE_HEADER: usize = EDITION + 4;
const EDITION: usize = 18;
const ASSIGNED: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageId {
    pub origin: SwitchId,
    pub page: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edition {
    pub incarnation: u64,
    pub version: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    pub sum: u64,
    pub pages: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    Page {
        id: PageId,
        edition: Edition,
        age_seconds: u32,
        items: &'a [u8],
    },
    Known(Vec<(PageId, Edition)>),
    Digest(Digest),
    /// Every page there is from the one (not included) to the other (included).
    Summary {
        after: PageId,
        to: PageId,
        editions: Vec<(PageId, Edition)>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    Cable { neighbour: SwitchId, cost: u32 },
    Station(Station),
}

impl PageId {
    pub const FIRST: PageId = PageId { origin: SwitchId(0), page: 0 };
    pub const LAST: PageId = PageId { origin: SwitchId(u32::MAX), page: u16::MAX };

    fn write(self, into: &mut Vec<u8>) {
        into.extend(self.origin.0.to_be_bytes());
        into.extend(self.page.to_be_bytes());
    }
}

impl Digest {
    pub fn add(&mut self, id: PageId, edition: Edition) {
        self.sum = self.sum.wrapping_add(hash(id, edition));
        self.pages += 1;
    }
    pub fn remove(&mut self, id: PageId, edition: Edition) {
        self.sum = self.sum.wrapping_sub(hash(id, edition));
        self.pages -= 1;
    }
}

fn hash(id: PageId, edition: Edition) -> u64 {
    let page = u64::from(id.origin.0) << 16 | u64::from(id.page);
    hash_of([page, edition.incarnation, edition.version.into()])
}

/// How many editions a summary or `known` has room for.
pub const EDITIONS: usize = (ROOM - RECORD_HEADER - MESSAGE_HEADER - 12) / EDITION;

impl Message<'_> {
    /// Behind what the record has already; the first begins it. The caller sees to the room.
    pub fn write(&self, into: &mut Vec<u8>) {
        if into.is_empty() {
            into.push(FORMAT);
        }
        let start = into.len();
        into.extend([self.kind(), 0, 0]);
        match self {
            Message::Page { id, edition, age_seconds, items } => {
                write_edition(*id, *edition, into);
                into.extend(age_seconds.to_be_bytes());
                into.extend(*items);
            }
            Message::Known(editions) => {
                editions.iter().for_each(|(id, edition)| write_edition(*id, *edition, into));
            }
            Message::Digest(digest) => {
                into.extend(digest.sum.to_be_bytes());
                into.extend(digest.pages.to_be_bytes());
            }
            Message::Summary { after, to, editions } => {
                after.write(into);
                to.write(into);
                editions.iter().for_each(|(id, edition)| write_edition(*id, *edition, into));
            }
        }
        let length = (into.len() - start - MESSAGE_HEADER) as u16;
        into[start + 1..start + 3].copy_from_slice(&length.to_be_bytes());
    }

    fn kind(&self) -> u8 {
        match self {
            Message::Page { .. } => 1,
            Message::Known(_) => 2,
            Message::Digest(_) => 3,
            Message::Summary { .. } => 4,
        }
    }
}

fn write_edition(id: PageId, edition: Edition, into: &mut Vec<u8>) {
    id.write(into);
    into.extend(edition.incarnation.to_be_bytes());
    into.extend(edition.version.to_be_bytes());
}

/// What is left of a record.
#[derive(Debug)]
pub struct Record<'a>(&'a [u8]);

impl<'a> Record<'a> {
    pub fn read(bytes: &'a [u8]) -> Option<Record<'a>> {
        let (format, rest) = bytes.split_first()?;
        (*format == FORMAT).then_some(Record(rest))
    }

    /// None after the last message; an error where no switch of this version would have written on.
    pub fn next(&mut self) -> Option<Result<Message<'a>, Malformed>> {
        if self.0.is_empty() {
            return None;
        }
        Some(self.message().ok_or(Malformed))
    }

    fn message(&mut self) -> Option<Message<'a>> {
        let mut bytes = Bytes(self.0);
        let kind = bytes.byte()?;
        let length = bytes.half()?;
        let mut body = Bytes(bytes.take(length.into())?);
        self.0 = bytes.0;
        match kind {
            1 => {
                let (id, edition) = body.edition()?;
                let age_seconds = body.word()?;
                Items(body.0).all(|item| item.is_some()).then_some(())?;
                Some(Message::Page { id, edition, age_seconds, items: body.0 })
            }
            2 => Some(Message::Known(body.editions()?)),
            3 => {
                let digest = Digest { sum: body.long()?, pages: body.word()? };
                body.0.is_empty().then_some(Message::Digest(digest))
            }
            4 => {
                let (after, to) = (body.page()?, body.page()?);
                Some(Message::Summary { after, to, editions: body.editions()? })
            }
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl Item {
    pub fn write(&self, into: &mut Vec<u8>) {
        match self {
            Item::Cable { neighbour, cost } => {
                into.push(1);
                into.extend(neighbour.0.to_be_bytes());
                into.extend(cost.to_be_bytes());
            }
            Item::Station(station) => {
                let flags = if station.is_assigned { ASSIGNED } else { 0 };
                into.extend([2, flags]);
                into.extend(station.network.number().to_be_bytes());
                into.extend(station.mac.0);
                let count = |is_counted: fn(&IpAddr) -> bool| {
                    station.addresses.iter().filter(|address| is_counted(address)).count() as u8
                };
                into.extend([count(IpAddr::is_ipv4), count(IpAddr::is_ipv6)]);
                for address in &station.addresses {
                    if let IpAddr::V4(address) = address {
                        into.extend(address.octets());
                    }
                }
                for address in &station.addresses {
                    if let IpAddr::V6(address) = address {
                        into.extend(address.octets());
                    }
                }
            }
        }
    }

    pub fn size(&self) -> usize {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes.len()
    }
}

/// A page's items one after the other; None, and then no more, where they are malformed.
#[derive(Debug)]
pub struct Items<'a>(pub &'a [u8]);

impl Iterator for Items<'_> {
    type Item = Option<Item>;

    fn next(&mut self) -> Option<Option<Item>> {
        if self.0.is_empty() {
            return None;
        }
        let mut bytes = Bytes(self.0);
        let item = bytes.item();
        self.0 = if item.is_some() { bytes.0 } else { &[] };
        Some(item)
    }
}

/// Bytes that are taken from the front.
#[derive(Debug)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }
    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }
    fn half(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }
    fn word(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }
    fn long(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
    fn page(&mut self) -> Option<PageId> {
        Some(PageId { origin: SwitchId(self.word()?), page: self.half()? })
    }
    fn edition(&mut self) -> Option<(PageId, Edition)> {
        let id = self.page()?;
        Some((id, Edition { incarnation: self.long()?, version: self.word()? }))
    }
    fn editions(&mut self) -> Option<Vec<(PageId, Edition)>> {
        let mut editions = Vec::with_capacity(self.0.len() / EDITION);
        while !self.0.is_empty() {
            editions.push(self.edition()?);
        }
        Some(editions)
    }
    fn item(&mut self) -> Option<Item> {
        match self.byte()? {
            1 => Some(Item::Cable { neighbour: SwitchId(self.word()?), cost: self.word()? }),
            2 => {
                let flags = self.byte()?;
                let network = NetworkId::new(self.word()?)?;
                let mac = MacAddress(self.array()?);
                let [ipv4, ipv6] = self.array()?;
                let mut addresses = Vec::with_capacity(usize::from(ipv4) + usize::from(ipv6));
                for _ in 0..ipv4 {
                    addresses.push(Ipv4Addr::from(self.array::<4>()?).into());
                }
                for _ in 0..ipv6 {
                    addresses.push(Ipv6Addr::from(self.array::<16>()?).into());
                }
                let is_assigned = flags & ASSIGNED != 0;
                (flags & !ASSIGNED == 0).then_some(())?;
                Some(Item::Station(Station { network, mac, is_assigned, addresses }))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn edition() -> (PageId, Edition) {
        let id = PageId { origin: SwitchId(0x0102_0304), page: 0x0506 };
        (id, Edition { incarnation: 7, version: 8 })
    }

    fn items() -> Vec<u8> {
        let station = Station {
            network: NetworkId::new(0x0a0b0c).unwrap(),
            mac: MacAddress([2, 0, 0, 0, 0, 1]),
            is_assigned: true,
            addresses: vec![Ipv4Addr::new(10, 0, 0, 4).into(), Ipv6Addr::LOCALHOST.into()],
        };
        let cable = Item::Cable { neighbour: SwitchId(9), cost: 3 };
        let mut bytes = Vec::new();
        for item in [Item::Station(station), cable] {
            item.write(&mut bytes);
        }
        bytes
    }

    fn record() -> Vec<u8> {
        let (id, edition) = edition();
        let mut bytes = Vec::new();
        Message::Page { id, edition, age_seconds: 60, items: &items() }.write(&mut bytes);
        Message::Known(vec![(id, edition)]).write(&mut bytes);
        Message::Digest(Digest { sum: 5, pages: 6 }).write(&mut bytes);
        let summary =
            Message::Summary { after: PageId::FIRST, to: id, editions: vec![(id, edition)] };
        summary.write(&mut bytes);
        bytes
    }

    #[test]
    fn a_record_is_these_bytes() {
        let mut bytes = Vec::new();
        Message::Digest(Digest { sum: 5, pages: 6 }).write(&mut bytes);
        let (id, edition) = edition();
        Message::Known(vec![(id, edition)]).write(&mut bytes);
        let expected = [
            &[1, 3, 0, 12, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 6][..],
            &[2, 0, 18, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 8],
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = record();
        let mut record = Record::read(&bytes).unwrap();
        let mut again = Vec::new();
        while let Some(message) = record.next() {
            message.unwrap().write(&mut again);
        }
        assert_eq!(again, bytes);
        let items = items();
        let mut again = Vec::new();
        for item in Items(&items) {
            item.unwrap().write(&mut again);
        }
        assert_eq!(again, items);
    }

    proptest! {
        #[test]
        fn no_damage_makes_it_fall_over(
            damage in vec((0usize..200, any::<u8>()), 0..8),
            length in 0usize..200,
            bytes in vec(any::<u8>(), 0..100),
        ) {
            let mut damaged = record();
            for (at, byte) in damage {
                if let Some(slot) = damaged.get_mut(at) {
                    *slot = byte;
                }
            }
            damaged.truncate(length);
            for bytes in [damaged, bytes] {
                let Some(mut record) = Record::read(&bytes) else { continue };
                while let Some(Ok(_)) = record.next() {}
            }
        }
    }
}
