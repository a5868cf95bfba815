//! An elastic address as DescribeAddresses lists it, and how requests name one.

use super::tag::{Tag, tag_pairs, tag_set};
use crate::{
    api::{
        error::{ApiError, Code, echo},
        response::Set,
    },
    domain::{
        cloud_state::ScopeState,
        elastic_address::{AddressDomain, ElasticAddress},
        filter::{Described, tag_facts},
        id::{AccountId, AllocationId, AssociationId, InterfaceId, PrefixedId, RegionName},
        scope::Scope,
        settings::Reach,
    },
    messages::cloud::elastic_address::AddressName,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::{borrow::Cow, net::Ipv4Addr};

/// EC2's word for the addresses that are the provider's own.
pub const POOL: &str = "amazon";

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AddressElement {
    /// There, and empty, where it is associated with nothing: old clients look for it.
    instance_id: String,
    public_ip: Ipv4Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocation_id: Option<AllocationId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    association_id: Option<AssociationId>,
    domain: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_interface_id: Option<InterfaceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_interface_owner_id: Option<AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_ip_address: Option<Ipv4Addr>,
    tag_set: Set<Tag>,
    public_ipv4_pool: &'static str,
    network_border_group: RegionName,
}

impl AddressElement {
    pub fn of(address: &ElasticAddress, own: &ScopeState, reach: Reach) -> AddressElement {
        let association = own.association(address);
        // What is named by itself has no ids.
        let has_ids = address.domain == AddressDomain::Vpc;
        let Scope { account, region } = &address.scope;
        AddressElement {
            instance_id: association.map(|a| a.instance.to_string()).unwrap_or_default(),
            public_ip: reach.shown(address.address),
            allocation_id: has_ids.then(|| address.id.clone()),
            association_id: association.filter(|_| has_ids).map(|a| a.id.clone()),
            domain: address.domain.as_str(),
            network_interface_id: association.map(|a| a.interface.clone()),
            network_interface_owner_id: association.map(|_| account.clone()),
            private_ip_address: association.map(|a| a.private_address),
            tag_set: tag_set(own, address.id.as_str()),
            public_ipv4_pool: POOL,
            network_border_group: region.clone(),
        }
    }
}

impl Described for AddressElement {
    const FILTERS: &'static [&'static str] = &[
        "allocation-id",
        "association-id",
        "domain",
        "instance-id",
        "network-border-group",
        "network-interface-id",
        "network-interface-owner-id",
        "private-ip-address",
        "public-ip",
        "tag:",
        "tag-key",
        "tag-value",
    ];

    fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let fact = match name {
            "allocation-id" => text(&self.allocation_id),
            "association-id" => text(&self.association_id),
            "domain" => Some(self.domain.into()),
            "instance-id" => Some(&*self.instance_id).filter(|id| !id.is_empty()).map(Cow::from),
            "network-border-group" => Some(self.network_border_group.as_str().into()),
            "network-interface-id" => text(&self.network_interface_id),
            "network-interface-owner-id" => text(&self.network_interface_owner_id),
            "private-ip-address" => text(&self.private_ip_address),
            "public-ip" => Some(self.public_ip.to_string().into()),
            _ => return tag_facts(name, tag_pairs(&self.tag_set)),
        };
        Some(fact.into_iter().collect())
    }
}

fn text<'a>(fact: &Option<impl ToString>) -> Option<Cow<'a, str>> {
    fact.as_ref().map(|fact| Cow::Owned(fact.to_string()))
}

/// Which address a request means: by its id or by itself.
pub fn address_named(
    allocation: Option<AllocationId>,
    public_ip: Option<&str>,
) -> Result<AddressName, ApiError> {
    match (allocation, public_ip) {
        (Some(id), None) => Ok(AddressName::Allocation(id)),
        (None, Some(text)) => Ok(AddressName::Address(public_address(text)?)),
        (Some(_), Some(_)) => Err(ApiError::invalid_combination(
            "You may specify public IP or allocation id, but not both in the same call",
        )),
        (None, None) => Err(ApiError::new(
            Code::MissingParameter,
            "Either public IP or allocation id must be specified",
        )),
    }
}

/// An address in a request.
pub fn public_address(text: &str) -> Result<Ipv4Addr, ApiError> {
    text.parse().map_err(|_| {
        let message = format!("Value ({}) for parameter publicIp is invalid.", echo(text));
        ApiError::new(Code::InvalidParameterValue, message)
    })
}
