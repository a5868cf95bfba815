//! Who has which address: ports of this switch, and what other switches announce of theirs.
//!
//! Two may claim one address for a while, as when an instance is started anew elsewhere before its
//! old host knows. What a control plane has assigned goes before what was learned, and a port of
//! this switch before another switch's; whoever is left holds it when the other is gone. Switches
//! that cannot be reached hold nothing (`LinkState` withdraws their claims).

use super::{hash::FastMap, port::PortId};
use crate::domain::{
    interface::MacAddress,
    overlay::{NetworkId, SwitchId},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

/// Whoever is at a MAC address, with the addresses it speaks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Station {
    pub network: NetworkId,
    pub mac: MacAddress,
    /// Assigned by the control plane, and not heard.
    pub is_assigned: bool,
    pub addresses: Vec<IpAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    Port(PortId),
    Switch(SwitchId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    pub mac: MacAddress,
    pub holder: Holder,
    pub is_assigned: bool,
}

impl Claim {
    /// The greatest of the claims to an address holds.
    fn rank(self) -> (bool, bool, u32, MacAddress) {
        match self.holder {
            Holder::Port(port) => (self.is_assigned, true, port.0, self.mac),
            Holder::Switch(switch) => (self.is_assigned, false, switch.0, self.mac),
        }
    }
}

#[derive(Debug)]
struct Claims {
    holding: Claim,
    others: Vec<Claim>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct MacKey(u128);
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct AddressKey(NetworkId, Ipv6Addr);

#[derive(Debug, Default)]
pub struct Directory {
    macs: FastMap<MacKey, Claims>,
    addresses: FastMap<AddressKey, Claims>,
    /// How many stations each other switch has in a network.
    members: FastMap<NetworkId, Members>,
    /// Addresses that another MAC has now, to be told to those who knew the old one.
    moved: Vec<(NetworkId, IpAddr, MacAddress)>,
}

#[derive(Debug, Default)]
struct Members {
    stations: BTreeMap<SwitchId, u32>,
    /// Another one with each switch that comes or goes.
    generation: u64,
}

fn mac_key(network: NetworkId, mac: MacAddress) -> MacKey {
    let bytes = mac.0.iter().fold(0u128, |number, byte| number << 8 | u128::from(*byte));
    MacKey(u128::from(network.number()) << 48 | bytes)
}

fn address_key(network: NetworkId, address: IpAddr) -> AddressKey {
    AddressKey(
        network,
        match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        },
    )
}

impl Directory {
    pub fn station(&self, network: NetworkId, mac: MacAddress) -> Option<Claim> {
        Some(self.macs.get(&mac_key(network, mac))?.holding)
    }

    pub fn address(&self, network: NetworkId, address: IpAddr) -> Option<Claim> {
        Some(self.addresses.get(&address_key(network, address))?.holding)
    }

    pub fn claim(&mut self, holder: Holder, station: &Station) {
        let Station { network, mac, is_assigned, .. } = *station;
        let claim = Claim { mac, holder, is_assigned };
        add(&mut self.macs, mac_key(network, mac), claim);
        for address in &station.addresses {
            let before = add(&mut self.addresses, address_key(network, *address), claim);
            if before.is_some_and(|before| before.mac != claim.mac) {
                self.note_move(network, *address, claim.mac);
            }
        }
        if let Holder::Switch(switch) = holder {
            let members = self.members.entry(network).or_default();
            let stations = members.stations.entry(switch).or_insert(0);
            *stations += 1;
            members.generation += u64::from(*stations == 1);
        }
    }

    /// What was claimed for the same holder with the same words.
    pub fn withdraw(&mut self, holder: Holder, station: &Station) {
        let Station { network, mac, is_assigned, .. } = *station;
        let claim = Claim { mac, holder, is_assigned };
        remove(&mut self.macs, mac_key(network, mac), claim);
        for address in &station.addresses {
            let after = remove(&mut self.addresses, address_key(network, *address), claim);
            if let Some(after) = after.filter(|after| after.mac != mac) {
                self.note_move(network, *address, after.mac);
            }
        }
        if let Holder::Switch(switch) = holder
            && let Some(members) = self.members.get_mut(&network)
            && let Some(stations) = members.stations.get_mut(&switch)
        {
            *stations -= 1;
            if *stations == 0 {
                members.stations.remove(&switch);
                members.generation += 1;
            }
        }
    }

    fn note_move(&mut self, network: NetworkId, address: IpAddr, mac: MacAddress) {
        if self.address(network, address).is_some_and(|claim| claim.mac == mac) {
            self.moved.push((network, address, mac));
        }
    }

    pub fn take_moved(&mut self) -> Vec<(NetworkId, IpAddr, MacAddress)> {
        std::mem::take(&mut self.moved)
    }

    /// The other switches that have stations in a network.
    pub fn members(&self, network: NetworkId) -> impl Iterator<Item = SwitchId> {
        let members = self.members.get(&network);
        members.into_iter().flat_map(|members| members.stations.keys().copied())
    }

    /// Another number after each change of `members`.
    pub fn generation(&self, network: NetworkId) -> u64 {
        self.members.get(&network).map_or(0, |members| members.generation)
    }
}

/// Who held it before, if it holds now.
fn add<K: std::hash::Hash + Eq>(
    claims: &mut FastMap<K, Claims>,
    key: K,
    claim: Claim,
) -> Option<Claim> {
    use std::collections::hash_map::Entry;
    match claims.entry(key) {
        Entry::Vacant(place) => {
            place.insert(Claims { holding: claim, others: Vec::new() });
            None
        }
        Entry::Occupied(mut known) => {
            let Claims { holding, others } = known.get_mut();
            if claim.rank() > holding.rank() {
                others.push(*holding);
                return Some(std::mem::replace(holding, claim));
            }
            others.push(claim);
            None
        }
    }
}

/// Who holds it now, if the claim held it.
fn remove<K: std::hash::Hash + Eq>(
    claims: &mut FastMap<K, Claims>,
    key: K,
    claim: Claim,
) -> Option<Claim> {
    let Claims { holding, others } = claims.get_mut(&key)?;
    if *holding != claim {
        if let Some(place) = others.iter().position(|other| *other == claim) {
            others.swap_remove(place);
        }
        return None;
    }
    let next = others.iter().enumerate().max_by_key(|(_, other)| other.rank()).map(|(at, _)| at);
    match next {
        Some(place) => {
            *holding = others.swap_remove(place);
            Some(*holding)
        }
        None => {
            claims.remove(&key);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn station(mac: u8, last: u8, is_assigned: bool) -> Station {
        Station {
            network: NetworkId::new(7).unwrap(),
            mac: MacAddress([2, 0, 0, 0, 0, mac]),
            is_assigned,
            addresses: vec![Ipv4Addr::new(10, 0, 0, last).into()],
        }
    }

    #[test]
    fn the_assigned_goes_before_the_learned_and_who_is_left_holds_it() {
        let mut directory = Directory::default();
        let (here, there) = (Holder::Port(PortId(1)), Holder::Switch(SwitchId(2)));
        let (learned, assigned) = (station(1, 5, false), station(2, 5, true));
        let network = learned.network;
        let address = learned.addresses[0];
        directory.claim(here, &learned);
        assert!(directory.take_moved().is_empty());
        directory.claim(there, &assigned);
        assert_eq!(directory.address(network, address).unwrap().holder, there);
        assert_eq!(directory.take_moved(), [(network, address, assigned.mac)]);
        directory.withdraw(there, &assigned);
        assert_eq!(directory.address(network, address).unwrap().holder, here);
        assert_eq!(directory.take_moved(), [(network, address, learned.mac)]);
        directory.withdraw(here, &learned);
        assert_eq!(directory.address(network, address), None);
        assert_eq!(directory.station(network, learned.mac), None);
        assert!(directory.macs.is_empty() && directory.addresses.is_empty());
    }

    #[test]
    fn networks_with_the_same_addresses_know_nothing_of_each_other() {
        let mut directory = Directory::default();
        let one = station(1, 5, true);
        let other = Station { network: NetworkId::new(8).unwrap(), ..station(1, 5, true) };
        directory.claim(Holder::Port(PortId(1)), &one);
        assert_eq!(directory.station(other.network, other.mac), None);
        directory.claim(Holder::Port(PortId(2)), &other);
        assert_eq!(
            directory.address(one.network, one.addresses[0]).unwrap().holder,
            Holder::Port(PortId(1))
        );
    }

    #[test]
    fn a_switch_is_in_a_network_while_it_has_a_station_there() {
        let mut directory = Directory::default();
        let there = Holder::Switch(SwitchId(2));
        let network = NetworkId::new(7).unwrap();
        for mac in [1, 2] {
            directory.claim(there, &station(mac, mac, true));
        }
        let generation = directory.generation(network);
        directory.withdraw(there, &station(1, 1, true));
        assert_eq!(directory.members(network).collect::<Vec<_>>(), [SwitchId(2)]);
        assert_eq!(directory.generation(network), generation);
        directory.withdraw(there, &station(2, 2, true));
        assert_eq!(directory.members(network).count(), 0);
        assert_ne!(directory.generation(network), generation);
    }
}
