//! A switch that is told anything, by guests at its ports and by neighbours over cables.
//!
//! No frame comes out in another network than it came in from. What comes out is what came in, or
//! short; a guest whose source is checked speaks for nobody else, and hears nothing that is for
//! others. There is a bound to how much comes of one frame.
//!
//! Input: (length 2 · step) …, where a step is
//!   0 port 1 · frame                from a guest
//!   1 neighbour 1 · header 24 · frame   over a cable, any record
//!   2 neighbour 1 · payload         over a cable, between switches
//!   3 milliseconds 2                time passes, and a tick
//!   4 neighbour 1 · cost 1          a cable is up, or with cost 0 down
//!   5 port 1 · what 1               the port is gone, there again, open, or open for ssh only
#![no_main]

use mallee_fuzz::{
    domain::{
        interface::MacAddress,
        overlay::{NetworkId, SwitchId},
        port_filter::{Cidr, Direction, Payload, Permit, PortFilter, Traffic},
    },
    input::Input,
    network::{
        ethernet::{Content, Ethernet, is_multicast},
        frame::Frame,
        record::{Kind, RecordHeader},
        switch::{Limits, Outlet, PortId, PortSpec, SERVER_MAC, Switch},
    },
};
use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

const OWN: SwitchId = SwitchId(1);
const PORTS: u32 = 5;
const NEIGHBOURS: u32 = 3;

/// The longest answer to a question: DHCP's, in what every client takes.
const LONGEST_ANSWER: usize = 14 + 20 + 8 + 576;

/// What switches say to each other fits any path.
const LONGEST_ROUTING: usize = 1_200;

/// Of what one step makes: each port and cable may have the frame, and each port an answer; and
/// what there is to say between switches that know as little as an input holds.
const MOST_FRAMES: usize = 2 * PORTS as usize + NEIGHBOURS as usize;
const MOST_ROUTING: usize = 64;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut world = World::new();
    let mut input = Input(bytes);
    while let Some(step) = input.piece() {
        world.step(Input(step));
    }
    world.look();
});

struct World {
    now: Duration,
    switch: Switch,
    up: BTreeSet<SwitchId>,
}

impl World {
    fn new() -> World {
        let limits = Limits { flows_per_port: 16, fragmented_per_port: 4, ..Limits::default() };
        let mut world = World {
            now: Duration::from_secs(1),
            switch: Switch::new(OWN, 1, limits),
            up: BTreeSet::new(),
        };
        for port in 1..=PORTS {
            world.attach(port);
        }
        for neighbour in [2, 3] {
            world.cable(neighbour, 10);
        }
        world
    }

    fn step(&mut self, mut step: Input<'_>) -> Option<()> {
        match step.byte()? % 6 {
            0 => {
                let port = PortId(u32::from(step.byte()?) % PORTS + 1);
                let frame = Frame::whole(step.0);
                let (from, up) = (From::Port(port), self.up.clone());
                let mut seen = Seen::new(from, step.0, up);
                self.switch.from_port(self.now, port, frame, &mut seen);
            }
            1 => {
                let neighbour = neighbour(step.byte()?);
                let (header, frame) = RecordHeader::read(step.0)?;
                self.hear(neighbour, header, frame);
            }
            2 => {
                let neighbour = neighbour(step.byte()?);
                let header = RecordHeader {
                    kind: Kind::Routing,
                    network: None,
                    hops: 1,
                    is_last: true,
                    is_ipv6: false,
                    index: 0,
                    destination: OWN,
                    source: neighbour,
                    sequence: 0,
                    checksum: None,
                };
                self.hear(neighbour, header, step.0);
            }
            3 => {
                self.now += Duration::from_millis(step.half()?.into());
                let mut seen = Seen::new(From::Nobody, &[], self.up.clone());
                self.switch.tick(self.now, &mut seen);
            }
            4 => {
                let neighbour = neighbour(step.byte()?).0;
                self.cable(neighbour, u32::from(step.byte()?));
            }
            _ => {
                let port = u32::from(step.byte()?) % PORTS + 1;
                match step.byte()? % 4 {
                    0 => {
                        let mut seen = Seen::new(From::Nobody, &[], self.up.clone());
                        self.switch.detach(self.now, PortId(port), &mut seen);
                    }
                    1 => self.attach(port),
                    2 => self.switch.set_filter(PortId(port), open()),
                    _ => self.switch.set_filter(PortId(port), open_for_ssh()),
                }
            }
        }
        Some(())
    }

    fn hear(&mut self, neighbour: SwitchId, header: RecordHeader, frame: &[u8]) {
        let from = From::Cable(neighbour, header);
        let mut seen = Seen::new(from, frame, self.up.clone());
        self.switch.from_cable(self.now, neighbour, header, Frame::whole(frame), &mut seen);
    }

    fn attach(&mut self, port: u32) {
        let mut seen = Seen::new(From::Nobody, &[], self.up.clone());
        self.switch.attach(self.now, PortId(port), spec(PortId(port)), &mut seen);
    }

    fn cable(&mut self, neighbour: u32, cost: u32) {
        let neighbour = SwitchId(neighbour);
        if cost > 0 {
            self.up.insert(neighbour);
            let mut seen = Seen::new(From::Nobody, &[], self.up.clone());
            self.switch.cable_up(self.now, neighbour, cost, &mut seen);
        } else {
            self.up.remove(&neighbour);
            let mut seen = Seen::new(From::Nobody, &[], self.up.clone());
            self.switch.cable_down(self.now, neighbour, &mut seen);
        }
    }

    /// Whoever looks at it afterwards sees something.
    fn look(&self) {
        let status = self.switch.status();
        for port in &status.ports {
            assert!(port.flows <= 16);
            assert!(port.learned <= Limits::default().learned_per_port);
            let to = Ipv4Addr::new(10, 0, 0, 2);
            let steps = self.switch.trace(&port.interface, to, Payload::Tcp { port: 22 });
            assert!(!steps.is_empty());
        }
    }
}

/// What a step made.
struct Seen<'a> {
    from: From,
    frame: &'a [u8],
    up: BTreeSet<SwitchId>,
    frames: usize,
    routing: usize,
}

#[derive(Debug, Clone, Copy)]
enum From {
    Port(PortId),
    Cable(SwitchId, RecordHeader),
    Nobody,
}

impl<'a> Seen<'a> {
    fn new(from: From, frame: &'a [u8], up: BTreeSet<SwitchId>) -> Seen<'a> {
        Seen { from, frame, up, frames: 0, routing: 0 }
    }

    fn network(&self) -> Option<NetworkId> {
        match self.from {
            From::Port(port) => Some(spec(port).network),
            From::Cable(_, header) => header.network,
            From::Nobody => None,
        }
    }

    /// What another station is told, or everybody, as it came.
    fn check_passed_on(&self, port: PortId) {
        let to = spec(port);
        assert_eq!(self.network(), Some(to.network));
        if let From::Port(from) = self.from {
            assert_ne!(from, port);
            self.check_source(from);
        }
        if to.checks_source {
            let ethernet = Ethernet::read(self.frame).expect("what passed is a frame");
            assert!(ethernet.destination == to.mac || is_multicast(ethernet.destination));
            match ethernet.content {
                Content::Ipv4(ip) => {
                    let is_own = to.addresses.contains(&ip.destination);
                    let is_of_all = ip.destination == Ipv4Addr::new(10, 0, 0, 255)
                        || ip.destination.is_broadcast()
                        || ip.destination.is_multicast();
                    assert!(is_own || is_of_all, "{ip:?}");
                }
                Content::Arp(_) => {}
                other => panic!("a guest hears {other:?}"),
            }
        }
    }

    /// Who is checked speaks for itself.
    fn check_source(&self, port: PortId) {
        let from = spec(port);
        let ethernet = Ethernet::read(self.frame).expect("what passed is a frame");
        assert!(!is_multicast(ethernet.source));
        if !from.checks_source {
            return;
        }
        assert_eq!(ethernet.source, from.mac);
        match ethernet.content {
            Content::Ipv4(ip) => assert!(from.addresses.contains(&ip.source), "{ip:?}"),
            Content::Arp(arp) => {
                assert_eq!(arp.sender_mac, from.mac);
                assert!(from.addresses.contains(&arp.sender) || arp.sender.is_unspecified());
            }
            other => panic!("a guest says {other:?}"),
        }
    }

    /// What the switch says itself: to who asked, or to all who knew another holder of an address.
    fn check_own(&self, port: PortId, frame: &[u8]) {
        assert!(frame.len() <= LONGEST_ANSWER);
        let ethernet = Ethernet::read(frame).expect("what the switch writes is a frame");
        let is_news = match ethernet.content {
            Content::Arp(arp) => arp.sender == arp.target,
            _ => false,
        };
        match self.from {
            From::Port(from) if from == port => {}
            _ => assert!(is_news, "{ethernet:?}"),
        }
        let is_udp = matches!(ethernet.content, Content::Ipv4(_));
        assert!(!is_udp || ethernet.source == SERVER_MAC);
    }
}

impl Outlet for Seen<'_> {
    fn port(&mut self, port: PortId, frame: Frame<'_>) {
        self.frames += 1;
        assert!(self.frames <= MOST_FRAMES);
        if std::ptr::eq(frame.bytes, self.frame) {
            self.check_passed_on(port);
        } else {
            self.check_own(port, frame.bytes);
        }
    }

    fn cable(&mut self, neighbour: SwitchId, header: RecordHeader, frame: Frame<'_>) {
        assert!(self.up.contains(&neighbour));
        assert_eq!(RecordHeader::read(&header.write()), Some((header, &[][..])));
        if header.kind == Kind::Routing {
            self.routing += 1;
            assert!(self.routing <= MOST_ROUTING);
            assert!(frame.bytes.len() <= LONGEST_ROUTING);
            assert_eq!(header.source, OWN);
            return;
        }
        self.frames += 1;
        assert!(self.frames <= MOST_FRAMES);
        assert!(std::ptr::eq(frame.bytes, self.frame));
        assert_eq!(header.network, self.network());
        match self.from {
            From::Port(port) => {
                assert_eq!((header.kind, header.source), (Kind::Frame, OWN));
                self.check_source(port);
            }
            From::Cable(from, came) => {
                assert_ne!(neighbour, from);
                assert_eq!(header, RecordHeader { hops: header.hops, ..came });
                assert!(header.hops < came.hops);
            }
            From::Nobody => panic!("a frame that came from nobody"),
        }
    }
}

/// Three guests in one network, of which one may speak for others, and two in another with the same
/// addresses.
fn spec(port: PortId) -> PortSpec {
    let (network, number, checks_source) = match port.0 {
        1 => (7, 1, true),
        2 => (7, 2, true),
        3 => (7, 3, false),
        4 => (8, 1, true),
        _ => (8, 2, false),
    };
    let address = Ipv4Addr::new(10, 0, 0, number);
    PortSpec {
        interface: format!("eni-{:08x}", port.0).parse().expect("this is a well-formed id"),
        instance: format!("i-{:08x}", port.0).parse().expect("this is a well-formed id"),
        network: NetworkId::new(network).expect("it is a network's number"),
        mac: MacAddress([2, 0, 0, 0, 0, number]),
        addresses: vec![address],
        subnet: Cidr::new(address, 24).expect("24 is a prefix's length"),
        dhcp_server: Some(Ipv4Addr::new(10, 0, 0, 254)),
        mtu: 1400,
        filter: if port.0 == 2 { open_for_ssh() } else { open() },
        checks_source,
    }
}

fn neighbour(byte: u8) -> SwitchId {
    SwitchId(u32::from(byte) % NEIGHBOURS + 2)
}

fn open() -> PortFilter {
    let permit = |direction| Permit { direction, traffic: Traffic::Any, peers: [Cidr::ANY].into() };
    PortFilter { permits: vec![permit(Direction::Ingress), permit(Direction::Egress)] }
}

fn open_for_ssh() -> PortFilter {
    let permit = |direction, traffic| Permit { direction, traffic, peers: [Cidr::ANY].into() };
    let ssh = Traffic::Tcp { from: 22, to: 22 };
    PortFilter {
        permits: vec![permit(Direction::Ingress, ssh), permit(Direction::Egress, Traffic::Any)],
    }
}
