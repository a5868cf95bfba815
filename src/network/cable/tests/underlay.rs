//! A simulated underlay: hosts with clocks and disks, NATs, loss by seed, and somebody who records
//! everything and sends it again.

use crate::domain::{
    chance::Chance,
    overlay::{CableKey, EpochKeys, NetworkId, OverlayCharter, OverlayPeer, SwitchId},
};
use crate::network::{
    cable::{CableEvent, CableOptions, CableStatus, Cables, Incarnation, Opened, Refusal, WhyDown},
    record::{HOPS, Kind, RecordHeader},
};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::SocketAddr,
    time::Duration,
};

#[derive(Debug, Clone)]
pub struct Seeded(pub ChaCha8Rng);

impl Seeded {
    pub fn new(seed: u64) -> Seeded {
        Seeded(ChaCha8Rng::seed_from_u64(seed))
    }
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

impl Chance for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

pub fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The secret with which `from` seals for `to`.
pub fn secret(from: u32, to: u32, epoch: u32) -> CableKey {
    let mut key = [0x11; 32];
    key[0..4].copy_from_slice(&from.to_be_bytes());
    key[4..8].copy_from_slice(&to.to_be_bytes());
    key[8..12].copy_from_slice(&epoch.to_be_bytes());
    CableKey(key)
}

pub fn keys(own: u32, peer: u32, epoch: u32) -> EpochKeys {
    EpochKeys { epoch, sending: secret(own, peer, epoch), receiving: secret(peer, own, epoch) }
}

/// Which of a sender's datagrams a NAT maps alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// Whomever they are for.
    Independent,
    /// Those for one destination.
    Dependent,
}

/// Admits only from where something was sent to.
#[derive(Debug)]
pub struct Nat {
    pub mapping: Mapping,
    pub outside: [u8; 4],
    next_port: u16,
    ports: BTreeMap<(SocketAddr, Option<SocketAddr>), u16>,
    admits: BTreeSet<(u16, SocketAddr)>,
}

impl Nat {
    fn out(&mut self, from: SocketAddr, to: SocketAddr) -> SocketAddr {
        let key = (from, (self.mapping == Mapping::Dependent).then_some(to));
        let port = *self.ports.entry(key).or_insert_with(|| {
            self.next_port += 1;
            self.next_port
        });
        self.admits.insert((port, to));
        SocketAddr::from((self.outside, port))
    }
    fn r#in(&self, from: SocketAddr, to: SocketAddr) -> Option<SocketAddr> {
        let admitted = self.admits.contains(&(to.port(), from));
        let mapped = self.ports.iter().find(|(_, port)| **port == to.port());
        mapped.filter(|_| admitted).map(|((inside, _), _)| *inside)
    }
    /// Forgets everything, as after a restart.
    pub fn forget(&mut self) {
        self.ports.clear();
        self.admits.clear();
    }
}

#[derive(Debug)]
pub struct Host {
    pub cables: Option<Cables>,
    pub address: SocketAddr,
    pub nat: Option<Nat>,
    pub charter: OverlayCharter,
    /// What is on the disk.
    pub incarnation: u64,
    /// How far its clock is off.
    pub clock_ahead: Duration,
    next_tick: Duration,
    pub up: BTreeSet<u32>,
    pub events: Vec<(Duration, CableEvent)>,
}

#[derive(Debug, Clone)]
struct Flying {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
    /// What becomes of it: None if it is what was sent, for the first time.
    attack: Option<Attack>,
    original: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// The same bytes again.
    Repeated,
    /// Other bytes.
    Altered,
}

pub struct World {
    pub now: Duration,
    pub chance: Seeded,
    pub hosts: BTreeMap<u32, Host>,
    pub options: CableOptions,
    pub loss_percent: u64,
    pub repeat_percent: u64,
    pub delay: (u64, u64),
    /// The largest datagram that passes.
    pub largest: usize,
    pub cut: BTreeSet<(u32, u32)>,
    /// How many recorded datagrams are sent again, each 100 ms.
    pub attacks: u64,
    flying: BTreeMap<(Duration, u64), Flying>,
    number: u64,
    recorded: Vec<Flying>,
    arrived: HashSet<u64>,
    pub sent: BTreeMap<(u32, u32), u64>,
    pub accepted: BTreeMap<(u32, u32), BTreeSet<u64>>,
    pub refused: BTreeMap<Refusal, u64>,
    /// Everything ever sent, for whoever listens.
    pub heard: Vec<u8>,
    pub listens: bool,
    next_attack: Duration,
}

impl World {
    /// Switches 1 to `count`, each with a host and endpoints that all know, all in epoch 1.
    pub fn new(seed: u64, count: u32) -> World {
        let mut world = World {
            now: Duration::ZERO,
            chance: Seeded::new(seed),
            hosts: BTreeMap::new(),
            options: CableOptions::default(),
            loss_percent: 0,
            repeat_percent: 0,
            delay: (5, 15),
            largest: 1472,
            cut: BTreeSet::new(),
            attacks: 0,
            flying: BTreeMap::new(),
            number: 0,
            recorded: Vec::new(),
            arrived: HashSet::new(),
            sent: BTreeMap::new(),
            accepted: BTreeMap::new(),
            refused: BTreeMap::new(),
            heard: Vec::new(),
            listens: false,
            next_attack: Duration::ZERO,
        };
        for own in 1..=count {
            let address = SocketAddr::from(([192, 0, 2, own as u8], 4500));
            let host = Host {
                cables: None,
                address,
                nat: None,
                charter: OverlayCharter::default(),
                incarnation: 0,
                clock_ahead: Duration::ZERO,
                next_tick: ms(u64::from(own) * 7),
                up: BTreeSet::new(),
                events: Vec::new(),
            };
            world.hosts.insert(own, host);
        }
        for own in 1..=count {
            world.hosts.get_mut(&own).unwrap().charter = world.full_charter(own, &[1]);
        }
        world
    }

    pub fn full_charter(&self, own: u32, epochs: &[u32]) -> OverlayCharter {
        let peers =
            self.hosts.iter().filter(|(peer, _)| **peer != own).map(|(peer, host)| OverlayPeer {
                switch: SwitchId(*peer),
                name: format!("n{peer}"),
                endpoints: vec![host.address],
                keys: epochs.iter().map(|epoch| keys(own, *peer, *epoch)).collect(),
            });
        let (revision, own_name) = (1, format!("n{own}"));
        OverlayCharter { revision, own: SwitchId(own), own_name, peers: peers.collect() }
    }

    pub fn put_behind_nat(&mut self, own: u32, mapping: Mapping) {
        let host = self.hosts.get_mut(&own).unwrap();
        host.address = SocketAddr::from(([10, 0, 0, own as u8], 4500));
        host.nat = Some(Nat {
            mapping,
            outside: [198, 51, 100, own as u8],
            next_port: 10_000,
            ports: BTreeMap::new(),
            admits: BTreeSet::new(),
        });
        for own in self.hosts.keys().copied().collect::<Vec<_>>() {
            self.hosts.get_mut(&own).unwrap().charter = self.full_charter(own, &[1]);
        }
    }

    pub fn start_all(&mut self) {
        for own in self.hosts.keys().copied().collect::<Vec<_>>() {
            self.start(own);
        }
    }

    /// The process begins: its number is durable before anything is sealed.
    pub fn start(&mut self, own: u32) {
        let chance = Seeded::new(self.chance.0.next_u64());
        let host = self.hosts.get_mut(&own).unwrap();
        host.incarnation += 1;
        let incarnation = Incarnation::imagined(host.incarnation);
        let mut cables = Cables::new(incarnation, Box::new(chance), self.options.clone());
        cables.set_charter(self.now + host.clock_ahead, &host.charter);
        host.cables = Some(cables);
        self.drain(own);
    }

    pub fn crash(&mut self, own: u32) {
        let host = self.hosts.get_mut(&own).unwrap();
        host.cables = None;
        host.up.clear();
    }

    pub fn set_epochs(&mut self, own: u32, epochs: &[u32]) {
        let mut charter = self.full_charter(own, epochs);
        charter.revision = self.hosts[&own].charter.revision + 1;
        self.set_charter(own, charter);
    }

    pub fn set_charter(&mut self, own: u32, charter: OverlayCharter) {
        let now = self.now;
        let host = self.hosts.get_mut(&own).unwrap();
        host.charter = charter;
        if let Some(cables) = &mut host.cables {
            cables.set_charter(now + host.clock_ahead, &host.charter);
        }
        self.drain(own);
    }

    pub fn cables(&mut self, own: u32) -> &mut Cables {
        self.hosts.get_mut(&own).unwrap().cables.as_mut().unwrap()
    }

    pub fn status(&self, own: u32, peer: u32) -> CableStatus {
        let all = self.hosts[&own].cables.as_ref().unwrap().status();
        all.into_iter().find(|status| status.neighbour == SwitchId(peer)).unwrap()
    }

    pub fn is_up(&self, a: u32, b: u32) -> bool {
        self.hosts[&a].up.contains(&b) && self.hosts[&b].up.contains(&a)
    }

    pub fn all_up(&self) -> bool {
        self.hosts.keys().all(|a| self.hosts.keys().all(|b| a == b || self.is_up(*a, *b)))
    }

    /// How often a cable went down at this end.
    pub fn downs(&self, own: u32) -> Vec<WhyDown> {
        let events = self.hosts[&own].events.iter();
        let downs = events.filter_map(|(_, event)| match event {
            CableEvent::Down { why, .. } => Some(why.clone()),
            _ => None,
        });
        downs.collect()
    }

    pub fn cut_both_ways(&mut self, a: u32, b: u32) {
        self.cut.extend([(a, b), (b, a)]);
    }

    /// A frame of this size; false if the cable does not take it.
    pub fn send(&mut self, from: u32, to: u32, size: usize) -> bool {
        let number = *self.sent.get(&(from, to)).unwrap_or(&0);
        let header = RecordHeader {
            kind: Kind::Frame,
            network: NetworkId::new(7),
            hops: HOPS,
            is_last: false,
            is_ipv6: false,
            index: 0,
            destination: SwitchId(to),
            source: SwitchId(from),
            sequence: number as u32,
            checksum: None,
        };
        let mut payload = number.to_be_bytes().to_vec();
        payload.extend_from_slice(b"never to be seen on the underlay");
        payload.resize(size.max(payload.len()), 0xee);
        let mut datagram = Vec::new();
        let (a, b) = payload.split_at(9);
        let sealed = self.cables(from).seal(SwitchId(to), &header, &[a, b], &mut datagram);
        let Ok(address) = sealed else { return false };
        self.sent.insert((from, to), number + 1);
        self.emit(from, address, datagram);
        true
    }

    /// What was sent from one to the other and was not accepted.
    pub fn lost(&self, from: u32, to: u32) -> u64 {
        let accepted = self.accepted.get(&(from, to)).map_or(0, |accepted| accepted.len() as u64);
        self.sent.get(&(from, to)).unwrap_or(&0) - accepted
    }

    fn emit(&mut self, own: u32, to: SocketAddr, bytes: Vec<u8>) {
        if self.listens {
            self.heard.extend_from_slice(&bytes);
        }
        let host = self.hosts.get_mut(&own).unwrap();
        let from = match &mut host.nat {
            Some(nat) => nat.out(host.address, to),
            None => host.address,
        };
        self.number += 1;
        let flying = Flying { from, to, bytes, attack: None, original: self.number };
        if self.attacks > 0 {
            if self.recorded.len() < 2000 {
                self.recorded.push(flying.clone());
            } else {
                let place = self.chance.below(2000) as usize;
                self.recorded[place] = flying.clone();
            }
        }
        let target = self.host_at(from, to).map(|(host, _)| host);
        let is_cut = target.is_some_and(|target| self.cut.contains(&(own, target)));
        let is_lost = self.chance.below(100) < self.loss_percent;
        if is_cut || is_lost || flying.bytes.len() > self.largest {
            return;
        }
        if self.chance.below(100) < self.repeat_percent {
            self.fly(Flying { attack: Some(Attack::Repeated), ..flying.clone() });
        }
        self.fly(flying);
    }

    fn fly(&mut self, flying: Flying) {
        let (least, most) = self.delay;
        let delay = ms(least) + Duration::from_micros(self.chance.below((most - least) * 1000 + 1));
        self.number += 1;
        self.flying.insert((self.now + delay, self.number), flying);
    }

    /// Whose socket a datagram comes to, and as what.
    fn host_at(&self, from: SocketAddr, to: SocketAddr) -> Option<(u32, SocketAddr)> {
        for (own, host) in &self.hosts {
            let inside = match &host.nat {
                None => Some(to),
                Some(nat) if to.ip() == SocketAddr::from((nat.outside, 0)).ip() => {
                    nat.r#in(from, to)
                }
                Some(_) => None,
            };
            if inside == Some(host.address) {
                return Some((*own, host.address));
            }
        }
        None
    }

    fn drain(&mut self, own: u32) {
        let now = self.now;
        let host = self.hosts.get_mut(&own).unwrap();
        let Some(cables) = &mut host.cables else { return };
        while let Some(event) = cables.next_event() {
            match &event {
                CableEvent::Up { neighbour, .. } => {
                    assert!(host.up.insert(neighbour.0), "up twice");
                }
                CableEvent::Down { neighbour, .. } => {
                    assert!(host.up.remove(&neighbour.0), "down twice");
                }
                CableEvent::Cost { neighbour, .. } => assert!(host.up.contains(&neighbour.0)),
            }
            host.events.push((now, event));
        }
        let mut datagrams = Vec::new();
        while let Some(datagram) = cables.next_datagram() {
            datagrams.push(datagram);
        }
        for (to, bytes) in datagrams {
            self.emit(own, to, bytes);
        }
    }

    fn deliver(&mut self, flying: Flying) {
        let Some((own, _)) = self.host_at(flying.from, flying.to) else { return };
        let Flying { from, mut bytes, attack, original, .. } = flying;
        if self.hosts[&own].cables.is_some() {
            self.arrived.insert(original);
        }
        self.hand_over(own, from, &mut bytes, attack);
    }

    /// A datagram arrives. What is altered must be refused; what is accepted must have been sent,
    /// and not have been accepted before.
    pub fn hand_over(
        &mut self,
        own: u32,
        from: SocketAddr,
        bytes: &mut [u8],
        attack: Option<Attack>,
    ) -> Option<Refusal> {
        let now = self.now;
        let host = self.hosts.get_mut(&own).unwrap();
        let clock = now + host.clock_ahead;
        let cables = host.cables.as_mut()?;
        let mut refused = None;
        match cables.open(clock, from, bytes) {
            Opened::Record { neighbour, header, payload } => {
                assert_ne!(attack, Some(Attack::Altered), "an altered datagram was accepted");
                assert_eq!((header.source, header.destination), (neighbour, SwitchId(own)));
                let number = u64::from_be_bytes(payload[..8].try_into().unwrap());
                let path = (neighbour.0, own);
                assert!(number < self.sent[&path], "never sent");
                let is_new = self.accepted.entry(path).or_default().insert(number);
                assert!(is_new, "accepted twice");
            }
            Opened::Handled => assert_ne!(attack, Some(Attack::Altered)),
            Opened::Refused(why) => {
                *self.refused.entry(why).or_default() += 1;
                refused = Some(why);
            }
        }
        self.drain(own);
        refused
    }

    /// Sends again, cuts, alters and misdirects what was recorded.
    fn attack(&mut self) {
        for _ in 0..self.attacks.min(self.recorded.len() as u64) {
            let place = self.chance.below(self.recorded.len() as u64) as usize;
            let Flying { from, mut bytes, original, .. } = self.recorded[place].clone();
            let victims: Vec<u32> = self.hosts.keys().copied().collect();
            let victim = victims[self.chance.below(victims.len() as u64) as usize];
            let from = match self.chance.below(3) {
                0 => at("203.0.113.66:666"),
                _ => from,
            };
            let attack = match self.chance.below(4) {
                0 => {
                    let length = self.chance.below(bytes.len() as u64) as usize;
                    bytes.truncate(length);
                    Attack::Altered
                }
                1 => {
                    let bit = self.chance.below(8 * bytes.len() as u64) as usize;
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    Attack::Altered
                }
                2 => {
                    bytes.extend_from_slice(&[0; 3]);
                    Attack::Altered
                }
                // The attacker does the network's work: nothing tells this from a detour.
                _ if !self.arrived.contains(&original) => continue,
                _ => Attack::Repeated,
            };
            let events = self.hosts[&victim].events.len();
            self.hand_over(victim, from, &mut bytes, Some(attack));
            assert_eq!(
                self.hosts[&victim].events.len(),
                events,
                "{attack:?} brought about an event"
            );
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let arrival = self.flying.first_key_value().map(|((at, _), _)| *at);
            let tick = self.hosts.values().map(|host| host.next_tick).min().unwrap();
            let attack = if self.attacks > 0 { self.next_attack } else { Duration::MAX };
            let next = arrival.unwrap_or(Duration::MAX).min(tick).min(attack);
            if next > until {
                self.now = until;
                return;
            }
            self.now = self.now.max(next);
            if Some(next) == arrival {
                let (_, flying) = self.flying.pop_first().unwrap();
                self.deliver(flying);
            } else if next == attack {
                self.next_attack = self.now + ms(100);
                self.attack();
            } else {
                let host = self.hosts.iter_mut().find(|(_, host)| host.next_tick == next);
                let (own, host) = host.unwrap();
                let own = *own;
                host.next_tick += ms(100);
                let clock = self.now + host.clock_ahead;
                if let Some(cables) = &mut host.cables {
                    cables.tick(clock);
                }
                self.drain(own);
            }
        }
    }

    /// Lets time pass until it is so; how long that took.
    pub fn run_until(&mut self, most: Duration, is_so: impl Fn(&World) -> bool) -> Duration {
        let since = self.now;
        while !is_so(self) {
            assert!(self.now - since < most, "not so after {most:?}");
            self.run(ms(5));
        }
        self.now - since
    }
}
