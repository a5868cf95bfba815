//! Switches joined by cables in memory, with delay and loss by seed, in time of their own.

use super::{Limits, Moment, Outlet, PortId, PortSpec, Switch};
use crate::{
    domain::{
        id::{InstanceId, InterfaceId},
        interface::MacAddress,
        overlay::{NetworkId, SwitchId},
        port_filter::{Cidr, Direction, Peers, Permit, PortFilter, Traffic},
    },
    network::{
        ethernet::{Arp, BROADCAST, Operation},
        frame::Frame,
        record::RecordHeader,
    },
};
use etherparse::PacketBuilder;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    net::Ipv4Addr,
    time::Duration,
};

pub const TICK: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub struct Collected {
    pub frames: Vec<(PortId, Vec<u8>)>,
    pub records: Vec<(SwitchId, RecordHeader, Vec<u8>)>,
}

impl Outlet for Collected {
    fn port(&mut self, port: PortId, frame: Frame<'_>) {
        self.frames.push((port, frame.bytes.to_vec()));
    }
    fn cable(&mut self, neighbour: SwitchId, header: RecordHeader, frame: Frame<'_>) {
        self.records.push((neighbour, header, frame.bytes.to_vec()));
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    from: SwitchId,
    to: SwitchId,
    header: [u8; crate::network::record::HEADER],
    bytes: Vec<u8>,
    /// Which laying of the cable it was sent over.
    laid: u64,
}

#[derive(Debug)]
pub struct World {
    pub now: Moment,
    pub switches: BTreeMap<SwitchId, Switch>,
    pub specs: BTreeMap<(SwitchId, PortId), PortSpec>,
    incarnations: BTreeMap<SwitchId, u64>,
    cables: BTreeMap<(SwitchId, SwitchId), u64>,
    laid: u64,
    in_flight: BinaryHeap<Reverse<(Moment, u64, Record)>>,
    sent: u64,
    next_tick: Moment,
    /// Of a thousand records.
    pub lost: u64,
    chance: u64,
    pub delivered: Vec<(SwitchId, PortId, Vec<u8>)>,
}

fn ends(a: u32, b: u32) -> (SwitchId, SwitchId) {
    (SwitchId(a.min(b)), SwitchId(a.max(b)))
}

impl World {
    pub fn new(switches: impl IntoIterator<Item = u32>) -> World {
        let mut world = World {
            now: Duration::from_secs(1),
            switches: BTreeMap::new(),
            specs: BTreeMap::new(),
            incarnations: BTreeMap::new(),
            cables: BTreeMap::new(),
            laid: 0,
            in_flight: BinaryHeap::new(),
            sent: 0,
            next_tick: Duration::from_secs(1),
            lost: 0,
            chance: 0x1234_5678_9abc_def1,
            delivered: Vec::new(),
        };
        for id in switches {
            world.start(id);
        }
        world
    }

    pub fn mesh(count: u32) -> World {
        let mut world = World::new(1..=count);
        for a in 1..=count {
            for b in a + 1..=count {
                world.lay(a, b);
            }
        }
        world
    }

    pub fn seeded(mut self, seed: u64) -> World {
        self.chance ^= seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        self
    }

    pub fn chance(&mut self, below: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % below
    }

    fn start(&mut self, id: u32) {
        let incarnation = self.incarnations.entry(SwitchId(id)).or_insert(0);
        *incarnation += 1;
        let switch = Switch::new(SwitchId(id), *incarnation, Limits::default());
        self.switches.insert(SwitchId(id), switch);
    }

    /// Has the switch do something, and sends what comes of it.
    pub fn with(&mut self, id: u32, does: impl FnOnce(&mut Switch, Moment, &mut Collected)) {
        let id = SwitchId(id);
        let mut out = Collected::default();
        let Some(switch) = self.switches.get_mut(&id) else { return };
        does(switch, self.now, &mut out);
        self.delivered.extend(out.frames.into_iter().map(|(port, frame)| (id, port, frame)));
        for (to, header, bytes) in out.records {
            let Some(laid) = self.cables.get(&ends(id.0, to.0)).copied() else { continue };
            let delay = Duration::from_micros(200 + self.chance(2_000));
            if self.chance(1_000) < self.lost {
                continue;
            }
            self.sent += 1;
            let record = Record { from: id, to, header: header.write(), bytes, laid };
            self.in_flight.push(Reverse((self.now + delay, self.sent, record)));
        }
    }

    pub fn lay(&mut self, a: u32, b: u32) {
        self.laid += 1;
        self.cables.insert(ends(a, b), self.laid);
        for (own, other) in [(a, b), (b, a)] {
            self.with(own, |switch, now, out| switch.cable_up(now, SwitchId(other), 1, out));
        }
    }

    pub fn cut(&mut self, a: u32, b: u32) {
        self.cables.remove(&ends(a, b));
        for (own, other) in [(a, b), (b, a)] {
            self.with(own, |switch, now, out| switch.cable_down(now, SwitchId(other), out));
        }
    }

    pub fn cables(&self) -> BTreeSet<(u32, u32)> {
        self.cables.keys().map(|(a, b)| (a.0, b.0)).collect()
    }

    /// The switch ends without a word, and its neighbours notice.
    pub fn crash(&mut self, id: u32) -> Vec<u32> {
        self.switches.remove(&SwitchId(id));
        let cables = self.cables();
        let neighbours = cables.into_iter().filter_map(|(a, b)| match (a == id, b == id) {
            (true, _) => Some(b),
            (_, true) => Some(a),
            _ => None,
        });
        let neighbours: Vec<u32> = neighbours.collect();
        for other in &neighbours {
            self.cut(id, *other);
        }
        neighbours
    }

    /// How often it has started is forgotten with its disk.
    pub fn lose_count(&mut self, id: u32) {
        self.incarnations.remove(&SwitchId(id));
    }

    /// It starts anew under its old number, with its ports.
    pub fn restart(&mut self, id: u32, neighbours: &[u32]) {
        self.start(id);
        let ports = self.specs.range((SwitchId(id), PortId(0))..=(SwitchId(id), PortId(u32::MAX)));
        let ports: Vec<_> = ports.map(|((_, port), spec)| (*port, spec.clone())).collect();
        for (port, spec) in ports {
            self.with(id, |switch, now, out| switch.attach(now, port, spec, out));
        }
        for other in neighbours {
            self.lay(id, *other);
        }
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next = self.in_flight.peek().map_or(Moment::MAX, |Reverse((at, ..))| *at);
            if next.min(self.next_tick) > end {
                self.now = end;
                return;
            }
            if self.next_tick <= next {
                self.now = self.next_tick;
                self.next_tick += TICK;
                for id in self.switches.keys().copied().collect::<Vec<_>>() {
                    self.with(id.0, |switch, now, out| switch.tick(now, out));
                }
                continue;
            }
            let Some(Reverse((at, _, record))) = self.in_flight.pop() else { continue };
            self.now = at;
            if self.cables.get(&ends(record.from.0, record.to.0)) != Some(&record.laid) {
                continue;
            }
            let (header, _) = RecordHeader::read(&record.header).unwrap();
            self.with(record.to.0, |switch, now, out| {
                switch.from_cable(now, record.from, header, Frame::whole(&record.bytes), out);
            });
        }
    }

    pub fn attach(&mut self, switch: u32, port: u32, spec: PortSpec) {
        self.specs.insert((SwitchId(switch), PortId(port)), spec.clone());
        self.with(switch, |it, now, out| it.attach(now, PortId(port), spec, out));
    }

    pub fn send(&mut self, switch: u32, port: u32, frame: &[u8]) {
        self.with(switch, |it, now, out| {
            it.from_port(now, PortId(port), Frame::whole(frame), out);
        });
    }

    /// How often each port has got this frame, since last asked.
    pub fn seen(&mut self, frame: &[u8]) -> BTreeMap<(u32, u32), usize> {
        let mut seen = BTreeMap::new();
        for (switch, port, _) in self.delivered.iter().filter(|(.., bytes)| bytes == frame) {
            *seen.entry((switch.0, port.0)).or_insert(0) += 1;
        }
        self.delivered.clear();
        seen
    }
}

pub fn network(number: u32) -> NetworkId {
    NetworkId::new(number).unwrap()
}

pub fn mac(number: u8) -> MacAddress {
    MacAddress([2, 0, 0, 0, 0, number])
}

pub fn ip(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, number)
}

/// Everything, both ways.
pub fn open() -> PortFilter {
    let permit = |direction| Permit {
        direction,
        traffic: Traffic::Any,
        peers: Peers::Ranges(vec![Cidr::ANY]),
    };
    PortFilter { permits: vec![permit(Direction::Ingress), permit(Direction::Egress)] }
}

/// The guest with this number, in a network in which everybody lets everything through.
pub fn guest(network_number: u32, number: u8) -> PortSpec {
    PortSpec {
        interface: format!("eni-{network_number:04x}{number:04x}").parse::<InterfaceId>().unwrap(),
        instance: format!("i-{network_number:04x}{number:04x}").parse::<InstanceId>().unwrap(),
        network: network(network_number),
        mac: mac(number),
        addresses: vec![ip(number)],
        subnet: "10.0.0.0/24".parse().unwrap(),
        dhcp_server: Some(ip(1)),
        mtu: 1400,
        filter: open(),
        checks_source: true,
    }
}

/// From one guest to another, or to everybody as 255.
pub fn udp(from: u8, to: u8, payload: &[u8]) -> Vec<u8> {
    let (to_mac, to_ip) = match to {
        255 => (BROADCAST, Ipv4Addr::BROADCAST),
        to => (mac(to), ip(to)),
    };
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(mac(from).0, to_mac.0)
        .ipv4(ip(from).octets(), to_ip.octets(), 64)
        .udp(4000, 5000)
        .write(&mut frame, payload)
        .unwrap();
    frame
}

pub fn question(from: u8, about: u8) -> Vec<u8> {
    let question = Arp {
        operation: Operation::Request,
        sender_mac: mac(from),
        sender: ip(from),
        target_mac: MacAddress([0; 6]),
        target: ip(about),
    };
    question.frame(BROADCAST).to_vec()
}
