//! StartInstances: boots stopped instances from the disks they have, all of those named or none.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        shapes::{
            not_honoured::{NotHonoured, refuse_given},
            state_change::StateChanges,
        },
    },
    domain::id::InstanceId,
    messages::cloud,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct StartInstances {
    instance_id: Vec<InstanceId>,
    additional_info: Option<NotHonoured>,
}

impl Action for StartInstances {
    const NAME: &'static str = "StartInstances";
    type Response = StateChanges;

    async fn perform(self, exchange: &Exchange) -> Result<StateChanges, ApiError> {
        refuse_given(&[("AdditionalInfo", self.additional_info)])?;
        let start = cloud::StartInstances { instances: self.instance_id };
        Ok(exchange.command(start).await?.into())
    }
}
