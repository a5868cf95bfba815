//! The interfaces inside an Instance element: device 0 on the public wire, device 1 and those after
//! it on the owner's private network.
//!
//! EC2 knows one network per interface, and clients take an instance's subnet from device 0
//! (Terraform replaces an instance whose device 0 is in another subnet than configured). So device 0
//! names the instance's subnet and VPC too, though only device 1 has an address in it.

use super::{
    instance::InstanceElement,
    interface_address::{Association, PrivateAddress},
    security_group::GroupIdentifier,
    shown::Shown,
};
use crate::{
    api::{response::Set, time::DateTime},
    domain::{
        dns_name::PrivateDnsName, id::PrefixedId, instance::Interface, interface::MacAddress,
    },
};
use schemars::JsonSchema;
use serde::Serialize;
use std::net::Ipv4Addr;

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceElement<'a> {
    network_interface_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subnet_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc_id: Option<&'a str>,
    description: &'a str,
    owner_id: &'a str,
    status: &'static str,
    mac_address: Shown<MacAddress>,
    private_ip_address: Ipv4Addr,
    private_dns_name: PrivateDnsName,
    source_dest_check: bool,
    group_set: Set<GroupIdentifier<&'a str>>,
    attachment: Attachment<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    association: Option<Association<'a>>,
    private_ip_addresses_set: Set<PrivateAddress<'a>>,
    ipv6_addresses_set: Set<()>,
    interface_type: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Attachment<'a> {
    attachment_id: &'a str,
    device_index: u32,
    status: &'static str,
    attach_time: DateTime,
    delete_on_termination: bool,
    network_card_index: u32,
}

pub fn interface_set(element: &InstanceElement) -> Set<InterfaceElement<'_>> {
    let instance = &*element.instance;
    let shown = if instance.state.exists() { &instance.interfaces[..] } else { &[] };
    shown.iter().map(|interface| of(interface, element)).collect()
}

fn of<'a>(interface: &'a Interface, element: &'a InstanceElement) -> InterfaceElement<'a> {
    let instance = &*element.instance;
    let association = element.association(interface);
    let of_private = || element.private().and_then(|private| private.subnet.as_ref());
    let subnet = interface.subnet.as_ref().or_else(of_private);
    let first = PrivateAddress::primary(interface, association.clone());
    let secondary = interface.secondary.iter().copied().map(PrivateAddress::secondary);
    InterfaceElement {
        network_interface_id: interface.id.as_str(),
        subnet_id: subnet.map(|subnet| subnet.as_str()),
        vpc_id: element.vpc().map(|vpc| vpc.as_str()),
        description: &interface.description,
        owner_id: instance.scope.account.as_str(),
        status: "in-use",
        mac_address: Shown(interface.mac),
        private_ip_address: interface.address,
        private_dns_name: PrivateDnsName(interface.address),
        source_dest_check: instance.checks_source_of(interface),
        group_set: element.groups_named(instance.groups_of(interface)).into(),
        attachment: Attachment {
            attachment_id: interface.attachment.as_str(),
            device_index: interface.device_index,
            status: "attached",
            attach_time: interface.attached_at.into(),
            delete_on_termination: interface.deleted_with_instance,
            network_card_index: 0,
        },
        association,
        private_ip_addresses_set: std::iter::once(first).chain(secondary).collect(),
        ipv6_addresses_set: Set::default(),
        interface_type: "interface",
    }
}
