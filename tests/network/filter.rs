//! Security groups on the public wire, with real packets.

use crate::guest::{Guest, Host, egress, permit, ping, public, tcp};
use mallee::{
    domain::port_filter::{Cidr, Direction, Permit, PortFilter, Traffic},
    network::Datapath,
};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

const GUEST: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 4);
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 5);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

fn set(host: &Host, permits: Vec<Permit>) {
    host.datapath().set_filter(&public(4, Vec::new()).id, &PortFilter { permits }).unwrap();
}

fn served(host: &Host) -> Guest {
    let guest = host.guest(&public(4, vec![egress()]));
    guest.namespace.serve(22, "ssh");
    guest.namespace.serve(80, "web");
    guest
}

fn echoes(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut [0]).is_ok()
}

#[test]
fn the_host_reaches_a_guest_only_where_a_permit_lets_it() {
    let host = Host::new();
    let _guest = served(&host);
    assert!(!host.namespace.pings(GUEST), "closed by default");
    assert_eq!(host.namespace.greeting(GUEST, 22), None, "closed by default");
    set(&host, vec![egress(), ping(), tcp(22, 22)]);
    assert!(host.namespace.pings(GUEST));
    assert_eq!(host.namespace.greeting(GUEST, 22).as_deref(), Some("ssh"));
    assert_eq!(host.namespace.greeting(GUEST, 80), None, "another port");
    set(&host, vec![egress()]);
    assert!(!host.namespace.pings(GUEST), "revoked");
    assert_eq!(host.namespace.greeting(GUEST, 22), None, "revoked");
}

#[test]
fn a_change_of_filter_cuts_what_is_no_longer_admitted_and_nothing_else() {
    let host = Host::new();
    let _guest = served(&host);
    set(&host, vec![egress(), tcp(22, 80)]);
    let mut ssh = host.namespace.connect(GUEST, 22);
    let mut web = host.namespace.connect(GUEST, 80);
    assert!(echoes(&mut ssh) && echoes(&mut web));
    set(&host, vec![egress(), tcp(22, 22)]);
    assert!(echoes(&mut ssh), "still admitted");
    assert!(!echoes(&mut web), "no longer admitted");
}

#[test]
fn guests_reach_each_other_only_where_both_filters_let_them() {
    let host = Host::new();
    let _guest = served(&host);
    let neighbour = host.guest(&public(5, vec![egress()]));
    assert!(!neighbour.namespace.pings(GUEST));
    set(&host, vec![egress(), Permit { peers: [Cidr::host(NEIGHBOUR)].into(), ..tcp(22, 22) }]);
    assert_eq!(neighbour.namespace.greeting(GUEST, 22).as_deref(), Some("ssh"));
    assert_eq!(host.namespace.greeting(GUEST, 22), None, "the host is not the peer named");
    let shut = PortFilter { permits: vec![ping()] };
    host.datapath().set_filter(&public(5, Vec::new()).id, &shut).unwrap();
    assert_eq!(neighbour.namespace.greeting(GUEST, 22), None, "its own egress is shut");
}

#[test]
fn a_guest_reaches_the_world_by_the_hosts_address_and_the_world_a_guest_by_permit() {
    let mut host = Host::bare();
    let outside = host.outside();
    outside.run("ip route add 10.213.0.0/16 via 192.0.2.1");
    host.reopen();
    outside.serve(80, "world");
    let guest = served(&host);
    assert_eq!(guest.namespace.greeting(OUTSIDE, 80).as_deref(), Some("world"));
    // Without the route back the answers could only come to the host's own address.
    outside.run("ip route del 10.213.0.0/16");
    assert_eq!(guest.namespace.greeting(OUTSIDE, 80).as_deref(), Some("world"), "masqueraded");
    outside.run("ip route add 10.213.0.0/16 via 192.0.2.1");
    assert_eq!(outside.greeting(GUEST, 22), None, "closed by default");
    set(&host, vec![tcp(22, 22)]);
    assert_eq!(outside.greeting(GUEST, 22).as_deref(), Some("ssh"));
    assert_eq!(guest.namespace.greeting(OUTSIDE, 80), None, "its egress is shut");
    set(&host, vec![permit(Direction::Egress, Traffic::Tcp { from: 80, to: 80 })]);
    assert_eq!(guest.namespace.greeting(OUTSIDE, 80).as_deref(), Some("world"));
}

#[test]
fn the_host_forwards_for_nobody_else() {
    let mut host = Host::bare();
    let outside = host.outside();
    let beyond = crate::guest::Namespace::new();
    host.namespace.run("ip link add other type veth peer name eth0");
    host.namespace.run(&format!("ip link set eth0 netns {}", beyond.path()));
    host.namespace.run("ip addr add 198.51.100.1/24 dev other");
    host.namespace.run("ip link set other up");
    beyond.run("ip addr add 198.51.100.2/24 dev eth0");
    beyond.run("ip link set eth0 up");
    beyond.run("ip route add default via 198.51.100.1");
    outside.run("ip route add 198.51.100.0/24 via 192.0.2.1");
    let far = Ipv4Addr::new(198, 51, 100, 2);
    assert!(host.namespace.pings(far));
    host.reopen();
    assert!(!outside.pings(far), "the uplink forwards for guests only");
    assert!(!beyond.pings(OUTSIDE));
}

#[test]
fn icmp_types_and_protocol_numbers_are_told_apart() {
    let host = Host::new();
    let _guest = served(&host);
    let icmp = |kind, code| permit(Direction::Ingress, Traffic::Icmp { kind, code });
    for (permit, admitted) in [
        (icmp(Some(8), Some(0)), true),
        (icmp(Some(8), Some(1)), false),
        (icmp(Some(13), None), false),
        (icmp(None, None), true),
        (permit(Direction::Ingress, Traffic::Protocol(1)), true),
        (permit(Direction::Ingress, Traffic::Protocol(47)), false),
        (permit(Direction::Ingress, Traffic::Any), true),
        (permit(Direction::Egress, Traffic::Any), false),
    ] {
        set(&host, vec![permit.clone()]);
        assert_eq!(host.namespace.pings(GUEST), admitted, "{permit:?}");
    }
}

#[test]
fn connections_and_filters_survive_a_restart_of_the_process() {
    let mut host = Host::new();
    let _guest = served(&host);
    let filter = vec![egress(), tcp(22, 22)];
    set(&host, filter.clone());
    let mut stream = host.namespace.connect(GUEST, 22);
    host.datapath = None;
    assert!(echoes(&mut stream), "with no process at all");
    host.reopen();
    assert!(echoes(&mut stream), "before the port is attached again");
    let instance = "i-12345678".parse().unwrap();
    host.datapath().attach(&instance, &public(4, filter)).unwrap();
    assert!(echoes(&mut stream), "after it");
    assert_eq!(host.namespace.greeting(GUEST, 80), None);
}
