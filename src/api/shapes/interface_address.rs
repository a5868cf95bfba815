//! The addresses of a network interface: its own, and the public one that goes with it.

use crate::domain::{
    dns_name::{PrivateDnsName, PublicDnsName},
    instance::Interface,
    interface::Wire,
    settings::Reach,
};
use serde::Serialize;
use std::net::Ipv4Addr;

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Association {
    pub public_ip: Ipv4Addr,
    pub public_dns_name: PublicDnsName,
    /// EC2's word for an address that came with the instance.
    pub ip_owner_id: &'static str,
}

impl Association {
    /// An interface on the public wire is reached at its own address, as the host shows it.
    pub fn of(interface: &Interface, reach: Reach) -> Option<Association> {
        let shown = reach.shown(interface.address);
        (interface.wire == Wire::Public).then_some(Association {
            public_ip: shown,
            public_dns_name: PublicDnsName(shown),
            ip_owner_id: "amazon",
        })
    }
}

/// An element of `privateIpAddressesSet`.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivateAddress {
    private_ip_address: Ipv4Addr,
    private_dns_name: PrivateDnsName,
    primary: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    association: Option<Association>,
}

impl PrivateAddress {
    pub fn primary(interface: &Interface, reach: Reach) -> PrivateAddress {
        PrivateAddress {
            private_ip_address: interface.address,
            private_dns_name: PrivateDnsName(interface.address),
            primary: true,
            association: Association::of(interface, reach),
        }
    }
}
