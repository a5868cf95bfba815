//! UpdateAccessKey, of IAM: puts a user's access key out of use, or back into it. The key that the
//! cloud's configuration gives its administrator stays in use.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Nothing,
        service::Service,
    },
    domain::credential::CredentialStatus,
    messages::cloud::credential as cloud,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateAccessKey {
    user_name: Option<String>,
    access_key_id: String,
    status: CredentialStatus,
}

impl Action for UpdateAccessKey {
    const NAME: &'static str = "UpdateAccessKey";
    const SERVICE: Service = Service::Iam;
    type Response = Nothing;

    async fn perform(self, exchange: &Exchange) -> Result<Nothing, ApiError> {
        let UpdateAccessKey { user_name: user, access_key_id: id, status } = self;
        exchange.command(cloud::UpdateAccessKey { user, id, status }).await?;
        Ok(Nothing {})
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;
    use crate::api::{endpoint::Ec2, signature::Credentials};

    const ACTION: &str = "UpdateAccessKey";

    #[actix_web::test]
    async fn an_inactive_key_is_not_believed_until_it_is_active_again() {
        let cloud = TestCloud::start().await;
        let known = || Ec2(cloud.cloud.clone()).find("AKIAALICE").is_some();
        let set = |status: &str| format!("AccessKeyId=AKIAALICE&Status={status}");
        cloud.call(ACTION, &set("Inactive")).await.unwrap();
        assert!(!known());
        assert_eq!(cloud.value("ListAccessKeys", "", "Status").await, "Inactive");
        cloud.call(ACTION, &set("Active")).await.unwrap();
        assert!(known());
        cloud.check_refused(ACTION, &set("Expired"), "InvalidParameterValue", "Expired").await;
        cloud.check_refused(ACTION, "Status=Active", "MissingParameter", "AccessKeyId").await;
    }

    #[actix_web::test]
    async fn nobody_changes_the_key_of_another_or_that_of_the_configuration() {
        let cloud = TestCloud::start().await;
        let of_root = "AccessKeyId=AKIAROOT&Status=Inactive";
        cloud.check_refused(ACTION, of_root, "NoSuchEntity", "AKIAROOT").await;
        let root = cloud.administrator();
        root.check_refused(ACTION, of_root, "UnmodifiableEntity", "AKIAROOT").await;
        root.check_refused("DeleteAccessKey", "AccessKeyId=AKIAROOT", "UnmodifiableEntity", "")
            .await;
        assert!(Ec2(cloud.cloud.clone()).find("AKIAROOT").is_some());
    }
}
