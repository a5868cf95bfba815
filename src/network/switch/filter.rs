//! A port's permits, ready to be looked at for each new flow, and who is in which security group.
//!
//! It decides as `PortFilter::admits` does.

use super::hash::FastSet;
use crate::domain::{
    id::SecurityGroupId,
    port_filter::{
        Cidr, Direction, GroupMembers, Packet, Payload, Peers, Permit, PortFilter, Traffic,
    },
};
use std::{collections::HashMap, net::Ipv4Addr};

/// The members of every group that was ever spoken of, by a number that filters know it by.
#[derive(Debug, Default)]
pub struct Groups {
    numbers: HashMap<SecurityGroupId, usize>,
    members: Vec<FastSet<Ipv4Addr>>,
}

impl Groups {
    fn number(&mut self, group: &SecurityGroupId) -> usize {
        if let Some(number) = self.numbers.get(group) {
            return *number;
        }
        self.members.push(FastSet::default());
        self.numbers.insert(group.clone(), self.members.len() - 1);
        self.members.len() - 1
    }

    /// The group's number.
    pub fn set(&mut self, news: &GroupMembers) -> usize {
        let number = self.number(&news.group);
        self.members[number] = news.addresses.iter().copied().collect();
        number
    }
}

#[derive(Debug)]
pub struct Filter {
    permits: Vec<Permit>,
    rules: Vec<Rule>,
}

/// A permit; `permits` has it at the same place.
#[derive(Debug)]
struct Rule {
    direction: Direction,
    traffic: Traffic,
    peers: RulePeers,
}

#[derive(Debug)]
enum RulePeers {
    Ranges(Vec<Cidr>),
    Members(usize),
}

impl Filter {
    pub fn new(filter: PortFilter, groups: &mut Groups) -> Filter {
        let rules = filter.permits.iter().map(|permit| Rule {
            direction: permit.direction,
            traffic: permit.traffic,
            peers: match &permit.peers {
                Peers::Ranges(ranges) => RulePeers::Ranges(ranges.clone()),
                Peers::Members(group) => RulePeers::Members(groups.number(group)),
            },
        });
        Filter { rules: rules.collect(), permits: filter.permits }
    }

    pub fn admits(&self, packet: Packet, groups: &Groups) -> bool {
        self.deciding(packet, groups).is_some()
    }

    /// The permit by which a flow may begin with this packet.
    pub fn permit(&self, packet: Packet, groups: &Groups) -> Option<&Permit> {
        Some(&self.permits[self.deciding(packet, groups)?])
    }

    fn deciding(&self, packet: Packet, groups: &Groups) -> Option<usize> {
        self.rules.iter().position(|rule| {
            rule.direction == packet.direction
                && rule.traffic.covers(packet.payload)
                && match &rule.peers {
                    RulePeers::Ranges(ranges) => {
                        ranges.iter().any(|range| range.contains(packet.peer))
                    }
                    RulePeers::Members(number) => groups.members[*number].contains(&packet.peer),
                }
        })
    }

    pub fn names(&self, group: usize) -> bool {
        self.rules.iter().any(|rule| matches!(rule.peers, RulePeers::Members(it) if it == group))
    }

    /// Whether what filters have no words for, as IPv6, may pass: where everything may.
    pub fn admits_everything(&self, direction: Direction) -> bool {
        self.rules.iter().any(|rule| {
            rule.direction == direction
                && rule.traffic == Traffic::Any
                && matches!(&rule.peers, RulePeers::Ranges(ranges) if ranges.contains(&Cidr::ANY))
        })
    }
}

/// The first packet of a flow, as filters see it.
pub fn packet(direction: Direction, peer: Ipv4Addr, payload: Payload) -> Packet {
    Packet { direction, peer, payload }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*, sample::select};
    use std::collections::{BTreeMap, BTreeSet};

    fn address() -> impl Strategy<Value = Ipv4Addr> {
        (0u8..4, 0u8..4).prop_map(|(b, d)| Ipv4Addr::new(10, b, 0, d))
    }
    fn direction() -> impl Strategy<Value = Direction> {
        select(vec![Direction::Ingress, Direction::Egress])
    }
    fn group(number: u8) -> SecurityGroupId {
        format!("sg-0000000{number}").parse().unwrap()
    }
    fn traffic() -> impl Strategy<Value = Traffic> {
        prop_oneof![
            Just(Traffic::Any),
            (0u16..4, 0u16..4).prop_map(|(from, to)| Traffic::Tcp { from, to }),
            (0u16..4, 0u16..4).prop_map(|(from, to)| Traffic::Udp { from, to }),
            (proptest::option::of(0u8..3), proptest::option::of(0u8..2))
                .prop_map(|(kind, code)| Traffic::Icmp { kind, code }),
            select(vec![6u8, 17, 47]).prop_map(Traffic::Protocol),
        ]
    }
    fn payload() -> impl Strategy<Value = Payload> {
        prop_oneof![
            (0u16..5).prop_map(|port| Payload::Tcp { port }),
            (0u16..5).prop_map(|port| Payload::Udp { port }),
            (0u8..4, 0u8..3).prop_map(|(kind, code)| Payload::Icmp { kind, code }),
            Just(Payload::Other { protocol: 47 }),
        ]
    }
    fn peers() -> impl Strategy<Value = Peers> {
        prop_oneof![
            vec((address(), 8u8..33), 0..3).prop_map(|ranges| Peers::Ranges(
                ranges.into_iter().map(|(at, length)| Cidr::new(at, length).unwrap()).collect()
            )),
            (0u8..3).prop_map(|number| Peers::Members(group(number))),
        ]
    }

    proptest! {
        #[test]
        fn it_decides_as_the_domain_says(
            permits in vec((direction(), traffic(), peers()), 0..6),
            members in vec((0u8..3, vec(address(), 0..4)), 0..6),
            packets in vec((direction(), address(), payload()), 1..20),
        ) {
            let permits = permits
                .into_iter()
                .map(|(direction, traffic, peers)| Permit { direction, traffic, peers });
            let model = PortFilter { permits: permits.collect() };
            let mut groups = Groups::default();
            let filter = Filter::new(model.clone(), &mut groups);
            let mut known: BTreeMap<SecurityGroupId, BTreeSet<Ipv4Addr>> = BTreeMap::new();
            for (number, addresses) in members {
                let news = GroupMembers {
                    group: group(number),
                    addresses: addresses.into_iter().collect(),
                };
                groups.set(&news);
                known.insert(news.group, news.addresses);
            }
            let is_member = |group: &SecurityGroupId, who: Ipv4Addr| {
                known.get(group).is_some_and(|members| members.contains(&who))
            };
            for (direction, peer, payload) in packets {
                let packet = packet(direction, peer, payload);
                prop_assert_eq!(filter.admits(packet, &groups), model.admits(packet, is_member));
            }
        }
    }
}
