//! CreateSubnet: a range of a VPC, in a zone. Where none is named it is the region's first.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code, echo},
        shapes::{
            cidr,
            not_honoured::{NotHonoured, refuse_given, require},
            subnet::Subnet,
            tag::{SpecifiedTags, TagSpecification},
            zone::zones,
        },
    },
    domain::id::{VpcId, ZoneName},
    messages::cloud::network,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateSubnet {
    vpc_id: VpcId,
    cidr_block: Option<String>,
    availability_zone: Option<ZoneName>,
    availability_zone_id: Option<String>,
    ipv6_native: Option<bool>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
    ipv6_cidr_block: Option<NotHonoured>,
    outpost_arn: Option<NotHonoured>,
    ipv4_ipam_pool_id: Option<NotHonoured>,
    ipv4_netmask_length: Option<NotHonoured>,
    ipv6_ipam_pool_id: Option<NotHonoured>,
    ipv6_netmask_length: Option<NotHonoured>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Response {
    subnet: Subnet,
}

impl Action for CreateSubnet {
    const NAME: &'static str = "CreateSubnet";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        refuse_given(&[
            ("Ipv6CidrBlock", self.ipv6_cidr_block),
            ("OutpostArn", self.outpost_arn),
            ("Ipv4IpamPoolId", self.ipv4_ipam_pool_id),
            ("Ipv4NetmaskLength", self.ipv4_netmask_length),
            ("Ipv6IpamPoolId", self.ipv6_ipam_pool_id),
            ("Ipv6NetmaskLength", self.ipv6_netmask_length),
        ])?;
        require("Ipv6Native", self.ipv6_native, false)?;
        let kind = "subnet";
        let tags = SpecifiedTags::read(&self.tag_specification, &[kind])?.take(kind);
        let zone = zone(self.availability_zone, self.availability_zone_id, exchange)?;
        let cidr = self.cidr_block.ok_or_else(|| ApiError::missing_parameter("CidrBlock"))?;
        let cidr = cidr::read("cidrBlock", &cidr)?;
        let command = network::CreateSubnet { vpc: self.vpc_id, cidr, zone, tags };
        let id = exchange.command(command).await?;
        let state = exchange.latest();
        let made = state.scope(&exchange.scope).and_then(|own| own.subnets.get(&id));
        let subnet = made.map(|subnet| Subnet::of(subnet, &state, exchange));
        Ok(Response { subnet: subnet.ok_or_else(ApiError::internal)? })
    }
}

/// By name or by id.
fn zone(
    name: Option<ZoneName>,
    id: Option<String>,
    exchange: &Exchange,
) -> Result<Option<ZoneName>, ApiError> {
    let Some(id) = id else { return Ok(name) };
    if name.is_some() {
        return Err(ApiError::invalid_combination(
            "The parameters AvailabilityZone and AvailabilityZoneId cannot be used together",
        ));
    }
    let found = zones(exchange).into_iter().find(|zone| zone.id == id);
    found.map(|zone| Some(zone.name)).ok_or_else(|| {
        let id = echo(&id);
        let message = format!("Invalid availability zone-id: [{id}]");
        ApiError::new(Code::InvalidParameterValue, message)
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    const CREATE: &str = "CreateSubnet";

    async fn cloud_with_a_vpc() -> TestCloud {
        let cloud = TestCloud::start().await;
        let vpc = cloud.value(CREATE_VPC, "CidrBlock=10.0.0.0/16", "vpcId").await;
        assert_eq!(vpc, "vpc-1");
        cloud
    }

    const CREATE_VPC: &str = "CreateVpc";

    #[actix_web::test]
    async fn the_answer_shows_the_subnet_as_describe_does() {
        let cloud = cloud_with_a_vpc().await;
        let query = "VpcId=vpc-1&CidrBlock=10.0.1.0/24&AvailabilityZone=us-east-1b\
                     &TagSpecification.1.ResourceType=subnet\
                     &TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=b";
        let inside = "<subnetId>subnet-1</subnetId><subnetArn>\
             arn:aws:ec2:us-east-1:111111111111:subnet/subnet-1</subnetArn>\
             <state>available</state><ownerId>111111111111</ownerId><vpcId>vpc-1</vpcId>\
             <cidrBlock>10.0.1.0/24</cidrBlock><ipv6CidrBlockAssociationSet/>\
             <assignIpv6AddressOnCreation>false</assignIpv6AddressOnCreation>\
             <availableIpAddressCount>251</availableIpAddressCount>\
             <availabilityZone>us-east-1b</availabilityZone>\
             <availabilityZoneId>use1-az2</availabilityZoneId>\
             <defaultForAz>false</defaultForAz><mapPublicIpOnLaunch>false</mapPublicIpOnLaunch>\
             <mapCustomerOwnedIpOnLaunch>false</mapCustomerOwnedIpOnLaunch>\
             <tagSet><item><key>a</key><value>b</value></item></tagSet>\
             <enableDns64>false</enableDns64><ipv6Native>false</ipv6Native>\
             <privateDnsNameOptionsOnLaunch><hostnameType>ip-name</hostnameType>\
             <enableResourceNameDnsARecord>false</enableResourceNameDnsARecord>\
             <enableResourceNameDnsAAAARecord>false</enableResourceNameDnsAAAARecord>\
             </privateDnsNameOptionsOnLaunch>";
        cloud.check(CREATE, query, &format!("<subnet>{inside}</subnet>")).await;
        let item = format!("<subnetSet><item>{inside}</item></subnetSet>");
        cloud.check("DescribeSubnets", "SubnetId.1=subnet-1", &item).await;
    }

    #[actix_web::test]
    async fn a_zone_is_named_by_name_or_id_or_chosen() {
        let cloud = cloud_with_a_vpc().await;
        for (number, (named, zone)) in [
            ("", "us-east-1a"),
            ("&AvailabilityZone=us-east-1b", "us-east-1b"),
            ("&AvailabilityZoneId=use1-az2", "us-east-1b"),
        ]
        .into_iter()
        .enumerate()
        {
            let query = format!("VpcId=vpc-1&CidrBlock=10.0.{number}.0/24{named}");
            assert_eq!(cloud.value(CREATE, &query, "availabilityZone").await, zone);
        }
    }

    #[actix_web::test]
    async fn what_cannot_be_a_subnet_of_the_vpc_is_refused() {
        let cloud = cloud_with_a_vpc().await;
        cloud.call(CREATE, "VpcId=vpc-1&CidrBlock=10.0.1.0/24").await.unwrap();
        for (query, code, part) in [
            ("CidrBlock=10.0.2.0/24", "MissingParameter", "VpcId"),
            ("VpcId=vpc-1", "MissingParameter", "CidrBlock"),
            ("VpcId=vpc-01234567&CidrBlock=10.0.2.0/24", "InvalidVpcID.NotFound", "vpc-01234567"),
            ("VpcId=vpc-1&CidrBlock=ten", "InvalidParameterValue", "CIDR"),
            ("VpcId=vpc-1&CidrBlock=10.1.0.0/24", "InvalidSubnet.Range", "10.1.0.0/24"),
            ("VpcId=vpc-1&CidrBlock=10.0.2.0/29", "InvalidSubnet.Range", "10.0.2.0/29"),
            ("VpcId=vpc-1&CidrBlock=10.0.0.0/16", "InvalidSubnet.Conflict", "10.0.0.0/16"),
            (
                "VpcId=vpc-1&CidrBlock=10.0.2.0/24&AvailabilityZone=us-east-1z",
                "InvalidParameterValue",
                "us-east-1z",
            ),
            (
                "VpcId=vpc-1&CidrBlock=10.0.2.0/24&AvailabilityZoneId=x",
                "InvalidParameterValue",
                "zone-id: [x]",
            ),
            (
                "VpcId=vpc-1&CidrBlock=10.0.2.0/24&AvailabilityZoneId=use1-az2\
                 &AvailabilityZone=us-east-1b",
                "InvalidParameterCombination",
                "",
            ),
            ("VpcId=vpc-1&CidrBlock=10.0.2.0/24&DryRun=true", "DryRunOperation", ""),
        ] {
            cloud.check_refused(CREATE, query, code, part).await;
        }
    }

    #[actix_web::test]
    async fn no_subnet_is_where_the_public_addresses_are() {
        let cloud = TestCloud::start().await;
        let vpc = cloud.value(CREATE_VPC, "CidrBlock=198.51.0.0/16", "vpcId").await;
        let public = format!("VpcId={vpc}&CidrBlock=198.51.100.0/28");
        cloud.check_refused(CREATE, &public, "InvalidSubnet.Range", "198.51.100.0/28").await;
        let beside = format!("VpcId={vpc}&CidrBlock=198.51.1.0/28");
        cloud.call(CREATE, &beside).await.unwrap();
    }
}
