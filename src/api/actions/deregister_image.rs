//! DeregisterImage: takes an image away from new launches. Instances of it go on and may be stopped
//! and started; the bytes stay in the blob repository.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Return,
    },
    domain::id::ImageId,
    messages::cloud,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeregisterImage {
    image_id: ImageId,
    /// There are no snapshots to go with it.
    #[serde(default, rename = "DeleteAssociatedSnapshots")]
    _delete_associated_snapshots: Option<bool>,
}

impl Action for DeregisterImage {
    const NAME: &'static str = "DeregisterImage";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        exchange.command(cloud::DeregisterImage { image: self.image_id }).await?;
        Ok(Return::TRUE)
    }
}
