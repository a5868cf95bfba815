//! From the cloud's record of an instance to what its node has to know.

use super::filters;
use crate::domain::{
    cloud_state::{CloudState, ScopeState},
    dns_name::{PrivateDnsName, PublicDnsName},
    elastic_address::{Elastic, ElasticAssignment},
    id::{PrefixedId, SecurityGroupId, VpcId},
    instance::{Instance, Interface},
    interface::{InterfaceSpec, Wire},
    metadata::{InstanceMetadata, InterfaceMetadata, PublicKey, UserData},
    overlay::NetworkId,
    port_filter::Cidr,
    settings::CloudSettings,
    vpc,
};
use crate::messages::node::InstanceSpec;
use std::{collections::BTreeMap, net::Ipv4Addr};

/// `None` if the record's scope is unknown or it has lost its interfaces, which no record does.
pub fn of(
    instance: &Instance,
    state: &CloudState,
    settings: &CloudSettings,
    generation: u64,
) -> Option<InstanceSpec> {
    let own = state.scope(&instance.scope)?;
    let filter = filters::of_groups(own, &instance.security_groups);
    let interfaces = instance
        .interfaces
        .iter()
        .map(|interface| InterfaceSpec {
            id: interface.id.clone(),
            device_index: interface.device_index,
            mac: interface.mac,
            wire: interface.wire.clone(),
            network: network(interface, own),
            address: interface.address,
            secondary: interface.secondary.clone(),
            checks_source: instance.checks_source_of(interface),
            subnet: believed_range(interface, own),
            gateway: gateway(interface, instance, settings),
            filter: match &interface.security_groups {
                None => filter.clone(),
                Some(groups) => filters::of_groups(own, groups),
            },
            elastic: elastic(interface, own, settings, generation),
        })
        .collect();
    Some(InstanceSpec {
        instance: instance.id.clone(),
        owner: instance.scope.account.clone(),
        resources: instance.resources,
        boot: instance.boot.clone(),
        interfaces,
        filters_generation: generation,
        metadata: metadata(instance, own)?,
        shutdown_behavior: instance.shutdown_behavior,
    })
}

/// A VPC is one Ethernet, and no router stands between its subnets: all of it is on the link.
fn believed_range(interface: &Interface, own: &ScopeState) -> Cidr {
    match &interface.wire {
        Wire::Public => interface.range,
        Wire::Private(vpc) => vpc_cidr(own, vpc),
    }
}

fn network(interface: &Interface, own: &ScopeState) -> Option<NetworkId> {
    match &interface.wire {
        Wire::Public => None,
        Wire::Private(vpc) => own.vpcs.get(vpc)?.network,
    }
}

/// Which elastic address the interface has, for a telling of this generation.
pub fn elastic(
    interface: &Interface,
    own: &ScopeState,
    settings: &CloudSettings,
    generation: u64,
) -> ElasticAssignment {
    let address = own.elastic_address_of(&interface.id).map(|elastic| elastic.address);
    let egress = settings.elastic.egress;
    ElasticAssignment { generation, elastic: address.map(|address| Elastic { address, egress }) }
}

fn gateway(
    interface: &Interface,
    instance: &Instance,
    settings: &CloudSettings,
) -> Option<Ipv4Addr> {
    match interface.wire {
        Wire::Public => settings.group(&instance.group).map(|group| group.gateway),
        Wire::Private(_) => None,
    }
}

/// The instance's answers at 169.254.169.254.
pub fn metadata(instance: &Instance, own: &ScopeState) -> Option<InstanceMetadata> {
    let local = instance.private_interface()?;
    let public = instance.public_interface().map(|interface| shown(interface, own));
    let groups_named = |groups: &[SecurityGroupId]| -> Vec<_> {
        let groups = groups.iter().filter_map(|id| own.security_groups.get(id));
        groups.map(|group| (group.id.clone(), group.name.clone())).collect()
    };
    let groups = groups_named(&instance.security_groups);
    let Wire::Private(vpc) = &local.wire else { return None };
    let subnet = local.subnet.as_ref()?;
    let interfaces = instance
        .interfaces
        .iter()
        .map(|interface| InterfaceMetadata {
            id: interface.id.clone(),
            device_number: interface.device_index,
            mac: interface.mac,
            local_hostname: PrivateDnsName(interface.address).to_string(),
            local_addresses: interface.addresses().collect(),
            public_addresses: match interface.wire {
                Wire::Public => vec![shown(interface, own)],
                Wire::Private(_) => vec![],
            },
            subnet: interface.subnet.as_ref().unwrap_or(subnet).clone(),
            subnet_cidr: interface.range,
            vpc: vpc.clone(),
            vpc_cidr: vpc_cidr(own, vpc),
            security_groups: groups_named(instance.groups_of(interface)),
            owner: instance.scope.account.clone(),
        })
        .collect();
    let root = instance.root_device_name.clone();
    Some(InstanceMetadata {
        instance: instance.id.clone(),
        instance_type: instance.instance_type.clone(),
        image: instance.image.clone(),
        kernel: instance.kernel.clone(),
        ramdisk: instance.ramdisk.clone(),
        local_hostname: PrivateDnsName(local.address).to_string(),
        public_hostname: public.map(|address| PublicDnsName(address).to_string()),
        local_address: local.address,
        public_address: public,
        interfaces,
        key: instance
            .key_name
            .as_ref()
            .zip(instance.public_key.as_ref())
            .map(|(name, openssh)| PublicKey { name: name.clone(), openssh: openssh.clone() }),
        security_groups: groups.into_iter().map(|(_, name)| name).collect(),
        reservation: instance.reservation.clone(),
        launch_index: instance.launch_index,
        launched_at: instance.launched_at,
        zone: instance.zone.clone(),
        region: instance.scope.region.clone(),
        account: instance.scope.account.clone(),
        architecture: instance.architecture.clone(),
        block_devices: BTreeMap::from([("ami".into(), root.clone()), ("root".into(), root)]),
        tags: own.tags_of(instance.id.as_str()).cloned().unwrap_or_default(),
        user_data: instance.user_data.clone().map(UserData),
        services_domain: "mallee.internal".to_owned(),
        options: instance.metadata_options,
    })
}

/// Where the world finds an interface of the public wire.
fn shown(interface: &Interface, own: &ScopeState) -> Ipv4Addr {
    let elastic = own.elastic_address_of(&interface.id);
    elastic.map_or(interface.address, |elastic| elastic.address)
}

fn vpc_cidr(own: &ScopeState, vpc: &VpcId) -> Cidr {
    own.vpcs.get(vpc).map_or_else(vpc::default_cidr, |vpc| vpc.cidr)
}
