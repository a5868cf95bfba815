//! Asked of a group manager: by the cloud, and by nodes that report.

use super::{
    asks,
    node::{ConsoleText, FilterAssignment, InstanceSpec},
    report::{GroupReport, Heard, NodeReport},
};
use crate::domain::{
    id::{InstanceId, NodeName},
    port_filter::GroupMembers,
    resources::Resources,
};
use serde::{Deserialize, Serialize};

/// An instance to be run, and the request that wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    pub spec: InstanceSpec,
    pub revision: u64,
}

/// Run these, each on a node of the group's choice; one that has a node already stays there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceInstances {
    pub instances: Vec<Wanted>,
}

/// What became of one instance of a plural request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The node has it; reports of a later generation than this tell how it goes on.
    Accepted { node: NodeName, generation: u64 },
    /// No node of the group has room.
    NoRoom,
    /// No node of the group has it.
    NotPlaced,
    /// The node says no, finally.
    Refused(String),
    /// Unknown: ask again.
    Unanswered,
}

/// The answer to one request for one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub instance: InstanceId,
    /// Of the request it answers.
    pub revision: u64,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    pub outcomes: Vec<Done>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopInstances {
    pub instances: Vec<(InstanceId, u64)>,
    pub force: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebootInstances {
    pub instances: Vec<(InstanceId, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminateInstances {
    pub instances: Vec<(InstanceId, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateInstances {
    pub instances: Vec<super::node::UpdateInstance>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetInstances {
    pub instances: Vec<InstanceId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetFilters {
    /// Grows with every message, over restarts of the cloud too: an older one that comes late does
    /// not replace a newer one.
    pub generation: u64,
    /// Whoever permits of filters, these or earlier ones, mean by a group.
    pub members: Vec<GroupMembers>,
    pub assignments: Vec<FilterAssignment>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadConsole {
    pub instance: InstanceId,
}

/// The paper's describeResources: how many of each could run at once now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeResources {
    pub types: Vec<Resources>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceCounts {
    /// `(free, total)` for each type asked for, in the same order.
    pub counts: Vec<(u64, u64)>,
}

/// The last report of every node of the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeInstances;

/// From a node: this is how things are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportNode {
    pub report: NodeReport,
}

/// A node is gone, on an administrator's word: nothing is placed there, and what was is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvictNode {
    pub node: NodeName,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum GroupFault {
    #[error("no node of this group has instance `{0}`")]
    NotPlaced(InstanceId),
    #[error("no answer from node `{0}`")]
    NodeUnanswered(NodeName),
    #[error("node `{node}`: {reason}")]
    NodeRefused { node: NodeName, reason: String },
    #[error("the group could not record it: {0}")]
    NotRecorded(String),
    #[error("there is no node `{0}` in this group")]
    UnknownNode(NodeName),
}

asks! {
    PlaceInstances => Outcomes, GroupFault, "group.place_instances";
    StopInstances => Outcomes, GroupFault, "group.stop_instances";
    RebootInstances => Outcomes, GroupFault, "group.reboot_instances";
    TerminateInstances => Outcomes, GroupFault, "group.terminate_instances";
    UpdateInstances => Outcomes, GroupFault, "group.update_instances";
    ForgetInstances => (), GroupFault, "group.forget_instances";
    SetFilters => (), GroupFault, "group.set_filters";
    ReadConsole => ConsoleText, GroupFault, "group.read_console";
    DescribeResources => ResourceCounts, GroupFault, "group.describe_resources";
    DescribeInstances => Vec<GroupReport>, GroupFault, "group.describe_instances";
    EvictNode => (), GroupFault, "group.evict_node";
    ReportNode => Heard, GroupFault, "group.report_node";
}
