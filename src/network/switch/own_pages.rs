//! What this switch has to say of itself, divided into pages.
//!
//! A station stays on the page that it was put on, so that a change concerns one page. Pages that
//! change often are said again only after a pause; losing a cable is said at once, and so is a new
//! one where they are few.

use super::{
    Moment,
    announcement::{Item, PAGE_ROOM},
    directory::Station,
};
use crate::domain::overlay::SwitchId;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// More cables come up in crowds, each of which would have all the others told.
const FEW_CABLES: usize = 16;
const PAUSE: Duration = Duration::from_millis(50);

/// Cables are on pages before this, stations from here on.
const STATIONS: u16 = 0x1000;
const CABLES_PER_PAGE: usize = 110;

#[derive(Debug, Default)]
pub struct OwnPages {
    cables: BTreeMap<SwitchId, u32>,
    pages: BTreeMap<u16, OwnPage>,
}

#[derive(Debug, Default)]
struct OwnPage {
    items: BTreeSet<Item>,
    size: usize,
    said: Option<(Moment, Vec<u8>)>,
    is_changed: bool,
    is_urgent: bool,
    /// Though it may be what was said before.
    is_repeated: bool,
}

impl OwnPages {
    pub fn set_cable(&mut self, neighbour: SwitchId, cost: u32) {
        if self.cables.insert(neighbour, cost) != Some(cost) {
            self.lay_out_cables(self.cables.len() <= FEW_CABLES);
        }
    }

    pub fn remove_cable(&mut self, neighbour: SwitchId) {
        if self.cables.remove(&neighbour).is_some() {
            self.lay_out_cables(true);
        }
    }

    pub fn add(&mut self, station: Station) {
        let item = Item::Station(station);
        let size = item.size();
        let last = self.pages.range(STATIONS..).next_back().map_or(STATIONS, |(page, _)| page + 1);
        let with_room =
            self.pages.range(STATIONS..).find(|(_, page)| page.size + size <= PAGE_ROOM);
        let number = with_room.map_or(last, |(number, _)| *number);
        let page = self.pages.entry(number).or_default();
        page.size += size;
        page.items.insert(item);
        page.is_changed = true;
    }

    /// One that was added with the same words.
    pub fn remove(&mut self, station: &Station) {
        let item = Item::Station(station.clone());
        for page in self.pages.range_mut(STATIONS..).map(|(_, page)| page) {
            if page.items.remove(&item) {
                page.size -= item.size();
                page.is_changed = true;
                return;
            }
        }
    }

    /// Has these pages said again, as they are.
    pub fn repeat(&mut self, page: u16) {
        let page = self.pages.entry(page).or_default();
        page.is_changed = true;
        page.is_repeated = true;
    }

    pub fn repeat_all(&mut self) {
        for page in self.pages.values_mut() {
            page.is_changed = true;
            page.is_repeated = true;
        }
    }

    /// Pages to be said now, with their items.
    pub fn due(&mut self, now: Moment) -> Vec<(u16, Vec<u8>)> {
        let mut due = Vec::new();
        for (number, page) in &mut self.pages {
            let has_paused = match &page.said {
                Some((at, _)) => now.saturating_sub(*at) >= PAUSE,
                None => true,
            };
            if !page.is_changed || !(has_paused || page.is_urgent || page.is_repeated) {
                continue;
            }
            let mut items = Vec::with_capacity(page.size);
            page.items.iter().for_each(|item| item.write(&mut items));
            // What came and went in between is not worth a word.
            let is_news = page.said.as_ref().is_none_or(|(_, said)| *said != items);
            if is_news || page.is_repeated {
                page.said = Some((now, items.clone()));
                due.push((*number, items));
            }
            page.is_changed = false;
            page.is_urgent = false;
            page.is_repeated = false;
        }
        due
    }

    fn lay_out_cables(&mut self, is_urgent: bool) {
        let cables = self
            .cables
            .iter()
            .map(|(neighbour, cost)| Item::Cable { neighbour: *neighbour, cost: *cost });
        let cables: Vec<Item> = cables.collect();
        let mut chunks = cables.chunks(CABLES_PER_PAGE);
        let known = self.pages.range(..STATIONS).count();
        let needed = chunks.len().max(known).max(1);
        for number in 0..needed.min(usize::from(STATIONS)) {
            let items: BTreeSet<Item> = chunks.next().unwrap_or_default().iter().cloned().collect();
            let page = self.pages.entry(number as u16).or_default();
            if page.items != items {
                page.items = items;
                page.is_changed = true;
                page.is_urgent |= is_urgent;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{interface::MacAddress, overlay::NetworkId},
        network::switch::announcement::Items,
    };
    use std::net::Ipv4Addr;

    fn station(number: u16) -> Station {
        let [a, b] = number.to_be_bytes();
        Station {
            network: NetworkId::new(1).unwrap(),
            mac: MacAddress([2, 0, 0, 0, a, b]),
            is_assigned: true,
            addresses: vec![Ipv4Addr::new(10, 0, a, b).into()],
        }
    }

    #[test]
    fn one_change_concerns_one_page_and_no_page_is_too_long() {
        let mut own = OwnPages::default();
        (0..1_000).for_each(|number| own.add(station(number)));
        (0..300).for_each(|number| own.set_cable(SwitchId(number), 1));
        let pages = own.due(Moment::ZERO);
        assert!(pages.iter().all(|(_, items)| items.len() <= PAGE_ROOM));
        let items: usize = pages.iter().map(|(_, items)| Items(items).count()).sum();
        assert_eq!(items, 1_300);
        own.remove(&station(500));
        assert!(own.due(Moment::ZERO).is_empty(), "it has just been said");
        assert_eq!(own.due(PAUSE).len(), 1);
        assert!(own.due(PAUSE).is_empty());
    }

    #[test]
    fn a_lost_cable_is_said_at_once() {
        let mut own = OwnPages::default();
        own.set_cable(SwitchId(2), 1);
        own.set_cable(SwitchId(3), 1);
        own.due(Moment::ZERO);
        own.remove_cable(SwitchId(2));
        let due = own.due(Moment::ZERO);
        let cables: Vec<_> = Items(&due[0].1).collect();
        assert_eq!(cables, [Some(Item::Cable { neighbour: SwitchId(3), cost: 1 })]);
    }
}
