//! The wires of one host: taps, bridges, addresses, filters.
//!
//! One trait, `Datapath`; `host` programs the kernel with objects that all carry our name,
//! `simulated` keeps a table. Whatever `attach` made, `detach` takes away, and `purge` leaves the
//! host as it was found.

pub mod cable;
pub mod dhcp;
pub mod elastic;
pub mod ethernet;
pub mod fragments;
pub mod frame;
pub mod overlay;
pub mod port;
pub mod record;
pub mod segments;
pub mod switch;

pub mod host;
pub mod simulated;

#[cfg(test)]
mod life;

use crate::domain::{
    elastic_address::ElasticAssignment,
    id::{InstanceId, InterfaceId},
    interface::{InterfaceSpec, NicBackend},
    port_filter::{Cidr, GroupMembers, PortFilter},
};
use std::{fmt::Debug, net::Ipv4Addr};

/// A port as it exists on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub interface: InterfaceId,
    pub instance: InstanceId,
    /// What the guest's NIC is to be plugged into.
    pub backend: NicBackend,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkFault {
    #[error("interface `{0}` is not attached")]
    NotAttached(InterfaceId),
    #[error("address `{address}` already belongs to interface `{holder}`")]
    AddressTaken { address: Ipv4Addr, holder: InterfaceId },
    #[error(
        "the prefix `{prefix}` belongs to the cloud in `{holder}`: choose another with `prefix` in \
         the section `[network]`"
    )]
    PrefixTaken { prefix: String, holder: String },
    #[error(
        "the range `{range}` is in use by the device `{device}`: choose another with \
         `public_addresses` in the section of the group"
    )]
    RangeTaken { range: Cidr, device: String },
    #[error("the host does not allow it: {0}")]
    NotPermitted(String),
    #[error("the kernel refused: {0}")]
    Kernel(String),
}

/// A host's data plane. Calls block. Every call may be repeated harmlessly.
pub trait Datapath: Debug + Send + Sync {
    /// Makes the port: its tap, its place on the wire, its DHCP answer, its anti-spoofing and its
    /// filter, all in force before this returns.
    fn attach(
        &self,
        instance: &InstanceId,
        interface: &InterfaceSpec,
    ) -> Result<Port, NetworkFault>;

    /// Replaces what the port admits, at once and without dropping connections still admitted.
    fn set_filter(&self, interface: &InterfaceId, filter: &PortFilter) -> Result<(), NetworkFault>;

    /// Says who filters mean by a group, at once for all ports. Until it is said, nobody.
    fn set_members(&self, members: &GroupMembers) -> Result<(), NetworkFault>;

    /// Has the world find the port at an elastic address too, at once and without a boot, or no
    /// longer; flows by an address that it had are cut. An address that another port has is taken
    /// from there by whoever was told of it later, and left there by who was told earlier. A port on
    /// a private wire has none.
    fn set_elastic(
        &self,
        interface: &InterfaceId,
        assignment: &ElasticAssignment,
    ) -> Result<(), NetworkFault>;

    /// Takes the port away. One that is gone already is no error.
    fn detach(&self, interface: &InterfaceId) -> Result<(), NetworkFault>;

    /// The ports there are. After a restart of the process `attach` must be called again for each
    /// interface to be kept (it finds the tap and keeps the guest connected); others are removed
    /// with `sweep`.
    fn ports(&self) -> Result<Vec<Port>, NetworkFault>;

    /// Removes every object of ours that belongs to no attached interface.
    fn sweep(&self) -> Result<(), NetworkFault>;

    /// Removes everything of ours from the host.
    fn purge(&self) -> Result<(), NetworkFault>;
}
