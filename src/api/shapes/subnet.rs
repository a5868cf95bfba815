//! A subnet in answers, and as filters see it.

use super::{
    shown::yes_no,
    tag::{Tag, tag_pairs, tag_set},
    zone::zone_id_of,
};
use crate::{
    api::{action::Exchange, response::Set},
    domain::{
        cloud_state::CloudState,
        filter::{Described, tag_facts},
        vpc,
    },
};
use schemars::JsonSchema;
use serde::Serialize;
use std::borrow::Cow;

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subnet {
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
    /// As its owner says: every guest has a public address.
    map_public_ip_on_launch: bool,
    map_customer_owned_ip_on_launch: bool,
    tag_set: Set<Tag>,
    enable_dns64: bool,
    ipv6_native: bool,
    private_dns_name_options_on_launch: PrivateDnsNameOptions,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PrivateDnsNameOptions {
    hostname_type: &'static str,
    enable_resource_name_dns_a_record: bool,
    #[serde(rename = "enableResourceNameDnsAAAARecord")]
    enable_resource_name_dns_aaaa_record: bool,
}

impl Subnet {
    /// As it is in that state, which may be newer than the exchange's.
    pub fn of(subnet: &vpc::Subnet, state: &CloudState, exchange: &Exchange) -> Subnet {
        let own = state.scope(&subnet.scope);
        let account = &subnet.scope.account;
        let id = subnet.id.to_string();
        let taken = own.map_or(0, |own| own.addresses_taken(subnet).count() as u64);
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
            map_public_ip_on_launch: subnet.maps_public_address(),
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
