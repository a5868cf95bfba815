//! Asked of the cloud manager about network interfaces.

use super::Command;
use crate::domain::{
    id::{AttachmentId, InstanceId, InterfaceId, SecurityGroupId, SubnetId},
    tag::Tags,
};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// The addresses of an interface that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AddressesWanted {
    /// `None` leaves it to the cloud.
    pub primary: Option<Ipv4Addr>,
    pub secondary: Vec<Ipv4Addr>,
    /// That many more, left to the cloud.
    pub secondary_count: u32,
}

/// An interface that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewInterface {
    pub subnet: SubnetId,
    pub addresses: AddressesWanted,
    pub description: String,
    /// None at all: the default group of the subnet's VPC.
    pub security_groups: Vec<SecurityGroupId>,
}

/// What a launch says of its instances' interfaces beyond subnet and security groups.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LaunchInterfaces {
    pub private: PrivateInterface,
    pub further: Vec<FurtherInterface>,
}

impl LaunchInterfaces {
    /// Interfaces that are there before the launch.
    pub fn existing(&self) -> impl Iterator<Item = &InterfaceId> {
        let further = self.further.iter().filter_map(|further| match &further.interface {
            InterfaceSource::Existing(id) => Some(id),
            InterfaceSource::New(_) => None,
        });
        self.private.existing.iter().chain(further)
    }

    pub fn names(&self, interface: &InterfaceId) -> bool {
        self.existing().any(|existing| existing == interface)
    }

    /// Whether only one instance can have what is asked for.
    pub fn are_for_one(&self) -> bool {
        let names_address = |addresses: &AddressesWanted| {
            addresses.primary.is_some() || !addresses.secondary.is_empty()
        };
        let mut new = self.further.iter().filter_map(|further| match &further.interface {
            InterfaceSource::Existing(_) => None,
            InterfaceSource::New(new) => Some(&new.addresses),
        });
        self.existing().next().is_some()
            || names_address(&self.private.addresses)
            || new.any(names_address)
    }
}

/// Of the interface on the private wire, which every instance has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PrivateInterface {
    /// In place of a new one; its subnet and its groups are the instance's.
    pub existing: Option<InterfaceId>,
    pub addresses: AddressesWanted,
    pub description: String,
    /// It is detached when its instance ends, and not deleted.
    pub outlives_instance: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FurtherInterface {
    pub device_index: u32,
    pub interface: InterfaceSource,
    pub outlives_instance: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InterfaceSource {
    Existing(InterfaceId),
    New(NewInterface),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateInterface {
    pub interface: NewInterface,
    pub tags: Tags,
    pub client_token: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteInterface {
    pub interface: InterfaceId,
}

/// To an instance that is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachInterface {
    pub interface: InterfaceId,
    pub instance: InstanceId,
    pub device_index: u32,
}

/// From an instance that is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetachInterface {
    pub attachment: AttachmentId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum InterfaceAttribute {
    Description(String),
    SecurityGroups(Vec<SecurityGroupId>),
    SourceDestCheck(bool),
    /// Whether it goes with its instance, of the attachment named.
    DeletedWithInstance(AttachmentId, bool),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModifyInterface {
    pub interface: InterfaceId,
    pub attribute: InterfaceAttribute,
}

/// Further addresses, in the interface's subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignAddresses {
    pub interface: InterfaceId,
    pub addresses: Vec<Ipv4Addr>,
    /// That many, left to the cloud.
    pub count: u32,
    /// An address that another of the caller's interfaces has besides its first is taken from it.
    pub allow_reassignment: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnassignAddresses {
    pub interface: InterfaceId,
    pub addresses: Vec<Ipv4Addr>,
}

commands! {
    CreateInterface => InterfaceId, "cloud.create_interface";
    DeleteInterface => (), "cloud.delete_interface";
    AttachInterface => AttachmentId, "cloud.attach_interface";
    DetachInterface => (), "cloud.detach_interface";
    ModifyInterface => (), "cloud.modify_interface";
    AssignAddresses => Vec<Ipv4Addr>, "cloud.assign_addresses";
    UnassignAddresses => (), "cloud.unassign_addresses";
}
