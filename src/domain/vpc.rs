//! An owner's private networks: VPCs and their subnets.
//!
//! Every scope has a default VPC, `172.31.0.0/16`, with a default subnet a zone, as every modern
//! EC2 client expects. It is the paper's flat private network of an owner; others users make
//! themselves. A VPC is one Ethernet, whatever hosts its guests are on: a subnet says in which zone
//! an instance runs and which range its address is from, and no router stands between two of them.

use super::{
    chance::Chance,
    fault::CloudFault,
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
    #[serde(default)]
    pub attributes: VpcAttributes,
    pub is_default: bool,
    pub created_at: Timestamp,
}

/// What EC2's users may say of a VPC. It is kept and shown, and changes nothing for guests: they
/// are always told a name server, no public name of theirs is known to it, and addresses are not
/// metered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcAttributes {
    pub dns_support: bool,
    pub dns_hostnames: bool,
    pub address_usage_metrics: bool,
}

impl Default for VpcAttributes {
    fn default() -> VpcAttributes {
        VpcAttributes { dns_support: true, dns_hostnames: false, address_usage_metrics: false }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    pub scope: Scope,
    pub id: SubnetId,
    pub vpc: VpcId,
    pub cidr: Cidr,
    pub zone: ZoneName,
    pub is_default: bool,
    /// As its owner says (`MapPublicIpOnLaunch`); every guest has a public interface in any case.
    /// None in records older than the choice: default subnets only.
    #[serde(default)]
    pub maps_public_address: Option<bool>,
    pub created_at: Timestamp,
}

impl Subnet {
    pub fn maps_public_address(&self) -> bool {
        self.maps_public_address.unwrap_or(self.is_default)
    }

    /// Whether instances may have the address.
    pub fn is_usable(&self, address: Ipv4Addr) -> bool {
        let place = u64::from(u32::from(address).wrapping_sub(u32::from(self.cidr.address())));
        self.cidr.contains(address)
            && place >= RESERVED_FIRST
            && place < self.cidr.size() - RESERVED_LAST
    }
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

/// EC2's lengths, and nothing that an interface cannot have: "this" network, loopback, link-local
/// (where the metadata service is), multicast and above.
pub fn check_vpc_cidr(cidr: Cidr) -> Result<(), CloudFault> {
    let is_nobodys = |(address, length): ([u8; 4], u8)| {
        Cidr::new(address.into(), length).is_some_and(|range| range.overlaps(cidr))
    };
    let unusable =
        [([0, 0, 0, 0], 8), ([127, 0, 0, 0], 8), ([169, 254, 0, 0], 16), ([224, 0, 0, 0], 3)];
    let is_sized = (16..=28).contains(&cidr.prefix_length());
    match is_sized && !unusable.into_iter().any(is_nobodys) {
        true => Ok(()),
        false => Err(CloudFault::VpcRange(cidr)),
    }
}

/// A subnet lies in its VPC, beside the others there.
pub fn check_subnet_cidr<'a>(
    cidr: Cidr,
    vpc: &Vpc,
    others: impl IntoIterator<Item = &'a Subnet>,
) -> Result<(), CloudFault> {
    let lengths = vpc.cidr.prefix_length()..=28;
    if !lengths.contains(&cidr.prefix_length()) || !vpc.cidr.contains(cidr.address()) {
        return Err(CloudFault::SubnetRange(cidr));
    }
    let mut siblings = others.into_iter().filter(|other| other.vpc == vpc.id);
    match siblings.any(|other| other.cidr.overlaps(cidr)) {
        true => Err(CloudFault::SubnetConflict(cidr)),
        false => Ok(()),
    }
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
    use crate::domain::{chance::Counting, id::PrefixedId};

    fn range(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn vpc(cidr: &str) -> Vpc {
        Vpc {
            scope: Scope {
                account: "111111111111".parse().unwrap(),
                region: "local".parse().unwrap(),
            },
            id: VpcId::lowest(),
            cidr: range(cidr),
            network: None,
            attributes: VpcAttributes::default(),
            is_default: false,
            created_at: Timestamp::EPOCH,
        }
    }

    fn subnet(cidr: &str) -> Subnet {
        let Vpc { scope, id, created_at, .. } = vpc("10.0.0.0/16");
        Subnet {
            scope,
            id: SubnetId::lowest(),
            vpc: id,
            cidr: range(cidr),
            zone: "locala".parse().unwrap(),
            is_default: false,
            maps_public_address: None,
            created_at,
        }
    }

    #[test]
    fn a_vpc_has_between_16_and_65536_addresses_that_guests_can_have() {
        for good in ["10.0.0.0/16", "192.168.4.16/28", "172.31.0.0/16", "100.64.0.0/20"] {
            assert_eq!(check_vpc_cidr(range(good)), Ok(()), "{good}");
        }
        for bad in [
            "10.0.0.0/15",
            "10.0.0.0/29",
            "0.0.0.0/16",
            "127.1.0.0/16",
            "169.254.169.0/24",
            "224.0.0.0/16",
            "255.255.0.0/16",
        ] {
            assert_eq!(check_vpc_cidr(range(bad)), Err(CloudFault::VpcRange(range(bad))));
        }
    }

    #[test]
    fn a_subnet_lies_in_its_vpc_and_beside_its_siblings() {
        let vpc = vpc("10.0.0.0/16");
        let others = [subnet("10.0.1.0/24"), subnet("10.0.2.0/28")];
        let check = |cidr: &str| check_subnet_cidr(range(cidr), &vpc, &others);
        for good in ["10.0.0.0/24", "10.0.2.16/28", "10.0.128.0/17"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for outside in ["10.1.0.0/24", "10.0.0.0/8", "10.0.3.0/29"] {
            assert_eq!(check(outside), Err(CloudFault::SubnetRange(range(outside))));
        }
        for taken in ["10.0.0.0/16", "10.0.1.0/24", "10.0.1.128/25", "10.0.2.0/24"] {
            assert_eq!(check(taken), Err(CloudFault::SubnetConflict(range(taken))));
        }
        assert_eq!(check_subnet_cidr(vpc.cidr, &vpc, []), Ok(()), "it may fill it");
        let elsewhere = Subnet { vpc: "vpc-12345678".parse().unwrap(), ..subnet("10.0.0.0/16") };
        assert_eq!(check_subnet_cidr(vpc.cidr, &vpc, [&elsewhere]), Ok(()));
    }

    #[test]
    fn the_first_four_addresses_of_a_subnet_and_its_last_are_nobodys() {
        let subnet = subnet("10.0.1.0/28");
        let usable = (0..=255u8).filter(|last| subnet.is_usable([10, 0, 1, *last].into()));
        assert_eq!(usable.collect::<Vec<_>>(), (4..15).collect::<Vec<u8>>());
        assert!(!subnet.is_usable([10, 0, 0, 5].into()));
    }

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
