//! Each kind of security group rule, with packets it means and packets it does not.

use crate::guest::{Guest, Host, Namespace, RawSocket, egress, permit, public, tcp};
use mallee::{
    domain::{
        id::SecurityGroupId,
        port_filter::{Direction, GroupMembers, Peers, Permit, PortFilter, Traffic},
    },
    network::Datapath,
};
use std::{
    net::{Ipv4Addr, UdpSocket},
    time::Duration,
};

const GUEST: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 4);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// What of a packet that is to arrive is waited for, and of one that is not.
const PATIENCE: Duration = Duration::from_secs(3);
const MOMENT: Duration = Duration::from_millis(150);
const TIMESTAMP: [u8; 20] = [13, 0, 0xf2, 0xfe, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A host with the world beyond it, which knows the way to the guests.
struct Scene {
    outside: Namespace,
    guest: Guest,
    host: Host,
}

impl Scene {
    fn new() -> Scene {
        let mut host = Host::bare();
        let outside = host.outside();
        outside.run("ip route add 10.213.0.0/16 via 192.0.2.1");
        host.reopen();
        let guest = host.guest(&public(4, Vec::new()));
        Scene { outside, guest, host }
    }

    fn admit(&self, permits: impl Into<Vec<Permit>>) {
        let permits = permits.into();
        let interface = public(4, Vec::new()).id;
        self.host.datapath().set_filter(&interface, &PortFilter { permits }).unwrap();
    }

    fn udp(place: &Namespace, port: u16) -> UdpSocket {
        let socket = place.inside(|| UdpSocket::bind(("0.0.0.0", port)).unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }
}

/// Whether a datagram from one arrives at the other, and from where.
fn carries(from: &UdpSocket, to: &UdpSocket, address: (Ipv4Addr, u16), arrives: bool) -> bool {
    from.send_to(b"word", address).unwrap();
    hears(to, arrives)
}

fn hears(socket: &UdpSocket, expected: bool) -> bool {
    socket.set_read_timeout(Some(if expected { PATIENCE } else { MOMENT })).unwrap();
    socket.recv_from(&mut [0; 64]).is_ok()
}

/// RFC 9293, 3.1: over the addresses, the protocol's number and the length as well.
fn tcp_checksum(segment: &[u8], from: Ipv4Addr, to: Ipv4Addr) -> [u8; 2] {
    let length = segment.len() as u16;
    let pseudo = [&from.octets()[..], &to.octets(), &[0, 6], &length.to_be_bytes(), segment];
    let bytes = pseudo.concat();
    let words = bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!sum as u16).to_be_bytes()
}

fn from(peer: &str, permit: Permit) -> Permit {
    Permit { peers: [peer.parse().unwrap()].into(), ..permit }
}

#[test]
fn a_range_of_ports_admits_its_ends_and_nothing_beyond() {
    let scene = Scene::new();
    let sender = Scene::udp(&scene.outside, 4000);
    for port in [999, 1000, 1500, 2000, 2001] {
        scene.guest.namespace.serve(port, "here");
    }
    let ears = [999, 1000, 2000, 2001].map(|port| (port, Scene::udp(&scene.guest.namespace, port)));
    scene.admit([tcp(1000, 2000)]);
    for (port, admitted) in [(999, false), (1000, true), (1500, true), (2000, true), (2001, false)]
    {
        assert_eq!(scene.outside.greeting(GUEST, port).is_some(), admitted, "tcp {port}");
    }
    for (port, ear) in &ears {
        assert!(!carries(&sender, ear, (GUEST, *port), false), "a permit of TCP is none of UDP");
    }
    scene.admit([permit(Direction::Ingress, Traffic::Udp { from: 1000, to: 2000 })]);
    for (port, ear) in &ears {
        let admitted = (1000..=2000).contains(port);
        assert_eq!(carries(&sender, ear, (GUEST, *port), admitted), admitted, "udp {port}");
    }
    assert_eq!(scene.outside.greeting(GUEST, 1500), None, "and the other way round");
}

#[test]
fn what_a_guest_may_begin_is_by_protocol_port_and_peer() {
    let scene = Scene::new();
    scene.outside.run("ip addr add 192.0.2.200/24 dev eth0");
    scene.outside.serve(80, "world");
    scene.outside.serve(81, "world");
    let web = |port| permit(Direction::Egress, Traffic::Tcp { from: port, to: port });
    let reaches =
        |last, port| scene.guest.namespace.greeting(Ipv4Addr::new(192, 0, 2, last), port).is_some();
    scene.admit([from("192.0.2.128/25", web(80)), from("192.0.2.2/32", web(81))]);
    for (last, port, admitted) in [(200, 80, true), (2, 80, false), (200, 81, false), (2, 81, true)]
    {
        assert_eq!(reaches(last, port), admitted, "{last} {port}");
    }
    assert!(!scene.guest.namespace.pings(OUTSIDE));
    scene.admit([permit(Direction::Egress, Traffic::Icmp { kind: Some(8), code: None })]);
    assert!(scene.guest.namespace.pings(OUTSIDE), "answered without a permit for answers");
    assert!(!scene.outside.pings(GUEST), "which is none for questions");
    assert!(!reaches(2, 81));
    let dns = Scene::udp(&scene.outside, 53);
    let asker = Scene::udp(&scene.guest.namespace, 4000);
    assert!(!carries(&asker, &dns, (OUTSIDE, 53), false));
    scene.admit([permit(Direction::Egress, Traffic::Udp { from: 53, to: 53 })]);
    assert!(carries(&asker, &dns, (OUTSIDE, 53), true));
}

#[test]
fn only_what_answers_is_an_answer() {
    let scene = Scene::new();
    scene.admit([egress()]);
    let (server, other) = (Scene::udp(&scene.outside, 53), Scene::udp(&scene.outside, 54));
    let asker = Scene::udp(&scene.guest.namespace, 4000);
    assert!(!carries(&server, &asker, (GUEST, 4000), false), "before it was asked");
    asker.send_to(b"ask", (OUTSIDE, 53)).unwrap();
    // The guest is seen at the host's address; its own is as good as no answer.
    let (_, asked_from) = server.recv_from(&mut [0; 8]).unwrap();
    assert!(!carries(&server, &asker, (GUEST, 4000), false), "to the guest's own address");
    other.send_to(b"tell", asked_from).unwrap();
    assert!(!hears(&asker, false), "from a port that was not asked");
    server.send_to(b"tell", asked_from).unwrap();
    assert!(hears(&asker, true), "an answer");
    // A segment of a connection that there never was, however established it looks.
    let raw = RawSocket::new(&scene.outside, libc::IPPROTO_TCP);
    let ear = RawSocket::new(&scene.guest.namespace, libc::IPPROTO_TCP);
    let mut segment = [0; 20];
    segment[..4].copy_from_slice(&[0, 80, 0x20, 0x20]);
    segment[12..14].copy_from_slice(&[0x50, 0x10]);
    // With its checksum, or it would be dropped for that.
    let checksum = tcp_checksum(&segment, OUTSIDE, GUEST);
    segment[16..18].copy_from_slice(&checksum);
    raw.send(&segment, GUEST);
    assert!(!ear.hears(&segment[..4], MOMENT));
    scene.admit([egress(), tcp(0, 65535)]);
    raw.send(&segment, GUEST);
    assert!(ear.hears(&segment[..4], PATIENCE), "the same, admitted");
}

#[test]
fn icmp_is_admitted_by_type_and_code() {
    let scene = Scene::new();
    let raw = RawSocket::new(&scene.outside, libc::IPPROTO_ICMP);
    let ear = RawSocket::new(&scene.guest.namespace, libc::IPPROTO_ICMP);
    // A timestamp request, and an error that belongs to nothing.
    let unreachable = |code: u8| {
        let mut message = vec![3, code, 0xfc, 0xff - code];
        message.extend([0; 4]);
        message
    };
    let icmp = |kind, code| permit(Direction::Ingress, Traffic::Icmp { kind, code });
    let arrives = |message: &[u8], expected: bool| {
        raw.send(message, GUEST);
        ear.hears(&message[..2], if expected { PATIENCE } else { MOMENT })
    };
    for (permit, timestamp, host, port) in [
        (icmp(None, None), true, true, true),
        (icmp(Some(13), None), true, false, false),
        (icmp(Some(3), Some(3)), false, false, true),
        (icmp(Some(3), None), false, true, true),
        (icmp(Some(8), None), false, false, false),
        (self::permit(Direction::Ingress, Traffic::Protocol(1)), true, true, true),
        (tcp(0, 65535), false, false, false),
    ] {
        scene.admit([permit.clone()]);
        assert_eq!(arrives(&TIMESTAMP, timestamp), timestamp, "timestamp: {permit:?}");
        assert_eq!(arrives(&unreachable(1), host), host, "host unreachable: {permit:?}");
        assert_eq!(arrives(&unreachable(3), port), port, "port unreachable: {permit:?}");
    }
}

#[test]
fn other_protocols_are_admitted_by_number() {
    let scene = Scene::new();
    for (direction, sender, receiver, to) in [
        (Direction::Ingress, &scene.outside, &scene.guest.namespace, GUEST),
        (Direction::Egress, &scene.guest.namespace, &scene.outside, OUTSIDE),
    ] {
        // The two that are for experiments: of others the kernel's tracking has its own opinion.
        for (traffic, one, other) in [
            (Traffic::Protocol(254), true, false),
            (Traffic::Protocol(253), false, true),
            (Traffic::Any, true, true),
            (Traffic::Tcp { from: 0, to: 65535 }, false, false),
        ] {
            scene.admit([permit(direction, traffic)]);
            for (number, admitted) in [(254, one), (253, other)] {
                let (raw, ear) = (RawSocket::new(sender, number), RawSocket::new(receiver, number));
                raw.send(&[0; 8], to);
                let heard = ear.hears(&[0; 8], if admitted { PATIENCE } else { MOMENT });
                assert_eq!(heard, admitted, "{number}: {direction:?} {traffic:?}");
            }
        }
    }
}

#[test]
fn what_a_guest_may_begin_it_may_say_though_it_was_begun_with() {
    let scene = Scene::new();
    let here = Scene::udp(&scene.guest.namespace, 500);
    let udp = |direction| permit(direction, Traffic::Udp { from: 500, to: 500 });
    scene.host.namespace.run("nft flush chain ip mallee outbound");
    let there = Scene::udp(&scene.outside, 500);
    scene.admit([udp(Direction::Ingress)]);
    assert!(carries(&there, &here, (GUEST, 500), true));
    scene.admit([udp(Direction::Egress)]);
    assert!(carries(&here, &there, (OUTSIDE, 500), true));
}

#[test]
fn a_group_as_a_peer_is_its_members_of_today() {
    let scene = Scene::new();
    scene.guest.namespace.serve(22, "ssh");
    let everyone: Vec<Guest> =
        (5..8).map(|number| scene.host.guest(&public(number, vec![egress()]))).collect();
    let group: SecurityGroupId = "sg-00000001".parse().unwrap();
    scene.admit([egress(), Permit { peers: Peers::Members(group.clone()), ..tcp(22, 22) }]);
    let reaching = |today: &[u8]| {
        for (number, one) in (5..8).zip(&everyone) {
            let reaches = one.namespace.greeting(GUEST, 22).is_some();
            assert_eq!(reaches, today.contains(&number), "{number} of {today:?}");
        }
        assert_eq!(scene.outside.greeting(GUEST, 22), None, "no member");
    };
    reaching(&[]);
    for today in [&[5, 6][..], &[6, 7], &[], &[5, 6, 7]] {
        let address = |last: &u8| Ipv4Addr::new(10, 213, 0, *last);
        let addresses = today.iter().map(address).collect();
        let members = GroupMembers { group: group.clone(), addresses };
        scene.host.datapath().set_members(&members).unwrap();
        reaching(today);
        // As after a restart of the process: the kernel knows, and is asked.
        scene.host.datapath().set_members(&members).unwrap();
        reaching(today);
    }
}

#[test]
fn members_are_known_to_a_process_that_begins_and_gone_with_the_last_that_names_them() {
    let mut scene = Scene::new();
    scene.guest.namespace.serve(22, "ssh");
    let member = scene.host.guest(&public(5, vec![egress()]));
    let group: SecurityGroupId = "sg-00000001".parse().unwrap();
    let named = [egress(), Permit { peers: Peers::Members(group.clone()), ..tcp(22, 22) }];
    let members = |last: &[u8]| GroupMembers {
        group: group.clone(),
        addresses: last.iter().map(|last| Ipv4Addr::new(10, 213, 0, *last)).collect(),
    };
    scene.host.datapath().set_members(&members(&[5])).unwrap();
    scene.admit(named.clone());
    assert!(member.namespace.greeting(GUEST, 22).is_some());
    scene.host.reopen();
    for (number, permits) in [(4, named.to_vec()), (5, vec![egress()])] {
        let instance = "i-12345678".parse().unwrap();
        scene.host.datapath().attach(&instance, &public(number, permits)).unwrap();
    }
    assert!(member.namespace.greeting(GUEST, 22).is_some());
    scene.host.datapath().set_members(&members(&[])).unwrap();
    assert_eq!(member.namespace.greeting(GUEST, 22), None);
    let is_there = || scene.host.namespace.run("nft list ruleset").contains("members-");
    assert!(is_there(), "a filter names it");
    scene.admit([egress()]);
    assert!(!is_there(), "of nobody, and nobody names it");
    scene.admit(named.clone());
    scene.host.datapath().set_members(&members(&[5])).unwrap();
    assert!(member.namespace.greeting(GUEST, 22).is_some());
    scene.admit([egress()]);
    assert!(is_there(), "of somebody");
    scene.host.datapath().set_members(&members(&[])).unwrap();
    assert!(!is_there(), "told in the other order");
}

#[test]
fn a_revoked_flow_falls_silent_in_both_directions_at_once() {
    let scene = Scene::new();
    let udp = |direction, port| permit(direction, Traffic::Udp { from: port, to: port });
    // Either end may be the one that goes on talking though it is not asked to.
    for direction in [Direction::Ingress, Direction::Egress] {
        let (client, server, at) = match direction {
            Direction::Ingress => (&scene.outside, &scene.guest.namespace, (GUEST, 7000)),
            Direction::Egress => (&scene.guest.namespace, &scene.outside, (OUTSIDE, 7000)),
        };
        let (client, server) = (Scene::udp(client, 7001), Scene::udp(server, 7000));
        // Something is always permitted in the other direction's name.
        let other = udp(direction, 9);
        scene.admit([udp(direction, 7000), other.clone()]);
        client.send_to(b"ask", at).unwrap();
        let (_, back) = server.recv_from(&mut [0; 8]).unwrap();
        server.send_to(b"tell", back).unwrap();
        assert!(hears(&client, true));
        let begun = std::time::Instant::now();
        scene.admit([other]);
        let taken = begun.elapsed();
        assert!(taken < Duration::from_secs(2), "{taken:?}");
        server.send_to(b"tell", back).unwrap();
        assert!(!hears(&client, false), "{direction:?}: still told");
        assert!(!carries(&client, &server, at, false), "{direction:?}: still asked");
        scene.admit([udp(direction, 7000)]);
        server.send_to(b"tell", back).unwrap();
        assert!(hears(&client, true), "{direction:?}: admitted again");
    }
}
