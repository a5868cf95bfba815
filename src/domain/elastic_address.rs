//! Elastic addresses: public addresses that an account keeps, and moves between its instances.
//!
//! One is allocated from the cloud's pool and belongs to an account in a region until it is
//! released. Associated with an interface it is where the world finds the instance, though the
//! guest knows itself by the address that came with it, which is there again when the elastic one
//! has gone elsewhere. An association ends with its instance.

use super::{
    id::{AllocationId, AssociationId, InstanceId, InterfaceId},
    instance::InstanceState,
    port_filter::Cidr,
    scope::Scope,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// An address that an account has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElasticAddress {
    pub scope: Scope,
    pub id: AllocationId,
    pub address: Ipv4Addr,
    pub domain: AddressDomain,
    pub allocated_at: Timestamp,
    /// May name an instance that has ended: `ScopeState::association` tells what still holds.
    pub association: Option<Association>,
}

/// Which of EC2's two kinds it is. Both do the same; the older one is named by itself rather than
/// by ids, moves without asking, and may be released while it is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AddressDomain {
    #[default]
    Vpc,
    Standard,
}

impl AddressDomain {
    pub fn as_str(self) -> &'static str {
        match self {
            AddressDomain::Vpc => "vpc",
            AddressDomain::Standard => "standard",
        }
    }
}

/// Whose an elastic address is for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Association {
    pub id: AssociationId,
    pub instance: InstanceId,
    pub interface: InterfaceId,
    /// The interface's own address.
    pub private_address: Ipv4Addr,
}

/// Where elastic addresses come from, and how many of them an account may have in a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElasticPool {
    /// None: there are none.
    pub range: Option<Cidr>,
    pub egress: Egress,
    pub per_account: u64,
}

impl ElasticPool {
    /// EC2's limit.
    pub const PER_ACCOUNT: u64 = 5;

    /// The part of a group's public range that is kept for elastic addresses if nothing else is
    /// said: the last sixteenth, and not more than 256 addresses. Only the hosts know that range,
    /// so nothing leaves them with such an address.
    pub fn within(public_addresses: Cidr) -> ElasticPool {
        let length = (public_addresses.prefix_length() + 4).max(24);
        let size = 1u64.checked_shl(32 - u32::from(length.min(32))).unwrap_or(1);
        let first = public_addresses.nth(public_addresses.size() - size);
        // With fewer than four addresses the broadcast address would be a good part of it.
        let range = first.filter(|_| length <= 30).and_then(|first| Cidr::new(first, length));
        ElasticPool { range, egress: Egress::Masqueraded, per_account: Self::PER_ACCOUNT }
    }

    /// Whether no instance may get that address by itself.
    pub fn keeps(&self, address: Ipv4Addr) -> bool {
        self.range.is_some_and(|range| range.contains(address))
    }
}

/// What a guest's packets to the world show as their source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Egress {
    /// The host's own address, as without an elastic one: the world knows no way back to that.
    #[default]
    Masqueraded,
    /// The elastic address, which the networks around route to the hosts.
    Elastic,
}

/// An elastic address as a data plane sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elastic {
    pub address: Ipv4Addr,
    pub egress: Egress,
}

/// Which elastic address an interface has, as of when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ElasticAssignment {
    /// Grows with every telling, over restarts of the cloud too. Of two interfaces that were told
    /// that they have an address, it is the one's that was told later.
    pub generation: u64,
    pub elastic: Option<Elastic>,
}

/// Why something is not done with an elastic address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum AddressFault {
    #[error("no elastic address `{0}`")]
    AllocationNotFound(AllocationId),
    #[error("nobody has the elastic address `{0}`")]
    AddressNotFound(Ipv4Addr),
    #[error("the elastic address `{0}` is another account's")]
    AnotherAccounts(Ipv4Addr),
    #[error("no association `{0}`")]
    AssociationNotFound(AssociationId),
    /// An address that may not be moved, or an interface that has one.
    #[error("`{resource}` is associated already, by `{association}`")]
    AlreadyAssociated { resource: String, association: AssociationId },
    #[error("the elastic address `{0}` is in use")]
    InUse(Ipv4Addr),
    #[error("the account has as many elastic addresses as it may")]
    LimitExceeded,
    #[error("no elastic address is free")]
    Exhausted,
    #[error("the address `{0}` cannot be had")]
    Unavailable(Ipv4Addr),
    #[error("instance `{instance}` is `{state}`", state = .state.as_str())]
    InstanceNotReady { instance: InstanceId, state: InstanceState },
    #[error("interface `{0}` is on a private network only")]
    NotPublic(InterfaceId),
    #[error("`{address}` is no address of `{owner}`")]
    NotAnAddressOf { address: Ipv4Addr, owner: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_public_range_is_kept_and_a_small_range_keeps_nothing() {
        let kept = |range: &str| ElasticPool::within(range.parse().unwrap()).range;
        let is = |range: &str| Some(range.parse::<Cidr>().unwrap());
        assert_eq!(kept("10.0.0.0/8"), is("10.255.255.0/24"));
        assert_eq!(kept("10.213.0.0/16"), is("10.213.255.0/24"));
        assert_eq!(kept("198.51.100.0/24"), is("198.51.100.240/28"));
        assert_eq!(kept("198.51.100.64/26"), is("198.51.100.124/30"));
        assert_eq!(kept("198.51.100.0/27"), None);
        assert_eq!(kept("198.51.100.0/29"), None);
        let pool = ElasticPool::within("10.213.0.0/16".parse().unwrap());
        assert!(pool.keeps(Ipv4Addr::new(10, 213, 255, 7)));
        assert!(!pool.keeps(Ipv4Addr::new(10, 213, 254, 255)));
    }
}
