//! CreateVpc: an isolated private network, with a default security group of its own.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        shapes::{
            cidr,
            not_honoured::{NotHonoured, refuse_given, require, require_one_of},
            tag::{SpecifiedTags, TagSpecification},
            vpc::Vpc,
        },
    },
    messages::cloud::network,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateVpc {
    cidr_block: Option<String>,
    instance_tenancy: Option<String>,
    amazon_provided_ipv6_cidr_block: Option<bool>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
    ipv4_ipam_pool_id: Option<NotHonoured>,
    ipv4_netmask_length: Option<NotHonoured>,
    ipv6_cidr_block: Option<NotHonoured>,
    ipv6_cidr_block_network_border_group: Option<NotHonoured>,
    ipv6_ipam_pool_id: Option<NotHonoured>,
    ipv6_netmask_length: Option<NotHonoured>,
    ipv6_pool: Option<NotHonoured>,
    vpc_encryption_control: Option<NotHonoured>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Response {
    vpc: Vpc,
}

impl Action for CreateVpc {
    const NAME: &'static str = "CreateVpc";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        refuse_given(&[
            ("Ipv4IpamPoolId", self.ipv4_ipam_pool_id),
            ("Ipv4NetmaskLength", self.ipv4_netmask_length),
            ("Ipv6CidrBlock", self.ipv6_cidr_block),
            ("Ipv6CidrBlockNetworkBorderGroup", self.ipv6_cidr_block_network_border_group),
            ("Ipv6IpamPoolId", self.ipv6_ipam_pool_id),
            ("Ipv6NetmaskLength", self.ipv6_netmask_length),
            ("Ipv6Pool", self.ipv6_pool),
            ("VpcEncryptionControl", self.vpc_encryption_control),
        ])?;
        require_one_of("InstanceTenancy", self.instance_tenancy.as_deref(), &["default"])?;
        require("AmazonProvidedIpv6CidrBlock", self.amazon_provided_ipv6_cidr_block, false)?;
        let kind = "vpc";
        let tags = SpecifiedTags::read(&self.tag_specification, &[kind])?.take(kind);
        let cidr = self.cidr_block.ok_or_else(|| ApiError::missing_parameter("CidrBlock"))?;
        let cidr = cidr::read("cidrBlock", &cidr)?;
        let id = exchange.command(network::CreateVpc { cidr, tags }).await?;
        let state = exchange.latest();
        let made = state.scope(&exchange.scope).and_then(|own| own.vpcs.get(&id));
        let vpc = made.map(|vpc| Vpc::of(vpc, &state)).ok_or_else(ApiError::internal)?;
        Ok(Response { vpc })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};

    const CREATE: &str = "CreateVpc";

    #[actix_web::test]
    async fn the_answer_shows_the_vpc_as_describe_does() {
        let cloud = TestCloud::start().await;
        let tags = "TagSpecification.1.ResourceType=vpc\
                    &TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=a";
        let inside = "<vpcId>vpc-1</vpcId><ownerId>111111111111</ownerId>\
            <state>available</state><cidrBlock>10.1.0.0/16</cidrBlock>\
            <cidrBlockAssociationSet><item><cidrBlock>10.1.0.0/16</cidrBlock>\
            <associationId>vpc-cidr-assoc-1</associationId>\
            <cidrBlockState><state>associated</state></cidrBlockState></item>\
            </cidrBlockAssociationSet><ipv6CidrBlockAssociationSet/>\
            <dhcpOptionsId>default</dhcpOptionsId>\
            <tagSet><item><key>Name</key><value>a</value></item></tagSet>\
            <instanceTenancy>default</instanceTenancy><isDefault>false</isDefault>";
        let query = format!("CidrBlock=10.1.2.3/16&{tags}");
        cloud.check(CREATE, &query, &format!("<vpc>{inside}</vpc>")).await;
        let item = format!("<vpcSet><item>{inside}</item></vpcSet>");
        cloud.check("DescribeVpcs", "VpcId.1=vpc-1", &item).await;
        cloud
            .of(BOB)
            .check_refused("DescribeVpcs", "VpcId.1=vpc-1", "InvalidVpcID.NotFound", "")
            .await;
    }

    #[actix_web::test]
    async fn a_vpc_has_a_default_security_group_and_a_network_of_its_own() {
        let cloud = TestCloud::start().await;
        for _ in 0..2 {
            cloud.call(CREATE, "CidrBlock=10.0.0.0/16").await.unwrap();
        }
        let query = "Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-1";
        let groups = cloud.values("DescribeSecurityGroups", query, "groupName").await;
        assert_eq!(groups[0], "default");
        // Its own, the one the rule of the group speaks of included.
        let ids = cloud.values("DescribeSecurityGroups", query, "groupId").await;
        assert!(ids.iter().all(|id| *id == ids[0]));
        let state = cloud.state();
        let own = state.scope(&cloud.scope()).unwrap();
        let mut networks: Vec<_> = own.vpcs.values().map(|vpc| vpc.network.unwrap()).collect();
        networks.sort();
        networks.dedup();
        assert_eq!(networks.len(), 3, "with the default one's");
    }

    #[actix_web::test]
    async fn what_is_no_range_of_a_vpc_is_refused() {
        let cloud = TestCloud::start().await;
        for (query, code, part) in [
            ("", "MissingParameter", "CidrBlock"),
            ("CidrBlock=10.0.0.0", "InvalidParameterValue", "not a valid CIDR block"),
            ("CidrBlock=10.0.0.0/8", "InvalidVpc.Range", "'10.0.0.0/8'"),
            ("CidrBlock=10.0.0.0/29", "InvalidVpc.Range", "'10.0.0.0/29'"),
            ("CidrBlock=127.0.0.0/16", "InvalidVpc.Range", "'127.0.0.0/16'"),
            ("CidrBlock=10.0.0.0/16&InstanceTenancy=dedicated", "UnsupportedOperation", "Tenancy"),
            (
                "CidrBlock=10.0.0.0/16&AmazonProvidedIpv6CidrBlock=true",
                "UnsupportedOperation",
                "Ipv6",
            ),
            ("CidrBlock=10.0.0.0/16&DryRun=true", "DryRunOperation", ""),
        ] {
            cloud.check_refused(CREATE, query, code, part).await;
        }
        assert_eq!(cloud.values("DescribeVpcs", "", "isDefault").await, ["true"]);
    }
}
