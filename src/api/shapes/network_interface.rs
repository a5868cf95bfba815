//! A network interface in answers, and as filters see it: an instance's, or nobody's.
//!
//! Device 0 of an instance is on the host's bridge, where its address is reachable from outside and
//! therefore shown as public too; device 1 and those after it are on the owner's private network.
//! The first two are told to be in the instance's subnet, since a client looks there for what holds
//! a subnet or a group.

use super::{
    interface_address::{Association, PrivateAddress},
    security_group::GroupIdentifier,
    shown::yes_no,
    tag::{Tag, tag_pairs, tag_set},
};
use crate::{
    api::{response::Set, time::DateTime},
    domain::{
        cloud_state::ScopeState,
        detached_interface::DetachedInterface,
        dns_name::PrivateDnsName,
        filter::{Described, tag_facts},
        id::{InterfaceId, SecurityGroupId},
        instance::{Instance, Interface},
        settings::Reach,
    },
};
use schemars::JsonSchema;
use serde::Serialize;
use std::borrow::Cow;

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkInterface {
    network_interface_id: String,
    subnet_id: String,
    vpc_id: String,
    availability_zone: String,
    pub description: String,
    owner_id: String,
    requester_managed: bool,
    status: &'static str,
    mac_address: String,
    private_ip_address: String,
    private_dns_name: String,
    pub source_dest_check: bool,
    pub group_set: Set<GroupIdentifier<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Attachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    association: Option<Association<'static>>,
    tag_set: Set<Tag>,
    private_ip_addresses_set: Set<PrivateAddress<'static>>,
    ipv6_addresses_set: Set<String>,
    interface_type: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    attachment_id: String,
    instance_id: String,
    instance_owner_id: String,
    device_index: u32,
    network_card_index: u32,
    status: &'static str,
    attach_time: DateTime,
    delete_on_termination: bool,
}

impl NetworkInterface {
    /// The scope's interface with this id.
    pub fn find(id: &InterfaceId, own: &ScopeState, reach: Reach) -> Option<NetworkInterface> {
        if let Some(interface) = own.detached_interfaces.get(id) {
            return Some(NetworkInterface::detached(interface, own));
        }
        let (interface, instance) = own.interface(id)?;
        Some(NetworkInterface::attached(interface, instance, own, reach))
    }

    fn attached(
        interface: &Interface,
        instance: &Instance,
        own: &ScopeState,
        reach: Reach,
    ) -> NetworkInterface {
        let owner = instance.scope.account.to_string();
        let private = instance.private_interface();
        let subnet = interface.subnet.as_ref().or_else(|| private?.subnet.as_ref());
        let text = |id: Option<String>| id.unwrap_or_default();
        let association = Association::of(interface, own, reach).map(Association::into_owned);
        let first = PrivateAddress::primary(interface, association.clone());
        let secondary = interface.secondary.iter().copied().map(PrivateAddress::secondary);
        let network_interface_id = interface.id.to_string();
        NetworkInterface {
            subnet_id: text(subnet.map(ToString::to_string)),
            vpc_id: text(instance.vpc().map(ToString::to_string)),
            availability_zone: instance.zone.to_string(),
            description: interface.description.clone(),
            requester_managed: false,
            status: "in-use",
            mac_address: interface.mac.to_string(),
            source_dest_check: instance.checks_source_of(interface),
            group_set: identified(instance.groups_of(interface), own),
            attachment: Some(Attachment {
                attachment_id: interface.attachment.to_string(),
                instance_id: instance.id.to_string(),
                instance_owner_id: owner.clone(),
                device_index: interface.device_index,
                network_card_index: 0,
                status: "attached",
                attach_time: interface.attached_at.into(),
                delete_on_termination: interface.deleted_with_instance,
            }),
            owner_id: owner,
            tag_set: tag_set(own, &network_interface_id),
            private_ip_addresses_set: std::iter::once(first).chain(secondary).collect(),
            private_ip_address: interface.address.to_string(),
            private_dns_name: PrivateDnsName(interface.address).to_string(),
            association,
            ipv6_addresses_set: Set::default(),
            interface_type: "interface",
            network_interface_id,
        }
    }

    fn detached(interface: &DetachedInterface, own: &ScopeState) -> NetworkInterface {
        let first = PrivateAddress::alone(interface.address);
        let secondary = interface.secondary.iter().copied().map(PrivateAddress::secondary);
        let network_interface_id = interface.id.to_string();
        NetworkInterface {
            subnet_id: interface.subnet.to_string(),
            vpc_id: interface.vpc.to_string(),
            availability_zone: interface.zone.to_string(),
            description: interface.description.clone(),
            owner_id: interface.scope.account.to_string(),
            requester_managed: false,
            status: "available",
            mac_address: interface.mac.to_string(),
            source_dest_check: interface.checks_source,
            group_set: identified(&interface.security_groups, own),
            attachment: None,
            association: None,
            tag_set: tag_set(own, &network_interface_id),
            private_ip_addresses_set: std::iter::once(first).chain(secondary).collect(),
            private_ip_address: interface.address.to_string(),
            private_dns_name: PrivateDnsName(interface.address).to_string(),
            ipv6_addresses_set: Set::default(),
            interface_type: "interface",
            network_interface_id,
        }
    }
}

fn identified(ids: &[SecurityGroupId], own: &ScopeState) -> Set<GroupIdentifier<String>> {
    let groups = ids.iter().filter_map(|id| own.security_groups.get(id));
    groups
        .map(|group| GroupIdentifier {
            group_id: group.id.to_string(),
            group_name: group.name.clone(),
        })
        .collect()
}

impl Described for NetworkInterface {
    const FILTERS: &'static [&'static str] = &[
        "addresses.association.ip-owner-id",
        "addresses.association.public-ip",
        "addresses.primary",
        "addresses.private-ip-address",
        "association.allocation-id",
        "association.association-id",
        "association.ip-owner-id",
        "association.public-dns-name",
        "association.public-ip",
        "attachment.attachment-id",
        "attachment.delete-on-termination",
        "attachment.device-index",
        "attachment.instance-id",
        "attachment.instance-owner-id",
        "attachment.status",
        "availability-zone",
        "description",
        "group-id",
        "group-name",
        "interface-type",
        "mac-address",
        "network-interface-id",
        "owner-id",
        "private-dns-name",
        "private-ip-address",
        "requester-id",
        "requester-managed",
        "source-dest-check",
        "status",
        "subnet-id",
        "tag:",
        "tag-key",
        "tag-value",
        "vpc-id",
    ];

    fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let association = |fact: fn(&Association<'_>) -> String| {
            Some(self.association.iter().map(|a| Cow::Owned(fact(a))).collect())
        };
        let id = |id: fn(&Association<'_>) -> Option<String>| {
            Some(self.association.iter().filter_map(id).map(Cow::Owned).collect())
        };
        let attachment = |fact: fn(&Attachment) -> Cow<'_, str>| {
            Some(self.attachment.iter().map(fact).collect())
        };
        let address = |fact: fn(&PrivateAddress<'static>) -> Cow<'static, str>| {
            Some(self.private_ip_addresses_set.item.iter().map(fact).collect())
        };
        let groups = self.group_set.item.iter();
        let fact: &str = match name {
            "addresses.association.ip-owner-id" | "association.ip-owner-id" => {
                return association(|a| a.ip_owner_id.to_string());
            }
            "addresses.association.public-ip" | "association.public-ip" => {
                return association(|a| a.public_ip.to_string());
            }
            "association.allocation-id" => {
                return id(|a| a.allocation_id.as_deref().map(str::to_owned));
            }
            "association.association-id" => {
                return id(|a| a.association_id.as_deref().map(str::to_owned));
            }
            "association.public-dns-name" => return association(|a| a.public_dns_name.to_string()),
            "addresses.primary" => return address(|a| yes_no(a.primary).into()),
            "addresses.private-ip-address" => {
                return address(|a| a.private_ip_address.to_string().into());
            }
            "private-ip-address" => &self.private_ip_address,
            "attachment.attachment-id" => return attachment(|a| (&*a.attachment_id).into()),
            "attachment.delete-on-termination" => {
                return attachment(|a| yes_no(a.delete_on_termination).into());
            }
            "attachment.device-index" => {
                return attachment(|a| a.device_index.to_string().into());
            }
            "attachment.instance-id" => return attachment(|a| (&*a.instance_id).into()),
            "attachment.instance-owner-id" => {
                return attachment(|a| (&*a.instance_owner_id).into());
            }
            "attachment.status" => return attachment(|a| a.status.into()),
            "owner-id" => &self.owner_id,
            "availability-zone" => &self.availability_zone,
            "description" => &self.description,
            "group-id" => return Some(groups.map(|g| Cow::Borrowed(&*g.group_id)).collect()),
            "group-name" => return Some(groups.map(|g| Cow::Borrowed(&*g.group_name)).collect()),
            "interface-type" => self.interface_type,
            "mac-address" => &self.mac_address,
            "network-interface-id" => &self.network_interface_id,
            "private-dns-name" => &self.private_dns_name,
            "requester-id" => return Some(Vec::new()),
            "requester-managed" => yes_no(self.requester_managed),
            "source-dest-check" => yes_no(self.source_dest_check),
            "status" => self.status,
            "subnet-id" => &self.subnet_id,
            "vpc-id" => &self.vpc_id,
            _ => return tag_facts(name, tag_pairs(&self.tag_set)),
        };
        Some(vec![Cow::Borrowed(fact)])
    }
}
