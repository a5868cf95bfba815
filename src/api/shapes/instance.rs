//! The Instance element, with every field that Terraform, the SDKs, libcloud and euca2ools read.
//!
//! An answer of a thousand instances is common, so the element borrows the published records and
//! is written straight from them. A terminated instance shows no addresses, interfaces, volumes or
//! security groups, as in EC2: it has none.

use super::{
    instance_interface::{InterfaceElement, interface_set},
    interface_address::Association,
    metadata_options::MetadataOptionsElement,
    security_group::GroupIdentifier,
    state_change::StateElement,
    tag::{BorrowedTag, borrowed_tags},
};
use crate::{
    api::{
        action::Exchange, error::ApiError, fault, response::Set, shape::schemas::written_as,
        time::DateTime,
    },
    domain::{
        cloud_state::{CloudState, ScopeState},
        dns_name::{PrivateDnsName, PublicDnsName},
        elastic_address::ElasticAddress,
        fault::CloudFault,
        id::{InstanceId, PrefixedId, SecurityGroupId, VpcId},
        instance::{Instance, Interface},
        interface::Wire,
        settings::Reach,
        tag::Tags,
    },
};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use std::{net::Ipv4Addr, sync::Arc};

/// The caller's instance with this id, in the region asked for.
pub fn own_instance(id: &InstanceId, exchange: &Exchange) -> Result<Arc<Instance>, ApiError> {
    let own = exchange.state.scope(&exchange.scope);
    let instance = own.and_then(|own| own.instances.get(id)).cloned();
    instance.ok_or_else(|| fault::api_error(CloudFault::InstancesNotFound(vec![id.clone()])))
}

/// An instance in an answer: its record, and the state in which to look up what it names.
#[derive(Debug, Clone)]
pub struct InstanceElement {
    pub instance: Arc<Instance>,
    pub state: Arc<CloudState>,
    pub reach: Reach,
}

impl InstanceElement {
    fn own(&self) -> Option<&ScopeState> {
        self.state.scope(&self.instance.scope)
    }

    pub fn tags(&self) -> Option<&Tags> {
        self.own()?.tags_of(self.instance.id.as_str())
    }

    /// The private address while there is one.
    pub fn private(&self) -> Option<&Interface> {
        self.instance.private_interface().filter(|_| self.instance.state.exists())
    }

    /// The address the instance is reached at, while there is one. The guest may know it by another.
    pub fn public_address(&self) -> Option<Ipv4Addr> {
        let public = self.instance.public_interface().filter(|_| self.instance.state.exists());
        public.and_then(|interface| self.association(interface)).map(|public| public.public_ip)
    }

    /// The public address of one of its interfaces, if that has one.
    pub fn association<'a>(&'a self, interface: &Interface) -> Option<Association<'a>> {
        let association = Association::of(interface, self.own()?, self.reach);
        association.map(Association::of_instance)
    }

    pub fn elastic_address(&self, interface: &Interface) -> Option<&ElasticAddress> {
        self.own()?.elastic_address_of(&interface.id).map(|address| &**address)
    }

    pub fn vpc(&self) -> Option<&VpcId> {
        match &self.private()?.wire {
            Wire::Private(vpc) => Some(vpc),
            Wire::Public => None,
        }
    }

    /// Id and name of each security group. A group's record outlives its last member, so none is
    /// missing.
    pub fn groups(&self) -> Vec<GroupIdentifier<&str>> {
        self.groups_named(&self.instance.security_groups)
    }

    /// Some of them, or those of one of its interfaces.
    pub fn groups_named(&self, ids: &[SecurityGroupId]) -> Vec<GroupIdentifier<&str>> {
        let (true, Some(own)) = (self.instance.state.exists(), self.own()) else {
            return Vec::new();
        };
        ids.iter()
            .filter_map(|id| own.security_groups.get(id))
            .map(|group| GroupIdentifier { group_id: group.id.as_str(), group_name: &group.name })
            .collect()
    }

    /// Those of all its interfaces, each once.
    pub fn groups_named_by_interfaces(&self) -> Vec<GroupIdentifier<&str>> {
        let ids: Vec<SecurityGroupId> = self.instance.all_groups().into_iter().cloned().collect();
        self.groups_named(&ids)
    }

    /// What EC2 says in `reason`: who ended or stopped it and when, else nothing.
    pub fn reason(&self) -> String {
        match &self.instance.state_reason {
            Some(reason) if reason.code == "Client.UserInitiatedShutdown" => {
                let since = DateTime(self.instance.state_since).to_string();
                format!("User initiated ({} {} GMT)", &since[..10], &since[11..19])
            }
            Some(reason) if reason.code != "pending" => reason.message.clone(),
            _ => String::new(),
        }
    }
}

written_as!(InstanceElement => Fields<'static>);

impl Serialize for InstanceElement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Fields::of(self).serialize(serializer)
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    instance_id: &'a str,
    image_id: &'a str,
    instance_state: StateElement,
    private_dns_name: Option<PrivateDnsName>,
    dns_name: Option<PublicDnsName>,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_name: Option<&'a str>,
    ami_launch_index: u32,
    product_codes: Set<()>,
    instance_type: &'a str,
    launch_time: DateTime,
    placement: Placement<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ramdisk_id: Option<&'a str>,
    monitoring: Monitoring,
    #[serde(skip_serializing_if = "Option::is_none")]
    subnet_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_ip_address: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_address: Option<Ipv4Addr>,
    source_dest_check: bool,
    group_set: Set<GroupIdentifier<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_reason: Option<StateReason<'a>>,
    architecture: &'a str,
    root_device_type: &'static str,
    root_device_name: &'a str,
    block_device_mapping: Set<RootDevice<&'a str>>,
    virtualization_type: &'static str,
    client_token: &'a str,
    tag_set: Set<BorrowedTag<'a>>,
    /// EC2's enumeration has `xen` and `ovm` only, and says `xen` of its KVM instances too.
    hypervisor: &'static str,
    network_interface_set: Set<InterfaceElement<'a>>,
    ebs_optimized: bool,
    /// The NICs are virtio.
    ena_support: bool,
    hibernation_options: HibernationOptions,
    metadata_options: MetadataOptionsElement,
    enclave_options: EnclaveOptions,
    capacity_reservation_specification: CapacityReservation,
    cpu_options: CpuOptions,
    maintenance_options: MaintenanceOptions,
    private_dns_name_options: PrivateDnsNameOptions,
    platform_details: &'static str,
    usage_operation: &'static str,
    usage_operation_update_time: DateTime,
    current_instance_boot_mode: &'static str,
    operator: Operator,
}

impl<'a> Fields<'a> {
    fn of(element: &'a InstanceElement) -> Fields<'a> {
        let instance = &*element.instance;
        let private = element.private();
        let public = element.public_address();
        Fields {
            instance_id: instance.id.as_str(),
            image_id: instance.image.as_str(),
            instance_state: instance.state.into(),
            private_dns_name: private.map(|interface| PrivateDnsName(interface.address)),
            dns_name: public.map(PublicDnsName),
            reason: element.reason(),
            key_name: instance.key_name.as_deref(),
            ami_launch_index: instance.launch_index,
            product_codes: Set::default(),
            instance_type: &instance.instance_type,
            launch_time: instance.launched_at.into(),
            placement: Placement {
                availability_zone: instance.zone.as_str(),
                group_name: "",
                tenancy: "default",
            },
            kernel_id: instance.kernel.as_ref().map(|image| image.as_str()),
            ramdisk_id: instance.ramdisk.as_ref().map(|image| image.as_str()),
            monitoring: Monitoring::of(instance),
            subnet_id: private
                .and_then(|interface| interface.subnet.as_ref())
                .map(|subnet| subnet.as_str()),
            vpc_id: element.vpc().map(|vpc| vpc.as_str()),
            private_ip_address: private.map(|interface| interface.address),
            ip_address: public,
            source_dest_check: instance.source_dest_check,
            group_set: element.groups().into(),
            state_reason: instance
                .state_reason
                .as_ref()
                .map(|reason| StateReason { code: &reason.code, message: &reason.message }),
            architecture: &instance.architecture,
            root_device_type: "ebs",
            root_device_name: &instance.root_device_name,
            block_device_mapping: root_device(instance).into_iter().collect(),
            virtualization_type: "hvm",
            client_token: instance.client_token.as_deref().unwrap_or_default(),
            tag_set: borrowed_tags(element.tags()),
            hypervisor: "xen",
            network_interface_set: interface_set(element),
            ebs_optimized: instance.ebs_optimized,
            ena_support: false,
            hibernation_options: HibernationOptions { configured: false },
            metadata_options: instance.metadata_options.into(),
            enclave_options: EnclaveOptions { enabled: false },
            capacity_reservation_specification: CapacityReservation {
                capacity_reservation_preference: "open",
            },
            cpu_options: CpuOptions { core_count: instance.resources.vcpus, threads_per_core: 1 },
            maintenance_options: MaintenanceOptions { auto_recovery: "default" },
            private_dns_name_options: PrivateDnsNameOptions {
                hostname_type: "ip-name",
                enable_resource_name_dns_a_record: false,
                enable_resource_name_dns_aaaa_record: false,
            },
            platform_details: "Linux/UNIX",
            usage_operation: "RunInstances",
            usage_operation_update_time: instance.launched_at.into(),
            current_instance_boot_mode: "legacy-bios",
            operator: Operator { managed: false },
        }
    }
}

/// The root disk: it survives a stop and goes with the instance.
pub fn root_device(instance: &Instance) -> Option<RootDevice<&str>> {
    instance.state.exists().then(|| RootDevice {
        device_name: &*instance.root_device_name,
        ebs: AttachedVolume {
            volume_id: instance.root_volume.as_str(),
            status: "attached",
            attach_time: instance.attached_at().into(),
            delete_on_termination: true,
        },
    })
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Placement<'a> {
    availability_zone: &'a str,
    group_name: &'static str,
    tenancy: &'static str,
}

/// `monitoring/state`, as MonitorInstances and others answer it too.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Monitoring {
    state: &'static str,
}

impl Monitoring {
    pub fn of(instance: &Instance) -> Monitoring {
        Monitoring { state: if instance.monitoring { "enabled" } else { "disabled" } }
    }

    pub fn state(self) -> &'static str {
        self.state
    }
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
struct StateReason<'a> {
    code: &'a str,
    message: &'a str,
}

/// An element of an instance's `blockDeviceMapping`; borrowed from the record, or not.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RootDevice<T> {
    device_name: T,
    ebs: AttachedVolume<T>,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AttachedVolume<T> {
    volume_id: T,
    status: &'static str,
    attach_time: DateTime,
    delete_on_termination: bool,
}

impl RootDevice<&str> {
    pub fn to_owned(self) -> RootDevice<String> {
        let AttachedVolume { volume_id, status, attach_time, delete_on_termination } = self.ebs;
        let volume_id = volume_id.to_owned();
        RootDevice {
            device_name: self.device_name.to_owned(),
            ebs: AttachedVolume { volume_id, status, attach_time, delete_on_termination },
        }
    }
}

#[derive(Serialize, JsonSchema)]
struct HibernationOptions {
    configured: bool,
}

#[derive(Serialize, JsonSchema)]
struct EnclaveOptions {
    enabled: bool,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CapacityReservation {
    capacity_reservation_preference: &'static str,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CpuOptions {
    core_count: u32,
    threads_per_core: u32,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MaintenanceOptions {
    auto_recovery: &'static str,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PrivateDnsNameOptions {
    hostname_type: &'static str,
    #[serde(rename = "enableResourceNameDnsARecord")]
    enable_resource_name_dns_a_record: bool,
    #[serde(rename = "enableResourceNameDnsAAAARecord")]
    enable_resource_name_dns_aaaa_record: bool,
}

#[derive(Serialize, JsonSchema)]
struct Operator {
    managed: bool,
}
