//! Who may be a manager of the cloud on another host, as far as users' commands go.

use super::id::{GroupName, NodeName};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, time::Duration};

/// What a host may join as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JoiningRole {
    Group,
    Node,
}

/// One host is invited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    pub role: JoiningRole,
    pub group: GroupName,
    /// Where it finds its parent, as `host:port`. None: where the configuration says.
    pub addresses: Vec<String>,
    pub valid_for: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipFault {
    #[error("there is no group `{0}`")]
    UnknownGroup(GroupName),
    #[error("nobody listens for a {0} here: the configuration has no `links` for it")]
    NoLinks(JoiningRole),
    #[error("the parent of a {0} listens at any address: say at which it is reached from there")]
    AnyAddress(JoiningRole),
    #[error("node `{0}` runs in the cloud's own process: take it out of the configuration instead")]
    RunsHere(NodeName),
    #[error("it could not be recorded: {0}")]
    NotRecorded(String),
}

/// Invites hosts, and remembers whom.
pub trait Membership: fmt::Debug + Send + Sync {
    /// A token that admits one host, once this is durable. Blocks.
    fn invite(&self, invitation: &Invitation) -> Result<String, MembershipFault>;

    /// No certificate of the node is believed any more, once this is durable; whether there was any.
    /// Blocks.
    fn expel(&self, group: &GroupName, node: &NodeName) -> Result<bool, MembershipFault>;

    /// Whether the group lets in nobody who was expelled.
    fn has_heard(&self, group: &GroupName) -> bool;
}

/// Of a cloud that is one process: the nodes configured in it.
#[derive(Debug, Default)]
pub struct NoMembers(pub BTreeSet<(GroupName, NodeName)>);

impl Membership for NoMembers {
    fn invite(&self, invitation: &Invitation) -> Result<String, MembershipFault> {
        Err(MembershipFault::NoLinks(invitation.role))
    }

    fn expel(&self, group: &GroupName, node: &NodeName) -> Result<bool, MembershipFault> {
        match self.0.contains(&(group.clone(), node.clone())) {
            true => Err(MembershipFault::RunsHere(node.clone())),
            false => Ok(false),
        }
    }

    fn has_heard(&self, _: &GroupName) -> bool {
        true
    }
}

impl fmt::Display for JoiningRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JoiningRole::Group => "group",
            JoiningRole::Node => "node",
        })
    }
}
