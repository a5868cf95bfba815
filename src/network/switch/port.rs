//! A port of the switch, as the rest of the process describes it.

use crate::domain::{
    id::{InstanceId, InterfaceId},
    interface::MacAddress,
    overlay::NetworkId,
    port_filter::{Cidr, PortFilter},
};
use serde::Serialize;
use std::net::Ipv4Addr;

/// Chosen by whoever attaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PortId(pub u32);

/// Everything the switch must know about a guest's interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSpec {
    pub interface: InterfaceId,
    pub instance: InstanceId,
    pub network: NetworkId,
    pub mac: MacAddress,
    /// The first is the primary, leased by DHCP.
    pub addresses: Vec<Ipv4Addr>,
    /// What the guest believes it is on.
    pub subnet: Cidr,
    /// None: DHCP is not answered here.
    pub dhcp_server: Option<Ipv4Addr>,
    pub mtu: u16,
    pub filter: PortFilter,
    /// EC2's `SourceDestCheck`. A port without it may speak for any address, and what it speaks
    /// for is learned.
    pub checks_source: bool,
}
