//! CreateDefaultVpc: refused, since every account has one in every region from the first moment on,
//! and it cannot be deleted.

use crate::api::{
    action::{Action, Exchange},
    error::{ApiError, Code},
    response::Return,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateDefaultVpc {}

impl Action for CreateDefaultVpc {
    const NAME: &'static str = "CreateDefaultVpc";
    type Response = Return;

    async fn perform(self, _: &Exchange) -> Result<Return, ApiError> {
        Err(ApiError::new(
            Code::DefaultVpcAlreadyExists,
            "A Default VPC already exists for this account in this region.",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    #[actix_web::test]
    async fn there_is_one_already() {
        let cloud = TestCloud::start().await;
        let (create, code) = ("CreateDefaultVpc", "DefaultVpcAlreadyExists");
        cloud.check_refused(create, "", code, "already exists").await;
        cloud.check_refused(create, "Colour=red", "UnknownParameter", "Colour").await;
    }
}
