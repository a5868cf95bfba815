//! What carries datagrams between hosts, badly: it loses, delays, repeats and reorders them, hides
//! hosts behind NATs that admit replies only, and is cut one way or both.

use super::chance::Seeded;
use crate::network::cable::Moment;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

/// The longest payload of UDP over IPv4 on Ethernet,
const ETHERNET: usize = 1472;
/// and on the narrowest link that carries IPv6, a tunnel perhaps.
pub const NARROW: usize = 1252;

/// How long a NAT remembers what it has not seen used.
const NAT_KEEPS: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Underlay {
    pub places: BTreeMap<u32, Place>,
    /// From whom to whom nothing gets through.
    pub cut: BTreeSet<(u32, u32)>,
    pub weather: Weather,
    /// The longest datagram that passes.
    pub largest: usize,
    pub sent: u64,
    chance: Seeded,
}

#[derive(Debug, Clone, Copy)]
pub struct Weather {
    pub loss_percent: u64,
    pub repeat_percent: u64,
    pub delay_ms: (u64, u64),
}

impl Weather {
    pub const FAIR: Weather = Weather { loss_percent: 0, repeat_percent: 1, delay_ms: (1, 12) };
}

/// Where a host is.
#[derive(Debug)]
pub struct Place {
    pub address: SocketAddr,
    pub nat: Option<Nat>,
}

/// Maps its one host alike whomever it speaks to, and admits only whom it spoke to.
#[derive(Debug)]
pub struct Nat {
    outside: SocketAddr,
    admits: BTreeMap<SocketAddr, Moment>,
}

#[derive(Debug, Clone)]
pub struct Datagram {
    pub sender: u32,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

impl Underlay {
    /// Hosts 1 to `count`, the last `hidden` of them behind NATs.
    pub fn new(count: u32, hidden: u32, chance: Seeded) -> Underlay {
        let places = (1..=count).map(|own| {
            let is_hidden = own > count - hidden;
            let nat = is_hidden.then(|| Nat::new([198, 51, 100, own as u8]));
            let inside = if is_hidden { [10, 9, 0, own as u8] } else { [192, 0, 2, own as u8] };
            (own, Place { address: SocketAddr::from((inside, 4500)), nat })
        });
        Underlay {
            places: places.collect(),
            cut: BTreeSet::new(),
            weather: Weather::FAIR,
            largest: ETHERNET,
            sent: 0,
            chance,
        }
    }

    /// When a datagram arrives, which may be never or twice.
    pub fn send(
        &mut self,
        now: Moment,
        sender: u32,
        to: SocketAddr,
        bytes: Vec<u8>,
    ) -> Vec<(Moment, Datagram)> {
        self.sent += 1;
        let place = self.places.get_mut(&sender).unwrap();
        let from = match &mut place.nat {
            Some(nat) => nat.out(now, to),
            None => place.address,
        };
        if bytes.len() > self.largest || self.chance.below(100) < self.weather.loss_percent {
            return Vec::new();
        }
        let datagram = Datagram { sender, from, to, bytes };
        let mut arrivals = Vec::with_capacity(1);
        if self.chance.below(100) < self.weather.repeat_percent {
            arrivals.push((self.arrival(now), datagram.clone()));
        }
        arrivals.push((self.arrival(now), datagram));
        arrivals
    }

    fn arrival(&mut self, now: Moment) -> Moment {
        let (least, most) = self.weather.delay_ms;
        now + Duration::from_micros(self.chance.between(least * 1000, most * 1000))
    }

    /// Whose socket a datagram has come to.
    pub fn receiver(&self, now: Moment, datagram: &Datagram) -> Option<u32> {
        let is_there = |place: &Place| match &place.nat {
            None => place.address == datagram.to,
            Some(nat) => nat.admits(now, datagram.from, datagram.to),
        };
        let (own, _) = self.places.iter().find(|(_, place)| is_there(place))?;
        (!self.cut.contains(&(datagram.sender, *own))).then_some(*own)
    }

    pub fn cut_both_ways(&mut self, a: u32, b: u32) {
        self.cut.extend([(a, b), (b, a)]);
    }

    pub fn is_open_both_ways(&self, a: u32, b: u32) -> bool {
        !self.cut.contains(&(a, b)) && !self.cut.contains(&(b, a))
    }

    /// The host, or what hides it, gets another address: one that another had before, perhaps.
    pub fn roam(&mut self, own: u32) {
        const ADDRESSES: u64 = 12;
        let number = 100 + self.chance.below(ADDRESSES) as u8;
        let address = SocketAddr::from(([192, 0, 2, number], 4500));
        let outside = Nat::new([198, 51, 100, number]);
        let is_taken = |place: &Place| match &place.nat {
            None => place.address == address,
            Some(nat) => nat.outside.ip() == outside.outside.ip(),
        };
        if self.places.values().any(is_taken) {
            return;
        }
        let place = self.places.get_mut(&own).unwrap();
        match &mut place.nat {
            None => place.address = address,
            Some(nat) => *nat = outside,
        }
    }
}

impl Nat {
    fn new(outside: [u8; 4]) -> Nat {
        Nat { outside: SocketAddr::from((outside, 20_000)), admits: BTreeMap::new() }
    }

    fn out(&mut self, now: Moment, to: SocketAddr) -> SocketAddr {
        self.admits.retain(|_, used| now - *used < NAT_KEEPS);
        if self.admits.is_empty() {
            let port = 20_000 + (self.outside.port() - 20_000 + 1) % 20_000;
            self.outside.set_port(port);
        }
        self.admits.insert(to, now);
        self.outside
    }

    fn admits(&self, now: Moment, from: SocketAddr, to: SocketAddr) -> bool {
        to == self.outside && self.admits.get(&from).is_some_and(|used| now - *used < NAT_KEEPS)
    }
}
