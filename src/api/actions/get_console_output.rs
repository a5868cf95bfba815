//! GetConsoleOutput: the end of what the guest wrote to its serial console, read from its node at
//! the moment of asking.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        time::DateTime,
    },
    domain::id::InstanceId,
    messages::cloud::ReadConsole,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetConsoleOutput {
    instance_id: InstanceId,
    /// The answer is always the latest.
    #[serde(default, rename = "Latest")]
    _latest: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    instance_id: String,
    timestamp: DateTime,
    /// Base64, for a console may hold any bytes.
    output: String,
}

impl Action for GetConsoleOutput {
    const NAME: &'static str = "GetConsoleOutput";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let region = exchange.scope.region.clone();
        let read = ReadConsole { region, instance: self.instance_id.clone() };
        let console = exchange.ask(read).await?;
        Ok(Response {
            instance_id: self.instance_id.to_string(),
            timestamp: console.written_at.into(),
            output: STANDARD.encode(console.bytes),
        })
    }
}
