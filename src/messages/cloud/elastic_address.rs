//! Commands about elastic addresses.

use super::Command;
use crate::domain::{
    elastic_address::AddressDomain,
    id::{AllocationId, AssociationId, InstanceId, InterfaceId},
    tag::Tags,
};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// How a user names an elastic address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddressName {
    Allocation(AllocationId),
    /// As it is shown.
    Address(Ipv4Addr),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocateAddress {
    pub domain: AddressDomain,
    /// This one and no other, as it is shown.
    pub address: Option<Ipv4Addr>,
    pub tags: Tags,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocated {
    pub id: AllocationId,
    pub address: Ipv4Addr,
}

/// What an elastic address is to lead to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AddressTarget {
    /// Its interface on the public wire.
    Instance(InstanceId),
    Interface(InterfaceId),
}

/// Whether an address that leads elsewhere may be taken from there, and a target's from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reassociation {
    Allowed,
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssociateAddress {
    pub address: AddressName,
    pub target: AddressTarget,
    /// Which of the target's own addresses it is to be translated to.
    pub private_address: Option<Ipv4Addr>,
    pub reassociation: Reassociation,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Associated {
    pub id: AssociationId,
    pub domain: AddressDomain,
}

/// One that is named by address and leads nowhere is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DisassociateAddress {
    Association(AssociationId),
    /// As it is shown.
    Address(Ipv4Addr),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseAddress {
    pub address: AddressName,
}

commands! {
    AllocateAddress => Allocated, "cloud.allocate_address";
    AssociateAddress => Associated, "cloud.associate_address";
    DisassociateAddress => (), "cloud.disassociate_address";
    ReleaseAddress => (), "cloud.release_address";
}
