//! Cables: what joins two switches. Sealed UDP datagrams, and everything that keeps them flowing.
//!
//! `Cables` are all cables of one switch. They hold no socket, no clock and no thread: datagrams go
//! in and come out, time is told, and whoever drives them reads `next_datagram` and `next_event`
//! until there is none. `docs/overlay-format.md` describes every byte.
//!
//! Promised: nothing leaves in clear, no nonce is used twice with a key over any history of crashes,
//! and a datagram that is cut, altered, repeated, foreign or for somebody else changes nothing but a
//! count. Memory is bounded by the charter, whoever sends what.
//!
//! Not here: who is reached over whom (`switch`), sockets and threads (`overlay`), where keys come
//! from (the managers). Lengths of datagrams and who speaks with whom are not hidden.

mod addresses;
mod clock;
mod conversation;
mod datagram;
mod handshake;
mod incarnation;
mod keepalive;
mod note;
mod own;
mod path_mtu;
mod peer;
mod sealing;
mod session;
mod status;
mod window;

#[cfg(test)]
mod tests;

pub use incarnation::{Incarnation, IncarnationFault};
pub use status::{CableEvent, CableStatus, Refusal, Refusals, WhyDown};

use crate::domain::{
    chance::Chance,
    overlay::{OverlayCharter, SwitchId},
};
use crate::network::record::RecordHeader;
use clock::Clock;
use datagram::{HelloClear, Kind, Outer};
use note::{MOST_NAMED, Note};
use own::Own;
use peer::{MOST_PEERS, OpenedRecord, Peer};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

/// Since any fixed start.
pub type Moment = Duration;

#[derive(Debug, Clone)]
pub struct CableOptions {
    /// A session is renewed after so long,
    pub renew_after: Duration,
    /// or after so many datagrams in one direction.
    pub renew_after_datagrams: u64,
    /// No session seals more datagrams than this.
    pub most_datagrams: u64,
    /// The sizes of datagrams that are tried, as UDP's payload, ascending, none below 450. The first
    /// is taken for granted.
    pub sizes: Vec<u16>,
}

impl Default for CableOptions {
    fn default() -> CableOptions {
        CableOptions {
            renew_after: Duration::from_secs(180),
            // RFC 9001, section 6.6, would not have AES-GCM seal more than 2²³ packets with a key.
            renew_after_datagrams: 1 << 22,
            most_datagrams: 1 << 23,
            // What every IPv4 host takes; then common MTUs less the headers of IP and UDP: tunnels,
            // PPPoE and Ethernet with IPv6 and IPv4, jumbo frames.
            sizes: vec![508, 1200, 1400, 1432, 1444, 1452, 1464, 1472, 8900, 8952, 8972],
        }
    }
}

/// All cables of one switch.
#[derive(Debug)]
pub struct Cables {
    own: Own,
    peers: Vec<Option<Peer>>,
    places: BTreeMap<SwitchId, usize>,
    revision: Option<u64>,
    clock: Clock,
    refused: Refusals,
    /// Who is asked next where a peer is.
    asked: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Opened<'d> {
    /// For the switch. Take the events first: this may be what brought the cable up.
    Record {
        neighbour: SwitchId,
        header: RecordHeader,
        payload: &'d mut [u8],
    },
    /// Between the cables themselves.
    Handled,
    Refused(Refusal),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotSeal {
    #[error("switch `{0}` is no peer")]
    UnknownPeer(SwitchId),
    #[error("the cable to switch `{0}` is down")]
    Down(SwitchId),
    #[error("a datagram on the cable to switch `{neighbour}` has room for {room} bytes only")]
    TooLarge { neighbour: SwitchId, room: usize },
    #[error("the session with switch `{0}` has sealed all it may")]
    Exhausted(SwitchId),
}

impl Cables {
    /// Without a charter there are none.
    pub fn new(incarnation: Incarnation, chance: Box<dyn Chance>, options: CableOptions) -> Cables {
        Cables {
            own: Own::new(incarnation, chance, options),
            peers: Vec::new(),
            places: BTreeMap::new(),
            revision: None,
            clock: Clock::default(),
            refused: Refusals::default(),
            asked: 0,
        }
    }

    /// Replaces what the managers said. What is in both is not disturbed; an older charter than the
    /// last is ignored.
    pub fn set_charter(&mut self, now: Moment, charter: &OverlayCharter) {
        if self.revision.is_some_and(|revision| charter.revision < revision) {
            return;
        }
        let now = self.clock.advance(now);
        self.revision = Some(charter.revision);
        let is_renamed = self.own.switch != charter.own;
        let named: BTreeMap<_, _> = charter
            .peers
            .iter()
            .filter(|peer| peer.switch != charter.own && peer.switch != SwitchId::EVERYBODY)
            .map(|peer| (peer.switch, peer))
            .collect();
        let gone = self.places.keys().filter(|switch| is_renamed || !named.contains_key(switch));
        for switch in gone.copied().collect::<Vec<_>>() {
            self.remove(switch);
        }
        self.own.switch = charter.own;
        for (switch, peer) in named {
            if let Some(place) = self.place(switch)
                && let Some(known) = &mut self.peers[place]
            {
                known.set_charter(&mut self.own, now, peer);
            }
        }
    }

    /// Opens a datagram in its place. Addresses are as charters write them: a socket that hears
    /// IPv4 as mapped IPv6 must translate.
    pub fn open<'d>(
        &mut self,
        now: Moment,
        from: SocketAddr,
        datagram: &'d mut [u8],
    ) -> Opened<'d> {
        let now = self.clock.advance(now);
        let (place, opened) = match Outer::read(datagram) {
            Err(why) => (None, Err(why)),
            Ok(outer) if outer.kind == Kind::Record => {
                let place = peer::position(outer.index);
                (Some(place), self.record(now, from, (place, outer), datagram))
            }
            Ok(outer) => match self.hello_place(datagram) {
                Err(why) => (None, Err(why)),
                Ok((place, clear)) => {
                    let hello = (clear, outer.counter);
                    let heard = self.peers[place]
                        .as_mut()
                        .ok_or(Refusal::UnknownPeer)
                        .and_then(|peer| peer.hello(&mut self.own, now, from, hello, datagram));
                    (Some(place), heard.map(|()| Opened::Handled))
                }
            },
        };
        opened.unwrap_or_else(|why| {
            self.refused.add(why);
            if let Some(Some(peer)) = place.and_then(|place| self.peers.get_mut(place)) {
                peer.refused.add(why);
            }
            Opened::Refused(why)
        })
    }

    /// Appends one datagram and says where to send it.
    pub fn seal(
        &mut self,
        neighbour: SwitchId,
        header: &RecordHeader,
        payload: &[&[u8]],
        into: &mut Vec<u8>,
    ) -> Result<SocketAddr, CannotSeal> {
        let place = self.places.get(&neighbour);
        let peer = place.and_then(|place| self.peers[*place].as_mut());
        let peer = peer.ok_or(CannotSeal::UnknownPeer(neighbour))?;
        peer.seal(&self.own, header, payload, into)
    }

    /// The largest payload behind a `RecordHeader` in one datagram; 0 while the cable is down.
    pub fn room(&self, neighbour: SwitchId) -> usize {
        let place = self.places.get(&neighbour);
        place.and_then(|place| self.peers[*place].as_ref()).map_or(0, Peer::room)
    }

    /// The kernel refused to send a datagram of this size (`EMSGSIZE`).
    pub fn too_large(&mut self, to: SocketAddr, size: usize) {
        for peer in self.peers.iter_mut().flatten() {
            if peer.address() == Some(to) {
                peer.too_large(size);
            }
        }
    }

    /// To be called about every 100 ms. Time that passes without is time in which nothing is missed:
    /// what is longer than half a second counts as half a second.
    pub fn tick(&mut self, now: Moment) {
        let now = self.clock.advance(now);
        let mut missing = Vec::new();
        for peer in self.peers.iter_mut().flatten() {
            if peer.tick(&mut self.own, now) && missing.len() < MOST_NAMED {
                missing.push(peer.switch);
            }
        }
        if !missing.is_empty() {
            self.ask(&Note::Ask(missing));
        }
    }

    /// To be taken until None after every other call but `seal`.
    pub fn next_datagram(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.own.next_datagram()
    }

    /// To be taken until None after every other call but `seal`, before what `open` returned is used.
    pub fn next_event(&mut self) -> Option<CableEvent> {
        self.own.events.pop_front()
    }

    /// Tells every neighbour that this switch stops, so that they need not find out, and has no
    /// cables from here on. The last datagrams are to be taken and sent.
    pub fn close(&mut self) {
        for peer in self.peers.iter_mut().flatten() {
            peer.tell_there(&mut self.own, &Note::Farewell);
        }
        self.peers.clear();
        self.places.clear();
        self.own.events.clear();
    }

    /// By number.
    pub fn status(&self) -> Vec<CableStatus> {
        let peers = self.places.values().filter_map(|place| self.peers[*place].as_ref());
        peers.map(|peer| peer.status(self.clock.now())).collect()
    }

    /// Everything refused, also what belongs to no cable.
    pub fn refused(&self) -> &Refusals {
        &self.refused
    }

    /// Where others see this switch, most seen first.
    pub fn outside_addresses(&self) -> Vec<SocketAddr> {
        let mut seen: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        for address in self.peers.iter().flatten().filter_map(Peer::seen_at) {
            *seen.entry(address).or_default() += 1;
        }
        let mut seen: Vec<_> = seen.into_iter().collect();
        seen.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        seen.into_iter().map(|(address, _)| address).collect()
    }

    fn record<'d>(
        &mut self,
        now: Moment,
        from: SocketAddr,
        (place, outer): (usize, Outer),
        datagram: &'d mut [u8],
    ) -> Result<Opened<'d>, Refusal> {
        let peer = self.peers.get_mut(place).and_then(Option::as_mut);
        let peer = peer.ok_or(Refusal::UnknownIndex)?;
        let neighbour = peer.switch;
        let session = (outer.index, outer.counter);
        match peer.open(&mut self.own, now, from, session, datagram)? {
            OpenedRecord::ForTheSwitch(header, payload) => {
                return Ok(Opened::Record { neighbour, header, payload });
            }
            OpenedRecord::Handled => {}
            OpenedRecord::Asked(switches) => self.introduce(place, &switches),
            OpenedRecord::Introduced(named) => {
                for (switch, address) in named {
                    if let Some(peer) = self.peer(switch) {
                        peer.introduce(now, address);
                    }
                }
            }
        }
        Ok(Opened::Handled)
    }

    /// Whom a hello claims to be from. One look-up, whatever it is.
    fn hello_place(&self, datagram: &[u8]) -> Result<(usize, HelloClear), Refusal> {
        let clear = HelloClear::read(datagram)?;
        if clear.receiver != self.own.switch {
            return Err(Refusal::NotForUs);
        }
        let place = self.places.get(&clear.sender).ok_or(Refusal::UnknownPeer)?;
        Ok((*place, clear))
    }

    /// Asks some of those who are there.
    fn ask(&mut self, question: &Note) {
        const ASKED: usize = 3;
        let count = self.peers.len();
        let mut left = ASKED;
        for step in 0..count {
            let place = (self.asked + step) % count;
            let Some(peer) = self.peers[place].as_mut().filter(|peer| peer.is_up()) else {
                continue;
            };
            peer.tell_there(&mut self.own, question);
            left -= 1;
            if left == 0 {
                self.asked = place + 1;
                return;
            }
        }
    }

    /// Tells the asker where others are, and them where it is, so that they call each other at once.
    fn introduce(&mut self, asker: usize, wanted: &[SwitchId]) {
        let Some(asking) = self.peers[asker].as_ref() else { return };
        let Some(there) = asking.address() else { return };
        let introduction = Note::Introduction(vec![(asking.switch, there)]);
        let mut found = Vec::new();
        for switch in wanted {
            let Some(&place) = self.places.get(switch).filter(|place| **place != asker) else {
                continue;
            };
            let Some(peer) = &mut self.peers[place] else { continue };
            if let Some(address) = peer.address() {
                found.push((*switch, address));
                peer.tell_there(&mut self.own, &introduction);
            }
        }
        if let Some(asking) = self.peers[asker].as_mut().filter(|_| !found.is_empty()) {
            asking.tell_there(&mut self.own, &Note::Introduction(found));
        }
    }

    fn peer(&mut self, switch: SwitchId) -> Option<&mut Peer> {
        let place = *self.places.get(&switch)?;
        self.peers[place].as_mut()
    }

    /// The place of a peer in the table, new if it has none; None if the table is full.
    fn place(&mut self, switch: SwitchId) -> Option<usize> {
        if let Some(place) = self.places.get(&switch) {
            return Some(*place);
        }
        let free = self.peers.iter().position(Option::is_none).unwrap_or(self.peers.len());
        if free == MOST_PEERS {
            return None;
        }
        if free == self.peers.len() {
            self.peers.push(None);
        }
        self.peers[free] = Some(Peer::new(&mut self.own, switch, free as u32));
        self.places.insert(switch, free);
        Some(free)
    }

    fn remove(&mut self, switch: SwitchId) {
        let Some(place) = self.places.remove(&switch) else { return };
        if let Some(mut peer) = self.peers[place].take() {
            peer.tell_there(&mut self.own, &Note::Farewell);
            peer.go_down(&mut self.own, WhyDown::NotInCharter);
        }
    }
}
