//! An owner's private networks: VPCs and their subnets.
//!
//! Every scope has a default VPC, `172.31.0.0/16`, with a default subnet a zone, as every modern
//! EC2 client expects. It is the paper's flat private network of an owner.

use super::{
    chance::Chance,
    id::{SubnetId, VpcId, ZoneName},
    overlay::NetworkId,
    port_filter::Cidr,
    scope::Scope,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    pub scope: Scope,
    pub id: VpcId,
    pub cidr: Cidr,
    /// Its number in the overlay's frames, its own among all VPCs of all accounts and regions. One
    /// recorded before there was an overlay gets it with the next command in its scope.
    #[serde(default)]
    pub network: Option<NetworkId>,
    pub is_default: bool,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    pub scope: Scope,
    pub id: SubnetId,
    pub vpc: VpcId,
    pub cidr: Cidr,
    pub zone: ZoneName,
    pub is_default: bool,
    pub created_at: Timestamp,
}

/// AWS keeps the first four addresses of a subnet and its last.
pub const RESERVED_FIRST: u64 = 4;
pub const RESERVED_LAST: u64 = 1;

/// The range of every default VPC.
pub fn default_cidr() -> Cidr {
    Cidr::new(Ipv4Addr::new(172, 31, 0, 0), 16).expect("16 is a prefix length")
}

/// The default subnet of the zone with this index: `172.31.0.0/20`, `172.31.16.0/20`, …; there is
/// room for sixteen.
pub fn default_subnet_cidr(zone_index: usize) -> Option<Cidr> {
    let third = u8::try_from(zone_index).ok()?.checked_mul(16)?;
    Cidr::new(Ipv4Addr::new(172, 31, third, 0), 20)
}

/// A number that no VPC has, from a random place on: a frame on its way to a VPC that is gone is not
/// to come to the next one made. `None` when all 2²⁴ - 1 are taken.
pub fn free_network(
    chance: &mut dyn Chance,
    taken: impl Fn(NetworkId) -> bool,
) -> Option<NetworkId> {
    let mut bytes = [0; 4];
    chance.fill(&mut bytes);
    let start = u32::from_be_bytes(bytes) % NetworkId::MAX;
    (0..NetworkId::MAX)
        .filter_map(|step| NetworkId::new(1 + (start + step) % NetworkId::MAX))
        .find(|network| !taken(*network))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::chance::Counting;

    #[test]
    fn a_network_gets_a_number_that_is_not_taken_whichever_it_begins_at() {
        let chance = &mut Counting::default();
        let first = free_network(chance, |_| false).unwrap();
        let all_but = |last: u32| move |network: NetworkId| network.number() != last;
        assert_ne!(free_network(chance, |network| network == first), Some(first));
        assert_eq!(free_network(chance, all_but(1)), NetworkId::new(1));
        assert_eq!(free_network(chance, all_but(NetworkId::MAX)), NetworkId::new(NetworkId::MAX));
        assert_eq!(free_network(chance, |_| true), None);
    }

    #[test]
    fn default_subnets_lie_side_by_side_in_the_default_vpc() {
        assert_eq!(default_subnet_cidr(0).unwrap().to_string(), "172.31.0.0/20");
        assert_eq!(default_subnet_cidr(2).unwrap().to_string(), "172.31.32.0/20");
        assert_eq!(default_subnet_cidr(15).unwrap().to_string(), "172.31.240.0/20");
        assert_eq!(default_subnet_cidr(16), None);
    }
}
