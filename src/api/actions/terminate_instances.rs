//! TerminateInstances: ends instances, all of those named or none.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        shapes::state_change::StateChanges,
    },
    domain::id::InstanceId,
    messages::cloud,
};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TerminateInstances {
    instance_id: Vec<InstanceId>,
    /// An ending guest is switched off in any case, and nothing of it is kept.
    #[serde(default, rename = "Force")]
    _force: Option<bool>,
    #[serde(default, rename = "SkipOsShutdown")]
    _skip_os_shutdown: Option<bool>,
}

impl Action for TerminateInstances {
    const NAME: &'static str = "TerminateInstances";
    type Response = StateChanges;

    async fn perform(self, exchange: &Exchange) -> Result<StateChanges, ApiError> {
        let terminate = cloud::TerminateInstances { instances: self.instance_id };
        Ok(exchange.command(terminate).await?.into())
    }
}
