//! DescribeSubnets: the default subnets, one a zone.

use crate::{
    api::{
        action::{Action, Exchange},
        describe::select,
        error::{ApiError, Code},
        filters::{FilterParameter, read_filters},
        pagination::{PageRequest, RESULTS},
        response::Set,
        selection::{Selection, none_has},
        shapes::{
            shown::yes_no,
            tag::{Tag, tag_pairs, tag_set},
            zone::zone_id_of,
        },
    },
    domain::{
        cloud_state::ScopeState,
        filter::{Described, tag_facts},
        id::SubnetId,
        vpc,
    },
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSubnets {
    #[serde(default)]
    subnet_id: Vec<String>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
    max_results: Option<u32>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    subnet_set: Set<Subnet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Subnet {
    subnet_id: String,
    subnet_arn: String,
    state: &'static str,
    owner_id: String,
    vpc_id: String,
    cidr_block: String,
    ipv6_cidr_block_association_set: Set<String>,
    assign_ipv6_address_on_creation: bool,
    available_ip_address_count: u64,
    availability_zone: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    availability_zone_id: Option<String>,
    default_for_az: bool,
    /// Every guest has a public address.
    map_public_ip_on_launch: bool,
    map_customer_owned_ip_on_launch: bool,
    tag_set: Set<Tag>,
    enable_dns64: bool,
    ipv6_native: bool,
    private_dns_name_options_on_launch: PrivateDnsNameOptions,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PrivateDnsNameOptions {
    hostname_type: &'static str,
    enable_resource_name_dns_a_record: bool,
    #[serde(rename = "enableResourceNameDnsAAAARecord")]
    enable_resource_name_dns_aaaa_record: bool,
}

impl Subnet {
    fn of(subnet: &vpc::Subnet, exchange: &Exchange) -> Subnet {
        let own = exchange.state.scope(&subnet.scope);
        let account = &subnet.scope.account;
        let id = subnet.id.to_string();
        let taken = own.map_or(0, |own| addresses_taken(subnet, own));
        let usable = subnet.cidr.size() - vpc::RESERVED_FIRST - vpc::RESERVED_LAST;
        Subnet {
            subnet_arn: format!("arn:aws:ec2:{}:{account}:subnet/{id}", subnet.scope.region),
            state: "available",
            owner_id: account.to_string(),
            vpc_id: subnet.vpc.to_string(),
            cidr_block: subnet.cidr.to_string(),
            ipv6_cidr_block_association_set: Set::default(),
            assign_ipv6_address_on_creation: false,
            available_ip_address_count: usable.saturating_sub(taken),
            availability_zone: subnet.zone.to_string(),
            availability_zone_id: zone_id_of(exchange, &subnet.zone),
            default_for_az: subnet.is_default,
            map_public_ip_on_launch: true,
            map_customer_owned_ip_on_launch: false,
            tag_set: own.map(|own| tag_set(own, &id)).unwrap_or_default(),
            enable_dns64: false,
            ipv6_native: false,
            private_dns_name_options_on_launch: PrivateDnsNameOptions {
                hostname_type: "ip-name",
                enable_resource_name_dns_a_record: false,
                enable_resource_name_dns_aaaa_record: false,
            },
            subnet_id: id,
        }
    }
}

fn addresses_taken(subnet: &vpc::Subnet, own: &ScopeState) -> u64 {
    let from = (subnet.vpc.clone(), subnet.cidr.address());
    let inside = own.private_addresses.range(from..).take_while(|((vpc, address), _)| {
        *vpc == subnet.vpc && subnet.cidr.contains(*address)
    });
    inside.count() as u64
}

impl Described for Subnet {
    const FILTERS: &'static [&'static str] = &[
        "availability-zone",
        "availabilityZone",
        "availability-zone-id",
        "availabilityZoneId",
        "available-ip-address-count",
        "cidr",
        "cidr-block",
        "cidrBlock",
        "default-for-az",
        "defaultForAz",
        "enable-dns64",
        "ipv6-cidr-block-association.ipv6-cidr-block",
        "ipv6-native",
        "map-customer-owned-ip-on-launch",
        "map-public-ip-on-launch",
        "owner-id",
        "state",
        "subnet-arn",
        "subnet-id",
        "tag:",
        "tag-key",
        "tag-value",
        "vpc-id",
    ];

    fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let fact: &str = match name {
            "availability-zone" | "availabilityZone" => &self.availability_zone,
            "availability-zone-id" | "availabilityZoneId" => {
                return Some(self.availability_zone_id.iter().map(|id| id.into()).collect());
            }
            "available-ip-address-count" => {
                return Some(vec![Cow::Owned(self.available_ip_address_count.to_string())]);
            }
            "cidr" | "cidr-block" | "cidrBlock" => &self.cidr_block,
            "default-for-az" | "defaultForAz" => yes_no(self.default_for_az),
            "enable-dns64" => yes_no(self.enable_dns64),
            "ipv6-cidr-block-association.ipv6-cidr-block" => return Some(Vec::new()),
            "ipv6-native" => yes_no(self.ipv6_native),
            "map-customer-owned-ip-on-launch" => yes_no(self.map_customer_owned_ip_on_launch),
            "map-public-ip-on-launch" => yes_no(self.map_public_ip_on_launch),
            "owner-id" => &self.owner_id,
            "state" => self.state,
            "subnet-arn" => &self.subnet_arn,
            "subnet-id" => &self.subnet_id,
            "vpc-id" => &self.vpc_id,
            _ => return tag_facts(name, tag_pairs(&self.tag_set)),
        };
        Some(vec![Cow::Borrowed(fact)])
    }
}

impl Action for DescribeSubnets {
    const NAME: &'static str = "DescribeSubnets";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let filters = read_filters::<Subnet>(&self.filter)?;
        let page = PageRequest::new(self.max_results, self.next_token.as_deref(), RESULTS)?;
        let selection = Selection::<SubnetId>::read(&self.subnet_id, exchange)?;
        let found = selection.find(|scope| &scope.subnets).map_err(not_found)?;
        let shown = found.into_iter().map(|(id, subnet)| (id, Subnet::of(subnet, exchange)));
        let page = select(shown, &filters, &page)?;
        Ok(Response { subnet_set: page.results.into(), next_token: page.next_token })
    }
}

fn not_found(ids: Vec<SubnetId>) -> ApiError {
    none_has(&ids, "subnet", Code::InvalidSubnetIdNotFound)
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    const DESCRIBE: &str = "DescribeSubnets";

    #[actix_web::test]
    async fn there_is_a_default_subnet_a_zone() {
        let cloud = TestCloud::start().await;
        let of_zone = "Filter.1.Name=availability-zone&Filter.1.Value.1=us-east-1b";
        cloud
            .check(
                DESCRIBE,
                of_zone,
                "<subnetSet><item><subnetId>subnet-1</subnetId><subnetArn>\
                 arn:aws:ec2:us-east-1:111111111111:subnet/subnet-1</subnetArn>\
                 <state>available</state><ownerId>111111111111</ownerId><vpcId>vpc-1</vpcId>\
                 <cidrBlock>172.31.16.0/20</cidrBlock><ipv6CidrBlockAssociationSet/>\
                 <assignIpv6AddressOnCreation>false</assignIpv6AddressOnCreation>\
                 <availableIpAddressCount>4091</availableIpAddressCount>\
                 <availabilityZone>us-east-1b</availabilityZone>\
                 <availabilityZoneId>use1-az2</availabilityZoneId>\
                 <defaultForAz>true</defaultForAz><mapPublicIpOnLaunch>true</mapPublicIpOnLaunch>\
                 <mapCustomerOwnedIpOnLaunch>false</mapCustomerOwnedIpOnLaunch><tagSet/>\
                 <enableDns64>false</enableDns64><ipv6Native>false</ipv6Native>\
                 <privateDnsNameOptionsOnLaunch><hostnameType>ip-name</hostnameType>\
                 <enableResourceNameDnsARecord>false</enableResourceNameDnsARecord>\
                 <enableResourceNameDnsAAAARecord>false</enableResourceNameDnsAAAARecord>\
                 </privateDnsNameOptionsOnLaunch></item></subnetSet>",
            )
            .await;
        let default = "Filter.1.Name=default-for-az&Filter.1.Value.1=true";
        let mut ranges = cloud.values(DESCRIBE, default, "cidrBlock").await;
        ranges.sort();
        assert_eq!(ranges, ["172.31.0.0/20", "172.31.16.0/20"]);
    }

    #[actix_web::test]
    async fn instances_take_their_addresses_from_the_count() {
        let cloud = TestCloud::start().await;
        cloud.launch(3).await;
        let mut counts = cloud.values(DESCRIBE, "", "availableIpAddressCount").await;
        counts.sort();
        assert_eq!(counts, ["4088", "4091"]);
    }

    #[actix_web::test]
    async fn a_subnet_that_is_none_is_refused() {
        let cloud = TestCloud::start().await;
        let unknown = "SubnetId.1=subnet-01234567";
        let code = "InvalidSubnetID.NotFound";
        cloud.check_refused(DESCRIBE, unknown, code, "'subnet-01234567' does not").await;
        cloud.check_refused(DESCRIBE, "SubnetId.1=x", "InvalidSubnetID.Malformed", "x").await;
    }
}
