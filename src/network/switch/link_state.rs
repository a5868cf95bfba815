//! What all switches say of themselves, kept the same everywhere.
//!
//! A later edition of a page is passed on to every neighbour but where it came from, and again
//! until the neighbour says that it knows it. A neighbour that has a cable to the page's author
//! gets it from there, so that in a mesh a page crosses each cable about once. Should something be
//! lost all the same, neighbours compare a digest of what they know now and then, and at once when
//! their cable comes up; where it differs, each tells the other what it knows, and gets what is
//! missing.
//!
//! Authors say that they are alive every ten minutes, and who is not heard for half an hour is
//! forgotten. Editions carry their age, so that all forget at about one time and nobody brings back
//! what others have forgotten.
//!
//! It knows who is there and what they say, and nothing of ways: that is `topology`. How a page gets
//! to one neighbour is `neighbour`'s.

use super::{
    Moment, Outlet,
    announcement::{Digest, Edition, Item, Items, Malformed, Message, PageId, Record},
    directory::Station,
    neighbour::Neighbour,
    own_pages::OwnPages,
};
use crate::domain::overlay::SwitchId;
use std::{collections::BTreeMap, time::Duration};

const ALIVE: Duration = Duration::from_secs(600);
const FORGET_MS: i64 = 1_800_000;

#[derive(Debug)]
pub struct LinkState {
    own: SwitchId,
    own_pages: OwnPages,
    said_alive: Moment,
    origins: BTreeMap<SwitchId, Origin>,
    /// What each says of its cables.
    cables: BTreeMap<SwitchId, BTreeMap<SwitchId, u32>>,
    digest: Digest,
    neighbours: BTreeMap<SwitchId, Neighbour>,
    news: News,
    swept: Moment,
}

/// What a switch says of itself.
#[derive(Debug)]
pub struct Origin {
    pub incarnation: u64,
    /// When it last said something, in milliseconds; before the clock's start if need be.
    pub alive_ms: i64,
    pub pages: BTreeMap<u16, Page>,
}

#[derive(Debug)]
pub struct Page {
    pub version: u32,
    pub items: Vec<u8>,
}

/// What has come of what was heard.
#[derive(Debug, Default)]
pub struct News {
    /// Of other switches only.
    pub stations: Vec<StationNews>,
    pub cables_changed: bool,
}

#[derive(Debug)]
pub struct StationNews {
    pub switch: SwitchId,
    pub gone: Vec<Station>,
    pub come: Vec<Station>,
}

impl LinkState {
    pub fn new(own: SwitchId, incarnation: u64) -> LinkState {
        let origin = Origin { incarnation, alive_ms: 0, pages: BTreeMap::new() };
        let mut own_pages = OwnPages::default();
        own_pages.repeat(0);
        LinkState {
            own,
            own_pages,
            said_alive: Moment::ZERO,
            origins: BTreeMap::from([(own, origin)]),
            cables: BTreeMap::new(),
            digest: Digest { sum: 0, pages: 0 },
            neighbours: BTreeMap::new(),
            news: News::default(),
            swept: Moment::ZERO,
        }
    }

    pub fn cables(&self) -> &BTreeMap<SwitchId, BTreeMap<SwitchId, u32>> {
        &self.cables
    }

    pub fn is_neighbour(&self, switch: SwitchId) -> bool {
        self.neighbours.contains_key(&switch)
    }

    pub fn own_incarnation(&self) -> u64 {
        self.origins[&self.own].incarnation
    }

    pub fn incarnation(&self, switch: SwitchId) -> Option<u64> {
        Some(self.origins.get(&switch)?.incarnation)
    }

    pub fn switches(&self) -> impl Iterator<Item = (SwitchId, u64)> {
        self.origins.iter().map(|(switch, origin)| (*switch, origin.incarnation))
    }

    pub fn stations(&self, switch: SwitchId) -> Vec<Station> {
        let pages = self.origins.get(&switch).into_iter().flat_map(|origin| origin.pages.values());
        pages.flat_map(|page| stations(&page.items)).collect()
    }

    pub fn take_news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    pub fn add_station(&mut self, station: Station) {
        self.own_pages.add(station);
    }

    pub fn remove_station(&mut self, station: &Station) {
        self.own_pages.remove(station);
    }

    /// Also for a cable that is up and costs something else now.
    pub fn cable_up(&mut self, now: Moment, neighbour: SwitchId, cost: u32) {
        self.own_pages.set_cable(neighbour, cost);
        if self.neighbours.contains_key(&neighbour) {
            return self.announce(now);
        }
        let mut new = Neighbour::new(now, self.own, neighbour);
        // So that the neighbour has the cable's other half before it has anything else.
        new.need(PageId { origin: self.own, page: 0 });
        self.neighbours.insert(neighbour, new);
        self.announce(now);
    }

    pub fn cable_down(&mut self, now: Moment, neighbour: SwitchId) {
        let Some(lost) = self.neighbours.remove(&neighbour) else { return };
        self.own_pages.remove_cable(neighbour);
        // Others did not pass these on to it, trusting this cable.
        for id in lost.needs().filter(|id| id.origin == self.own) {
            self.own_pages.repeat(id.page);
        }
        self.announce(now);
    }

    /// Says what has changed and may be said.
    pub fn announce(&mut self, now: Moment) {
        for (page, items) in self.own_pages.due(now) {
            let own = self.origins.get(&self.own).expect("a switch never forgets itself");
            let version = own.pages.get(&page).map_or(0, |page| page.version) + 1;
            let edition = Edition { incarnation: own.incarnation, version };
            let id = PageId { origin: self.own, page };
            self.install(now, id, edition, 0, &items);
            self.pass_on(id, None);
        }
    }

    pub fn hear(
        &mut self,
        now: Moment,
        neighbour: SwitchId,
        record: &[u8],
        out: &mut dyn Outlet,
    ) -> Result<(), Malformed> {
        let mut record = Record::read(record).ok_or(Malformed)?;
        while let Some(message) = record.next() {
            match message? {
                Message::Page { id, edition, age_seconds, items } => {
                    self.hear_page(now, neighbour, id, edition, age_seconds, items);
                }
                Message::Known(known) => self.hear_known(neighbour, known),
                Message::Digest(digest) => self.hear_digest(now, neighbour, digest, out),
                Message::Summary { after, to, editions } => {
                    self.hear_summary(neighbour, after, to, &editions);
                }
            }
        }
        Ok(())
    }

    fn hear_page(
        &mut self,
        now: Moment,
        from: SwitchId,
        id: PageId,
        edition: Edition,
        age_seconds: u32,
        items: &[u8],
    ) {
        if let Some(neighbour) = self.neighbours.get_mut(&from) {
            neighbour.acknowledge(id, edition);
        }
        let age_ms = i64::from(age_seconds) * 1_000;
        let ours = self.edition(id);
        match ours {
            // Of an earlier start of this switch.
            _ if id.origin == self.own => {
                let own = self.origins[&self.own].incarnation;
                if edition.incarnation < own {
                    let pages = self.origins[&self.own].pages.keys().copied().collect::<Vec<_>>();
                    self.push(from, self.own, pages);
                } else if edition.incarnation > own || ours.is_none_or(|ours| ours < edition) {
                    self.outlive(edition.incarnation);
                }
            }
            Some(ours) if ours == edition => {
                if let Some(neighbour) = self.neighbours.get_mut(&from) {
                    neighbour.satisfied(id);
                }
            }
            _ if age_ms > FORGET_MS => {}
            _ => {
                let newest = self.origins.get(&id.origin).map_or(0, |origin| origin.incarnation);
                if edition.incarnation < newest || ours.is_some_and(|ours| ours > edition) {
                    let pages = self.origins[&id.origin].pages.keys().copied().collect::<Vec<_>>();
                    self.push(from, id.origin, pages);
                    return;
                }
                self.install(now, id, edition, age_ms, items);
                if let Some(neighbour) = self.neighbours.get_mut(&from) {
                    neighbour.satisfied(id);
                }
                self.pass_on(id, Some(from));
            }
        }
    }

    /// This switch has lost count of its starts: others know it by a number that it has not reached
    /// yet, or has again. It goes on under a later one, and says everything anew.
    fn outlive(&mut self, incarnation: u64) {
        let own = self.origins.get_mut(&self.own).expect("a switch never forgets itself");
        for (page, said) in std::mem::take(&mut own.pages) {
            let edition = Edition { incarnation: own.incarnation, version: said.version };
            self.digest.remove(PageId { origin: self.own, page }, edition);
        }
        own.incarnation = incarnation.saturating_add(1);
        self.own_pages.repeat_all();
    }

    fn hear_known(&mut self, from: SwitchId, known: Vec<(PageId, Edition)>) {
        for (id, edition) in known {
            let ours = self.edition(id);
            let Some(neighbour) = self.neighbours.get_mut(&from) else { return };
            if ours.is_none_or(|ours| edition >= ours) {
                neighbour.satisfied(id);
            }
        }
    }

    fn hear_digest(&mut self, now: Moment, from: SwitchId, theirs: Digest, out: &mut dyn Outlet) {
        let Some(neighbour) = self.neighbours.get_mut(&from) else { return };
        if neighbour.compare(now, theirs, self.digest) {
            neighbour.summarize(&editions(&self.origins), out);
        }
    }

    fn hear_summary(
        &mut self,
        from: SwitchId,
        after: PageId,
        to: PageId,
        editions: &[(PageId, Edition)],
    ) {
        let theirs: BTreeMap<PageId, Edition> = editions.iter().copied().collect();
        let Some(neighbour) = self.neighbours.get_mut(&from) else { return };
        let origins = self.origins.range(after.origin..).take_while(|(id, _)| **id <= to.origin);
        for (switch, origin) in origins {
            for (number, page) in &origin.pages {
                let id = PageId { origin: *switch, page: *number };
                let ours = Edition { incarnation: origin.incarnation, version: page.version };
                if id > after && id <= to && theirs.get(&id).is_none_or(|theirs| *theirs < ours) {
                    neighbour.need(id);
                }
            }
        }
    }

    fn edition(&self, id: PageId) -> Option<Edition> {
        let origin = self.origins.get(&id.origin)?;
        let version = origin.pages.get(&id.page)?.version;
        Some(Edition { incarnation: origin.incarnation, version })
    }

    fn push(&mut self, to: SwitchId, origin: SwitchId, pages: Vec<u16>) {
        let Some(neighbour) = self.neighbours.get_mut(&to) else { return };
        for page in pages {
            neighbour.need(PageId { origin, page });
        }
    }

    /// To every neighbour that does not get it from its author.
    fn pass_on(&mut self, id: PageId, from: Option<SwitchId>) {
        let says = |who: &SwitchId, whom: &SwitchId| {
            self.cables.get(who).is_some_and(|cables| cables.contains_key(whom))
        };
        let others = self.neighbours.keys().copied().filter(|other| {
            let has_cable = says(&id.origin, other) && says(other, &id.origin);
            Some(*other) != from && *other != id.origin && (id.origin == self.own || !has_cable)
        });
        for other in others.collect::<Vec<_>>() {
            if let Some(neighbour) = self.neighbours.get_mut(&other) {
                neighbour.need(id);
            }
        }
    }

    /// Replaces what was known of the page; and of its author, if that has begun anew.
    fn install(&mut self, now: Moment, id: PageId, edition: Edition, age_ms: i64, items: &[u8]) {
        let is_earlier = |origin: &Origin| origin.incarnation < edition.incarnation;
        if self.origins.get(&id.origin).is_some_and(is_earlier) {
            self.forget(id.origin);
        }
        let alive_ms = now.as_millis() as i64 - age_ms;
        let origin = self.origins.entry(id.origin).or_insert_with(|| Origin {
            incarnation: edition.incarnation,
            alive_ms,
            pages: BTreeMap::new(),
        });
        origin.alive_ms = origin.alive_ms.max(alive_ms);
        let page = Page { version: edition.version, items: items.to_vec() };
        let before = origin.pages.insert(id.page, page);
        if let Some(before) = &before {
            let before = Edition { version: before.version, ..edition };
            self.digest.remove(id, before);
        }
        self.digest.add(id, edition);
        let before = before.map(|page| page.items).unwrap_or_default();
        self.note_stations(id.origin, &before, items);
        self.note_cables(id.origin, &before, items);
    }

    fn note_stations(&mut self, switch: SwitchId, before: &[u8], after: &[u8]) {
        if switch == self.own {
            return;
        }
        let (mut gone, mut come) = (stations(before), stations(after));
        gone.sort_unstable();
        come.sort_unstable();
        let unchanged: Vec<Station> =
            gone.iter().filter(|it| come.binary_search(it).is_ok()).cloned().collect();
        gone.retain(|station| unchanged.binary_search(station).is_err());
        come.retain(|station| unchanged.binary_search(station).is_err());
        if !gone.is_empty() || !come.is_empty() {
            self.news.stations.push(StationNews { switch, gone, come });
        }
    }

    fn note_cables(&mut self, switch: SwitchId, before: &[u8], after: &[u8]) {
        let on_page = |items| cables(items).collect::<Vec<_>>();
        let is_known = self.cables.contains_key(&switch);
        if is_known && on_page(before) == on_page(after) {
            return;
        }
        let pages = self.origins.get(&switch).into_iter().flat_map(|origin| origin.pages.values());
        let said = pages.flat_map(|page| cables(&page.items)).collect();
        self.cables.insert(switch, said);
        self.news.cables_changed = true;
    }

    fn forget(&mut self, switch: SwitchId) {
        let Some(origin) = self.origins.remove(&switch) else { return };
        for (page, known) in &origin.pages {
            let id = PageId { origin: switch, page: *page };
            let edition = Edition { incarnation: origin.incarnation, version: known.version };
            self.digest.remove(id, edition);
            self.note_stations(switch, &known.items, &[]);
        }
        self.cables.remove(&switch);
        self.news.cables_changed = true;
    }

    pub fn tick(&mut self, now: Moment) {
        if now.saturating_sub(self.said_alive) >= ALIVE {
            self.said_alive = now;
            self.own_pages.repeat(0);
        }
        self.announce(now);
        if now.saturating_sub(self.swept) >= Duration::from_secs(1) {
            self.swept = now;
            let now_ms = now.as_millis() as i64;
            let is_silent = |(switch, origin): (&SwitchId, &Origin)| {
                let is_over = *switch != self.own && now_ms - origin.alive_ms > FORGET_MS;
                is_over.then_some(*switch)
            };
            let silent: Vec<SwitchId> = self.origins.iter().filter_map(is_silent).collect();
            silent.into_iter().for_each(|switch| self.forget(switch));
        }
        self.neighbours.values_mut().for_each(|neighbour| neighbour.tick(now));
    }

    /// Sends what there is to be sent.
    pub fn flush(&mut self, now: Moment, out: &mut dyn Outlet) {
        for neighbour in self.neighbours.values_mut() {
            neighbour.flush(now, &self.origins, self.digest, out);
        }
    }
}

/// All that is known, ascending.
fn editions(origins: &BTreeMap<SwitchId, Origin>) -> Vec<(PageId, Edition)> {
    let mut editions = Vec::new();
    for (switch, origin) in origins {
        for (number, page) in &origin.pages {
            let edition = Edition { incarnation: origin.incarnation, version: page.version };
            editions.push((PageId { origin: *switch, page: *number }, edition));
        }
    }
    editions
}

fn stations(items: &[u8]) -> Vec<Station> {
    let stations = Items(items).filter_map(|item| match item? {
        Item::Station(station) => Some(station),
        Item::Cable { .. } => None,
    });
    stations.collect()
}

fn cables(items: &[u8]) -> impl Iterator<Item = (SwitchId, u32)> {
    Items(items).filter_map(|item| match item? {
        Item::Cable { neighbour, cost } => Some((neighbour, cost)),
        Item::Station(_) => None,
    })
}
