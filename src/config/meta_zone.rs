//! A `[[meta_zone]]`: a name that users may give for a zone, and the policy that it stands for.

use super::GroupSection;
use crate::domain::{
    allocation::AllocationName,
    id::{GroupName, ZoneName},
    settings::MetaZone,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetaZoneSection {
    pub name: ZoneName,
    /// How instances are shared out among its groups.
    #[serde(default)]
    pub policy: AllocationName,
    /// In the order that counts for `first-listed`. Without, all, in the order of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<GroupName>>,
}

impl MetaZoneSection {
    /// The paper's, which is there unless the file has another of its name.
    pub fn any() -> MetaZoneSection {
        MetaZoneSection {
            name: "any".parse().expect("this is a well-formed zone's name"),
            policy: AllocationName::EmptiestFirst,
            groups: None,
        }
    }

    pub(super) fn settings(&self, all: &[GroupSection]) -> MetaZone {
        let groups = match &self.groups {
            Some(groups) => groups.clone(),
            None => all.iter().map(|group| group.name.clone()).collect(),
        };
        MetaZone { name: self.name.clone(), policy: self.policy, groups }
    }
}
