//! StopInstances: switches guests off and keeps their disks, of all the instances named or of none.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        shapes::{not_honoured::require, state_change::StateChanges},
    },
    domain::id::InstanceId,
    messages::cloud,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct StopInstances {
    instance_id: Vec<InstanceId>,
    force: Option<bool>,
    /// The same as `Force` as far as the guest can tell.
    skip_os_shutdown: Option<bool>,
    hibernate: Option<bool>,
}

impl Action for StopInstances {
    const NAME: &'static str = "StopInstances";
    type Response = StateChanges;

    async fn perform(self, exchange: &Exchange) -> Result<StateChanges, ApiError> {
        require("Hibernate", self.hibernate, false)?;
        let force = self.force == Some(true) || self.skip_os_shutdown == Some(true);
        let stop = cloud::StopInstances { instances: self.instance_id, force };
        Ok(exchange.command(stop).await?.into())
    }
}
