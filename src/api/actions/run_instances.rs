//! RunInstances: launches up to `MaxCount` instances, or nothing if `MinCount` cannot be had.
//!
//! Answered when the launch is recorded, with the instances `pending`. Every instance gets two
//! interfaces, a public one and one in its subnet, and as many more as the request describes
//! (`shapes::launch_network`).

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code},
        shapes::{
            instance::InstanceElement,
            launch_network::{LaunchNetwork, NetworkInterfaceParameter},
            metadata_options::MetadataOptionsParameter,
            not_honoured::{NotHonoured, refuse_count, refuse_given, require, require_one_of},
            reservation::Reservation,
            root_volume::{self, BlockDeviceParameter},
            tag::{SpecifiedTags, TagSpecification},
            user_data,
        },
    },
    domain::{
        id::{ImageId, SecurityGroupId, SubnetId, ZoneName},
        instance::ShutdownBehavior,
        metadata::MetadataOptions,
    },
    messages::cloud::{LaunchReservation, SecurityGroupName, interface::LaunchInterfaces},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// What a launch makes.
const TAGGABLE: &[&str] = &["instance", "volume", "network-interface"];

/// EC2's own limit.
const CLIENT_TOKEN_CHARACTERS: usize = 64;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RunInstances {
    image_id: ImageId,
    min_count: u32,
    max_count: u32,
    instance_type: Option<String>,
    key_name: Option<String>,
    #[serde(default)]
    security_group: Vec<String>,
    #[serde(default)]
    security_group_id: Vec<SecurityGroupId>,
    subnet_id: Option<SubnetId>,
    placement: Option<Placement>,
    user_data: Option<String>,
    client_token: Option<String>,
    kernel_id: Option<ImageId>,
    ramdisk_id: Option<ImageId>,
    instance_initiated_shutdown_behavior: Option<ShutdownBehaviorParameter>,
    disable_api_termination: Option<bool>,
    disable_api_stop: Option<bool>,
    ebs_optimized: Option<bool>,
    monitoring: Option<Enabled>,
    #[serde(default)]
    metadata_options: MetadataOptionsParameter,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
    #[serde(default)]
    block_device_mapping: Vec<BlockDeviceParameter>,
    #[serde(default)]
    network_interface: Vec<NetworkInterfaceParameter>,
    /// No processor here is rationed by credits, so every instance may use its own at any time.
    credit_specification: Option<CreditSpecification>,
    hibernation_options: Option<Configured>,
    enclave_options: Option<Enabled>,
    capacity_reservation_specification: Option<CapacityReservation>,
    private_dns_name_options: Option<PrivateDnsNameOptions>,
    maintenance_options: Option<MaintenanceOptions>,
    network_performance_options: Option<NetworkPerformance>,
    addressing_type: Option<String>,
    iam_instance_profile: Option<NotHonoured>,
    cpu_options: Option<NotHonoured>,
    instance_market_options: Option<NotHonoured>,
    launch_template: Option<NotHonoured>,
    private_ip_address: Option<String>,
    ipv6_address: Option<NotHonoured>,
    ipv6_address_count: Option<u32>,
    enable_primary_ipv6: Option<bool>,
    elastic_gpu_specification: Option<NotHonoured>,
    elastic_inference_accelerator: Option<NotHonoured>,
    license_specification: Option<NotHonoured>,
    additional_info: Option<NotHonoured>,
    operator: Option<NotHonoured>,
    secondary_interface: Option<NotHonoured>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Placement {
    availability_zone: Option<ZoneName>,
    tenancy: Option<String>,
    group_name: Option<String>,
    affinity: Option<NotHonoured>,
    availability_zone_id: Option<NotHonoured>,
    group_id: Option<NotHonoured>,
    host_id: Option<NotHonoured>,
    host_resource_group_arn: Option<NotHonoured>,
    partition_number: Option<NotHonoured>,
    spread_domain: Option<NotHonoured>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShutdownBehaviorParameter {
    Stop,
    Terminate,
}

impl From<ShutdownBehaviorParameter> for ShutdownBehavior {
    fn from(parameter: ShutdownBehaviorParameter) -> ShutdownBehavior {
        match parameter {
            ShutdownBehaviorParameter::Stop => ShutdownBehavior::Stop,
            ShutdownBehaviorParameter::Terminate => ShutdownBehavior::Terminate,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Enabled {
    enabled: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Configured {
    configured: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct CreditSpecification {
    cpu_credits: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct CapacityReservation {
    capacity_reservation_preference: Option<String>,
    capacity_reservation_target: Option<NotHonoured>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct PrivateDnsNameOptions {
    hostname_type: Option<String>,
    #[serde(rename = "EnableResourceNameDnsARecord")]
    enable_resource_name_dns_a_record: Option<bool>,
    #[serde(rename = "EnableResourceNameDnsAAAARecord")]
    enable_resource_name_dns_aaaa_record: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct MaintenanceOptions {
    auto_recovery: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct NetworkPerformance {
    bandwidth_weighting: Option<String>,
}

impl Action for RunInstances {
    const NAME: &'static str = "RunInstances";
    type Response = Reservation;

    async fn perform(self, exchange: &Exchange) -> Result<Reservation, ApiError> {
        let launched = exchange.command(self.into_launch(exchange)?).await?;
        let state = exchange.latest();
        let elements = launched
            .instances
            .iter()
            .filter_map(|id| state.instance(id))
            .map(|instance| InstanceElement {
                instance: instance.clone(),
                state: state.clone(),
                reach: exchange.settings.reach,
            })
            .collect();
        Ok(Reservation::of(&launched.reservation, &exchange.scope.account, elements))
    }
}

impl RunInstances {
    fn into_launch(self, exchange: &Exchange) -> Result<LaunchReservation, ApiError> {
        self.refuse_what_there_is_not()?;
        let image = exchange.state.images.get(&self.image_id);
        let root_device_name = image.map(|image| image.root_device_name.as_str());
        let root_gib = root_volume::root_gib(&self.block_device_mapping, root_device_name)?;
        let mut tags = SpecifiedTags::read(&self.tag_specification, TAGGABLE)?;
        let metadata_options = self.metadata_options.applied_to(MetadataOptions::default())?;
        let user_data = self.user_data.as_deref().map(user_data::read).transpose()?.flatten();
        let client_token = self.client_token.filter(|token| !token.is_empty());
        if let Some(token) = &client_token {
            check_client_token(token)?;
        }
        let ids = self.security_group_id.into_iter().map(SecurityGroupName::Id);
        let names = self.security_group.into_iter().map(SecurityGroupName::Name);
        let network = LaunchNetwork {
            security_groups: ids.chain(names).collect(),
            subnet: self.subnet_id,
            interfaces: LaunchInterfaces::default(),
        };
        let network = network.read(self.private_ip_address.as_deref(), self.network_interface)?;
        Ok(LaunchReservation {
            image: self.image_id,
            kernel: self.kernel_id,
            ramdisk: self.ramdisk_id,
            min_count: self.min_count,
            max_count: self.max_count,
            instance_type: self.instance_type.filter(|name| !name.is_empty()),
            key_name: self.key_name.filter(|name| !name.is_empty()),
            security_groups: network.security_groups,
            zone: self.placement.and_then(|placement| placement.availability_zone),
            subnet: network.subnet,
            interfaces: network.interfaces,
            user_data,
            shutdown_behavior: self
                .instance_initiated_shutdown_behavior
                .map(ShutdownBehavior::from)
                .unwrap_or_default(),
            disable_api_termination: self.disable_api_termination.unwrap_or(false),
            disable_api_stop: self.disable_api_stop.unwrap_or(false),
            ebs_optimized: self.ebs_optimized.unwrap_or(false),
            monitoring: self.monitoring.and_then(|monitoring| monitoring.enabled).unwrap_or(false),
            metadata_options,
            root_gib,
            instance_tags: tags.take("instance"),
            volume_tags: tags.take("volume"),
            interface_tags: tags.take("network-interface"),
            client_token,
        })
    }

    /// Whatever asks for something other than what every instance here is.
    fn refuse_what_there_is_not(&self) -> Result<(), ApiError> {
        refuse_given(&[
            ("IamInstanceProfile", self.iam_instance_profile),
            ("CpuOptions", self.cpu_options),
            ("InstanceMarketOptions", self.instance_market_options),
            ("LaunchTemplate", self.launch_template),
            ("Ipv6Address", self.ipv6_address),
            ("ElasticGpuSpecification", self.elastic_gpu_specification),
            ("ElasticInferenceAccelerator", self.elastic_inference_accelerator),
            ("LicenseSpecification", self.license_specification),
            ("AdditionalInfo", self.additional_info),
            ("Operator", self.operator),
            ("SecondaryInterface", self.secondary_interface),
        ])?;
        if let Some(placement) = &self.placement {
            check_placement(placement)?;
        }
        if let Some(credit) = &self.credit_specification {
            let credits = credit.cpu_credits.as_deref();
            require_one_of("CpuCredits", credits, &["standard", "unlimited"])?;
        }
        if let Some(options) = &self.hibernation_options {
            require("HibernationOptions.Configured", options.configured, false)?;
        }
        if let Some(options) = &self.enclave_options {
            require("EnclaveOptions.Enabled", options.enabled, false)?;
        }
        if let Some(reservation) = &self.capacity_reservation_specification {
            let preference = reservation.capacity_reservation_preference.as_deref();
            require_one_of("CapacityReservationPreference", preference, &["open", "none"])?;
            refuse_given(&[(
                "CapacityReservationTarget",
                reservation.capacity_reservation_target,
            )])?;
        }
        if let Some(options) = &self.private_dns_name_options {
            check_names(options)?;
        }
        if let Some(options) = &self.maintenance_options {
            // Nothing recovers an instance by itself, whichever of them is asked for.
            let recovery = options.auto_recovery.as_deref();
            require_one_of("AutoRecovery", recovery, &["default", "disabled"])?;
        }
        if let Some(options) = &self.network_performance_options {
            let weighting = options.bandwidth_weighting.as_deref();
            require_one_of("BandwidthWeighting", weighting, &["default"])?;
        }
        require_one_of("AddressingType", self.addressing_type.as_deref(), &["public"])?;
        require("EnablePrimaryIpv6", self.enable_primary_ipv6, false)?;
        refuse_count("Ipv6AddressCount", self.ipv6_address_count)
    }
}

fn check_placement(placement: &Placement) -> Result<(), ApiError> {
    refuse_given(&[
        ("Placement.Affinity", placement.affinity),
        ("Placement.AvailabilityZoneId", placement.availability_zone_id),
        ("Placement.GroupId", placement.group_id),
        ("Placement.HostId", placement.host_id),
        ("Placement.HostResourceGroupArn", placement.host_resource_group_arn),
        ("Placement.PartitionNumber", placement.partition_number),
        ("Placement.SpreadDomain", placement.spread_domain),
    ])?;
    require_one_of("Placement.GroupName", placement.group_name.as_deref(), &[""])?;
    require_one_of("Placement.Tenancy", placement.tenancy.as_deref(), &["default"])
}

fn check_names(options: &PrivateDnsNameOptions) -> Result<(), ApiError> {
    require_one_of("HostnameType", options.hostname_type.as_deref(), &["ip-name"])?;
    let (a, aaaa) =
        (options.enable_resource_name_dns_a_record, options.enable_resource_name_dns_aaaa_record);
    require("EnableResourceNameDnsARecord", a, false)?;
    require("EnableResourceNameDnsAAAARecord", aaaa, false)
}

fn check_client_token(token: &str) -> Result<(), ApiError> {
    if token.chars().count() <= CLIENT_TOKEN_CHARACTERS && token.is_ascii() {
        return Ok(());
    }
    Err(ApiError::new(
        Code::InvalidParameterValue,
        format!("A client token has at most {CLIENT_TOKEN_CHARACTERS} ASCII characters."),
    ))
}

#[cfg(test)]
mod tests {
    use crate::{
        actors::cloud::instance_spec,
        api::actions::{
            create_network_interface::tests::cloud_with_a_subnet,
            testing::{BOB, TestCloud},
        },
        domain::{
            instance::{Instance, ShutdownBehavior},
            metadata::TokenDemand,
        },
    };
    use std::sync::Arc;

    const RUN: &str = "ImageId=ami-0000000a&MinCount=1&MaxCount=1";

    fn only_instance(cloud: &TestCloud) -> Arc<Instance> {
        let state = cloud.state();
        let mut instances = state.instances();
        let instance = instances.next().unwrap().clone();
        assert!(instances.next().is_none());
        instance
    }

    async fn run(more: &str) -> TestCloud {
        let cloud = TestCloud::start().await;
        cloud.call("RunInstances", &format!("{RUN}&{more}")).await.unwrap();
        cloud
    }

    async fn check_refused(more: &str, code: &str, part: &str) {
        let cloud = TestCloud::start().await;
        cloud.check_refused("RunInstances", &format!("{RUN}&{more}"), code, part).await;
        assert_eq!(cloud.state().instances().count(), 0, "{more}");
    }

    #[actix_web::test]
    async fn the_answer_shows_the_instances_pending_in_their_reservation() {
        let cloud = TestCloud::start().await;
        let answer = cloud
            .call("RunInstances", "ImageId=ami-0000000a&MinCount=1&MaxCount=2")
            .await
            .unwrap();
        let begin = "<reservationId>r-1</reservationId><ownerId>111111111111</ownerId>\
             <groupSet/><instancesSet><item><instanceId>i-1</instanceId>\
             <imageId>ami-0000000a</imageId>\
             <instanceState><code>0</code><name>pending</name></instanceState>";
        assert!(answer.starts_with(begin), "{answer}");
        let second = "<item><instanceId>i-2</instanceId>";
        assert!(answer.contains(second) && answer.contains("<amiLaunchIndex>1</amiLaunchIndex>"));
    }

    #[actix_web::test]
    async fn what_a_client_says_of_an_instance_is_recorded() {
        let cloud = run(
            "InstanceType=t3.micro&Placement.AvailabilityZone=us-east-1b&Placement.Tenancy=default\
             &UserData=aGVsbG8=&ClientToken=once&InstanceInitiatedShutdownBehavior=terminate\
             &DisableApiTermination=true&DisableApiStop=true&EbsOptimized=true\
             &Monitoring.Enabled=true&MetadataOptions.HttpTokens=required\
             &MetadataOptions.HttpPutResponseHopLimit=2&CreditSpecification.CpuCredits=unlimited\
             &BlockDeviceMapping.1.DeviceName=/dev/sda1&BlockDeviceMapping.1.Ebs.VolumeSize=9\
             &BlockDeviceMapping.1.Ebs.VolumeType=gp3\
             &BlockDeviceMapping.1.Ebs.DeleteOnTermination=true\
             &TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Name\
             &TagSpecification.1.Tag.1.Value=one&TagSpecification.2.ResourceType=volume\
             &TagSpecification.2.Tag.1.Key=disk",
        )
        .await;
        let instance = only_instance(&cloud);
        assert_eq!((&*instance.instance_type, instance.zone.as_str()), ("t3.micro", "us-east-1b"));
        assert_eq!(instance.user_data.as_deref(), Some(&b"hello"[..]));
        assert_eq!(instance.client_token.as_deref(), Some("once"));
        assert_eq!(instance.shutdown_behavior, ShutdownBehavior::Terminate);
        assert!(instance.disable_api_termination && instance.disable_api_stop);
        assert!(instance.ebs_optimized && instance.monitoring);
        assert_eq!(instance.metadata_options.http_tokens, TokenDemand::Required);
        assert_eq!((instance.metadata_options.hop_limit, instance.resources.disk_gib), (2, 9));
        let own = cloud.exchange().await.own();
        assert_eq!(own.tags_of(&instance.id.to_string()).unwrap()["Name"], "one");
        assert!(own.tags_of(&instance.root_volume.to_string()).unwrap().contains_key("disk"));
    }

    #[actix_web::test]
    async fn device_0_may_be_described_in_place_of_the_instance() {
        let cloud = TestCloud::start().await;
        let own = cloud.exchange().await.own();
        let (subnet, _) = own.subnets.iter().next_back().unwrap();
        let (group, _) = own.security_groups.iter().next().unwrap();
        let interface = format!(
            "NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.SubnetId={subnet}\
             &NetworkInterface.1.SecurityGroupId.1={group}\
             &NetworkInterface.1.AssociatePublicIpAddress=true\
             &NetworkInterface.1.DeleteOnTermination=true"
        );
        cloud.call("RunInstances", &format!("{RUN}&{interface}")).await.unwrap();
        let instance = only_instance(&cloud);
        assert_eq!(instance.private_interface().unwrap().subnet.as_ref(), Some(subnet));
        for (more, code) in [
            (format!("SubnetId={subnet}"), "InvalidParameterCombination"),
            (format!("SecurityGroupId.1={group}"), "InvalidParameterCombination"),
            ("NetworkInterface.2.DeviceIndex=1".to_owned(), "UnsupportedOperation"),
        ] {
            let request = format!("{RUN}&{interface}&{more}");
            cloud.check_refused("RunInstances", &request, code, "").await;
        }
    }

    #[actix_web::test]
    async fn an_instance_in_a_subnet_of_another_vpc_is_in_that_vpcs_groups_only() {
        let cloud = TestCloud::start().await;
        let vpc = cloud.value("CreateVpc", "CidrBlock=10.0.0.0/16", "vpcId").await;
        let subnet = format!("VpcId={vpc}&CidrBlock=10.0.1.0/28&AvailabilityZone=us-east-1b");
        let subnet = cloud.value("CreateSubnet", &subnet, "subnetId").await;
        let request = format!("{RUN}&SubnetId={subnet}");
        cloud.call("RunInstances", &request).await.unwrap();
        let instance = only_instance(&cloud);
        let private = instance.private_interface().unwrap();
        assert_eq!(private.range.to_string(), "10.0.1.0/28");
        assert_eq!(instance.zone.as_str(), "us-east-1b");
        let state = cloud.state();
        let own = state.scope(&cloud.scope()).unwrap();
        let group = &own.security_groups[&instance.security_groups[0]];
        assert_eq!((&*group.name, Some(&group.vpc)), ("default", instance.vpc()));
        let spec = instance_spec::of(&instance, &state, &cloud.cloud.settings, 1).unwrap();
        let port = &spec.interfaces[1];
        assert_eq!(port.subnet.to_string(), "10.0.0.0/16", "all of the VPC is on the link");
        assert_eq!(port.network, own.vpcs[&group.vpc].network);
        // Of the default VPC, and of no VPC for the other instance.
        let theirs = own.security_groups.values().find(|other| other.vpc != group.vpc).unwrap();
        let mixed = format!("{request}&SecurityGroupId.1={}", theirs.id);
        let code = "InvalidParameter";
        cloud.check_refused("RunInstances", &mixed, code, "different networks").await;
        let change = format!("InstanceId={}&GroupId.1={}", instance.id, theirs.id);
        cloud
            .check_refused("ModifyInstanceAttribute", &change, code, "different networks")
            .await;
    }

    #[actix_web::test]
    async fn an_instance_gets_the_private_address_asked_for_if_nobody_has_it() {
        let cloud = cloud_with_a_subnet().await;
        let request = format!("{RUN}&SubnetId=subnet-1&PrivateIpAddress=10.0.1.7");
        let two = request.replace("MaxCount=1", "MaxCount=2");
        let code = "InvalidParameterCombination";
        cloud.check_refused("RunInstances", &two, code, "Multiple instances").await;
        cloud.call("RunInstances", &request).await.unwrap();
        let instance = only_instance(&cloud);
        let private = instance.private_interface().unwrap();
        assert_eq!(private.address.to_string(), "10.0.1.7");
        assert_eq!(private.mac.to_string(), "0a:01:0a:00:01:07");
        for (address, code) in [
            ("10.0.1.7", "InvalidIPAddress.InUse"),
            ("10.0.2.7", "InvalidParameterValue"),
            ("10.0.1.1", "InvalidParameterValue"),
            ("x", "InvalidParameterValue"),
        ] {
            let request = format!("{RUN}&SubnetId=subnet-1&PrivateIpAddress={address}");
            cloud.check_refused("RunInstances", &request, code, "").await;
        }
        let request = format!(
            "{RUN}&NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.SubnetId=subnet-1\
             &NetworkInterface.1.PrivateIpAddresses.1.PrivateIpAddress=10.0.1.8\
             &NetworkInterface.1.PrivateIpAddresses.1.Primary=true\
             &NetworkInterface.1.SecondaryPrivateIpAddressCount=2\
             &NetworkInterface.1.Description=mine&NetworkInterface.1.DeleteOnTermination=false"
        );
        let id = cloud.value("RunInstances", &request, "instanceId").await;
        let query = format!("Filter.1.Name=attachment.instance-id&Filter.1.Value.1={id}\
             &Filter.2.Name=addresses.private-ip-address&Filter.2.Value.1=10.0.1.8");
        let describe = "DescribeNetworkInterfaces";
        assert_eq!(cloud.values(describe, &query, "primary").await, ["true", "false", "false"]);
        assert_eq!(cloud.value(describe, &query, "description").await, "mine");
        assert_eq!(cloud.value(describe, &query, "deleteOnTermination").await, "false");
    }

    #[actix_web::test]
    async fn an_existing_interface_is_the_private_one_of_a_new_instance() {
        let cloud = cloud_with_a_subnet().await;
        let query = "SubnetId=subnet-1&PrivateIpAddress=10.0.1.7\
                     &TagSpecification.1.ResourceType=network-interface\
                     &TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=b";
        cloud.call("CreateNetworkInterface", query).await.unwrap();
        let off = "NetworkInterfaceId=eni-1&SourceDestCheck.Value=false";
        cloud.call("ModifyNetworkInterfaceAttribute", off).await.unwrap();
        let first = "NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.NetworkInterfaceId=eni-1";
        for (more, code) in [
            ("NetworkInterface.1.SubnetId=subnet-1", "InvalidParameterCombination"),
            ("NetworkInterface.1.PrivateIpAddress=10.0.1.8", "InvalidParameterCombination"),
            ("NetworkInterface.1.DeleteOnTermination=true", "InvalidParameterCombination"),
            (
                "NetworkInterface.2.DeviceIndex=2&NetworkInterface.2.NetworkInterfaceId=eni-1",
                "InvalidNetworkInterface.InUse",
            ),
            (
                "NetworkInterface.2.DeviceIndex=2&NetworkInterface.2.NetworkInterfaceId=eni-01234567",
                "InvalidNetworkInterfaceID.NotFound",
            ),
        ] {
            let request = format!("{RUN}&{first}&{more}");
            cloud.check_refused("RunInstances", &request, code, "").await;
        }
        let tags = "TagSpecification.1.ResourceType=network-interface\
                    &TagSpecification.1.Tag.1.Key=c&TagSpecification.1.Tag.1.Value=d";
        cloud.call("RunInstances", &format!("{RUN}&{first}&{tags}")).await.unwrap();
        let before = only_instance(&cloud);
        let private = before.private_interface().unwrap().clone();
        assert_eq!((private.device_index, private.address), (1, [10, 0, 1, 7].into()));
        assert!(!before.source_dest_check);
        let own = cloud.exchange().await.own();
        let own_tags = own.tags_of(&private.id.to_string()).unwrap();
        assert!(own_tags.contains_key("a") && !own_tags.contains_key("c"));
        let code = "InvalidNetworkInterface.InUse";
        cloud.check_refused("RunInstances", &format!("{RUN}&{first}"), code, "eni-1").await;
        cloud.settle().await;
        cloud.call("TerminateInstances", &format!("InstanceId={}", before.id)).await.unwrap();
        cloud.settle().await;
        let left = cloud.exchange().await.own();
        let left = &left.detached_interfaces[&private.id];
        assert_eq!((left.address, left.checks_source), (private.address, false));
    }

    #[actix_web::test]
    async fn an_instance_is_launched_with_further_interfaces_from_device_2_on() {
        let cloud = cloud_with_a_subnet().await;
        cloud.call("CreateNetworkInterface", "SubnetId=subnet-1").await.unwrap();
        let request = format!(
            "{RUN}&NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.SubnetId=subnet-1\
             &NetworkInterface.2.DeviceIndex=3&NetworkInterface.2.NetworkInterfaceId=eni-1\
             &NetworkInterface.3.DeviceIndex=2&NetworkInterface.3.PrivateIpAddress=10.0.1.9"
        );
        let again = request.replace("DeviceIndex=3", "DeviceIndex=2");
        let code = "InvalidParameterValue";
        cloud.check_refused("RunInstances", &again, code, "device index '2'").await;
        cloud.call("RunInstances", &request).await.unwrap();
        let instance = only_instance(&cloud);
        let facts: Vec<_> = instance
            .interfaces
            .iter()
            .map(|i| (i.device_index, i.deleted_with_instance, i.security_groups.is_some()))
            .collect();
        let expected = [(0, true, false), (1, true, false), (2, true, true), (3, false, true)];
        assert_eq!(facts, expected);
        assert_eq!(instance.interfaces[2].address.to_string(), "10.0.1.9");
        let elsewhere = format!(
            "{RUN}&NetworkInterface.1.DeviceIndex=0&Placement.AvailabilityZone=us-east-1a\
             &NetworkInterface.2.DeviceIndex=2&NetworkInterface.2.SubnetId=subnet-1"
        );
        let code = "InvalidParameterCombination";
        cloud.check_refused("RunInstances", &elsewhere, code, "same VPC").await;
    }

    #[actix_web::test]
    async fn what_cannot_be_had_is_refused_by_name() {
        for (more, part) in [
            ("IamInstanceProfile.Name=admin", "IamInstanceProfile"),
            ("CpuOptions.CoreCount=1", "CpuOptions"),
            ("InstanceMarketOptions.MarketType=spot", "InstanceMarketOptions"),
            ("LaunchTemplate.LaunchTemplateName=x", "LaunchTemplate"),
            ("Placement.Tenancy=dedicated", "Tenancy"),
            ("HibernationOptions.Configured=true", "Hibernation"),
            ("NetworkInterface.1.DeviceIndex=1", "DeviceIndex"),
            (
                "NetworkInterface.1.DeviceIndex=0&NetworkInterface.1.AssociatePublicIpAddress=false",
                "AssociatePublicIpAddress",
            ),
            ("BlockDeviceMapping.1.DeviceName=/dev/sdb", "/dev/sda1"),
            (
                "BlockDeviceMapping.1.DeviceName=/dev/sda1\
                 &BlockDeviceMapping.1.Ebs.DeleteOnTermination=false",
                "DeleteOnTermination",
            ),
            (
                "BlockDeviceMapping.1.DeviceName=/dev/sda1\
                 &BlockDeviceMapping.1.Ebs.VolumeType=io1",
                "VolumeType",
            ),
        ] {
            check_refused(more, "UnsupportedOperation", part).await;
        }
    }

    #[actix_web::test]
    async fn what_is_wrong_is_refused_in_ec2s_words() {
        let data = "A".repeat(24_000);
        let token = format!("ClientToken={}", "x".repeat(65));
        for (more, code, part) in [
            ("InstanceType=z9.huge", "InvalidParameterValue", "z9.huge"),
            ("KeyName=none", "InvalidKeyPair.NotFound", "'none'"),
            ("SecurityGroup.1=none", "InvalidGroup.NotFound", "'none'"),
            ("SecurityGroupId.1=sg-00000000", "InvalidGroup.NotFound", "sg-00000000"),
            ("SubnetId=subnet-00000000", "InvalidSubnetID.NotFound", "subnet-00000000"),
            ("SubnetId=x", "InvalidSubnetID.Malformed", "\"x\""),
            ("Placement.AvailabilityZone=us-east-1z", "InvalidParameterValue", "us-east-1z"),
            ("KernelId=aki-00000000", "InvalidAMIID.NotFound", "aki-00000000"),
            ("KernelId=ami-0000000a", "InvalidParameterValue", "is a machine"),
            ("UserData=!", "InvalidUserData.Malformed", ""),
            (&format!("UserData={data}"), "InvalidParameterValue", "16384"),
            (&token, "InvalidParameterValue", "64"),
            ("InstanceInitiatedShutdownBehavior=sleep", "InvalidParameterValue", "sleep"),
            ("MetadataOptions.HttpTokens=maybe", "InvalidParameterValue", "maybe"),
            ("Colour=red", "UnknownParameter", "Colour"),
            (
                "TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=a",
                "InvalidParameterValue",
                "'vpc'",
            ),
        ] {
            check_refused(more, code, part).await;
        }
        let cloud = TestCloud::start().await;
        for (request, code) in [
            ("MinCount=1&MaxCount=1", "MissingParameter"),
            ("ImageId=ami-0000000a&MinCount=1", "MissingParameter"),
            ("ImageId=nonsense&MinCount=1&MaxCount=1", "InvalidAMIID.Malformed"),
            ("ImageId=ami-00000000&MinCount=1&MaxCount=1", "InvalidAMIID.NotFound"),
            ("ImageId=ami-0000000a&MinCount=0&MaxCount=1", "InvalidParameterValue"),
            ("ImageId=ami-0000000a&MinCount=2&MaxCount=1", "InvalidParameterValue"),
            ("ImageId=ami-0000000a&MinCount=999&MaxCount=999", "InsufficientInstanceCapacity"),
        ] {
            cloud.check_refused("RunInstances", request, code, "").await;
        }
        assert_eq!(cloud.state().instances().count(), 0);
    }

    #[actix_web::test]
    async fn a_dry_run_launches_nothing_and_says_what_would_have_been() {
        let cloud = TestCloud::start().await;
        let dry = format!("{RUN}&DryRun=true");
        cloud.check_refused("RunInstances", &dry, "DryRunOperation", "would have succeeded").await;
        let dry = "ImageId=ami-00000000&MinCount=1&MaxCount=1&DryRun=true";
        cloud.check_refused("RunInstances", dry, "InvalidAMIID.NotFound", "").await;
        assert_eq!(cloud.state().instances().count(), 0);
    }

    #[actix_web::test]
    async fn a_request_repeated_with_its_token_is_answered_and_not_done_again() {
        let cloud = TestCloud::start().await;
        let request = format!("{RUN}&ClientToken=once");
        let first = cloud.call("RunInstances", &request).await.unwrap();
        cloud.check("RunInstances", &request, &first).await;
        assert_eq!(cloud.state().instances().count(), 1);
        let other = format!("{RUN}&ClientToken=once&InstanceType=t3.micro");
        cloud.check_refused("RunInstances", &other, "IdempotentParameterMismatch", "").await;
        // A token is its account's own.
        cloud.of(BOB).call("RunInstances", &other).await.unwrap();
    }
}
