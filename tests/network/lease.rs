//! DHCP, asked by a real client.

use crate::guest::{Guest, Host, egress, private, public};
use std::os::unix::fs::PermissionsExt;

/// Runs udhcpc until it is bound, and returns what it was told.
pub fn lease(host: &Host, guest: &Guest) -> String {
    let script = host.state.path().join("bound.sh");
    let told = host.state.path().join("told");
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = bound ] || exit 0\n\
         ip addr add $ip/$mask dev $interface\n\
         [ -z \"$router\" ] || ip route add default via $router\n\
         echo \"$ip/$mask router=$router dns=$dns hostname=$hostname mtu=$mtu\" > {}\n",
        told.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    guest
        .namespace
        .run(&format!("busybox udhcpc -i eth0 -f -q -n -t 5 -T 1 -O mtu -s {}", script.display()));
    std::fs::read_to_string(told).unwrap()
}

#[test]
fn a_guest_is_leased_its_own_address_on_the_public_wire() {
    let host = Host::new();
    // Neighbours whose ports must not answer for this one.
    let _other = host.unconfigured_guest(&public(5, vec![egress()]));
    let guest = host.unconfigured_guest(&public(4, vec![egress()]));
    let told = lease(&host, &guest);
    let expected = "10.213.0.4/16 router=10.213.0.1 dns=192.0.2.53 hostname=ip-10-213-0-4 mtu=1500";
    assert_eq!(told.trim(), expected);
    assert!(guest.namespace.pings(crate::guest::GATEWAY), "the lease works");
}

#[test]
fn a_guest_is_leased_its_own_address_on_a_private_wire_and_no_route() {
    let host = Host::new();
    let _neighbour = host.unconfigured_guest(&private(5, "vpc-11111111", 5));
    let guest = host.unconfigured_guest(&private(4, "vpc-11111111", 4));
    let told = lease(&host, &guest);
    assert_eq!(told.trim(), "172.31.0.4/16 router= dns= hostname=ip-172-31-0-4 mtu=1500");
}

#[test]
fn a_guest_cannot_be_a_dhcp_server() {
    let host = Host::new();
    let rogue = host.guest(&private(4, "vpc-11111111", 4));
    let victim = host.guest(&private(5, "vpc-11111111", 5));
    let hear = || std::net::UdpSocket::bind("0.0.0.0:68").unwrap();
    let ear = victim.namespace.inside(hear);
    ear.set_read_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    let say = |source: u16, destination: u16| {
        rogue.namespace.inside(move || {
            let socket = std::net::UdpSocket::bind(("0.0.0.0", source)).unwrap();
            socket.send_to(b"offer", ("172.31.0.5", destination)).unwrap();
        });
    };
    say(67, 68);
    say(1067, 68);
    assert!(ear.recv(&mut [0; 16]).is_err(), "an offer got through");
    // The same words on another port arrive, so it is the port that was refused.
    let ear = victim.namespace.inside(|| std::net::UdpSocket::bind("0.0.0.0:69").unwrap());
    say(1067, 69);
    assert_eq!(ear.recv(&mut [0; 16]).unwrap(), 5);
}
