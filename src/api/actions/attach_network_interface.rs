//! AttachNetworkInterface: gives a stopped instance an interface more, at device index 2 or above.
//! Devices 0 and 1 are the public and the private one that it was launched with.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        shapes::not_honoured::{NotHonoured, refuse_given, unsupported},
    },
    domain::id::{InstanceId, InterfaceId},
    messages::cloud::interface::AttachInterface,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct AttachNetworkInterface {
    network_interface_id: InterfaceId,
    instance_id: InstanceId,
    device_index: u32,
    network_card_index: Option<u32>,
    ena_srd_specification: Option<NotHonoured>,
    ena_queue_count: Option<NotHonoured>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    attachment_id: String,
    network_card_index: u32,
}

impl Action for AttachNetworkInterface {
    const NAME: &'static str = "AttachNetworkInterface";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        refuse_given(&[
            ("EnaSrdSpecification", self.ena_srd_specification),
            ("EnaQueueCount", self.ena_queue_count),
        ])?;
        if self.network_card_index.is_some_and(|index| index > 0) {
            return Err(unsupported("Instances have one network card, which has index 0."));
        }
        let command = AttachInterface {
            interface: self.network_interface_id,
            instance: self.instance_id,
            device_index: self.device_index,
        };
        let attachment = exchange.command(command).await?;
        Ok(Response { attachment_id: attachment.into(), network_card_index: 0 })
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::{
        create_network_interface::tests::cloud_with_a_subnet,
        testing::{BOB, TestCloud, a_launch},
    };
    use crate::{
        actors::cloud::{filters, instance_spec},
        domain::{id::InstanceId, instance::Instance},
        messages::cloud::LaunchReservation,
    };
    use std::sync::Arc;

    const ATTACH: &str = "AttachNetworkInterface";

    /// With `eni-1`, which is nobody's, and `i-1`, which is stopped, in the same subnet.
    pub async fn cloud_with_both() -> (TestCloud, InstanceId) {
        let cloud = cloud_with_a_subnet().await;
        let query = "SubnetId=subnet-1&PrivateIpAddress=10.0.1.9\
                     &PrivateIpAddresses.1.PrivateIpAddress=10.0.1.10";
        cloud.call("CreateNetworkInterface", query).await.unwrap();
        let own = cloud.exchange().await.own();
        let subnet = own.subnets.values().find(|subnet| !subnet.is_default).unwrap();
        let launch = LaunchReservation { subnet: Some(subnet.id.clone()), ..a_launch() };
        let id = cloud.launch_as(launch).await.remove(0);
        cloud.settle().await;
        assert_eq!(cloud.value("DescribeInstances", "", "instanceId").await, "i-1");
        cloud.call("StopInstances", "InstanceId=i-1").await.unwrap();
        cloud.settle().await;
        (cloud, id)
    }

    pub fn instance(cloud: &TestCloud, id: &InstanceId) -> Arc<Instance> {
        cloud.state().instance(id).unwrap().clone()
    }

    #[actix_web::test]
    async fn a_stopped_instance_gets_an_interface_with_all_it_has() {
        let (cloud, id) = cloud_with_both().await;
        let attach = "NetworkInterfaceId=eni-1&InstanceId=i-1&DeviceIndex=2";
        let answer = "<attachmentId>eni-attach-1</attachmentId>\
                      <networkCardIndex>0</networkCardIndex>";
        // The instance's own two were shown before.
        let answer = answer.replace("attach-1", "attach-3");
        cloud.check_refused(ATTACH, &format!("{attach}&DryRun=true"), "DryRunOperation", "").await;
        cloud.check(ATTACH, attach, &answer).await;
        let describe = "DescribeNetworkInterfaces";
        let by_id = "NetworkInterfaceId.1=eni-1";
        for (element, value) in [
            ("status", "in-use"),
            ("instanceId", "i-1"),
            ("deviceIndex", "2"),
            ("deleteOnTermination", "false"),
            ("attachmentId", "eni-attach-3"),
        ] {
            assert_eq!(cloud.value(describe, by_id, element).await, value);
        }
        let addresses = cloud.values("DescribeInstances", "", "privateIpAddress").await;
        assert!(addresses.contains(&"10.0.1.10".to_owned()));
        let state = cloud.state();
        let spec = instance_spec::of(&instance(&cloud, &id), &state, &cloud.cloud.settings, 1);
        let spec = spec.unwrap();
        let port = &spec.interfaces[2];
        assert_eq!((port.device_index, &*port.address.to_string()), (2, "10.0.1.9"));
        assert_eq!(port.secondary, ["10.0.1.10".parse::<std::net::Ipv4Addr>().unwrap()]);
        assert!(port.checks_source && port.network == spec.interfaces[1].network);
        let told = &spec.metadata.interfaces[2];
        assert_eq!((told.device_number, told.local_addresses.len()), (2, 2));
        // Its addresses are those of a member of its group from now on.
        let group = &instance(&cloud, &id).security_groups[0];
        let members = filters::members(&state, &cloud.scope(), group).addresses;
        assert!(members.contains(&port.address) && members.contains(&port.secondary[0]));
        // It stays over a start, and cannot be taken off then.
        cloud.call("StartInstances", "InstanceId=i-1").await.unwrap();
        cloud.settle().await;
        assert_eq!(instance(&cloud, &id).interfaces.len(), 3);
    }

    #[actix_web::test]
    async fn what_cannot_be_attached_is_refused() {
        let (cloud, _) = cloud_with_both().await;
        let check = async |query: &str, code: &str, part: &str| {
            cloud.check_refused(ATTACH, query, code, part).await;
        };
        for index in [0, 1] {
            let query = format!("NetworkInterfaceId=eni-1&InstanceId=i-1&DeviceIndex={index}");
            check(&query, "InvalidParameterValue", &format!("device index '{index}'")).await;
        }
        let query = "NetworkInterfaceId=eni-1&InstanceId=i-1&DeviceIndex=2";
        let code = "InvalidNetworkInterfaceID.NotFound";
        cloud.of(BOB).check_refused(ATTACH, query, code, "eni-1").await;
        let unknown = "NetworkInterfaceId=eni-01234567&InstanceId=i-1&DeviceIndex=2";
        check(unknown, code, "eni-01234567").await;
        let unknown = "NetworkInterfaceId=eni-1&InstanceId=i-01234567&DeviceIndex=2";
        check(unknown, "InvalidInstanceID.NotFound", "i-01234567").await;
        let card = format!("{query}&NetworkCardIndex=1");
        check(&card, "UnsupportedOperation", "network card").await;

        cloud.call(ATTACH, query).await.unwrap();
        check(query, "InvalidNetworkInterface.InUse", "eni-1").await;

        let vpc = "Filter.1.Name=is-default&Filter.1.Value.1=false";
        let vpc = cloud.value("DescribeVpcs", vpc, "vpcId").await;
        let subnet = format!("VpcId={vpc}&CidrBlock=10.0.2.0/28&AvailabilityZone=us-east-1b");
        let subnet = cloud.value("CreateSubnet", &subnet, "subnetId").await;
        let create = "CreateNetworkInterface";
        let created = async |subnet: &str| {
            cloud.value(create, &format!("SubnetId={subnet}"), "networkInterfaceId").await
        };
        let elsewhere = created(&subnet).await;
        let query = format!("NetworkInterfaceId={elsewhere}&InstanceId=i-1&DeviceIndex=3");
        check(&query, "InvalidParameterCombination", "availability zone").await;
        let default = "Filter.1.Name=default-for-az&Filter.1.Value.1=true\
                       &Filter.2.Name=availability-zone&Filter.2.Value.1=us-east-1a";
        let default = cloud.value("DescribeSubnets", default, "subnetId").await;
        let elsewhere = created(&default).await;
        let query = format!("NetworkInterfaceId={elsewhere}&InstanceId=i-1&DeviceIndex=3");
        check(&query, "InvalidParameterCombination", "VPC").await;

        let one = created("subnet-1").await;
        cloud.call("StartInstances", "InstanceId=i-1").await.unwrap();
        let query = format!("NetworkInterfaceId={one}&InstanceId=i-1&DeviceIndex=3");
        check(&query, "UnsupportedOperation", "running instance").await;
        cloud.settle().await;
        check(&query, "UnsupportedOperation", "running instance").await;
        cloud.call("TerminateInstances", "InstanceId=i-1").await.unwrap();
        check(&query, "IncorrectInstanceState", "").await;
        cloud.settle().await;
        check(&query, "InvalidInstanceID.NotFound", "").await;
        // What was attached by hand outlives its instance.
        let status = cloud
            .value("DescribeNetworkInterfaces", "NetworkInterfaceId.1=eni-1", "status")
            .await;
        assert_eq!(status, "available");
    }

    #[actix_web::test]
    async fn an_instance_has_at_most_eight_interfaces() {
        let (cloud, _) = cloud_with_both().await;
        cloud.call("DeleteNetworkInterface", "NetworkInterfaceId=eni-1").await.unwrap();
        for index in 2..=8 {
            let create = "CreateNetworkInterface";
            let id = cloud.value(create, "SubnetId=subnet-1", "networkInterfaceId").await;
            let query = format!("NetworkInterfaceId={id}&InstanceId=i-1&DeviceIndex={index}");
            match index {
                8 => cloud.check_refused(ATTACH, &query, "AttachmentLimitExceeded", "8").await,
                _ => _ = cloud.call(ATTACH, &query).await.unwrap(),
            }
        }
    }
}
