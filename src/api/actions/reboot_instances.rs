//! RebootInstances: restarts guests in place, all of those named or none. Their state stays
//! `running` throughout.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Return,
    },
    domain::id::InstanceId,
    messages::cloud,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct RebootInstances {
    instance_id: Vec<InstanceId>,
}

impl Action for RebootInstances {
    const NAME: &'static str = "RebootInstances";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        exchange.command(cloud::RebootInstances { instances: self.instance_id }).await?;
        Ok(Return::TRUE)
    }
}
