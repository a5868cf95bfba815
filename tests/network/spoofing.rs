//! A guest can be nobody but itself.

use crate::guest::{GATEWAY, Host, egress, ping, private, public};
use std::net::Ipv4Addr;

#[test]
fn a_frame_with_another_mac_is_dropped() {
    let host = Host::new();
    let guest = host.guest(&public(4, vec![egress()]));
    assert!(guest.namespace.pings(GATEWAY));
    guest.namespace.run("ip link set eth0 address 02:00:00:00:00:99");
    assert!(!guest.namespace.pings(GATEWAY));
    guest.namespace.run("ip link set eth0 address 02:00:00:00:00:04");
    assert!(guest.namespace.pings(GATEWAY));
}

#[test]
fn a_packet_from_another_address_is_dropped() {
    let host = Host::new();
    let guest = host.guest(&public(4, vec![egress()]));
    guest.namespace.run("ip addr add 10.213.0.99/16 dev eth0");
    // The gateway's MAC is known already, so that it is the packet that is dropped and not ARP.
    assert!(guest.namespace.pings(GATEWAY));
    assert!(!guest.namespace.succeeds("busybox ping -c 1 -W 1 -I 10.213.0.99 10.213.0.1"));
    assert!(guest.namespace.succeeds("busybox ping -c 1 -W 1 -I 10.213.0.4 10.213.0.1"));
}

#[test]
fn an_arp_claim_to_a_neighbours_address_is_dropped_on_both_wires() {
    let host = Host::new();
    let thief = host.guest(&public(4, vec![egress()]));
    let _owner = host.guest(&public(5, vec![egress(), ping()]));
    let address = Ipv4Addr::new(10, 213, 0, 5);
    assert!(host.namespace.pings(address));
    thief.namespace.run("ip addr add 10.213.0.5/16 dev eth0");
    thief.namespace.run("busybox arping -c 2 -w 1 -U -I eth0 -s 10.213.0.5 10.213.0.5");
    let neighbours = host.namespace.run("ip neigh show 10.213.0.5");
    assert!(neighbours.contains("02:00:00:00:00:05"), "{neighbours}");

    let thief = host.guest(&private(6, "vpc-11111111", 6));
    let _owner = host.guest(&private(7, "vpc-11111111", 7));
    let witness = host.guest(&private(8, "vpc-11111111", 8));
    assert!(witness.namespace.pings(Ipv4Addr::new(172, 31, 0, 7)));
    thief.namespace.run("ip addr add 172.31.0.7/16 dev eth0");
    thief.namespace.run("busybox arping -c 2 -w 1 -U -I eth0 -s 172.31.0.7 172.31.0.7");
    let neighbours = witness.namespace.run("ip neigh show 172.31.0.7");
    assert!(neighbours.contains("02:00:00:00:00:07"), "{neighbours}");
}

#[test]
fn ipv6_of_guests_is_dropped() {
    let host = Host::new();
    let one = host.guest(&private(4, "vpc-11111111", 4));
    let two = host.guest(&private(5, "vpc-11111111", 5));
    one.namespace.run("ip -6 addr add fd00::4/64 dev eth0 nodad");
    two.namespace.run("ip -6 addr add fd00::5/64 dev eth0 nodad");
    assert!(one.namespace.pings(Ipv4Addr::new(172, 31, 0, 5)));
    assert!(!one.namespace.succeeds("busybox ping6 -c 1 -W 1 fd00::5"));
}
