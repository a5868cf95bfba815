//! A network interface that is attached to nothing: EC2's `available`.
//!
//! An interface is recorded where it is: here while it is nobody's, with its instance while it is
//! attached (`instance::Interface`). Its id, its MAC, its addresses and its security groups go
//! with it from one to the other and back.

use super::{
    id::{AttachmentId, InterfaceId, SecurityGroupId, SubnetId, VpcId, ZoneName},
    instance::{Instance, Interface},
    interface::{MacAddress, Wire},
    port_filter::Cidr,
    scope::Scope,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetachedInterface {
    pub scope: Scope,
    pub id: InterfaceId,
    pub mac: MacAddress,
    pub vpc: VpcId,
    pub subnet: SubnetId,
    pub zone: ZoneName,
    pub address: Ipv4Addr,
    /// The subnet's.
    pub range: Cidr,
    pub secondary: Vec<Ipv4Addr>,
    pub description: String,
    pub security_groups: Vec<SecurityGroupId>,
    pub checks_source: bool,
    pub made_by: Option<CreationToken>,
}

/// A client that repeats itself after a lost answer is answered with what it made before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreationToken {
    pub token: String,
    /// A digest of the request: the same token with another one is a mistake.
    pub parameters: String,
}

/// What makes an interface an instance's.
#[derive(Debug, Clone)]
pub struct Attachment {
    pub id: AttachmentId,
    pub device_index: u32,
    pub at: Timestamp,
    pub deleted_with_instance: bool,
}

impl DetachedInterface {
    /// As one of an instance, with groups of its own.
    pub fn attached(&self, attachment: Attachment) -> Interface {
        Interface {
            id: self.id.clone(),
            attachment: attachment.id,
            device_index: attachment.device_index,
            mac: self.mac,
            wire: Wire::Private(self.vpc.clone()),
            address: self.address,
            range: self.range,
            subnet: Some(self.subnet.clone()),
            attached_at: attachment.at,
            secondary: self.secondary.clone(),
            description: self.description.clone(),
            security_groups: Some(self.security_groups.clone()),
            checks_source: Some(self.checks_source),
            deleted_with_instance: attachment.deleted_with_instance,
            made_by: self.made_by.clone(),
        }
    }

    /// What is left of an instance's interface when it is taken off; nothing of one on the public
    /// wire, which has no subnet.
    pub fn left_by(instance: &Instance, interface: &Interface) -> Option<DetachedInterface> {
        let (Wire::Private(vpc), Some(subnet)) = (&interface.wire, &interface.subnet) else {
            return None;
        };
        Some(DetachedInterface {
            scope: instance.scope.clone(),
            id: interface.id.clone(),
            mac: interface.mac,
            vpc: vpc.clone(),
            subnet: subnet.clone(),
            zone: instance.zone.clone(),
            address: interface.address,
            range: interface.range,
            secondary: interface.secondary.clone(),
            description: interface.description.clone(),
            security_groups: instance.groups_of(interface).to_vec(),
            checks_source: instance.checks_source_of(interface),
            made_by: interface.made_by.clone(),
        })
    }

    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        std::iter::once(self.address).chain(self.secondary.iter().copied())
    }
}
