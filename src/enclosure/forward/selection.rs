//! Which ports to offer, of those a filter admits.

use crate::domain::port_filter::{Direction, Peers, PortFilter, Traffic};
use std::{collections::BTreeSet, net::Ipv4Addr};

/// Each offered port is a socket, so there is an end to them.
pub const PORTS_MAX: usize = 1024;

/// Offered first of a range too wide to be offered whole, if it holds them.
const FAMILIAR: [u16; 24] = [
    22, 25, 53, 80, 110, 143, 389, 443, 1433, 1883, 2375, 2379, 3000, 3306, 3389, 5000, 5432, 5900,
    6379, 6443, 8000, 8080, 8443, 9090,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
}

const TCP: u8 = 6;
const UDP: u8 = 17;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    pub ports: BTreeSet<u16>,
    /// How many more are admitted.
    pub left_out: usize,
}

/// The ports that a filter admits from an address: those named singly or in narrow ranges first.
pub fn select(filter: &PortFilter, protocol: Protocol, from: Ipv4Addr) -> Selection {
    let mut ranges: Vec<(u16, u16)> = filter
        .permits
        .iter()
        .filter(|permit| permit.direction == Direction::Ingress)
        .filter(|permit| match &permit.peers {
            Peers::Ranges(ranges) => ranges.iter().any(|range| range.contains(from)),
            // Members are guests, and what is forwarded is not from them.
            Peers::Members(_) => false,
        })
        .filter_map(|permit| ports(permit.traffic, protocol))
        .filter(|(first, last)| first <= last)
        .collect();
    ranges.sort_by_key(|(first, last)| (last - first, *first));

    let admitted: BTreeSet<u16> = ranges.iter().flat_map(|(first, last)| *first..=*last).collect();
    let mut chosen = BTreeSet::new();
    for (first, last) in ranges {
        let range = first..=last;
        let familiar = FAMILIAR.iter().copied().filter(|port| range.contains(port));
        for port in familiar.chain(range.clone()) {
            if chosen.len() == PORTS_MAX {
                break;
            }
            chosen.insert(port);
        }
    }
    Selection { left_out: admitted.len() - chosen.len(), ports: chosen }
}

/// The ports of a protocol that a permit is about. Port 0 is nobody's.
fn ports(traffic: Traffic, protocol: Protocol) -> Option<(u16, u16)> {
    match (traffic, protocol) {
        (Traffic::Any, _) => Some((1, u16::MAX)),
        (Traffic::Tcp { from, to }, Protocol::Tcp) | (Traffic::Udp { from, to }, Protocol::Udp) => {
            Some((from.max(1), to))
        }
        (Traffic::Protocol(TCP), Protocol::Tcp) | (Traffic::Protocol(UDP), Protocol::Udp) => {
            Some((1, u16::MAX))
        }
        (Traffic::Tcp { .. } | Traffic::Udp { .. } | Traffic::Protocol(_), _) => None,
        (Traffic::Icmp { .. } | Traffic::Icmpv6 { .. }, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::port_filter::{Cidr, Permit};

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 1);

    fn check(permits: &[(Traffic, &str)], tcp: &[u16], left_out: usize) {
        let permits = permits.iter().map(|(traffic, peer)| Permit {
            direction: Direction::Ingress,
            traffic: *traffic,
            peers: [peer.parse().unwrap()].into(),
        });
        let selection = select(&PortFilter { permits: permits.collect() }, Protocol::Tcp, GATEWAY);
        assert_eq!(selection.left_out, left_out);
        if left_out == 0 {
            assert_eq!(selection.ports, tcp.iter().copied().collect());
        } else {
            assert_eq!(selection.ports.len(), PORTS_MAX);
            assert!(tcp.iter().all(|port| selection.ports.contains(port)), "{selection:?}");
        }
    }

    #[test]
    fn ports_are_offered_that_are_admitted_from_the_gateway() {
        let tcp = |from, to| Traffic::Tcp { from, to };
        check(&[(tcp(22, 23), "0.0.0.0/0"), (tcp(80, 80), "10.213.0.0/16")], &[22, 23, 80], 0);
        check(
            &[(tcp(22, 22), "192.0.2.0/24"), (Traffic::Udp { from: 53, to: 53 }, "0.0.0.0/0")],
            &[],
            0,
        );
        check(&[(tcp(9, 8), "0.0.0.0/0"), (tcp(0, 0), "0.0.0.0/0")], &[], 0);
        check(&[(tcp(0, 1), "10.213.0.1/32")], &[1], 0);
        check(&[], &[], 0);
    }

    #[test]
    fn egress_offers_nothing() {
        let permit = Permit {
            direction: Direction::Egress,
            traffic: Traffic::Any,
            peers: [Cidr::ANY].into(),
        };
        let filter = PortFilter { permits: vec![permit] };
        assert!(select(&filter, Protocol::Tcp, GATEWAY).ports.is_empty());
    }

    #[test]
    fn of_too_many_ports_those_named_and_those_familiar_come_first() {
        let all = (Traffic::Any, "0.0.0.0/0");
        check(&[all], &[1, 22, 80, 8080, 1000], 65535 - PORTS_MAX);
        let named = (Traffic::Tcp { from: 50000, to: 50009 }, "0.0.0.0/0");
        check(&[all, named], &[50000, 50009, 443], 65535 - PORTS_MAX);
    }
}
