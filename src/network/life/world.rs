//! Everything there is, and time, which jumps from event to event.

use super::{
    chance::Seeded,
    cloud::Cloud,
    probe::{Guest, NETWORKS},
    process::{Outcome, Process, Sabotage},
    underlay::{Datagram, Place, Underlay},
    watch::Watch,
};
use crate::{
    domain::overlay::{OverlayCharter, OverlayPeer},
    network::{cable::Moment, switch::PortId},
};
use std::{collections::BTreeMap, time::Duration};

const TICK: Duration = Duration::from_millis(100);
/// How often a host says where it is, and asks whether there is news.
const CONSULT: Duration = Duration::from_secs(5);
const GUESTS: u8 = 4;

#[derive(Debug)]
pub struct World {
    pub now: Moment,
    pub chance: Seeded,
    pub underlay: Underlay,
    pub cloud: Cloud,
    pub hosts: BTreeMap<u32, Host>,
    /// Where each guest is.
    pub guests: BTreeMap<Guest, u32>,
    pub watch: Watch,
    pub sabotage: Option<Sabotage>,
    events: BTreeMap<(Moment, u64), Event>,
    numbered: u64,
}

#[derive(Debug)]
pub struct Host {
    pub process: Option<Process>,
    began: Moment,
    /// The incarnation on its disk.
    pub disk: u64,
    /// The kernel does not run the process until then, and drops what comes for it.
    pub stopped_until: Moment,
}

#[derive(Debug)]
enum Event {
    Tick(u32),
    Consult(u32),
    Arrival(Datagram),
    Charter(u32, OverlayCharter),
    /// A guest has moved on.
    Leave(Guest, u32),
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl World {
    pub fn new(seed: u64, count: u32, hidden: u32, sabotage: Option<Sabotage>) -> World {
        let mut chance = Seeded::new(seed);
        let mut world = World {
            now: Duration::ZERO,
            underlay: Underlay::new(count, hidden, chance.branch()),
            cloud: Cloud::new(chance.branch()),
            chance,
            hosts: BTreeMap::new(),
            guests: BTreeMap::new(),
            watch: Watch::new(count as usize),
            sabotage,
            events: BTreeMap::new(),
            numbered: 0,
        };
        let guests = NETWORKS
            .into_iter()
            .flat_map(|network| (1..=GUESTS).map(move |number| Guest { network, number }));
        for guest in guests {
            let host = world.chance.between(1, u64::from(count)) as u32;
            world.guests.insert(guest, host);
        }
        for own in 1..=count {
            let (began, stopped_until) = (Duration::ZERO, Duration::ZERO);
            world.hosts.insert(own, Host { process: None, began, disk: 0, stopped_until });
            world.after(ms(u64::from(own) * 7), Event::Tick(own));
            world.after(ms(u64::from(own)), Event::Consult(own));
            world.start(own);
        }
        world
    }

    /// The process begins: its number is on the disk before anything else.
    pub fn start(&mut self, own: u32) {
        let host = self.hosts.get_mut(&own).unwrap();
        if host.process.is_some() {
            return;
        }
        let is_forgetful = self.sabotage == Some(Sabotage::ForgetfulDisk);
        let chance = if is_forgetful { Seeded::new(1) } else { self.chance.branch() };
        let incarnation = host.disk + 1;
        if !is_forgetful {
            host.disk = incarnation;
        }
        host.began = self.now;
        host.process = Some(Process::start(incarnation, chance, self.sabotage));
        self.watch.account.starts += 1;
        let here = self.guests.iter().filter(|(_, host)| **host == own);
        for guest in here.map(|(guest, _)| *guest).collect::<Vec<_>>() {
            self.attach(guest, own);
        }
    }

    /// It ends without a word.
    pub fn crash(&mut self, own: u32) {
        self.hosts.get_mut(&own).unwrap().process = None;
    }

    pub fn attach(&mut self, guest: Guest, own: u32) {
        self.guests.insert(guest, own);
        self.with(own, |process, now| process.attach(now, guest.port(), guest.spec()));
    }

    pub fn detach(&mut self, guest: Guest) {
        let Some(own) = self.guests.remove(&guest) else { return };
        self.with(own, |process, now| process.detach(now, guest.port()));
    }

    /// To another host, where it is for a moment before it leaves the first, as a live migration
    /// has it.
    pub fn migrate(&mut self, guest: Guest, to: u32) {
        let Some(from) = self.guests.get(&guest).copied().filter(|from| *from != to) else {
            return;
        };
        self.attach(guest, to);
        self.after(ms(300), Event::Leave(guest, from));
    }

    pub fn is_running(&self, own: u32) -> bool {
        let host = &self.hosts[&own];
        host.process.is_some() && host.stopped_until <= self.now
    }

    /// Sends a frame from one guest to another or to everybody; its number.
    pub fn send(&mut self, from: Guest, to: Option<Guest>) -> u64 {
        let number = self.watch.number(self.now, from, to.is_none());
        let frame = from.frame(to, number);
        self.from_guest(from, &frame);
        number
    }

    pub fn ask(&mut self, from: Guest, about: Guest) {
        self.from_guest(from, &from.question(about));
    }

    fn from_guest(&mut self, from: Guest, frame: &[u8]) {
        if let Some(own) = self.guests.get(&from).copied() {
            self.with(own, |process, now| process.send(now, from.port(), frame));
        }
    }

    /// Whether two switches must have a cable, given time: nothing cuts them off from each other,
    /// they have keys in common, and one of them knows where the other is.
    pub fn must_have_cable(&self, a: u32, b: u32) -> bool {
        let told = |own: u32, other: u32| -> Option<&OverlayPeer> {
            let process = self.hosts[&own].process.as_ref().filter(|_| self.is_running(own))?;
            let peers = &process.charter.as_ref()?.peers;
            peers.iter().find(|peer| peer.switch.0 == other)
        };
        let (Some(of_b), Some(of_a)) = (told(a, b), told(b, a)) else { return false };
        let has_common_keys = of_b.keys.iter().any(|ours| {
            of_a.keys
                .iter()
                .any(|theirs| (ours.epoch, &ours.sending) == (theirs.epoch, &theirs.receiving))
        });
        let is_found = |told: &OverlayPeer, place: &Place| {
            place.nat.is_none() && told.endpoints.contains(&place.address)
        };
        let places = &self.underlay.places;
        has_common_keys
            && self.underlay.is_open_both_ways(a, b)
            && (is_found(of_b, &places[&b]) || is_found(of_a, &places[&a]) || self.is_up(a, b))
    }

    /// Both ends have it.
    pub fn is_up(&self, a: u32, b: u32) -> bool {
        let has = |own: u32, other: u32| {
            self.hosts[&own].process.as_ref().is_some_and(|process| process.up.contains(&other))
        };
        has(a, b) && has(b, a)
    }

    pub fn cables(&self) -> Vec<(u32, u32)> {
        let all = self.hosts.keys().copied().collect::<Vec<_>>();
        let pairs = all.iter().flat_map(|a| all.iter().map(|b| (*a, *b)));
        pairs.filter(|(a, b)| a < b).collect()
    }

    pub fn is_whole(&self) -> bool {
        self.cables().iter().all(|(a, b)| self.is_up(*a, *b))
    }

    /// All pairs of guests of one network that must reach each other, directly or through others.
    pub fn pairs(&self) -> Vec<(Guest, Guest)> {
        let mut parts: BTreeMap<u32, u32> = self.hosts.keys().map(|own| (*own, *own)).collect();
        for (a, b) in self.cables() {
            if self.must_have_cable(a, b) {
                let (from, into) = (parts[&a], parts[&b]);
                parts.values_mut().filter(|part| **part == from).for_each(|part| *part = into);
            }
        }
        let guests = || self.guests.iter().filter(|(_, host)| self.is_running(**host));
        let pairs = guests().flat_map(|from| guests().map(move |to| (from, to)));
        let together = pairs.filter(|((from, here), (to, there))| {
            from != to && from.network == to.network && parts[here] == parts[there]
        });
        together.map(|((from, _), (to, _))| (*from, *to)).collect()
    }

    /// For people who wonder why.
    pub fn situation(&self) -> String {
        let mut said = format!("cut: {:?}, guests: {:?}\n", self.underlay.cut, self.guests);
        for (own, host) in &self.hosts {
            let Some(process) = &host.process else { continue };
            let revision = process.charter.as_ref().map(|charter| charter.revision);
            let place = &self.underlay.places[own];
            said += &format!("{own}: charter {revision:?}, {place:?}\n{}", process.situation());
        }
        said
    }

    /// Has a process do something, and does what comes of it.
    fn with(&mut self, own: u32, does: impl FnOnce(&mut Process, Moment) -> Outcome) {
        let host = self.hosts.get_mut(&own).unwrap();
        let Some(process) = &mut host.process else { return };
        let outcome = does(process, self.now - host.began);
        for event in &outcome.events {
            self.watch.event(self.now, own, event);
        }
        for probe in outcome.copies {
            self.watch.copied(probe);
        }
        for (port, frame) in outcome.frames {
            let PortId(port) = port;
            let guest = Guest { network: port >> 8, number: port as u8 };
            self.watch.delivered(self.now, own, guest, &frame);
        }
        for (to, bytes) in outcome.datagrams {
            for (at, datagram) in self.underlay.send(self.now, own, to, bytes) {
                self.at(at, Event::Arrival(datagram));
            }
        }
    }

    fn at(&mut self, at: Moment, event: Event) {
        self.numbered += 1;
        self.events.insert((at, self.numbered), event);
    }

    fn after(&mut self, pause: Duration, event: Event) {
        self.at(self.now + pause, event);
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(next) = self.events.first_entry()
            && next.key().0 <= until
        {
            let ((at, _), event) = next.remove_entry();
            self.now = at;
            self.happen(event);
        }
        self.now = until;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick(own) => {
                self.after(TICK, Event::Tick(own));
                if self.is_running(own) {
                    self.with(own, Process::tick);
                }
            }
            Event::Consult(own) => {
                self.after(CONSULT, Event::Consult(own));
                self.consult(own);
            }
            Event::Charter(own, charter) => {
                self.with(own, |process, now| process.set_charter(now, charter));
            }
            Event::Arrival(mut datagram) => {
                if let Some(own) = self.underlay.receiver(self.now, &datagram)
                    && self.is_running(own)
                {
                    let from = datagram.from;
                    self.with(own, |process, now| process.receive(now, from, &mut datagram.bytes));
                }
            }
            Event::Leave(guest, from) => {
                if self.guests.get(&guest) != Some(&from) {
                    self.with(from, |process, now| process.detach(now, guest.port()));
                }
            }
        }
    }

    fn consult(&mut self, own: u32) {
        let Some(process) = self.hosts[&own].process.as_ref().filter(|_| self.is_running(own))
        else {
            return;
        };
        let mut endpoints = vec![self.underlay.places[&own].address];
        endpoints.extend(process.outside_addresses());
        endpoints.dedup();
        let known = process.charter.as_ref().map(|charter| charter.revision);
        if let Some((at, charter)) = self.cloud.consult(self.now, own, endpoints, known) {
            self.at(at, Event::Charter(own, charter));
        }
    }
}
