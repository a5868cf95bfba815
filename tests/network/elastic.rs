//! Elastic addresses, with real packets.

use crate::{
    guest::{Guest, Host, Namespace, egress, permit, ping, public, tcp},
    residue::{check_same, state},
};
use mallee::{
    domain::{
        elastic_address::{Egress, Elastic, ElasticAssignment},
        interface::InterfaceSpec,
        port_filter::{Cidr, Direction, PortFilter, Traffic},
    },
    network::{Datapath, host::HostDatapath},
};
use std::{
    fs,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    path::Path,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(5);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const UPLINK: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Of a range that the networks around route to the host.
const ROUTED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
/// Of the public range, which only the host knows.
const INNER: Ipv4Addr = Ipv4Addr::new(10, 213, 255, 7);

fn interface(number: u8) -> InterfaceSpec {
    let udp = permit(Direction::Ingress, Traffic::Udp { from: 53, to: 53 });
    public(number, vec![egress(), ping(), tcp(22, 22), udp])
}

fn assignment(generation: u64, address: Ipv4Addr) -> ElasticAssignment {
    let egress = if address == ROUTED { Egress::Elastic } else { Egress::Masqueraded };
    ElasticAssignment { generation, elastic: Some(Elastic { address, egress }) }
}

fn give(host: &Host, generation: u64, number: u8, address: Ipv4Addr) {
    let assignment = assignment(generation, address);
    host.datapath().set_elastic(&interface(number).id, &assignment).unwrap();
}

fn take(host: &Host, generation: u64, number: u8) {
    let nothing = ElasticAssignment { generation, elastic: None };
    host.datapath().set_elastic(&interface(number).id, &nothing).unwrap();
}

/// Says its word to whoever connects, or sends anything by UDP.
fn guest(host: &Host, number: u8, word: &'static str) -> Guest {
    let guest = host.guest(&interface(number));
    serve(&guest.namespace, word);
    guest
}

fn serve(place: &Namespace, word: &'static str) {
    place.serve(22, word);
    place.serve(80, word);
    let socket = place.inside(|| UdpSocket::bind("0.0.0.0:53").unwrap());
    std::thread::spawn(move || {
        let mut question = [0; 64];
        while let Ok((_, asker)) = socket.recv_from(&mut question) {
            let _ = socket.send_to(word.as_bytes(), asker);
        }
    });
}

/// A host, the world that knows the way to it, and two guests.
struct Scene {
    outside: Namespace,
    one: Guest,
    two: Guest,
    host: Host,
}

impl Scene {
    fn new() -> Scene {
        let mut host = Host::bare();
        // As strict as a host may be.
        host.namespace.run("sysctl -qw net.ipv4.conf.all.rp_filter=1");
        let outside = host.outside();
        outside.run("ip route add 203.0.113.0/28 via 192.0.2.1");
        outside.run("ip route add 10.213.0.0/16 via 192.0.2.1");
        host.reopen();
        let (one, two) = (guest(&host, 4, "one"), guest(&host, 5, "two"));
        Scene { outside, one, two, host }
    }
}

fn echoes(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut [0]).is_ok()
}

/// Whose address a connection from `place` to the world comes from.
fn seen_from(place: &Namespace, outside: &Namespace, port: u16) -> (IpAddr, TcpStream, TcpStream) {
    let listener = outside.inside(|| TcpListener::bind((OUTSIDE, port)).unwrap());
    let near = place.inside(|| TcpStream::connect((OUTSIDE, port)).unwrap());
    let (far, from) = listener.accept().unwrap();
    (from.ip(), near, far)
}

/// What answers a datagram, sent again until it is answered.
fn answer(socket: &UdpSocket, to: Ipv4Addr) -> Option<String> {
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut word = [0; 16];
    (0..10).find_map(|_| {
        socket.send_to(b"?", (to, 53)).unwrap();
        let (length, from) = socket.recv_from(&mut word).ok()?;
        assert_eq!(from.ip(), IpAddr::from(to));
        Some(String::from_utf8_lossy(&word[..length]).into_owned())
    })
}

#[test]
fn a_guest_is_reached_at_its_elastic_address_from_everywhere_where_its_filter_lets_it() {
    check_reached(Scene::new());
}

#[test]
fn so_it_is_where_bridged_frames_are_not_shown_to_the_hosts_packet_filter() {
    let scene = Scene::new();
    // A kernel without that switch never shows them.
    let switch = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    scene.host.namespace.inside(|| {
        if Path::new(switch).exists() {
            fs::write(switch, "0").unwrap();
        }
    });
    check_reached(scene);
}

fn check_reached(Scene { outside, one, two, host }: Scene) {
    for address in [ROUTED, INNER] {
        give(&host, 1, 4, address);
        for (who, place) in [
            ("the world", &outside),
            ("the host", &host.namespace),
            ("a neighbour", &two.namespace),
            ("itself", &one.namespace),
        ] {
            let said = place.greeting(address, 22);
            assert_eq!(said.as_deref(), Some("one"), "{who}, {address}");
            assert!(place.pings(address), "{who}, {address}");
        }
        for place in [&outside, &host.namespace, &two.namespace] {
            assert_eq!(place.greeting(address, 80), None, "{address}");
        }
        let own = interface(4).address;
        assert_eq!(outside.greeting(own, 22).as_deref(), Some("one"), "its own address stays");
        take(&host, 2, 4);
        for place in [&outside, &host.namespace, &two.namespace] {
            assert_eq!(place.greeting(address, 22), None, "{address} is nobody's");
        }
    }
}

#[test]
fn a_change_of_filter_holds_for_the_elastic_address_as_for_its_own() {
    let Scene { outside, host, one: _one, two: _two } = Scene::new();
    give(&host, 1, 4, ROUTED);
    let mut stream = outside.connect(ROUTED, 22);
    assert!(echoes(&mut stream));
    let of_outside = |port| PortFilter {
        permits: vec![mallee::domain::port_filter::Permit {
            peers: [Cidr::host(OUTSIDE)].into(),
            ..tcp(port, port)
        }],
    };
    host.datapath().set_filter(&interface(4).id, &of_outside(22)).unwrap();
    assert!(echoes(&mut stream), "the peer is seen as it is");
    assert_eq!(host.namespace.greeting(ROUTED, 22), None, "another peer");
    host.datapath().set_filter(&interface(4).id, &of_outside(80)).unwrap();
    assert!(!echoes(&mut stream), "revoked");
    assert_eq!(outside.greeting(ROUTED, 80).as_deref(), Some("one"));
}

#[test]
fn a_guest_speaks_to_the_world_from_an_address_that_the_world_knows() {
    let Scene { outside, one, two, host } = Scene::new();
    give(&host, 1, 4, ROUTED);
    give(&host, 1, 5, INNER);
    assert_eq!(seen_from(&one.namespace, &outside, 7001).0, IpAddr::from(ROUTED));
    assert_eq!(seen_from(&two.namespace, &outside, 7002).0, IpAddr::from(UPLINK));
    take(&host, 2, 4);
    assert_eq!(seen_from(&one.namespace, &outside, 7003).0, IpAddr::from(UPLINK));
}

#[test]
fn an_address_that_moves_cuts_the_old_guests_flows_and_leads_to_the_new_one_at_once() {
    let Scene { outside, one, host, two: _two } = Scene::new();
    give(&host, 1, 4, ROUTED);
    let mut incoming = outside.connect(ROUTED, 22);
    let (_, mut outgoing, mut far) = seen_from(&one.namespace, &outside, 7001);
    std::thread::spawn(move || {
        let mut copy = far.try_clone().unwrap();
        std::io::copy(&mut far, &mut copy)
    });
    let mut by_own = outside.connect(interface(4).address, 22);
    // It goes on asking by the same port, so that the kernel always knows the flow.
    let asker = outside.inside(|| UdpSocket::bind((OUTSIDE, 7053)).unwrap());
    assert_eq!(answer(&asker, ROUTED).as_deref(), Some("one"));
    assert!(echoes(&mut incoming) && echoes(&mut outgoing) && echoes(&mut by_own));
    give(&host, 2, 5, ROUTED);
    assert_eq!(answer(&asker, ROUTED).as_deref(), Some("two"));
    assert_eq!(outside.greeting(ROUTED, 22).as_deref(), Some("two"));
    assert!(!echoes(&mut incoming) && !echoes(&mut outgoing), "by an address that has moved");
    assert!(echoes(&mut by_own), "by its own address");
    // The old guest is told late that it has it, and then that it has not.
    give(&host, 1, 4, ROUTED);
    assert_eq!(outside.greeting(ROUTED, 22).as_deref(), Some("two"));
    take(&host, 2, 4);
    assert_eq!(outside.greeting(ROUTED, 22).as_deref(), Some("two"));
}

#[test]
fn an_address_that_comes_to_a_guest_is_reached_by_whoever_asked_in_vain() {
    let Scene { outside, host, one: _one, two: _two } = Scene::new();
    let asker = outside.inside(|| UdpSocket::bind((OUTSIDE, 7053)).unwrap());
    for address in [ROUTED, INNER] {
        assert_eq!(answer(&asker, address), None);
        give(&host, 1, 4, address);
        assert_eq!(answer(&asker, address).as_deref(), Some("one"));
        host.datapath().detach(&interface(4).id).unwrap();
        assert_eq!(outside.greeting(address, 22), None, "gone with the guest");
        let again = InterfaceSpec { elastic: assignment(2, address), ..interface(4) };
        let again = host.guest(&again);
        serve(&again.namespace, "again");
        assert_eq!(answer(&asker, address).as_deref(), Some("again"));
        take(&host, 3, 4);
        host.datapath().detach(&interface(4).id).unwrap();
        drop(again);
        let one = guest(&host, 4, "one");
        std::mem::forget(one);
    }
}

#[test]
fn an_address_outlives_the_process_and_goes_with_a_guest_that_nobody_claims() {
    let Scene { outside, mut host, one: _one, two: _two } = Scene::new();
    give(&host, 1, 4, ROUTED);
    give(&host, 1, 5, INNER);
    let mut stream = outside.connect(ROUTED, 22);
    host.reopen();
    assert!(echoes(&mut stream), "nobody has noticed");
    let instance = "i-12345678".parse().unwrap();
    let claimed = InterfaceSpec { elastic: assignment(1, ROUTED), ..interface(4) };
    host.datapath().attach(&instance, &claimed).unwrap();
    assert!(echoes(&mut stream), "nor when it was attached again");
    host.datapath().sweep().unwrap();
    assert!(echoes(&mut stream));
    assert_eq!(outside.greeting(INNER, 22), None, "nobody has claimed it");
    assert!(!host.namespace.run("nft list map ip mallee elastic").contains(&INNER.to_string()[..]));
    assert!(!host.namespace.run("ip route").contains(&INNER.to_string()[..]));
    // What was true before the process ended may not be so any more.
    host.reopen();
    host.datapath().attach(&instance, &interface(4)).unwrap();
    assert!(!echoes(&mut stream));
    assert_eq!(outside.greeting(ROUTED, 22), None);
    assert!(!host.namespace.run("ip route").contains("203.0.113.7"));
}

#[test]
fn tables_that_somebody_emptied_are_made_anew_with_the_translations() {
    let Scene { outside, host, one: _one, two: _two } = Scene::new();
    give(&host, 1, 4, ROUTED);
    host.namespace.run("nft flush ruleset");
    let begun = Instant::now();
    while outside.greeting(ROUTED, 22).as_deref() != Some("one") {
        assert!(begun.elapsed() < PATIENCE, "it is not put back");
    }
    give(&host, 2, 5, ROUTED);
    assert_eq!(outside.greeting(ROUTED, 22).as_deref(), Some("two"));
}

#[test]
fn a_purge_leaves_nothing_of_elastic_addresses() {
    let mut host = Host::bare();
    let _outside = host.outside();
    let before = state(&host.namespace);
    host.reopen();
    let instance = "i-12345678".parse().unwrap();
    host.datapath().attach(&instance, &interface(4)).unwrap();
    give(&host, 1, 4, ROUTED);
    let during = state(&host.namespace);
    assert!(during.contains("203.0.113.7 dev mallee-e0") && during.contains("elastic_pairs"));
    host.datapath = None;
    HostDatapath::find(host.options()).unwrap().purge().unwrap();
    check_same(&before, &state(&host.namespace));
}
