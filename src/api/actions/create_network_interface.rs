//! CreateNetworkInterface: an interface in a subnet, which an instance may be given: at its launch,
//! or while it is stopped.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code},
        shapes::{
            addresses_wanted::{self, PrivateAddressParameter},
            network_interface::NetworkInterface,
            not_honoured::{NotHonoured, refuse_given, require, require_one_of, unsupported},
            tag::{SpecifiedTags, TagSpecification},
        },
    },
    domain::id::{SecurityGroupId, SubnetId},
    messages::cloud::interface::{CreateInterface, NewInterface},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// EC2's own limits.
const CLIENT_TOKEN_CHARACTERS: usize = 64;
const DESCRIPTION_CHARACTERS: usize = 255;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateNetworkInterface {
    subnet_id: SubnetId,
    #[serde(default)]
    description: String,
    #[serde(default, alias = "Groups")]
    security_group_id: Vec<SecurityGroupId>,
    private_ip_address: Option<String>,
    #[serde(default)]
    private_ip_addresses: Vec<PrivateAddressParameter>,
    secondary_private_ip_address_count: Option<u32>,
    interface_type: Option<String>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
    client_token: Option<String>,
    ipv6_address_count: Option<u32>,
    enable_primary_ipv6: Option<bool>,
    ipv6_addresses: Option<NotHonoured>,
    ipv4_prefix: Option<NotHonoured>,
    ipv4_prefix_count: Option<NotHonoured>,
    ipv6_prefix: Option<NotHonoured>,
    ipv6_prefix_count: Option<NotHonoured>,
    connection_tracking_specification: Option<NotHonoured>,
    operator: Option<NotHonoured>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    network_interface: NetworkInterface,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token: Option<String>,
}

impl Action for CreateNetworkInterface {
    const NAME: &'static str = "CreateNetworkInterface";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        refuse_given(&[
            ("Ipv6Addresses", self.ipv6_addresses),
            ("Ipv4Prefix", self.ipv4_prefix),
            ("Ipv4PrefixCount", self.ipv4_prefix_count),
            ("Ipv6Prefix", self.ipv6_prefix),
            ("Ipv6PrefixCount", self.ipv6_prefix_count),
            ("ConnectionTrackingSpecification", self.connection_tracking_specification),
            ("Operator", self.operator),
        ])?;
        require_one_of("InterfaceType", self.interface_type.as_deref(), &["interface"])?;
        require("EnablePrimaryIpv6", self.enable_primary_ipv6, false)?;
        if self.ipv6_address_count.is_some_and(|count| count > 0) {
            return Err(unsupported("Ipv6AddressCount is not supported by this cloud."));
        }
        check_description(&self.description)?;
        let client_token = self.client_token.filter(|token| !token.is_empty());
        if client_token.as_ref().is_some_and(|t| t.chars().count() > CLIENT_TOKEN_CHARACTERS) {
            let message = format!("A client token has at most {CLIENT_TOKEN_CHARACTERS} characters.");
            return Err(ApiError::new(Code::InvalidParameterValue, message));
        }
        let kind = "network-interface";
        let tags = SpecifiedTags::read(&self.tag_specification, &[kind])?.take(kind);
        let interface = NewInterface {
            subnet: self.subnet_id,
            addresses: addresses_wanted::read(
                self.private_ip_address.as_deref(),
                &self.private_ip_addresses,
                self.secondary_private_ip_address_count,
            )?,
            description: self.description,
            security_groups: self.security_group_id,
        };
        let command = CreateInterface { interface, tags, client_token: client_token.clone() };
        let id = exchange.command(command).await?;
        let state = exchange.latest();
        let own = state.scope(&exchange.scope).ok_or_else(ApiError::internal)?;
        let made = NetworkInterface::find(&id, own, exchange.settings.reach);
        Ok(Response { network_interface: made.ok_or_else(ApiError::internal)?, client_token })
    }
}

pub fn check_description(text: &str) -> Result<(), ApiError> {
    if text.chars().count() <= DESCRIPTION_CHARACTERS {
        return Ok(());
    }
    let message = format!("A description has at most {DESCRIPTION_CHARACTERS} characters.");
    Err(ApiError::new(Code::InvalidParameterValue, message))
}

#[cfg(test)]
pub mod tests {
    use super::super::testing::{BOB, TestCloud};
    use crate::domain::detached_interface::DetachedInterface;
    use std::sync::Arc;

    const CREATE: &str = "CreateNetworkInterface";

    /// Alice has a VPC, `10.0.0.0/16`, and in it `subnet-1`, `10.0.1.0/28`, of the first zone.
    pub async fn cloud_with_a_subnet() -> TestCloud {
        let cloud = TestCloud::start().await;
        let vpc = cloud.value("CreateVpc", "CidrBlock=10.0.0.0/16", "vpcId").await;
        let query = format!("VpcId={vpc}&CidrBlock=10.0.1.0/28");
        assert_eq!(cloud.value("CreateSubnet", &query, "subnetId").await, "subnet-1");
        cloud
    }

    /// The only one there is.
    pub fn detached(cloud: &TestCloud) -> Arc<DetachedInterface> {
        let state = cloud.state();
        let mut all = state.scope(&cloud.scope()).unwrap().detached_interfaces.values();
        let interface = all.next().unwrap().clone();
        assert!(all.next().is_none());
        interface
    }

    #[actix_web::test]
    async fn the_answer_shows_the_interface_as_describe_does() {
        let cloud = cloud_with_a_subnet().await;
        let query = "SubnetId=subnet-1&Description=of a test&PrivateIpAddress=10.0.1.7\
             &PrivateIpAddresses.1.PrivateIpAddress=10.0.1.9&ClientToken=once\
             &TagSpecification.1.ResourceType=network-interface\
             &TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=b";
        let inside = "<networkInterfaceId>eni-1</networkInterfaceId>\
             <subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId>\
             <availabilityZone>us-east-1a</availabilityZone><description>of a test</description>\
             <ownerId>111111111111</ownerId><requesterManaged>false</requesterManaged>\
             <status>available</status><macAddress>0a:01:0a:00:01:07</macAddress>\
             <privateIpAddress>10.0.1.7</privateIpAddress>\
             <privateDnsName>ip-10-0-1-7.mallee.internal</privateDnsName>\
             <sourceDestCheck>true</sourceDestCheck>\
             <groupSet><item><groupId>sg-1</groupId><groupName>default</groupName></item></groupSet>\
             <tagSet><item><key>a</key><value>b</value></item></tagSet>\
             <privateIpAddressesSet><item><privateIpAddress>10.0.1.7</privateIpAddress>\
             <privateDnsName>ip-10-0-1-7.mallee.internal</privateDnsName>\
             <primary>true</primary></item>\
             <item><privateIpAddress>10.0.1.9</privateIpAddress>\
             <privateDnsName>ip-10-0-1-9.mallee.internal</privateDnsName>\
             <primary>false</primary></item></privateIpAddressesSet>\
             <ipv6AddressesSet/><interfaceType>interface</interfaceType>";
        let answer = format!(
            "<networkInterface>{inside}</networkInterface><clientToken>once</clientToken>"
        );
        let dns = |text: &str| {
            let name = crate::domain::dns_name::PrivateDnsName([10, 0, 1, 7].into()).to_string();
            text.replace("ip-10-0-1-7.mallee.internal", &name).replace(
                "ip-10-0-1-9.mallee.internal",
                &crate::domain::dns_name::PrivateDnsName([10, 0, 1, 9].into()).to_string(),
            )
        };
        cloud.check(CREATE, query, &dns(&answer)).await;
        let item =
            format!("<networkInterfaceSet><item>{inside}</item></networkInterfaceSet>");
        let describe = "DescribeNetworkInterfaces";
        cloud.check(describe, "NetworkInterfaceId.1=eni-1", &dns(&item)).await;
        for filter in ["status&Filter.1.Value.1=available", "subnet-id&Filter.1.Value.1=subnet-1"] {
            cloud.check(describe, &format!("Filter.1.Name={filter}"), &dns(&item)).await;
        }
        // The same request again makes nothing more.
        cloud.check(CREATE, query, &dns(&answer)).await;
        let other = "SubnetId=subnet-1&ClientToken=once";
        cloud.check_refused(CREATE, other, "IdempotentParameterMismatch", "").await;
        assert_eq!(cloud.values("DescribeSubnets", "SubnetId.1=subnet-1", "availableIpAddressCount")
            .await, ["9"]);
    }

    #[actix_web::test]
    async fn an_interface_keeps_its_subnet_and_its_group() {
        let cloud = cloud_with_a_subnet().await;
        let vpc = "Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-1";
        let vpc = cloud.value("DescribeVpcs", vpc, "vpcId").await;
        let group = format!("GroupName=web&GroupDescription=d&VpcId={vpc}");
        let group = cloud.value("CreateSecurityGroup", &group, "groupId").await;
        let query = format!("SubnetId=subnet-1&SecurityGroupId.1={group}");
        let id = cloud.value(CREATE, &query, "networkInterfaceId").await;
        let code = "DependencyViolation";
        cloud.check_refused("DeleteSubnet", "SubnetId=subnet-1", code, "subnet-1").await;
        let query = format!("GroupId={group}");
        cloud.check_refused("DeleteSecurityGroup", &query, code, &group).await;
        let delete = format!("NetworkInterfaceId={id}");
        cloud.check("DeleteNetworkInterface", &delete, "<return>true</return>").await;
        cloud.call("DeleteSecurityGroup", &query).await.unwrap();
        cloud.call("DeleteSubnet", "SubnetId=subnet-1").await.unwrap();
        cloud.call("DeleteVpc", &format!("VpcId={vpc}")).await.unwrap();
    }

    #[actix_web::test]
    async fn an_address_is_in_the_subnet_and_nobodys() {
        let cloud = cloud_with_a_subnet().await;
        cloud.call(CREATE, "SubnetId=subnet-1&PrivateIpAddress=10.0.1.4").await.unwrap();
        let many = "SecondaryPrivateIpAddressCount";
        for (more, code, part) in [
            ("PrivateIpAddress=10.0.1.4", "InvalidIPAddress.InUse", "10.0.1.4"),
            ("PrivateIpAddress=10.0.2.4", "InvalidParameterValue", "range"),
            ("PrivateIpAddress=10.0.1.3", "InvalidParameterValue", "reserved"),
            ("PrivateIpAddress=10.0.1.15", "InvalidParameterValue", "reserved"),
            ("PrivateIpAddress=ten", "InvalidParameterValue", "ten"),
            (
                "PrivateIpAddress=10.0.1.5&PrivateIpAddresses.1.PrivateIpAddress=10.0.1.5",
                "InvalidIPAddress.InUse",
                "10.0.1.5",
            ),
            (&format!("{many}=16"), "PrivateIpAddressLimitExceeded", "16"),
            (&format!("{many}=10"), "InsufficientFreeAddressesInSubnet", "subnet-1"),
            ("Ipv6AddressCount=1", "UnsupportedOperation", "Ipv6"),
            ("InterfaceType=efa", "UnsupportedOperation", "efa"),
            ("SecurityGroupId.1=sg-01234567", "InvalidGroup.NotFound", "sg-01234567"),
        ] {
            let query = format!("SubnetId=subnet-1&{more}");
            cloud.check_refused(CREATE, &query, code, part).await;
        }
        let nowhere = "SubnetId=subnet-01234567";
        cloud.check_refused(CREATE, nowhere, "InvalidSubnetID.NotFound", "").await;
        cloud.of(BOB).check_refused(CREATE, "SubnetId=subnet-1", "InvalidSubnetID.NotFound", "").await;
        let default = cloud.exchange().await.own();
        let default = default.security_group_named(&default.default_vpc().unwrap().id, "default");
        let query = format!("SubnetId=subnet-1&SecurityGroupId.1={}", default.unwrap().id);
        cloud.check_refused(CREATE, &query, "InvalidParameter", "different networks").await;
        // All the rest of the subnet: 11 addresses, one of them taken.
        let query = format!("SubnetId=subnet-1&{many}=9");
        cloud.call(CREATE, &query).await.unwrap();
        let code = "InsufficientFreeAddressesInSubnet";
        cloud.check_refused(CREATE, "SubnetId=subnet-1", code, "subnet-1").await;
    }
}
