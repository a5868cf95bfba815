//! A switch at the far end of a cable: what it does not know yet, and the records that tell it.
//!
//! A page that it needs is sent, and again until it is known there. What is said at one time shares
//! records.

use super::{
    Moment, Outlet,
    announcement::{Digest, EDITIONS, Edition, Message, PageId, ROOM},
    link_state::Origin,
};
use crate::{
    domain::overlay::SwitchId,
    network::{
        frame::Frame,
        record::{Kind, RecordHeader},
    },
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

const RETRY: Duration = Duration::from_millis(200);
/// The pause doubles so often.
const RETRY_DOUBLINGS: u32 = 3;
/// Pages that a neighbour has not acknowledged, at a time.
const IN_FLIGHT: usize = 64;
const DIGEST_UNTIL_EQUAL: Duration = Duration::from_millis(200);
const DIGEST: Duration = Duration::from_secs(2);
const SUMMARY: Duration = Duration::from_millis(400);

#[derive(Debug)]
pub struct Neighbour {
    own: SwitchId,
    switch: SwitchId,
    is_equal: bool,
    differed: u32,
    /// Pages that it does not know, with when and how often they were sent.
    needs: BTreeMap<PageId, Option<(Moment, u32)>>,
    unsent: VecDeque<PageId>,
    /// Sent, and not acknowledged in time.
    again: Vec<PageId>,
    in_flight: usize,
    wants_digest: bool,
    digest_sent: Option<Moment>,
    summary_sent: Option<Moment>,
    /// A record that is being filled.
    record: Vec<u8>,
    known: Vec<(PageId, Edition)>,
}

impl Neighbour {
    pub fn new(now: Moment, own: SwitchId, switch: SwitchId) -> Neighbour {
        Neighbour {
            own,
            switch,
            is_equal: false,
            differed: 0,
            needs: BTreeMap::new(),
            unsent: VecDeque::new(),
            again: Vec::new(),
            in_flight: 0,
            wants_digest: true,
            digest_sent: Some(now),
            summary_sent: None,
            record: Vec::new(),
            known: Vec::new(),
        }
    }

    /// Also again, when there is a later edition.
    pub fn need(&mut self, id: PageId) {
        if let Some(Some(_)) = self.needs.insert(id, None) {
            self.in_flight -= 1;
        }
        self.unsent.push_back(id);
    }

    /// It knows the page as it is known here.
    pub fn satisfied(&mut self, id: PageId) {
        if let Some(Some(_)) = self.needs.remove(&id) {
            self.in_flight -= 1;
        }
    }

    /// What it does not know, as far as that is known here.
    pub fn needs(&self) -> impl Iterator<Item = &PageId> {
        self.needs.keys()
    }

    /// It said this, and is to be told that it was heard.
    pub fn acknowledge(&mut self, id: PageId, edition: Edition) {
        self.known.push((id, edition));
    }

    /// Compares what it knows with what is known here. True if it is time for a summary.
    pub fn compare(&mut self, now: Moment, theirs: Digest, ours: Digest) -> bool {
        if theirs == ours {
            self.is_equal = true;
            self.differed = 0;
            return false;
        }
        self.differed += 1;
        // A difference that is there twice is not just news on its way.
        let is_lasting = !self.is_equal || self.differed > 1;
        let pause = SUMMARY + Duration::from_millis(u64::from(ours.pages) / 10);
        let has_paused = self.summary_sent.is_none_or(|sent| now.saturating_sub(sent) >= pause);
        if !is_lasting || !has_paused {
            return false;
        }
        self.is_equal = false;
        self.summary_sent = Some(now);
        true
    }

    /// Tells it all that is known here, ascending, without what it says.
    pub fn summarize(&mut self, editions: &[(PageId, Edition)], out: &mut dyn Outlet) {
        let mut after = PageId::FIRST;
        let mut chunks = editions.chunks(EDITIONS).peekable();
        while let Some(chunk) = chunks.next() {
            let last = chunk.last().map_or(PageId::LAST, |(id, _)| *id);
            let to = if chunks.peek().is_some() { last } else { PageId::LAST };
            self.put(&Message::Summary { after, to, editions: chunk.to_vec() }, out);
            after = to;
        }
    }

    pub fn tick(&mut self, now: Moment) {
        for (id, sent) in &self.needs {
            if let Some((at, tries)) = sent
                && now.saturating_sub(*at) >= RETRY * (1 << (*tries).min(RETRY_DOUBLINGS))
            {
                self.again.push(*id);
            }
        }
        let pause = if self.is_equal { DIGEST } else { DIGEST_UNTIL_EQUAL };
        if self.digest_sent.is_none_or(|sent| now.saturating_sub(sent) >= pause) {
            self.digest_sent = Some(now);
            self.wants_digest = true;
        }
    }

    /// Sends what there is to be sent.
    pub fn flush(
        &mut self,
        now: Moment,
        origins: &BTreeMap<SwitchId, Origin>,
        digest: Digest,
        out: &mut dyn Outlet,
    ) {
        while !self.known.is_empty() {
            let count = self.known.len().min(EDITIONS);
            let known = self.known.drain(..count).collect();
            self.put(&Message::Known(known), out);
        }
        for id in std::mem::take(&mut self.again) {
            self.send_page(now, origins, id, out);
        }
        while self.in_flight < IN_FLIGHT
            && let Some(id) = self.unsent.pop_front()
        {
            if self.needs.get(&id) == Some(&None) {
                self.send_page(now, origins, id, out);
            }
        }
        // After the pages, so that it is compared with what they make known.
        if std::mem::take(&mut self.wants_digest) {
            self.put(&Message::Digest(digest), out);
        }
        self.send_record(out);
    }

    fn send_page(
        &mut self,
        now: Moment,
        origins: &BTreeMap<SwitchId, Origin>,
        id: PageId,
        out: &mut dyn Outlet,
    ) {
        let origin = origins.get(&id.origin);
        let page = origin.and_then(|origin| Some((origin, origin.pages.get(&id.page)?)));
        let Some((origin, page)) = page else {
            // It has been forgotten since.
            self.satisfied(id);
            return;
        };
        let Some(sent) = self.needs.get_mut(&id) else { return };
        self.in_flight += usize::from(sent.is_none());
        *sent = Some((now, sent.map_or(0, |(_, tries)| tries + 1)));
        let age_ms = match id.origin == self.own {
            true => 0,
            false => (now.as_millis() as i64 - origin.alive_ms).max(0),
        };
        let message = Message::Page {
            id,
            edition: Edition { incarnation: origin.incarnation, version: page.version },
            age_seconds: u32::try_from(age_ms / 1_000).unwrap_or(u32::MAX),
            items: &page.items,
        };
        self.put(&message, out);
    }

    fn put(&mut self, message: &Message<'_>, out: &mut dyn Outlet) {
        let before = self.record.len();
        message.write(&mut self.record);
        if self.record.len() > ROOM && before > 0 {
            self.record.truncate(before);
            self.send_record(out);
            message.write(&mut self.record);
        }
    }

    fn send_record(&mut self, out: &mut dyn Outlet) {
        if self.record.is_empty() {
            return;
        }
        let header = RecordHeader {
            kind: Kind::Routing,
            network: None,
            hops: 1,
            is_last: true,
            is_ipv6: false,
            index: 0,
            destination: self.switch,
            source: self.own,
            sequence: 0,
            checksum: None,
        };
        out.cable(self.switch, header, Frame::whole(&self.record));
        self.record.clear();
    }
}
