//! Asked of a node manager by its group.

use super::{asks, report::NodeReport};
use crate::domain::{
    elastic_address::ElasticAssignment,
    id::{AccountId, InstanceId, InterfaceId},
    image::BootSource,
    instance::ShutdownBehavior,
    interface::InterfaceSpec,
    metadata::InstanceMetadata,
    port_filter::{GroupMembers, PortFilter},
    resources::Resources,
};
use serde::{Deserialize, Serialize};

/// Everything a node needs to run an instance, now and after any restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    pub instance: InstanceId,
    pub owner: AccountId,
    pub resources: Resources,
    pub boot: BootSource,
    pub interfaces: Vec<InterfaceSpec>,
    /// Of the interfaces' filters, as `SetFilters` counts them.
    #[serde(default)]
    pub filters_generation: u64,
    pub metadata: InstanceMetadata,
    pub shutdown_behavior: ShutdownBehavior,
}

/// Run this instance: create it, or start it again if it is stopped here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootInstance {
    pub spec: Box<InstanceSpec>,
    pub revision: u64,
}

/// Keep the disk, take the guest off: ask it first, unless `force`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopInstance {
    pub instance: InstanceId,
    pub revision: u64,
    pub force: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebootInstance {
    pub instance: InstanceId,
    pub revision: u64,
}

/// Leave nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminateInstance {
    pub instance: InstanceId,
    pub revision: u64,
}

/// What of an instance may change without a boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateInstance {
    pub instance: InstanceId,
    /// As `SetFilters` counts them: an older update that comes late does not replace a newer one.
    pub generation: u64,
    pub metadata: InstanceMetadata,
    pub shutdown_behavior: ShutdownBehavior,
    /// Which elastic address each interface has.
    pub elastic: Vec<(InterfaceId, ElasticAssignment)>,
}

/// The same filter for several ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterAssignment {
    pub interfaces: Vec<InterfaceId>,
    pub filter: PortFilter,
}

/// Replaces the filters of ports here, and who is in the groups that filters name. What is not told
/// of stays; ports that are not here are left out of account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetFilters {
    /// Grows with every message, over restarts of the cloud too: an older one that comes late does
    /// not replace a newer one.
    pub generation: u64,
    /// Whoever permits of filters, these or earlier ones, mean by a group.
    pub members: Vec<GroupMembers>,
    pub assignments: Vec<FilterAssignment>,
}

/// The ends of these instances are recorded: their last words need not be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetInstances {
    pub instances: Vec<InstanceId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadConsole {
    pub instance: InstanceId,
}

/// The end of what the guest wrote to its serial port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleText {
    pub bytes: Vec<u8>,
    pub written_at: crate::domain::time::Timestamp,
}

/// At most this much of a console is kept for a reader: EC2's 64 KiB.
pub const CONSOLE_LIMIT_BYTES: usize = 64 << 10;

/// The paper's describeResource and describeInstances in one: the node's whole state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeNode;

/// The node has the request on its disk and will carry it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Reports of a later generation know of it.
    pub generation: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum NodeFault {
    #[error("the node has no room: {wanted:?} wanted, {free:?} free")]
    InsufficientCapacity { wanted: Resources, free: Resources },
    #[error("no instance `{0}` on this node")]
    InstanceNotFound(InstanceId),
    #[error("instance `{0}` belongs to another account")]
    NotOwner(InstanceId),
    /// A later request has been taken up already.
    #[error("instance `{0}` has a later request")]
    Overtaken(InstanceId),
    #[error("the node could not record it: {0}")]
    NotRecorded(String),
    /// Its disk failed in the middle: ask again, and no other node.
    #[error("it is unknown whether the node recorded it: {0}")]
    InDoubt(String),
    #[error("{0}")]
    Failed(String),
}

asks! {
    BootInstance => Accepted, NodeFault, "node.boot_instance", about spec.instance;
    StopInstance => Accepted, NodeFault, "node.stop_instance", about instance;
    RebootInstance => Accepted, NodeFault, "node.reboot_instance", about instance;
    TerminateInstance => Accepted, NodeFault, "node.terminate_instance", about instance;
    UpdateInstance => Accepted, NodeFault, "node.update_instance", about instance;
    SetFilters => Accepted, NodeFault, "node.set_filters";
    ForgetInstances => Accepted, NodeFault, "node.forget_instances";
    ReadConsole => ConsoleText, NodeFault, "node.read_console", about instance;
    DescribeNode => NodeReport, NodeFault, "node.describe_node";
}
