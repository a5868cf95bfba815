//! Who watches that what must never happen does not: a frame in a foreign network, a frame twice at
//! a port, a frame that goes round.

use super::probe::{Guest, Probe};
use crate::{
    domain::interface::MacAddress,
    network::{
        cable::{CableEvent, Moment},
        ethernet::{Content, Ethernet, Operation},
        record::HOPS,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    net::Ipv4Addr,
    time::Duration,
};

/// Nothing that is on its way arrives later.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Watch {
    hosts: usize,
    last: u64,
    probes: BTreeMap<u64, Sent>,
    answers: BTreeMap<(Guest, Ipv4Addr), MacAddress>,
    history: DefaultHasher,
    pub account: Account,
}

/// What there was in a life.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Account {
    pub datagrams: u64,
    pub frames_sent: u64,
    pub frames_delivered: u64,
    pub ups: u64,
    pub downs: u64,
    pub starts: u64,
    pub revisions: u64,
    pub troubles: u64,
    /// How often it was looked whether everybody reaches everybody, and over how many pairs.
    pub censuses: u64,
    pub pairs: u64,
    /// A cable or switch lost in a whole mesh, and how long it took at most.
    pub losses: u64,
    pub longest_heal: Duration,
    /// Of everything above and when it happened.
    pub history: u64,
}

#[derive(Debug)]
struct Sent {
    network: u32,
    is_for_all: bool,
    at: Moment,
    delivered: BTreeSet<(u32, Guest)>,
    copies: usize,
}

impl Watch {
    pub fn new(hosts: usize) -> Watch {
        Watch {
            hosts,
            last: 0,
            probes: BTreeMap::new(),
            answers: BTreeMap::new(),
            history: DefaultHasher::new(),
            account: Account::default(),
        }
    }

    /// The number for a frame that is sent now.
    pub fn number(&mut self, now: Moment, from: Guest, is_for_all: bool) -> u64 {
        while let Some(oldest) = self.probes.first_entry()
            && now - oldest.get().at > FORGOTTEN_AFTER
        {
            oldest.remove();
        }
        self.last += 1;
        let delivered = BTreeSet::new();
        let sent = Sent { network: from.network, is_for_all, at: now, delivered, copies: 0 };
        self.probes.insert(self.last, sent);
        self.account.frames_sent += 1;
        self.last
    }

    pub fn delivered(&mut self, now: Moment, host: u32, to: Guest, frame: &[u8]) {
        (now, host, to.network, to.number, frame).hash(&mut self.history);
        self.account.frames_delivered += 1;
        if let Some(probe) = Probe::read(frame) {
            let sent = self.probes.get_mut(&probe.number).expect("it was sent, and not long ago");
            assert_eq!(sent.network, probe.network);
            assert_eq!(to.network, probe.network, "a frame came to a foreign network: {to:?}");
            assert!(sent.delivered.insert((host, to)), "a frame came twice to a port: {to:?}");
        } else if let Some(Ethernet { content: Content::Arp(arp), .. }) = Ethernet::read(frame)
            && arp.operation == Operation::Reply
        {
            self.answers.insert((to, arp.sender), arp.sender_mac);
        }
    }

    /// A probe leaves by a cable.
    pub fn copied(&mut self, probe: Probe) {
        let sent = self.probes.get_mut(&probe.number).expect("it was sent, and not long ago");
        sent.copies += 1;
        // Everybody passes a frame for all on to everybody at most; another goes as far as it may.
        let hosts = self.hosts;
        let most = if sent.is_for_all { hosts * (hosts - 1) } else { usize::from(HOPS) };
        assert!(sent.copies <= most, "a frame goes round: {} times by a cable", sent.copies);
    }

    pub fn event(&mut self, now: Moment, host: u32, event: &CableEvent) {
        (now, host, format!("{event:?}")).hash(&mut self.history);
        match event {
            CableEvent::Up { .. } => self.account.ups += 1,
            CableEvent::Down { .. } => self.account.downs += 1,
            CableEvent::Cost { .. } => {}
        }
    }

    pub fn has_come(&self, number: u64, to: Guest) -> bool {
        let sent = &self.probes[&number];
        sent.delivered.iter().any(|(_, guest)| *guest == to)
    }

    /// How often it went over a cable.
    pub fn copies(&self, number: u64) -> usize {
        self.probes[&number].copies
    }

    /// What a question of this guest's was last answered.
    pub fn take_answer(&mut self, guest: Guest, about: Ipv4Addr) -> Option<MacAddress> {
        self.answers.remove(&(guest, about))
    }

    pub fn account(&self) -> Account {
        Account { history: self.history.finish(), ..self.account.clone() }
    }
}
