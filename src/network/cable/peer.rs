//! The cable to one other switch, up or down, and what is done about it as time passes.
//!
//! ```text
//!           a hello proves to be fresh (handshake)
//!    down ──────────────────────────────────────────▶ up ─┐ renewed: by time, by volume,
//!     ▲ calls every address, more and more rarely     │ ◀─┘ for a newer epoch
//!     └───────────────────────────────────────────────┘
//!       silent · said farewell · began anew · keys or name withdrawn
//! ```

use super::handshake::{Calling, Hints, Stranger, Unconfirmed};
use super::{
    CableEvent, CableStatus, CannotSeal, Moment, Refusal, Refusals, WhyDown,
    addresses::Addresses,
    datagram::{HELLO, OUTER},
    keepalive::Keepalive,
    note::Note,
    own::Own,
    path_mtu::PathMtu,
    sealing::TAG,
    session::{Half, NotOpened, Session},
};
use crate::domain::overlay::{EpochKeys, OverlayPeer, SwitchId};
use crate::network::record::{HEADER, Kind, RecordHeader};
use std::{net::SocketAddr, time::Duration};

/// How many bytes of a datagram are not a record's payload.
pub(super) const OVERHEAD: usize = OUTER + HEADER + TAG;

/// How long what was sealed with the last session's keys is still opened.
const RETIRED_FOR: Duration = Duration::from_secs(10);

/// Each cable costs as much as a second of round trip, so that paths are short.
const COST: u32 = 1000;
const MOST_COST_OF_TIME: u32 = 1000;

#[derive(Debug)]
pub(super) struct Peer {
    pub switch: SwitchId,
    name: String,
    /// The place in the table of peers, which the indexes of its sessions begin with.
    position: u32,
    generation: u32,
    /// Ascending by epoch.
    pub(super) keys: Vec<EpochKeys>,
    pub(super) addresses: Addresses,
    /// Our half of the next session, until the peer's is known.
    pub(super) pending: Option<Half>,
    /// A session we have, and the peer perhaps not yet.
    pub(super) next: Option<Unconfirmed>,
    pub(super) live: Option<Live>,
    why_down: WhyDown,
    pub(super) calling: Calling,
    pub(super) stranger: Stranger,
    pub(super) hints: Hints,
    /// Hellos that name a session we have are counted apart: hellos recorded earlier and sent again
    /// cannot keep it from being renewed.
    pub(super) known_hellos: Allowance,
    pub(super) unknown_hellos: Allowance,
    pub(super) questions: Allowance,
    pub(super) sessions: u64,
    pub(super) sealed: Traffic,
    opened: Traffic,
    pub refused: Refusals,
}

#[derive(Debug, Default)]
pub(super) struct Traffic {
    pub datagrams: u64,
    pub bytes: u64,
}

/// What there is while the cable is up.
#[derive(Debug)]
pub(super) struct Live {
    pub session: Session,
    retired: Option<(Session, Moment)>,
    pub address: SocketAddr,
    pub keepalive: Keepalive,
    pub path: PathMtu,
    pub challenge: Option<Challenge>,
    cost: u32,
}

/// A ping to where the peer seems to be now: it is, if the pong comes from there.
#[derive(Debug)]
pub(super) struct Challenge {
    pub address: SocketAddr,
    pub ping: u32,
    pub at: Moment,
}

/// So many in a second, and no more.
#[derive(Debug)]
pub(super) struct Allowance {
    most: u32,
    since: Moment,
    taken: u32,
}

impl Allowance {
    pub fn per_second(most: u32) -> Allowance {
        Allowance { most, since: Moment::ZERO, taken: 0 }
    }
    pub fn take(&mut self, now: Moment) -> bool {
        if now.saturating_sub(self.since) >= Duration::from_secs(1) {
            (self.since, self.taken) = (now, 0);
        }
        self.taken += 1;
        self.taken <= self.most
    }
}

/// What a record turned out to be.
pub(super) enum OpenedRecord<'d> {
    ForTheSwitch(RecordHeader, &'d mut [u8]),
    Handled,
    /// The peer asks where these switches are.
    Asked(Vec<SwitchId>),
    /// The peer hears these switches there.
    Introduced(Vec<(SwitchId, SocketAddr)>),
}

impl Peer {
    pub fn new(own: &mut Own, switch: SwitchId, position: u32) -> Peer {
        Peer {
            switch,
            name: String::new(),
            position,
            generation: own.any(),
            keys: Vec::new(),
            addresses: Addresses::default(),
            pending: None,
            next: None,
            live: None,
            why_down: WhyDown::New,
            calling: Calling::default(),
            stranger: None,
            hints: Hints::default(),
            known_hellos: Allowance::per_second(20),
            unknown_hellos: Allowance::per_second(20),
            questions: Allowance::per_second(10),
            sessions: 0,
            sealed: Traffic::default(),
            opened: Traffic::default(),
            refused: Refusals::default(),
        }
    }

    /// Takes over what the managers say.
    pub fn set_charter(&mut self, own: &mut Own, now: Moment, charter: &OverlayPeer) {
        self.name.clone_from(&charter.name);
        let mut keys = charter.keys.clone();
        keys.sort_by_key(|keys| keys.epoch);
        keys.dedup_by_key(|keys| keys.epoch);
        let has_news = self.addresses.set_endpoints(&charter.endpoints) || keys != self.keys;
        if !has_news {
            return;
        }
        let old = std::mem::replace(&mut self.keys, keys);
        let is_kept = |epoch: u32| {
            let of = |keys: &[EpochKeys]| keys.iter().find(|keys| keys.epoch == epoch).cloned();
            of(&old) == of(&self.keys)
        };
        self.next.take_if(|next| !is_kept(next.session.epoch));
        if let Some(live) = &mut self.live {
            live.retired.take_if(|(session, _)| !is_kept(session.epoch));
            if !is_kept(live.session.epoch) {
                self.go_down(own, WhyDown::KeysWithdrawn);
            }
        }
        self.calling = Calling::at(now);
    }

    pub fn is_up(&self) -> bool {
        self.live.is_some()
    }

    /// Forgets every session, so that nothing sealed before is opened any more.
    pub fn go_down(&mut self, own: &mut Own, why: WhyDown) {
        self.next = None;
        self.pending = None;
        if self.live.take().is_some() {
            own.events.push_back(CableEvent::Down { neighbour: self.switch, why: why.clone() });
        }
        self.why_down = why;
        self.calling = Calling::default();
    }

    /// Goes over to a session that both ends have. `renews`: the peer had the cable up before.
    pub(super) fn go_live(
        &mut self,
        own: &mut Own,
        now: Moment,
        session: Session,
        address: SocketAddr,
        renews: bool,
    ) {
        self.next = None;
        self.sessions += 1;
        self.hints = Hints::default();
        if !renews && self.is_up() {
            let pending = self.pending.take();
            self.go_down(own, WhyDown::BeganAnew);
            self.pending = pending;
        }
        self.calling = Calling::default();
        self.addresses.hear(address);
        match &mut self.live {
            Some(live) => {
                let last = std::mem::replace(&mut live.session, session);
                live.retired = Some((last, now + RETIRED_FOR));
                live.keepalive.measure_anew(now);
                live.move_to(now, address);
            }
            None => {
                self.live = Some(Live {
                    session,
                    retired: None,
                    address,
                    keepalive: Keepalive::new(now, own.switch < self.switch),
                    path: PathMtu::new(now, own.sizes.clone()),
                    challenge: None,
                    cost: COST,
                });
                own.events.push_back(CableEvent::Up { neighbour: self.switch, cost: COST });
            }
        }
        // Tells the peer that it may use the session, if it does not know.
        self.ping(own, now, address);
        self.probe(own, now);
    }

    /// What is to be done as time passes. True if the peer was called and does not answer.
    pub fn tick(&mut self, own: &mut Own, now: Moment) -> bool {
        if let Some(live) = &self.live
            && live.keepalive.is_dead(now)
        {
            let address = live.address;
            self.go_down(own, WhyDown::Silent { address });
        }
        self.finish_again(own, now);
        if let Some(live) = &mut self.live {
            live.retired.take_if(|(_, until)| *until <= now);
            let opened = live.session.opened();
            live.keepalive.measure_loss(now, live.session.window(), opened);
            let address = live.address;
            if live.keepalive.is_ping_due(now) {
                self.ping(own, now, address);
            }
            self.probe(own, now);
            self.reckon_cost(own);
        }
        self.call(own, now)
    }

    pub fn seal(
        &mut self,
        own: &Own,
        header: &RecordHeader,
        payload: &[&[u8]],
        into: &mut Vec<u8>,
    ) -> Result<SocketAddr, CannotSeal> {
        let live = self.live.as_mut().ok_or(CannotSeal::Down(self.switch))?;
        let size = OVERHEAD + payload.iter().map(|part| part.len()).sum::<usize>();
        let limit = live.path.limit();
        if size > limit {
            return Err(CannotSeal::TooLarge { neighbour: self.switch, room: limit - OVERHEAD });
        }
        if live.session.sealed() >= own.options.most_datagrams {
            return Err(CannotSeal::Exhausted(self.switch));
        }
        live.session.seal(&header.write(), payload, 0, into);
        live.path.sent(size);
        self.sealed.datagrams += 1;
        self.sealed.bytes += size as u64;
        Ok(live.address)
    }

    pub fn room(&self) -> usize {
        self.live.as_ref().map_or(0, |live| live.path.limit() - OVERHEAD)
    }

    /// A record for one of our sessions with the peer.
    pub fn open<'d>(
        &mut self,
        own: &mut Own,
        now: Moment,
        from: SocketAddr,
        (index, counter): (u32, u64),
        datagram: &'d mut [u8],
    ) -> Result<OpenedRecord<'d>, Refusal> {
        let size = datagram.len();
        let live = self.live.as_mut();
        let (session, is_confirmation) = match (live, &mut self.next) {
            (Some(live), _) if live.session.ours.index == index => (&mut live.session, false),
            (_, Some(next)) if next.session.ours.index == index => (&mut next.session, true),
            (Some(Live { retired: Some((session, _)), .. }), _) if session.ours.index == index => {
                (session, false)
            }
            _ => return Err(Refusal::UnknownIndex),
        };
        let (record, is_newest) = session.open(counter, datagram).map_err(|why| match why {
            NotOpened::Replayed => Refusal::Replayed,
            NotOpened::Altered => Refusal::Altered,
        })?;
        let (header, _) = RecordHeader::read(record).ok_or(Refusal::Malformed)?;
        self.opened.datagrams += 1;
        self.opened.bytes += size as u64;
        if is_confirmation && let Some(next) = self.next.take() {
            self.go_live(own, now, next.session, from, next.renews);
        }
        if let Some(live) = &self.live
            && live.address != from
            && is_newest
            && size >= HELLO
            && live.session.ours.index == index
        {
            self.challenge(own, now, from);
        }
        let (_, payload) = record.split_at_mut(HEADER);
        if header.kind != Kind::Cable {
            return Ok(OpenedRecord::ForTheSwitch(header, payload));
        }
        if (header.source, header.destination) != (self.switch, own.switch) {
            return Err(Refusal::Malformed);
        }
        let note = Note::read(payload).ok_or(Refusal::Malformed)?;
        Ok(self.hear(own, now, from, note))
    }

    pub fn address(&self) -> Option<SocketAddr> {
        self.live.as_ref().map(|live| live.address)
    }

    pub fn seen_at(&self) -> Option<SocketAddr> {
        self.live.as_ref().and_then(|live| live.keepalive.seen_at())
    }

    pub fn too_large(&mut self, size: usize) {
        if let Some(live) = &mut self.live {
            live.path.too_large(size);
        }
    }

    fn reckon_cost(&mut self, own: &mut Own) {
        let Some(live) = &mut self.live else { return };
        let Some(round_trip) = live.keepalive.round_trip() else { return };
        let of_time = (round_trip.as_millis() as u32).min(MOST_COST_OF_TIME);
        let told = live.cost - COST;
        if of_time.abs_diff(told) > 10 + told / 4 {
            live.cost = COST + of_time;
            let cost = live.cost;
            own.events.push_back(CableEvent::Cost { neighbour: self.switch, cost });
        }
    }

    /// An index for a session: no other one of this peer's that still lives has it.
    pub(super) fn new_index(&mut self) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        index(self.position, self.generation)
    }

    /// Why the cable is down.
    pub fn why_down(&self, now: Moment) -> WhyDown {
        if self.keys.is_empty() {
            return WhyDown::KeysWithdrawn;
        }
        if !self.calling.is_in_vain() {
            return self.why_down.clone();
        }
        if let Some(theirs) = self.hints.unknown_epoch(now) {
            let ours = self.keys.iter().map(|keys| keys.epoch).collect();
            return WhyDown::NoCommonEpoch { theirs, ours };
        }
        if let Some(epoch) = self.hints.other_keys(now) {
            return WhyDown::OtherKeys { epoch };
        }
        match self.addresses.candidates(now) {
            none if none.is_empty() => WhyDown::NoAddress,
            tried => WhyDown::NoAnswer { tried },
        }
    }

    pub fn status(&self, now: Moment) -> CableStatus {
        let live = self.live.as_ref();
        let keepalive = live.map(|live| &live.keepalive);
        CableStatus {
            neighbour: self.switch,
            name: self.name.clone(),
            is_up: self.is_up(),
            why_down: (!self.is_up()).then(|| self.why_down(now).to_string()),
            address: self.address(),
            seen_at: self.seen_at(),
            candidates: self.addresses.candidates(now),
            epoch: live.map(|live| live.session.epoch),
            cost: live.map(|live| live.cost),
            round_trip_us: keepalive
                .and_then(Keepalive::round_trip)
                .map(|round_trip| round_trip.as_micros() as u64),
            loss_in: keepalive.map_or(0.0, Keepalive::loss_in),
            loss_out: keepalive.map_or(0.0, Keepalive::loss_out),
            datagram: live.map_or(0, |live| live.path.limit()),
            room: self.room(),
            sealed_datagrams: self.sealed.datagrams,
            sealed_bytes: self.sealed.bytes,
            opened_datagrams: self.opened.datagrams,
            opened_bytes: self.opened.bytes,
            refused: self.refused.clone(),
            sessions: self.sessions,
        }
    }
}

impl Live {
    pub fn move_to(&mut self, now: Moment, address: SocketAddr) {
        if self.address != address {
            self.address = address;
            self.challenge = None;
            self.path.forget(now);
        }
    }
}

const GENERATION_BITS: u32 = 12;

/// So many switches are told apart by the indexes of their sessions.
pub(super) const MOST_PEERS: usize = 1 << (32 - GENERATION_BITS);

fn index(position: u32, generation: u32) -> u32 {
    position << GENERATION_BITS | generation & ((1 << GENERATION_BITS) - 1)
}

/// Which peer a session with this index is with.
pub(super) fn position(index: u32) -> usize {
    (index >> GENERATION_BITS) as usize
}
