//! Security groups: named sets of instances and the rules their ports follow.
//!
//! Rules are permits only; what no rule names is refused. A rule's peer may be another group,
//! which stands for the addresses of its members at every moment.

use super::{
    id::{AccountId, SecurityGroupId, SecurityGroupRuleId, VpcId},
    port_filter::{Cidr, Direction, Traffic},
    scope::Scope,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

pub const DEFAULT_GROUP_NAME: &str = "default";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    pub scope: Scope,
    pub id: SecurityGroupId,
    pub name: String,
    pub description: String,
    pub vpc: VpcId,
    pub rules: Vec<SecurityGroupRule>,
    pub created_at: Timestamp,
}

/// One rule has one peer, as EC2's rule ids (`sgr-`) count them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroupRule {
    pub id: SecurityGroupRuleId,
    pub direction: Direction,
    pub traffic: Traffic,
    pub peer: Peer,
    pub description: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Peer {
    Range(Cidr),
    /// IPv6 ranges are kept and shown (every client writes `::/0`); guests have no IPv6 yet, so
    /// they admit nothing.
    Ipv6Range(String),
    Group {
        account: AccountId,
        group: SecurityGroupId,
    },
}

impl SecurityGroup {
    pub fn is_default(&self) -> bool {
        self.name == DEFAULT_GROUP_NAME
    }

    pub fn rules(&self, direction: Direction) -> impl Iterator<Item = &SecurityGroupRule> {
        self.rules.iter().filter(move |rule| rule.direction == direction)
    }

    /// Whether some rule names this group as its peer.
    pub fn refers_to(&self, group: &SecurityGroupId) -> bool {
        self.rules
            .iter()
            .any(|rule| matches!(&rule.peer, Peer::Group { group: g, .. } if g == group))
    }
}
