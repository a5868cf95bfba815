//! Two hosts, each behind a NAT of its own that lets in nothing but replies, and one between them
//! that both can reach.
//!
//! ```text
//!   one ── NAT ── between ── NAT ── other
//! ```

use crate::{
    guest::Namespace,
    iperf3::{Carried, tcp},
    overlay::{Host, wait_for, wait_for_station},
};
use mallee::domain::overlay::SwitchId;
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Instant,
};

const BETWEEN: u32 = 3;

/// How a NAT names what it lets out.
#[derive(Debug, Clone, Copy)]
enum Mapping {
    /// By one port, whoever it goes to.
    Same,
    /// By one port as well, which is not the host's own.
    SameElsewhere,
    /// By another port for everybody it goes to, so that nobody can be told of it.
    Different,
}

impl Mapping {
    fn rule(self) -> &'static str {
        match self {
            Mapping::Same => "masquerade",
            Mapping::SameElsewhere => "meta l4proto udp masquerade to :20000-20999",
            Mapping::Different => "masquerade random",
        }
    }
}

struct Neighbourhood {
    between: Host,
    /// Behind NATs.
    hosts: [Host; 2],
    nats: [Namespace; 2],
    /// Of the hosts.
    guests: [Namespace; 2],
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::new(172, 31, 0, number as u8)
}

impl Neighbourhood {
    fn new(mapping: Mapping) -> Neighbourhood {
        let mut between = Host::new(BETWEEN, "0.0.0.0:8777");
        between.namespace.run("sysctl -qw net.ipv4.ip_forward=1");
        let mut hosts = [1, 2].map(|number| Host::new(number, "0.0.0.0:8777"));
        let nats = hosts.each_ref().map(|host| lay(host, &between, mapping));
        between.begin();
        hosts.iter_mut().for_each(Host::begin);
        // Both have the same address of their own, where the others do not find them.
        let own: SocketAddr = "192.168.77.2:8777".parse().unwrap();
        between.introduce_at(hosts.iter().map(|host| (host, own)));
        for (here, there) in [(0, 1), (1, 0)] {
            let host = &hosts[here];
            let public = format!("10.0.{}.1:8777", host.number).parse().unwrap();
            host.introduce_at([(&between, public), (&hosts[there], own)].into_iter());
        }
        let guests = hosts.each_ref().map(|host| host.guest(1, host.number as u8, 1380));
        wait_for_station(&hosts[0], 2);
        wait_for_station(&hosts[1], 1);
        Neighbourhood { between, hosts, nats, guests }
    }

    /// Whether each of the two has a cable to the other.
    fn is_direct(&self) -> bool {
        [(0, 2), (1, 1)].into_iter().all(|(here, there)| {
            let cables = self.hosts[here].overlay().status().cables;
            cables.iter().any(|cable| cable.is_up && cable.neighbour == SwitchId(there))
        })
    }

    /// The port by which one is found by the other.
    fn port_seen(&self, of: usize) -> Option<u16> {
        let cables = self.hosts[1 - of].overlay().status().cables;
        let number = SwitchId(self.hosts[of].number);
        let cable = cables.into_iter().find(|cable| cable.neighbour == number)?;
        Some(cable.address?.port())
    }

    fn relayed(&self) -> u64 {
        self.between.overlay().status().switch.relayed
    }

    /// Its NAT forgets whom it let out, and names them otherwise from now on.
    fn restart_nat(&mut self, of: usize, mapping: Mapping) {
        let host = &self.hosts[of];
        host.namespace.run("ip link del u0");
        self.between.namespace.run(&format!("ip link del to{}", host.number));
        self.nats[of] = lay(host, &self.between, mapping);
    }

    fn check_reaches(&self) {
        let begun = Instant::now();
        wait_for("guests reach each other", || self.guests[0].pings(address(2)));
        println!("guests reach each other after {:?}", begun.elapsed());
    }

    /// Both ways, and hardly anything twice.
    fn check_carries(&self) {
        for carried in tcp(&self.guests[0], &self.guests[1], address(2)) {
            println!("{carried:?}");
            let Carried { bytes, retransmits } = carried;
            assert!(bytes > 1 << 20, "{bytes}");
            assert!(retransmits * 1328 < bytes / 50, "{retransmits} of {bytes} bytes");
        }
    }
}

/// A NAT with its wires to a host, inside, and to who is between.
fn lay(host: &Host, between: &Host, mapping: Mapping) -> Namespace {
    let (nat, number) = (Namespace::new(), host.number);
    let path = nat.path();
    host.namespace.run(&format!("ip link add u0 type veth peer name inside netns {path}"));
    let to = format!("to{number}");
    between.namespace.run(&format!("ip link add {to} type veth peer name outside netns {path}"));
    nat.run("sysctl -qw net.ipv4.ip_forward=1");
    let rule = mapping.rule();
    nat.run(&format!(
        "nft table ip nat {{ \
         chain out {{ type nat hook postrouting priority srcnat ; oifname outside {rule} ; }} ; \
         chain through {{ type filter hook forward priority filter ; policy drop ; \
           iifname inside accept ; ct state established,related accept ; }} ; \
         chain here {{ type filter hook input priority filter ; policy drop ; \
           ct state established accept ; }} ; }}"
    ));
    for (place, device, own) in [
        (&host.namespace, "u0", "192.168.77.2".to_owned()),
        (&nat, "inside", "192.168.77.1".to_owned()),
        (&nat, "outside", format!("10.0.{number}.2")),
        (&between.namespace, to.as_str(), format!("10.0.{number}.1")),
    ] {
        place.run(&format!("ip addr add {own}/24 dev {device}"));
        place.run(&format!("ip link set {device} up"));
    }
    host.namespace.run("ip route add default via 192.168.77.1");
    nat.run(&format!("ip route add default via 10.0.{number}.1"));
    nat
}

#[test]
fn hosts_behind_two_nats_find_each_other_again_and_again_and_speak_without_a_relay() {
    let mut all = Neighbourhood::new(Mapping::Same);
    wait_for("a direct cable", || all.is_direct());
    all.check_reaches();
    let relayed = all.relayed();
    all.check_carries();
    assert_eq!(all.relayed(), relayed, "what goes directly goes by nobody else");

    for (of, mapping, ports) in [
        (0, Mapping::SameElsewhere, 20000..=20999),
        (1, Mapping::SameElsewhere, 20000..=20999),
        (0, Mapping::Same, 8777..=8777),
    ] {
        all.restart_nat(of, mapping);
        all.check_reaches();
        wait_for("a direct cable by the new name", || {
            all.is_direct() && all.port_seen(of).is_some_and(|port| ports.contains(&port))
        });
        all.check_reaches();
    }
    let relayed = all.relayed();
    all.check_carries();
    assert_eq!(all.relayed(), relayed);
}

#[test]
fn hosts_whose_nats_name_them_differently_to_everybody_speak_by_a_relay() {
    let mut all = Neighbourhood::new(Mapping::Different);
    all.check_reaches();
    let relayed = all.relayed();
    all.check_carries();
    assert!(all.relayed() > relayed);
    for of in [0, 1] {
        all.restart_nat(of, Mapping::Different);
        all.check_reaches();
        all.check_carries();
    }
    assert!(!all.is_direct());
}
