//! Instance types: a free table of names and amounts.

use super::resources::Resources;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The name a client asks for, e.g. `t3.micro`. Any name the table holds is valid.
pub type InstanceTypeName = String;

/// The types a cloud offers, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InstanceTypes(pub BTreeMap<InstanceTypeName, Resources>);

impl InstanceTypes {
    /// EC2's default when RunInstances names no type.
    pub const DEFAULT: &'static str = "m1.small";

    pub fn get(&self, name: &str) -> Option<Resources> {
        self.0.get(name).copied()
    }
}
