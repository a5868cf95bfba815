//! Whose and where: the namespace a resource lives in.

use super::id::{AccountId, RegionName};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An account in a region. Resources of one scope are invisible to every other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    pub account: AccountId,
    pub region: RegionName,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.region)
    }
}
