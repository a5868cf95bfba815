//! An owner's private networks: VPCs and their subnets.
//!
//! Every scope has a default VPC, `172.31.0.0/16`, with a default subnet a zone, as every modern
//! EC2 client expects. It is the paper's flat private network of an owner.

use super::{
    id::{SubnetId, VpcId, ZoneName},
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_subnets_lie_side_by_side_in_the_default_vpc() {
        assert_eq!(default_subnet_cidr(0).unwrap().to_string(), "172.31.0.0/20");
        assert_eq!(default_subnet_cidr(2).unwrap().to_string(), "172.31.32.0/20");
        assert_eq!(default_subnet_cidr(15).unwrap().to_string(), "172.31.240.0/20");
        assert_eq!(default_subnet_cidr(16), None);
    }
}
