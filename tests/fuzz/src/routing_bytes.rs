//! What switches tell each other about themselves: the room keeps these files to itself, so they are
//! compiled once more.

#[path = "../../../src/network/switch/announcement.rs"]
mod announcement;
#[path = "../../../src/network/switch/directory.rs"]
mod directory;
#[path = "../../../src/network/switch/hash.rs"]
mod hash;

use crate::{
    domain::{
        interface::MacAddress,
        overlay::{NetworkId, SwitchId},
    },
    network::switch as port,
};
use announcement::{Digest, Edition, Item, Items, Message, PageId, Record};
use directory::Station;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What is read of a record is written in the same bytes, as far as it is read.
pub fn record(bytes: &[u8]) {
    let Some(mut record) = Record::read(bytes) else { return };
    let mut written = Vec::new();
    while let Some(message) = record.next() {
        let Ok(message) = message else { break };
        if let Message::Page { items, .. } = message {
            check_items(items);
        }
        message.write(&mut written);
    }
    assert!(bytes.starts_with(&written));
}

fn check_items(bytes: &[u8]) {
    let mut written = Vec::new();
    for item in Items(bytes) {
        let item = item.expect("a page is read wholly or not at all");
        let before = written.len();
        item.write(&mut written);
        assert_eq!(item.size(), written.len() - before);
    }
    assert_eq!(written, bytes);
}

/// One record of each kind of message, for seeds.
pub fn examples() -> Vec<(&'static str, Vec<u8>)> {
    let id = PageId { origin: SwitchId(2), page: 1 };
    let edition = Edition { incarnation: 3, version: 4 };
    let station = Station {
        network: NetworkId::new(7).expect("7 is a network's number"),
        mac: MacAddress([2, 0, 0, 0, 0, 9]),
        is_assigned: true,
        addresses: vec![Ipv4Addr::new(10, 0, 0, 9).into(), Ipv6Addr::LOCALHOST.into()],
    };
    let mut items = Vec::new();
    Item::Cable { neighbour: SwitchId(1), cost: 10 }.write(&mut items);
    Item::Station(station).write(&mut items);
    let page = Message::Page { id, edition, age_seconds: 60, items: &items };
    let known = Message::Known(vec![(id, edition)]);
    let digest = Message::Digest(Digest { sum: 5, pages: 6 });
    let editions = vec![(id, edition)];
    let summary = Message::Summary { after: PageId::FIRST, to: PageId::LAST, editions };
    let record = |messages: &[&Message<'_>]| {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.write(&mut bytes));
        bytes
    };
    vec![
        ("page", record(&[&page])),
        ("known", record(&[&known])),
        ("digest", record(&[&digest])),
        ("summary", record(&[&summary])),
        ("several", record(&[&page, &known, &digest])),
    ]
}
