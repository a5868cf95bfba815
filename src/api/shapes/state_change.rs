//! What a request did to an instance: `instancesSet` of terminate, stop and start.

use crate::{
    api::response::Set,
    domain::{id::PrefixedId, instance::InstanceState},
    messages::cloud::StateChange,
};
use schemars::JsonSchema;
use serde::Serialize;

/// The code is a number and the name a word: clients read either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StateElement {
    code: u16,
    name: &'static str,
}

impl From<InstanceState> for StateElement {
    fn from(state: InstanceState) -> Self {
        Self { code: state.code(), name: state.as_str() }
    }
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateChanges {
    instances_set: Set<StateChangeElement>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct StateChangeElement {
    instance_id: String,
    current_state: StateElement,
    previous_state: StateElement,
}

impl From<Vec<StateChange>> for StateChanges {
    fn from(changes: Vec<StateChange>) -> Self {
        let element = |change: StateChange| StateChangeElement {
            instance_id: change.instance.as_str().to_owned(),
            current_state: change.current.into(),
            previous_state: change.previous.into(),
        };
        Self { instances_set: changes.into_iter().map(element).collect() }
    }
}
