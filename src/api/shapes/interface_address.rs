//! The addresses of a network interface: its own, and the public one that goes with it.

use crate::domain::{
    cloud_state::ScopeState,
    dns_name::{PrivateDnsName, PublicDnsName},
    elastic_address::AddressDomain,
    id::PrefixedId,
    instance::Interface,
    interface::Wire,
    settings::Reach,
};
use schemars::JsonSchema;
use serde::Serialize;
use std::{borrow::Cow, net::Ipv4Addr};

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Association<'a> {
    pub public_ip: Ipv4Addr,
    pub public_dns_name: PublicDnsName,
    pub ip_owner_id: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association_id: Option<Cow<'a, str>>,
}

/// EC2's word for who owns an address that came with the instance.
const PROVIDER: &str = "amazon";

impl<'a> Association<'a> {
    /// An interface on the public wire is reached at its elastic address if it has one, else at its
    /// own, as the host shows it.
    pub fn of(interface: &Interface, own: &'a ScopeState, reach: Reach) -> Option<Association<'a>> {
        if interface.wire != Wire::Public {
            return None;
        }
        let elastic = own.elastic_address_of(&interface.id);
        let with_ids = elastic.filter(|elastic| elastic.domain == AddressDomain::Vpc);
        let association = with_ids.and_then(|elastic| own.association(elastic));
        let shown = reach.shown(elastic.map_or(interface.address, |elastic| elastic.address));
        Some(Association {
            public_ip: shown,
            public_dns_name: PublicDnsName(shown),
            ip_owner_id: elastic.map_or(PROVIDER, |it| it.scope.account.as_str()).into(),
            allocation_id: with_ids.map(|elastic| elastic.id.as_str().into()),
            association_id: association.map(|association| association.id.as_str().into()),
        })
    }

    /// As an instance shows it: without the ids.
    pub fn of_instance(self) -> Association<'a> {
        Association { allocation_id: None, association_id: None, ..self }
    }

    pub fn into_owned(self) -> Association<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Association {
            public_ip: self.public_ip,
            public_dns_name: self.public_dns_name,
            ip_owner_id: owned(self.ip_owner_id),
            allocation_id: self.allocation_id.map(owned),
            association_id: self.association_id.map(owned),
        }
    }
}

/// An element of `privateIpAddressesSet`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrivateAddress<'a> {
    pub private_ip_address: Ipv4Addr,
    private_dns_name: PrivateDnsName,
    pub primary: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    association: Option<Association<'a>>,
}

impl<'a> PrivateAddress<'a> {
    pub fn primary(interface: &Interface, association: Option<Association<'a>>) -> Self {
        PrivateAddress {
            private_ip_address: interface.address,
            private_dns_name: PrivateDnsName(interface.address),
            primary: true,
            association,
        }
    }

    /// The first one of an interface on the private wire.
    pub fn alone(address: Ipv4Addr) -> Self {
        PrivateAddress { primary: true, ..PrivateAddress::secondary(address) }
    }

    pub fn secondary(address: Ipv4Addr) -> Self {
        PrivateAddress {
            private_ip_address: address,
            private_dns_name: PrivateDnsName(address),
            primary: false,
            association: None,
        }
    }
}
