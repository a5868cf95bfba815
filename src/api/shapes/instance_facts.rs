//! What DescribeInstances' filters see of an instance.

use super::{
    instance::{InstanceElement, Monitoring},
    metadata_options::word,
};
use crate::{
    api::time::DateTime,
    domain::{
        dns_name::{PrivateDnsName, PublicDnsName},
        filter::{Described, tag_facts},
        id::PrefixedId,
        instance::Interface,
        metadata::TokenDemand,
    },
};
use std::borrow::Cow;

impl Described for InstanceElement {
    const FILTERS: &'static [&'static str] = &[
        "affinity",
        "architecture",
        "availability-zone",
        "block-device-mapping.attach-time",
        "block-device-mapping.delete-on-termination",
        "block-device-mapping.device-name",
        "block-device-mapping.status",
        "block-device-mapping.volume-id",
        "client-token",
        "current-instance-boot-mode",
        "dns-name",
        "ebs-optimized",
        "ena-support",
        "group-id",
        "group-name",
        "hibernation-options.configured",
        "hypervisor",
        "iam-instance-profile.arn",
        "iam-instance-profile.id",
        "iam-instance-profile.name",
        "image-id",
        "instance-id",
        "instance-lifecycle",
        "instance-state-code",
        "instance-state-name",
        "instance-type",
        "instance.group-id",
        "instance.group-name",
        "ip-address",
        "kernel-id",
        "key-name",
        "launch-index",
        "launch-time",
        "maintenance-options.auto-recovery",
        "metadata-options.http-endpoint",
        "metadata-options.http-protocol-ipv4",
        "metadata-options.http-protocol-ipv6",
        "metadata-options.http-put-response-hop-limit",
        "metadata-options.http-tokens",
        "metadata-options.instance-metadata-tags",
        "monitoring-state",
        "network-interface.addresses.association.allocation-id",
        "network-interface.addresses.association.association-id",
        "network-interface.addresses.association.ip-owner-id",
        "network-interface.addresses.association.public-ip",
        "network-interface.addresses.primary",
        "network-interface.addresses.private-ip-address",
        "network-interface.association.allocation-id",
        "network-interface.association.association-id",
        "network-interface.association.ip-owner-id",
        "network-interface.association.public-ip",
        "network-interface.attachment.attach-time",
        "network-interface.attachment.attachment-id",
        "network-interface.attachment.delete-on-termination",
        "network-interface.attachment.device-index",
        "network-interface.attachment.instance-id",
        "network-interface.attachment.instance-owner-id",
        "network-interface.attachment.status",
        "network-interface.availability-zone",
        "network-interface.description",
        "network-interface.group-id",
        "network-interface.group-name",
        "network-interface.mac-address",
        "network-interface.network-interface-id",
        "network-interface.owner-id",
        "network-interface.private-dns-name",
        "network-interface.private-ip-address",
        "network-interface.source-dest-check",
        "network-interface.status",
        "network-interface.subnet-id",
        "network-interface.vpc-id",
        "outpost-arn",
        "owner-id",
        "placement-group-name",
        "placement-partition-number",
        "platform",
        "platform-details",
        "private-dns-name",
        "private-dns-name-options.hostname-type",
        "private-ip-address",
        "product-code",
        "product-code.type",
        "ramdisk-id",
        "reason",
        "requester-id",
        "reservation-id",
        "root-device-name",
        "root-device-type",
        "source-dest-check",
        "spot-instance-request-id",
        "state-reason-code",
        "state-reason-message",
        "subnet-id",
        "tag:",
        "tag-key",
        "tag-value",
        "tenancy",
        "usage-operation",
        "virtualization-type",
        "vpc-id",
    ];

    fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        if let Some(rest) = name.strip_prefix("network-interface.") {
            return interface_facts(self, rest);
        }
        if let Some(rest) = name.strip_prefix("block-device-mapping.") {
            return root_device_facts(self, rest);
        }
        if let Some(rest) = name.strip_prefix("metadata-options.") {
            return metadata_facts(self, rest);
        }
        let instance = &*self.instance;
        Some(match name {
            "architecture" => one(&*instance.architecture),
            "availability-zone" => one(instance.zone.as_str()),
            "client-token" => some(instance.client_token.as_deref()),
            "current-instance-boot-mode" => one("legacy-bios"),
            "dns-name" => shown(self.public_address().map(PublicDnsName)),
            "ebs-optimized" => one(truth(instance.ebs_optimized)),
            "ena-support" | "hibernation-options.configured" => one("false"),
            "group-id" | "instance.group-id" => {
                self.groups().into_iter().map(|group| group.group_id.into()).collect()
            }
            "group-name" | "instance.group-name" => {
                self.groups().into_iter().map(|group| group.group_name.into()).collect()
            }
            "hypervisor" => one("xen"),
            "image-id" => one(instance.image.as_str()),
            "instance-id" => one(instance.id.as_str()),
            "instance-state-code" => one(instance.state.code().to_string()),
            "instance-state-name" => one(instance.state.as_str()),
            "instance-type" => one(&*instance.instance_type),
            "ip-address" => shown(self.public_address()),
            "kernel-id" => some(instance.kernel.as_ref().map(|image| image.as_str())),
            "key-name" => some(instance.key_name.as_deref()),
            "launch-index" => one(instance.launch_index.to_string()),
            "launch-time" => one(DateTime(instance.launched_at).to_string()),
            "maintenance-options.auto-recovery" => one("default"),
            "monitoring-state" => one(Monitoring::of(instance).state()),
            "owner-id" => one(instance.scope.account.as_str()),
            "platform-details" => one("Linux/UNIX"),
            "private-dns-name" => {
                shown(self.private().map(|private| PrivateDnsName(private.address)))
            }
            "private-dns-name-options.hostname-type" => one("ip-name"),
            "private-ip-address" => shown(self.private().map(|private| private.address)),
            "ramdisk-id" => some(instance.ramdisk.as_ref().map(|image| image.as_str())),
            "reason" => one(self.reason()),
            "reservation-id" => one(instance.reservation.as_str()),
            "root-device-name" => one(&*instance.root_device_name),
            "root-device-type" => one("ebs"),
            "source-dest-check" => one(truth(instance.source_dest_check)),
            "state-reason-code" => some(instance.state_reason.as_ref().map(|reason| &*reason.code)),
            "state-reason-message" => {
                some(instance.state_reason.as_ref().map(|reason| &*reason.message))
            }
            "subnet-id" => some(subnet(self)),
            "tenancy" => one("default"),
            "usage-operation" => one("RunInstances"),
            "virtualization-type" => one("hvm"),
            "vpc-id" => some(self.vpc().map(|vpc| vpc.as_str())),
            // Things that no instance here has, so that no value matches.
            "affinity"
            | "iam-instance-profile.arn"
            | "iam-instance-profile.id"
            | "iam-instance-profile.name"
            | "instance-lifecycle"
            | "outpost-arn"
            | "placement-group-name"
            | "placement-partition-number"
            | "platform"
            | "product-code"
            | "product-code.type"
            | "requester-id"
            | "spot-instance-request-id" => Vec::new(),
            _ => {
                let tags = self.tags().into_iter().flatten();
                return tag_facts(name, tags.map(|(key, value)| (key.as_str(), value.as_str())));
            }
        })
    }
}

fn one<'a>(fact: impl Into<Cow<'a, str>>) -> Vec<Cow<'a, str>> {
    vec![fact.into()]
}

fn some(fact: Option<&str>) -> Vec<Cow<'_, str>> {
    fact.into_iter().map(Cow::Borrowed).collect()
}

fn shown<'a>(fact: Option<impl ToString>) -> Vec<Cow<'a, str>> {
    fact.into_iter().map(|fact| Cow::Owned(fact.to_string())).collect()
}

fn truth(fact: bool) -> &'static str {
    if fact { "true" } else { "false" }
}

fn subnet(element: &InstanceElement) -> Option<&str> {
    element.private()?.subnet.as_ref().map(|subnet| subnet.as_str())
}

fn interface_facts<'a>(element: &'a InstanceElement, name: &str) -> Option<Vec<Cow<'a, str>>> {
    let instance = &*element.instance;
    let shown = if instance.state.exists() { &instance.interfaces[..] } else { &[] };
    let each = |fact: fn(&Interface) -> String| -> Vec<Cow<'a, str>> {
        shown.iter().map(|interface| Cow::Owned(fact(interface))).collect()
    };
    // The same for all interfaces, so said once if there are any.
    let same = |facts: Vec<Cow<'a, str>>| if shown.is_empty() { Vec::new() } else { facts };
    let groups = || element.groups_named_by_interfaces();
    let addresses = || shown.iter().flat_map(Interface::addresses);
    let public = || shown.iter().filter_map(|interface| element.association(interface));
    let elastic = || shown.iter().filter_map(|interface| element.elastic_address(interface));
    let (name, is_of_address) = match name.strip_prefix("addresses.") {
        Some(name) => (name, true),
        None => (name, false),
    };
    Some(match name {
        "association.public-ip" => public().map(|it| it.public_ip.to_string().into()).collect(),
        "association.ip-owner-id" => public().map(|it| it.ip_owner_id).collect(),
        // Elastic addresses have these; the address an instance comes with has not.
        "association.allocation-id" => elastic().map(|it| it.id.to_string().into()).collect(),
        "association.association-id" => elastic()
            .filter_map(|it| Some(it.association.as_ref()?.id.to_string().into()))
            .collect(),
        "primary" if shown.iter().any(|i| !i.secondary.is_empty()) => {
            vec!["true".into(), "false".into()]
        }
        "primary" => same(one("true")),
        "attachment.delete-on-termination" => {
            each(|interface| truth(interface.deleted_with_instance).to_owned())
        }
        "private-ip-address" if is_of_address => {
            addresses().map(|address| address.to_string().into()).collect()
        }
        "private-ip-address" => each(|interface| interface.address.to_string()),
        "private-dns-name" => each(|interface| PrivateDnsName(interface.address).to_string()),
        "attachment.attach-time" => each(|interface| DateTime(interface.attached_at).to_string()),
        "attachment.attachment-id" => each(|interface| interface.attachment.to_string()),
        "attachment.device-index" => each(|interface| interface.device_index.to_string()),
        "attachment.instance-id" => same(one(instance.id.as_str())),
        "attachment.instance-owner-id" | "owner-id" => same(one(instance.scope.account.as_str())),
        "attachment.status" => same(one("attached")),
        "availability-zone" => same(one(instance.zone.as_str())),
        "description" => each(|interface| interface.description.clone()),
        "group-id" => groups().into_iter().map(|group| group.group_id.into()).collect(),
        "group-name" => groups().into_iter().map(|group| group.group_name.into()).collect(),
        "mac-address" => each(|interface| interface.mac.to_string()),
        "network-interface-id" => each(|interface| interface.id.to_string()),
        "source-dest-check" => {
            let checks = |interface| Cow::from(truth(instance.checks_source_of(interface)));
            shown.iter().map(checks).collect()
        }
        "status" => same(one("in-use")),
        "subnet-id" => {
            let subnets = shown.iter().filter_map(|interface| interface.subnet.as_ref());
            subnets.map(|subnet| subnet.as_str().into()).collect()
        }
        "vpc-id" => some(element.vpc().map(|vpc| vpc.as_str())),
        _ => return None,
    })
}

fn root_device_facts<'a>(element: &'a InstanceElement, name: &str) -> Option<Vec<Cow<'a, str>>> {
    let instance = &*element.instance;
    let facts = match name {
        "attach-time" => one(DateTime(instance.attached_at()).to_string()),
        "delete-on-termination" => one("true"),
        "device-name" => one(&*instance.root_device_name),
        "status" => one("attached"),
        "volume-id" => one(instance.root_volume.as_str()),
        _ => return None,
    };
    Some(if instance.state.exists() { facts } else { Vec::new() })
}

fn metadata_facts<'a>(element: &'a InstanceElement, name: &str) -> Option<Vec<Cow<'a, str>>> {
    let options = element.instance.metadata_options;
    Some(match name {
        "http-endpoint" => one(word(options.http_endpoint)),
        "http-protocol-ipv4" => one("enabled"),
        "http-protocol-ipv6" => one("disabled"),
        "http-put-response-hop-limit" => one(options.hop_limit.to_string()),
        "http-tokens" => one(match options.http_tokens {
            TokenDemand::Optional => "optional",
            TokenDemand::Required => "required",
        }),
        "instance-metadata-tags" => one(word(options.instance_metadata_tags)),
        _ => return None,
    })
}
