//! What a switch promises, and what several of them do.

use super::{
    PortId, PortSpec, Refusal, SERVER_MAC, TraceStep,
    testing::{TICK, World, guest, ip, mac, network, open, question, udp},
};
use crate::{
    domain::{
        interface::MacAddress,
        overlay::SwitchId,
        port_filter::{Cidr, Direction, GroupMembers, Payload, Peers, Permit, PortFilter, Traffic},
    },
    network::{
        ethernet::{BROADCAST, Content, Discovery, Ethernet, Operation},
        frame::Frame,
        record::{Kind, RecordHeader},
    },
};
use etherparse::PacketBuilder;
use proptest::{collection::vec, prelude::*};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

const MOMENT: Duration = Duration::from_millis(20);

/// A guest with the switch's number at each of five switches, all joined with all.
fn five() -> World {
    let mut world = World::mesh(5);
    for id in 1..=5 {
        world.attach(id, 1, guest(7, 10 + id as u8));
    }
    world.run(Duration::from_secs(1));
    world.delivered.clear();
    world
}

/// Everybody sends to everybody, and each gets each once.
fn everybody_is_connected(world: &mut World, switches: &[u32]) {
    for from in switches {
        let frame = udp(10 + *from as u8, 255, &world.now.as_nanos().to_be_bytes());
        world.send(*from, 1, &frame);
        world.run(MOMENT);
        let others = switches.iter().filter(|id| *id != from).map(|id| ((*id, 1), 1));
        let cables = world.cables();
        assert_eq!(world.seen(&frame), others.collect(), "broadcast of {from} over {cables:?}");
        for to in switches.iter().filter(|to| *to != from) {
            let frame = udp(10 + *from as u8, 10 + *to as u8, b"unicast");
            world.send(*from, 1, &frame);
            world.run(MOMENT);
            let once = BTreeMap::from([((*to, 1), 1)]);
            assert_eq!(world.seen(&frame), once, "{from} to {to} over {:?}", world.cables());
        }
    }
}

#[test]
fn a_switch_that_has_lost_count_of_its_starts_is_heard_all_the_same() {
    for starts in 1..=3 {
        let mut world = five();
        for _ in 1..starts {
            let neighbours = world.crash(3);
            world.restart(3, &neighbours);
            world.run(Duration::from_secs(1));
        }
        let neighbours = world.crash(3);
        world.run(Duration::from_secs(1));
        world.lose_count(3);
        world.restart(3, &neighbours);
        world.run(Duration::from_secs(2));
        world.delivered.clear();
        everybody_is_connected(&mut world, &[1, 2, 3, 4, 5]);
    }
}

#[test]
fn in_a_full_mesh_each_broadcast_is_seen_exactly_once_everywhere() {
    let mut world = five();
    everybody_is_connected(&mut world, &[1, 2, 3, 4, 5]);
}

#[test]
fn cables_cut_one_by_one_down_to_a_tree_keep_everyone_connected() {
    let mut world = five();
    for (a, b) in [(1, 2), (3, 4), (1, 3), (2, 5), (4, 5), (1, 4)] {
        world.cut(a, b);
        world.run(MOMENT);
        everybody_is_connected(&mut world, &[1, 2, 3, 4, 5]);
    }
    assert_eq!(world.cables().len(), 4);
}

#[test]
fn one_cable_is_enough_to_belong_to_the_network() {
    let mut world = World::new(1..=5);
    for id in 1..=5 {
        world.attach(id, 1, guest(7, 10 + id as u8));
    }
    for id in 1..5 {
        world.lay(id, id + 1);
    }
    world.run(Duration::from_secs(1));
    everybody_is_connected(&mut world, &[1, 2, 3, 4, 5]);
}

#[test]
fn partitions_heal() {
    let mut world = five();
    let between = [(1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5)];
    for (a, b) in between {
        world.cut(a, b);
    }
    world.run(MOMENT);
    everybody_is_connected(&mut world, &[1, 2]);
    everybody_is_connected(&mut world, &[3, 4, 5]);
    world.attach(1, 2, guest(7, 40));
    world.attach(5, 2, guest(7, 41));
    world.run(Duration::from_secs(5));
    world.lay(2, 3);
    world.run(MOMENT);
    let frame = udp(40, 41, b"across");
    world.send(1, 2, &frame);
    world.run(MOMENT);
    assert_eq!(world.seen(&frame), BTreeMap::from([((5, 2), 1)]));
}

#[test]
fn a_switch_that_starts_anew_under_its_number_is_heard_again_at_once() {
    let mut world = five();
    for _ in 0..3 {
        let neighbours = world.crash(3);
        world.run(MOMENT);
        everybody_is_connected(&mut world, &[1, 2, 4, 5]);
        world.restart(3, &neighbours);
        world.run(MOMENT);
        everybody_is_connected(&mut world, &[1, 2, 3, 4, 5]);
    }
}

/// What every switch believes of stations and of the cables of those that it can reach.
fn beliefs(world: &World) -> BTreeSet<String> {
    let belief = |switch: &super::Switch| {
        let status = switch.status();
        let cables: Vec<_> = status.switches.iter().map(|it| (it.switch, &it.cables)).collect();
        format!("{:?} {cables:?}", status.stations)
    };
    world.switches.values().map(belief).collect()
}

#[test]
fn all_believe_the_same_however_much_is_lost() {
    for seed in 1..20 {
        let mut world = World::new(1..=6).seeded(seed);
        world.lost = 300;
        for id in 1..=6 {
            for port in 1..=40 {
                world.attach(id, port, guest(7, (40 * (id - 1) + port) as u8));
            }
            world.lay(id, id % 6 + 1);
        }
        world.lay(1, 4);
        for step in 0..20 {
            let id = 1 + world.chance(6) as u32;
            world.with(id, |switch, now, out| switch.detach(now, PortId(step + 1), out));
            world.run(Duration::from_millis(30));
        }
        let mut waited = 0;
        while beliefs(&world).len() > 1 {
            world.run(TICK);
            waited += 1;
            assert!(waited < 100, "seed {seed}: {:#?}", beliefs(&world));
        }
        let stations = world.switches[&SwitchId(1)].status().stations.len();
        assert!((220..=230).contains(&stations), "{stations}");
    }
}

#[test]
fn who_is_silent_for_long_is_forgotten_by_all_and_not_brought_back() {
    let mut world = five();
    world.crash(3);
    world.run(Duration::from_secs(25 * 60));
    let knows_three = |world: &World, id: u32| {
        let status = world.switches[&SwitchId(id)].status();
        status.switches.iter().any(|it| it.switch == SwitchId(3))
    };
    assert!(knows_three(&world, 1));
    let neighbours = world.crash(5);
    world.run(Duration::from_secs(6 * 60));
    world.restart(5, &neighbours);
    world.run(Duration::from_secs(10));
    for id in [1, 2, 4, 5] {
        assert!(!knows_three(&world, id), "{id}");
    }
    everybody_is_connected(&mut world, &[1, 2, 4, 5]);
}

#[test]
fn an_address_belongs_to_whoever_can_be_reached() {
    let mut world = five();
    world.crash(3);
    world.attach(4, 2, guest(7, 13));
    world.run(MOMENT);
    let frame = udp(11, 13, b"moved");
    world.send(1, 1, &frame);
    world.run(MOMENT);
    assert_eq!(world.seen(&frame), BTreeMap::from([((4, 2), 1)]));
}

#[test]
fn broadcasts_do_not_go_where_nobody_is_in_the_network() {
    let mut world = World::mesh(4);
    world.attach(1, 1, guest(7, 11));
    world.attach(2, 1, guest(7, 12));
    world.attach(3, 1, guest(8, 13));
    world.run(Duration::from_secs(1));
    let received = |world: &World, id| world.switches[&SwitchId(id)].counters.received;
    world.send(1, 1, &udp(11, 255, b"x"));
    world.run(MOMENT);
    assert_eq!([2, 3, 4].map(|id| received(&world, id)), [1, 0, 0]);
}

#[test]
fn a_change_of_addresses_does_not_find_ways_anew() {
    let mut world = five();
    let found = world.switches[&SwitchId(1)].ways_found;
    world.attach(2, 2, guest(7, 60));
    world.run(MOMENT);
    assert_eq!(world.switches[&SwitchId(1)].ways_found, found);
    world.send(1, 1, &udp(11, 60, b"x"));
    world.run(MOMENT);
    assert_eq!(world.seen(&udp(11, 60, b"x")).len(), 1);
}

// What a guest may say.

/// Two guests of one switch, of which the first says something.
fn refusals(spec: PortSpec, frame: &[u8]) -> Vec<Refusal> {
    let mut world = World::new([1]);
    world.attach(1, 1, spec);
    world.attach(1, 2, guest(7, 12));
    world.send(1, 1, frame);
    let refused = world.switches[&SwitchId(1)].ports[&PortId(1)].counters.refused();
    let got = world.delivered.iter().filter(|(_, port, _)| *port == PortId(2)).count();
    assert_eq!(got == 0, !refused.is_empty() || frame == question(11, 12).as_slice());
    refused.into_keys().collect()
}

fn check_refused(frame: &[u8], why: Refusal) {
    assert_eq!(refusals(guest(7, 11), frame), [why]);
}

#[test]
fn a_guest_speaks_for_nobody_else() {
    assert_eq!(refusals(guest(7, 11), &udp(11, 12, b"x")), []);
    let mut forged = udp(11, 12, b"x");
    forged[11] = 99;
    check_refused(&forged, Refusal::SourceMac);
    let mut forged = udp(13, 12, b"x");
    forged[6..12].copy_from_slice(&mac(11).0);
    check_refused(&forged, Refusal::SourceAddress);
    let mut arp = question(11, 12);
    arp[31] = 13;
    check_refused(&arp, Refusal::ArpSender);
    let mut arp = question(11, 12);
    arp[27] = 13;
    check_refused(&arp, Refusal::ArpSender);
    let mut group = udp(11, 12, b"x");
    group[6] |= 1;
    check_refused(&group, Refusal::SourceMac);
}

#[test]
fn a_guest_speaks_arp_and_ipv4_and_is_no_dhcp_server() {
    for kind in [[0x86, 0xdd], [0x81, 0x00], [0x88, 0xa8], [0x88, 0xcc]] {
        let mut frame = udp(11, 12, &[0; 100]);
        frame[12..14].copy_from_slice(&kind);
        let why = if kind == [0x86, 0xdd] { Refusal::Malformed } else { Refusal::Protocol };
        check_refused(&frame, why);
    }
    let mut ipv6 = Vec::new();
    PacketBuilder::ethernet2(mac(11).0, mac(12).0)
        .ipv6([1; 16], [2; 16], 64)
        .udp(1, 2)
        .write(&mut ipv6, &[])
        .unwrap();
    check_refused(&ipv6, Refusal::Protocol);
    let mut offer = Vec::new();
    PacketBuilder::ethernet2(mac(11).0, mac(12).0)
        .ipv4(ip(11).octets(), ip(12).octets(), 64)
        .udp(67, 68)
        .write(&mut offer, &[])
        .unwrap();
    check_refused(&offer, Refusal::DhcpServer);
    check_refused(&udp(11, 12, b"x")[..30], Refusal::Malformed);
    check_refused(&[0; 13], Refusal::Malformed);
}

#[test]
fn a_question_for_a_known_address_is_answered_at_the_port() {
    let mut world = five();
    world.send(1, 1, &question(11, 15));
    let (_, port, answer) = world.delivered.pop().unwrap();
    assert_eq!(port, PortId(1));
    let Content::Arp(arp) = Ethernet::read(&answer).unwrap().content else { panic!() };
    assert_eq!((arp.operation, arp.sender, arp.sender_mac), (Operation::Reply, ip(15), mac(15)));
    world.send(1, 1, &question(11, 1));
    let (.., answer) = world.delivered.pop().unwrap();
    let Content::Arp(arp) = Ethernet::read(&answer).unwrap().content else { panic!() };
    assert_eq!(arp.sender_mac, SERVER_MAC);
    world.run(MOMENT);
    assert!(world.delivered.is_empty(), "and nobody else is asked");
    // Its own address, as a guest makes sure before it uses it.
    world.send(1, 1, &question(11, 11));
    let mut probe = question(11, 11);
    probe[28..32].fill(0);
    world.delivered.clear();
    world.send(1, 1, &probe);
    assert!(world.delivered.is_empty());
}

#[test]
fn a_question_for_an_unknown_address_is_asked_of_everybody_at_a_limited_rate() {
    let mut world = five();
    let asked = question(11, 99);
    world.send(1, 1, &asked);
    world.run(MOMENT);
    assert_eq!(world.seen(&asked).len(), 4);
    for _ in 0..10_000 {
        world.send(1, 1, &asked);
    }
    world.run(MOMENT);
    let seen = world.seen(&asked);
    assert!(seen.values().all(|times| *times <= 1_100), "{seen:?}");
    let refused = world.switches[&SwitchId(1)].ports[&PortId(1)].counters.refused();
    assert!(refused[&Refusal::UnknownRate] > 8_000);
}

#[test]
fn a_flood_from_one_port_takes_nothing_from_another() {
    let mut world = five();
    world.attach(1, 2, guest(7, 60));
    world.attach(1, 3, guest(8, 61));
    world.attach(2, 3, guest(8, 62));
    world.run(MOMENT);
    for _ in 0..20_000 {
        world.send(1, 1, &udp(11, 255, b"storm"));
    }
    let frame = udp(60, 255, b"mine");
    world.send(1, 2, &frame);
    let other = udp(61, 255, b"theirs");
    world.send(1, 3, &other);
    world.run(MOMENT);
    let storm = udp(11, 255, b"storm");
    let storms = world.delivered.iter().filter(|(switch, _, it)| switch.0 == 2 && *it == storm);
    assert!(storms.count() <= 1_100);
    let got = |wanted: &[u8]| world.delivered.iter().filter(|(.., it)| it == wanted).count();
    assert_eq!((got(&frame), got(&other)), (5, 1));
}

#[test]
fn dhcp_gives_the_ports_own_address_and_mtu() {
    use dhcproto::{
        Decodable, Encodable,
        v4::{DhcpOption, Message, MessageType, OptionCode},
    };
    let mut discover = Message::default();
    discover.set_chaddr(&mac(11).0);
    discover.opts_mut().insert(DhcpOption::MessageType(MessageType::Discover));
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(mac(11).0, BROADCAST.0)
        .ipv4([0; 4], [255; 4], 64)
        .udp(68, 67)
        .write(&mut frame, &discover.to_vec().unwrap())
        .unwrap();
    let mut world = five();
    world.send(1, 1, &frame);
    let (_, port, answer) = world.delivered.pop().unwrap();
    assert_eq!(port, PortId(1));
    let offer = Message::from_bytes(&answer[42..]).unwrap();
    assert_eq!(offer.yiaddr(), ip(11));
    let mtu = offer.opts().get(OptionCode::InterfaceMtu);
    assert_eq!(mtu, Some(&DhcpOption::InterfaceMtu(1400)));
    world.run(MOMENT);
    assert!(world.delivered.is_empty());
    // Where nobody answers, nobody without an address gets anything out.
    world.attach(1, 1, PortSpec { dhcp_server: None, ..guest(7, 11) });
    world.send(1, 1, &frame);
    world.run(MOMENT);
    assert!(world.delivered.is_empty());
}

#[test]
fn guests_are_told_of_an_address_that_has_moved() {
    let mut world = five();
    world.attach(2, 1, PortSpec { addresses: vec![ip(12), ip(50)], ..guest(7, 12) });
    world.run(MOMENT);
    world.delivered.clear();
    world.attach(3, 1, PortSpec { addresses: vec![ip(13), ip(50)], ..guest(7, 13) });
    world.attach(2, 1, guest(7, 12));
    world.run(TICK);
    let told = |(switch, _, frame): &(SwitchId, PortId, Vec<u8>)| {
        let Content::Arp(arp) = Ethernet::read(frame).unwrap().content else { return None };
        (switch.0 == 1 && arp.sender == ip(50)).then_some(arp.sender_mac)
    };
    let told: Vec<MacAddress> = world.delivered.iter().filter_map(told).collect();
    assert_eq!(told, [mac(13)]);
}

// Ports without source check.

fn router(number: u8) -> PortSpec {
    PortSpec { checks_source: false, ..guest(7, number) }
}

#[test]
fn a_port_without_source_check_speaks_for_others_who_are_found_from_everywhere() {
    let mut world = five();
    world.attach(1, 1, router(11));
    world.send(1, 1, &question(77, 15));
    world.run(TICK * 2);
    world.delivered.clear();
    world.send(5, 1, &question(15, 77));
    let (.., answer) = world.delivered.pop().unwrap();
    let Content::Arp(arp) = Ethernet::read(&answer).unwrap().content else { panic!() };
    assert_eq!(arp.sender_mac, mac(77));
    let frame = udp(15, 77, b"for who is behind it");
    world.send(5, 1, &frame);
    world.run(MOMENT);
    assert_eq!(world.seen(&frame), BTreeMap::from([((1, 1), 1)]));
    world.run(Duration::from_secs(310));
    world.delivered.clear();
    let stations = world.switches[&SwitchId(5)].status().stations;
    assert_eq!(stations.len(), 5, "who is silent is forgotten");
}

#[test]
fn nobody_gets_an_assigned_address_by_speaking_for_it() {
    let mut world = five();
    world.attach(1, 1, router(11));
    world.send(1, 1, &udp(15, 12, b"x"));
    let mut arp = question(11, 12);
    arp[31] = 15;
    world.send(1, 1, &arp);
    world.run(TICK);
    let port = &world.switches[&SwitchId(1)].ports[&PortId(1)];
    let refused: Vec<Refusal> = port.counters.refused().into_keys().collect();
    assert_eq!(refused, [Refusal::SourceMac, Refusal::ArpSender]);
    let frame = udp(12, 15, b"to the real one");
    world.send(2, 1, &frame);
    world.run(MOMENT);
    assert_eq!(world.seen(&frame), BTreeMap::from([((5, 1), 1)]));
}

#[test]
fn a_flood_of_macs_is_learned_only_up_to_the_limit() {
    let mut world = five();
    world.attach(1, 1, router(11));
    for number in 0..10_000u16 {
        let mut frame = udp(11, 12, b"x");
        frame[7..9].copy_from_slice(&number.to_be_bytes());
        frame[6] = 6;
        world.send(1, 1, &frame);
    }
    world.run(Duration::from_secs(1));
    assert_eq!(world.switches[&SwitchId(5)].status().stations.len(), 5 + 64);
}

#[test]
fn a_station_heard_elsewhere_has_moved_there() {
    let mut world = five();
    world.attach(1, 1, router(11));
    world.attach(4, 1, router(14));
    for (at, elsewhere) in [(1, 4), (4, 1), (1, 4)] {
        world.send(at, 1, &question(77, 15));
        world.run(TICK * 2);
        world.delivered.clear();
        let frame = udp(12, 77, b"x");
        world.send(2, 1, &frame);
        world.run(MOMENT);
        assert_eq!(world.seen(&frame), BTreeMap::from([((at, 1), 1)]), "not at {elsewhere}");
    }
}

#[test]
fn frames_to_an_unknown_address_reach_only_ports_without_source_check() {
    let mut world = five();
    world.attach(3, 1, router(13));
    world.run(MOMENT);
    let frame = udp(11, 99, b"who knows");
    world.send(1, 1, &frame);
    world.run(MOMENT);
    assert_eq!(world.seen(&frame), BTreeMap::from([((3, 1), 1)]));
}

#[test]
fn ipv6_passes_between_ports_without_source_check_and_its_questions_are_answered() {
    let solicitation = |from: u8, about: u8| {
        let own: [u8; 16] = [&[0xfe, 0x80], &[0; 13][..], &[from]].concat().try_into().unwrap();
        let target: [u8; 16] = [&[0xfe, 0x80], &[0; 13][..], &[about]].concat().try_into().unwrap();
        let mut frame = Vec::new();
        let option = [&target[..], &[1, 1], &mac(from).0].concat();
        PacketBuilder::ethernet2(mac(from).0, [0x33, 0x33, 0xff, 0, 0, about])
            .ipv6(own, target, 255)
            .icmpv6_raw(135, 0, [0; 4])
            .write(&mut frame, &option)
            .unwrap();
        frame
    };
    let mut world = five();
    world.attach(1, 1, router(11));
    world.attach(2, 1, router(12));
    world.run(MOMENT);
    world.delivered.clear();
    let asked = solicitation(11, 12);
    world.send(1, 1, &asked);
    world.run(TICK * 2);
    assert_eq!(world.seen(&asked), BTreeMap::from([((2, 1), 1)]), "and no port with source check");
    world.send(2, 1, &solicitation(12, 11));
    let (switch, _, answer) = world.delivered.pop().unwrap();
    assert_eq!(switch, SwitchId(2));
    let Content::Ipv6(ip) = Ethernet::read(&answer).unwrap().content else { panic!() };
    let Some(Discovery::Advertisement { target_mac, .. }) = ip.discovery else { panic!() };
    assert_eq!(target_mac, Some(mac(11)));
}

#[test]
fn two_ports_that_quarrel_over_a_station_do_not_keep_everybody_busy() {
    let mut world = five();
    world.attach(1, 1, router(11));
    world.attach(1, 2, router(60));
    world.attach(1, 3, guest(7, 61));
    world.run(MOMENT);
    world.delivered.clear();
    for _ in 0..10_000 {
        for (port, number) in [(1, 11), (2, 60)] {
            let mut arp = question(number, 12);
            arp[31] = 77;
            world.send(1, port, &arp);
        }
    }
    let told = world.delivered.iter().filter(|(switch, port, _)| (switch.0, port.0) == (1, 3));
    assert!(told.count() <= 500);
}

// Security groups.

fn permits(ingress: &[(Traffic, Peers)]) -> PortFilter {
    let ingress = ingress.iter().map(|(traffic, peers)| Permit {
        direction: Direction::Ingress,
        traffic: *traffic,
        peers: peers.clone(),
    });
    let egress = open().permits.into_iter().filter(|it| it.direction == Direction::Egress);
    PortFilter { permits: ingress.chain(egress).collect() }
}

const SSH: Traffic = Traffic::Tcp { from: 22, to: 22 };

#[derive(Debug, Clone, Copy, PartialEq)]
enum Flags {
    Syn,
    SynAck,
    Ack,
    Fin,
    Rst,
}

fn tcp(from: (u8, u16), to: (u8, u16), flags: Flags) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(mac(from.0).0, mac(to.0).0)
        .ipv4(ip(from.0).octets(), ip(to.0).octets(), 64)
        .tcp(from.1, to.1, 1, 1000);
    let builder = match flags {
        Flags::Syn => builder.syn(),
        Flags::SynAck => builder.syn().ack(2),
        Flags::Ack => builder.ack(2),
        Flags::Fin => builder.fin().ack(2),
        Flags::Rst => builder.rst(),
    };
    let mut frame = Vec::new();
    builder.write(&mut frame, b"").unwrap();
    frame
}

/// Guest 11 lets out what it likes and nothing in; guest 12 lets in what the filter says. Two
/// switches, so that each side decides on its own; long after they have started.
struct Two(World);

impl Two {
    fn new(filter: PortFilter) -> Two {
        let mut world = World::mesh(2);
        world.attach(1, 1, PortSpec { filter: permits(&[]), ..guest(7, 11) });
        world.attach(2, 1, PortSpec { filter, ..guest(7, 12) });
        world.run(Duration::from_secs(130));
        world.delivered.clear();
        Two(world)
    }

    /// Whether it arrives at the other guest.
    fn passes(&mut self, frame: &[u8]) -> bool {
        let from = u32::from(frame[11] - 10);
        self.0.send(from, 1, frame);
        self.0.run(MOMENT);
        !self.0.seen(frame).is_empty()
    }

    fn opens(&mut self, client: (u8, u16), server: (u8, u16)) -> bool {
        self.passes(&tcp(client, server, Flags::Syn))
            && self.passes(&tcp(server, client, Flags::SynAck))
            && self.passes(&tcp(client, server, Flags::Ack))
    }
}

#[test]
fn a_flow_begins_where_a_permit_says_and_is_answered() {
    let mut two = Two::new(permits(&[(SSH, [Cidr::host(ip(11))].into())]));
    let (client, server) = ((11, 40_000), (12, 22));
    assert!(two.opens(client, server));
    assert!(two.passes(&tcp(server, client, Flags::Ack)));
    assert!(!two.passes(&tcp((11, 40_000), (12, 23), Flags::Syn)));
    assert!(!two.passes(&tcp((12, 1), (11, 22), Flags::Syn)), "11 lets nothing in");
    assert!(two.passes(&tcp(client, server, Flags::Fin)));
    assert!(two.passes(&tcp(server, client, Flags::Fin)));
    assert!(two.passes(&tcp(client, server, Flags::Ack)));
    assert!(two.opens(client, server), "the same ports may be used again");
    assert!(two.passes(&tcp(server, client, Flags::Rst)));
    assert!(two.opens(client, server));
}

#[test]
fn a_later_packet_of_a_flow_never_begun_is_refused() {
    let everything = permits(&[(Traffic::Any, [Cidr::ANY].into())]);
    for flags in [Flags::Ack, Flags::SynAck, Flags::Fin, Flags::Rst] {
        let mut two = Two::new(everything.clone());
        assert!(!two.passes(&tcp((11, 40_000), (12, 22), flags)), "{flags:?}");
        let refused = two.0.switches[&SwitchId(1)].ports[&PortId(1)].counters.refused();
        assert_eq!(refused, BTreeMap::from([(Refusal::NoFlow, 1)]));
    }
    let mut two = Two::new(everything);
    assert!(two.passes(&tcp((11, 40_000), (12, 22), Flags::Syn)));
    assert!(!two.passes(&tcp((11, 40_000), (12, 22), Flags::SynAck)));
    assert!(!two.passes(&tcp((12, 22), (11, 40_000), Flags::Ack)), "before it is answered");
}

#[test]
fn a_switch_that_has_just_started_takes_up_flows_that_a_permit_admits() {
    let mut two = Two::new(permits(&[(SSH, [Cidr::ANY].into())]));
    assert!(two.opens((11, 40_000), (12, 22)));
    let neighbours = two.0.crash(2);
    two.0.restart(2, &neighbours);
    two.0.run(Duration::from_secs(1));
    assert!(two.passes(&tcp((12, 22), (11, 40_000), Flags::Ack)));
    assert!(two.passes(&tcp((11, 40_000), (12, 22), Flags::Ack)));
    assert!(!two.passes(&tcp((11, 40_000), (12, 23), Flags::Ack)));
    two.0.with(2, |switch, _, _| switch.set_filter(PortId(1), permits(&[])));
    assert!(!two.passes(&tcp((12, 22), (11, 40_000), Flags::Ack)), "it is the server's");
    assert!(!two.passes(&tcp((11, 40_000), (12, 22), Flags::Ack)));
}

#[test]
fn a_changed_filter_cuts_at_once_what_it_no_longer_admits_and_nothing_else() {
    let anybody = || Peers::from([Cidr::ANY]);
    let web = Traffic::Tcp { from: 80, to: 80 };
    let dns = Traffic::Udp { from: 5000, to: 5000 };
    let mut two = Two::new(permits(&[(SSH, anybody()), (web, anybody()), (dns, anybody())]));
    let (ssh, http) = ((12, 22), (12, 80));
    assert!(two.opens((11, 40_000), ssh) && two.opens((11, 40_001), http));
    let (asked, answered) = (udp(11, 12, b"x"), {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(mac(12).0, mac(11).0)
            .ipv4(ip(12).octets(), ip(11).octets(), 64)
            .udp(5000, 4000)
            .write(&mut frame, b"y")
            .unwrap();
        frame
    });
    assert!(two.passes(&asked) && two.passes(&answered));

    two.0.with(2, |switch, _, _| switch.set_filter(PortId(1), permits(&[(web, anybody())])));
    assert!(two.passes(&tcp((11, 40_001), http, Flags::Ack)));
    for flags in [Flags::Ack, Flags::Fin, Flags::Syn] {
        assert!(!two.passes(&tcp((11, 40_000), ssh, flags)), "{flags:?}");
    }
    for flags in [Flags::Ack, Flags::Rst] {
        assert!(!two.passes(&tcp(ssh, (11, 40_000), flags)), "nor what answers: {flags:?}");
    }
    assert!(!two.passes(&asked) && !two.passes(&answered));

    let both = permits(&[(web, anybody()), (SSH, anybody())]);
    two.0.with(2, |switch, _, _| switch.set_filter(PortId(1), both));
    assert!(two.passes(&tcp((11, 40_000), ssh, Flags::Ack)), "admitted again");
}

#[test]
fn a_permit_for_a_group_follows_its_members() {
    let group: crate::domain::id::SecurityGroupId = "sg-00000001".parse().unwrap();
    let mut two = Two::new(permits(&[(SSH, Peers::Members(group.clone()))]));
    assert!(!two.passes(&tcp((11, 40_000), (12, 22), Flags::Syn)));
    let tell = |two: &mut Two, members: &[u8]| {
        let addresses = members.iter().map(|number| ip(*number)).collect();
        let news = GroupMembers { group: group.clone(), addresses };
        two.0.with(2, |switch, _, _| switch.set_members(&news));
    };
    tell(&mut two, &[11]);
    assert!(two.opens((11, 40_000), (12, 22)));
    tell(&mut two, &[11, 13]);
    assert!(two.passes(&tcp((11, 40_000), (12, 22), Flags::Ack)));
    tell(&mut two, &[13]);
    assert!(!two.passes(&tcp((11, 40_000), (12, 22), Flags::Ack)));
    assert!(!two.passes(&tcp((12, 22), (11, 40_000), Flags::Ack)));
}

fn icmp(from: u8, to: u8, kind: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(mac(from).0, mac(to).0)
        .ipv4(ip(from).octets(), ip(to).octets(), 64)
        .icmpv4_raw(kind, code, rest)
        .write(&mut frame, payload)
        .unwrap();
    frame
}

#[test]
fn an_echo_is_answered_and_errors_belong_to_the_flow_they_are_about() {
    let echo = Traffic::Icmp { kind: Some(8), code: Some(0) };
    let mut two = Two::new(permits(&[(SSH, [Cidr::ANY].into()), (echo, [Cidr::ANY].into())]));
    let id = [0, 9, 0, 1];
    assert!(!two.passes(&icmp(12, 11, 0, 0, id, b"")), "no one has asked");
    assert!(two.passes(&icmp(11, 12, 8, 0, id, b"")));
    assert!(two.passes(&icmp(12, 11, 0, 0, id, b"")));
    assert!(!two.passes(&icmp(12, 11, 0, 0, [0, 8, 0, 1], b"")), "of another echo");
    assert!(!two.passes(&icmp(12, 11, 8, 0, id, b"")), "to ask is not to answer");

    let syn = tcp((11, 40_000), (12, 22), Flags::Syn);
    assert!(!two.passes(&icmp(12, 11, 3, 4, [0, 0, 5, 0], &syn[14..42])), "of no flow");
    assert!(two.passes(&syn));
    assert!(two.passes(&icmp(12, 11, 3, 4, [0, 0, 5, 0], &syn[14..42])));
    let other = tcp((11, 40_001), (12, 22), Flags::Syn);
    assert!(!two.passes(&icmp(12, 11, 3, 4, [0, 0, 5, 0], &other[14..42])));
}

#[test]
fn udp_is_answered_until_it_is_silent_for_long() {
    let port = Traffic::Udp { from: 5000, to: 5000 };
    let mut two = Two::new(permits(&[(port, [Cidr::ANY].into())]));
    let mut answer = Vec::new();
    PacketBuilder::ethernet2(mac(12).0, mac(11).0)
        .ipv4(ip(12).octets(), ip(11).octets(), 64)
        .udp(5000, 4000)
        .write(&mut answer, b"y")
        .unwrap();
    assert!(!two.passes(&answer));
    two.0.run(Duration::from_secs(60));
    assert!(two.passes(&udp(11, 12, b"x")));
    two.0.run(Duration::from_secs(29));
    assert!(two.passes(&answer));
    two.0.run(Duration::from_secs(119));
    assert!(two.passes(&answer));
    two.0.run(Duration::from_secs(121));
    assert!(!two.passes(&answer));
}

#[test]
fn later_fragments_go_where_the_first_went() {
    let mut two = Two::new(permits(&[(Traffic::Udp { from: 5000, to: 5000 }, [Cidr::ANY].into())]));
    let whole = udp(11, 12, &[7; 64]);
    let part = |id: u8, offset: u16, more: bool, port: u8| {
        let mut frame = whole.clone();
        frame[18..20].copy_from_slice(&[0, id]);
        let flags = offset | if more { 0x2000 } else { 0 };
        frame[20..22].copy_from_slice(&flags.to_be_bytes());
        frame[37] = port;
        frame
    };
    let (right, wrong) = (whole[37], whole[37] ^ 1);
    assert!(!two.passes(&part(1, 8, false, right)), "before the first");
    assert!(two.passes(&part(1, 0, true, right)));
    assert!(two.passes(&part(1, 8, true, right)));
    assert!(two.passes(&part(1, 16, false, right)));
    assert!(!two.passes(&part(2, 8, false, right)), "of another datagram");
    assert!(!two.passes(&part(3, 0, true, wrong)));
    assert!(!two.passes(&part(3, 8, false, right)));
    two.0.run(Duration::from_secs(31));
    assert!(!two.passes(&part(1, 8, false, right)), "too late");
}

#[test]
fn a_full_table_sacrifices_who_was_never_answered() {
    let mut two = Two::new(permits(&[(Traffic::Any, [Cidr::ANY].into())]));
    assert!(two.opens((11, 1), (12, 22)));
    for number in 0..40_000u16 {
        two.0.send(1, 1, &tcp((11, number + 2), (12, 22), Flags::Syn));
    }
    two.0.run(MOMENT);
    assert_eq!(two.0.switches[&SwitchId(2)].ports[&PortId(1)].tracker.len(), 16_384);
    two.0.delivered.clear();
    assert!(two.passes(&tcp((12, 22), (11, 1), Flags::Ack)));
    assert!(two.opens((11, 50_000), (12, 22)));
}

#[test]
fn a_trace_says_which_way_and_by_which_permit() {
    let mut world = World::new(1..=3);
    world.lay(1, 2);
    world.lay(2, 3);
    world.attach(1, 1, guest(7, 11));
    world.attach(1, 2, PortSpec { filter: permits(&[(SSH, [Cidr::ANY].into())]), ..guest(7, 12) });
    world.attach(3, 1, guest(7, 13));
    world.run(Duration::from_secs(1));
    let from = guest(7, 11).interface;
    let switch = &world.switches[&SwitchId(1)];
    let near = switch.trace(&from, ip(12), Payload::Tcp { port: 22 });
    assert!(matches!(near[2], TraceStep::Ingress { ref permit, .. } if permit.traffic == SSH));
    assert!(matches!(near[3], TraceStep::Delivered { .. }));
    let refused = switch.trace(&from, ip(12), Payload::Udp { port: 22 });
    let last = TraceStep::Refused { by: SwitchId(1), why: Refusal::Ingress };
    assert_eq!(refused.last(), Some(&last));
    let far = switch.trace(&from, ip(13), Payload::Udp { port: 1 });
    let hops = [
        TraceStep::Hop { switch: SwitchId(2), cost: 1 },
        TraceStep::Hop { switch: SwitchId(3), cost: 2 },
        TraceStep::Elsewhere { switch: SwitchId(3) },
    ];
    assert_eq!(far[2..], hops);
    assert!(serde_json::to_string(&far).is_ok() && serde_json::to_string(&switch.status()).is_ok());
}

// Anything at all.

#[derive(Debug, Clone)]
enum Deed {
    Attach { switch: u32, port: u32, network: u32, number: u8, checks: bool },
    Detach { switch: u32, port: u32 },
    Send { switch: u32, port: u32, from: u8, to: u8 },
    Ask { switch: u32, port: u32, from: u8, about: u8 },
    Lay { a: u32, b: u32 },
    Cut { a: u32, b: u32 },
    Restart { switch: u32 },
    Wait { ms: u64 },
}

fn deed() -> impl Strategy<Value = Deed> {
    let (switch, port, number) = (1u32..5, 1u32..4, 10u8..16);
    let to = prop_oneof![10u8..16, Just(255)];
    prop_oneof![
        3 => (switch.clone(), port.clone(), 7u32..9, number.clone(), any::<bool>()).prop_map(
            |(switch, port, network, number, checks)| {
                Deed::Attach { switch, port, network, number, checks }
            }
        ),
        1 => (switch.clone(), port.clone()).prop_map(|(switch, port)| Deed::Detach { switch, port }),
        6 => (switch.clone(), port.clone(), number.clone(), to)
            .prop_map(|(switch, port, from, to)| Deed::Send { switch, port, from, to }),
        2 => (switch.clone(), port, number.clone(), number)
            .prop_map(|(switch, port, from, about)| Deed::Ask { switch, port, from, about }),
        3 => (switch.clone(), 1u32..4).prop_map(|(a, by)| Deed::Lay { a, b: (a - 1 + by) % 4 + 1 }),
        1 => (switch.clone(), 1u32..4).prop_map(|(a, by)| Deed::Cut { a, b: (a - 1 + by) % 4 + 1 }),
        1 => switch.prop_map(|switch| Deed::Restart { switch }),
        3 => (1u64..300).prop_map(|ms| Deed::Wait { ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_no_frame_reaches_another_network_and_none_comes_twice(
        deeds in vec(deed(), 1..120),
        seed in any::<u64>(),
    ) {
        let mut world = World::new(1..=4).seeded(seed);
        world.lost = 50;
        // Which network each payload was sent into.
        let mut sent: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        let mut count = 0u32;
        for deed in deeds {
            match deed {
                Deed::Attach { switch, port, network, number, checks } => {
                    let spec = PortSpec { checks_source: checks, ..guest(network, number) };
                    world.attach(switch, port, spec);
                }
                Deed::Detach { switch, port } => {
                    world.specs.remove(&(SwitchId(switch), PortId(port)));
                    world.with(switch, |it, now, out| it.detach(now, PortId(port), out));
                }
                Deed::Send { switch, port, from, to } => {
                    let spec = world.specs.get(&(SwitchId(switch), PortId(port)));
                    let Some(network) = spec.map(|spec| spec.network.number()) else { continue };
                    count += 1;
                    let frame = udp(from, to, &count.to_be_bytes());
                    world.send(switch, port, &frame);
                    sent.insert(frame, network);
                }
                Deed::Ask { switch, port, from, about } => {
                    world.send(switch, port, &question(from, about));
                }
                Deed::Lay { a, b } => world.lay(a, b),
                Deed::Cut { a, b } => world.cut(a, b),
                Deed::Restart { switch } => {
                    let neighbours = world.crash(switch);
                    world.restart(switch, &neighbours);
                }
                Deed::Wait { ms } => world.run(Duration::from_millis(ms)),
            }
            let mut seen = BTreeSet::new();
            for (switch, port, frame) in &world.delivered {
                let Some(from) = sent.get(frame) else { continue };
                let spec = world.specs.get(&(*switch, *port));
                // A port that has been replaced since got it as what it was then.
                prop_assert!(spec.is_none_or(|spec| spec.network == network(*from)));
                prop_assert!(seen.insert((*switch, *port, frame.clone())), "twice");
            }
            world.delivered.clear();
        }
        // When it is quiet again, all who are joined believe the same.
        world.lost = 0;
        for (a, b) in [(1, 2), (2, 3), (3, 4)] {
            world.lay(a, b);
        }
        world.run(Duration::from_secs(10));
        let believed = beliefs(&world);
        prop_assert_eq!(believed.len(), 1, "{:#?}", believed);
    }

    #[test]
    fn no_bytes_from_a_guest_or_a_cable_make_it_fall_over(
        frames in vec(vec(any::<u8>(), 0..100), 1..20),
        damage in vec((0usize..60, any::<u8>()), 0..6),
        checks in any::<bool>(),
    ) {
        let mut world = five();
        world.attach(1, 1, PortSpec { checks_source: checks, ..guest(7, 11) });
        let header = |kind, destination| RecordHeader {
            kind,
            network: (kind != Kind::Routing).then_some(network(7)),
            hops: 3,
            is_last: true,
            is_ipv6: false,
            index: 0,
            destination: SwitchId(destination),
            source: SwitchId(2),
            sequence: 5,
            checksum: None,
        };
        for bytes in frames {
            let mut damaged = udp(11, 12, &bytes);
            for (at, byte) in &damage {
                if let Some(slot) = damaged.get_mut(*at) {
                    *slot = *byte;
                }
            }
            let marked = [&[1, 1, 0, bytes.len() as u8][..], &bytes].concat();
            for bytes in [&bytes, &damaged, &marked] {
                world.send(1, 1, bytes);
                for (kind, to) in [(Kind::Frame, 0), (Kind::Frame, 1), (Kind::Routing, 1)] {
                    world.with(1, |it, now, out| {
                        let header = header(kind, to);
                        it.from_cable(now, SwitchId(2), header, Frame::whole(bytes), out);
                    });
                }
            }
        }
        world.run(MOMENT);
    }
}

#[test]
fn a_guest_may_say_that_it_has_an_address() {
    let mut world = five();
    let said = question(11, 11);
    world.send(1, 1, &said);
    world.run(MOMENT);
    assert_eq!(world.seen(&said).len(), 4);
}
