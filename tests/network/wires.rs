//! Private networks: an Ethernet each, and no way between them.

use crate::guest::{GATEWAY, Host, private};
use std::net::Ipv4Addr;

#[test]
fn two_networks_with_the_same_addresses_never_meet() {
    let host = Host::new();
    let address = Ipv4Addr::new(172, 31, 0, 5);
    let red =
        [host.guest(&private(4, "vpc-11111111", 4)), host.guest(&private(5, "vpc-11111111", 5))];
    let blue =
        [host.guest(&private(6, "vpc-22222222", 4)), host.guest(&private(7, "vpc-22222222", 5))];
    red[1].namespace.serve(80, "red");
    blue[1].namespace.serve(80, "blue");
    for _ in 0..5 {
        assert_eq!(red[0].namespace.greeting(address, 80).as_deref(), Some("red"));
        assert_eq!(blue[0].namespace.greeting(address, 80).as_deref(), Some("blue"));
    }
    // One that is alone in its network finds nobody, even at an address that is somebody's.
    let green = host.guest(&private(8, "vpc-33333333", 9));
    assert!(!green.namespace.pings(address));
}

#[test]
fn the_host_is_not_on_a_private_network() {
    let host = Host::new();
    let guest = host.guest(&private(4, "vpc-11111111", 4));
    let bridge = host.namespace.run("ip -o link show type bridge");
    let line = bridge.lines().find(|line| line.contains("mallee-prv")).expect("a private bridge");
    let mac = line.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(!host.namespace.run("ip -o addr").contains("mallee-prv"), "it has no address");
    // Even a guest that knows the bridge's MAC and sends to the host's address gets no answer.
    guest.namespace.run("ip route add 10.213.0.1/32 dev eth0");
    guest.namespace.run(&format!("ip neigh add {GATEWAY} lladdr {mac} dev eth0"));
    assert!(!guest.namespace.pings(GATEWAY));
}
