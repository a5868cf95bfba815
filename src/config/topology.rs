//! The `[topology]` section: which managers this process runs, and how those reach one another.

use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopologySection {
    pub kind: Topology,
    /// `None`: all of them, or on a host that joined a cloud what it joined as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<Role>>,
}

/// How the managers of one process reach one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topology {
    /// By mailbox.
    #[default]
    Local,
    /// Every message goes through bytes as it would between hosts.
    Loopback,
    /// Every message goes over TLS connections as it does between hosts.
    Linked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Cloud,
    Group,
    Node,
}

impl TopologySection {
    pub fn runs(&self, role: Role) -> bool {
        self.roles.as_ref().is_none_or(|roles| roles.contains(&role))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Cloud => "cloud",
            Role::Group => "group",
            Role::Node => "node",
        })
    }
}
