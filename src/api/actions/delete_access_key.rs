//! DeleteAccessKey, of IAM: a user's access key is not believed any more, for good. The key that the
//! cloud's configuration gives its administrator stays.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Nothing,
        service::Service,
    },
    messages::cloud::credential as cloud,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteAccessKey {
    user_name: Option<String>,
    access_key_id: String,
}

impl Action for DeleteAccessKey {
    const NAME: &'static str = "DeleteAccessKey";
    const SERVICE: Service = Service::Iam;
    type Response = Nothing;

    async fn perform(self, exchange: &Exchange) -> Result<Nothing, ApiError> {
        let DeleteAccessKey { user_name: user, access_key_id: id } = self;
        exchange.command(cloud::DeleteAccessKey { user, id }).await?;
        Ok(Nothing {})
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    const ACTION: &str = "DeleteAccessKey";

    #[actix_web::test]
    async fn a_deleted_key_is_gone_and_so_not_to_be_deleted_again() {
        let cloud = TestCloud::start().await;
        let query = "AccessKeyId=AKIAALICE";
        let answer = cloud.call(ACTION, query).await.unwrap();
        assert!(!answer.contains("Result"), "{answer}");
        assert!(cloud.state().access_keys.get("AKIAALICE").is_none());
        cloud.check_refused(ACTION, query, "NoSuchEntity", "AKIAALICE").await;
    }

    #[actix_web::test]
    async fn an_administrator_deletes_anybodys_by_name() {
        let cloud = TestCloud::start().await.administrator();
        cloud.check_refused(ACTION, "AccessKeyId=AKIABOB", "NoSuchEntity", "AKIABOB").await;
        let query = "UserName=alice&AccessKeyId=AKIABOB";
        cloud.check_refused(ACTION, query, "NoSuchEntity", "AKIABOB").await;
        cloud.call(ACTION, "UserName=bob&AccessKeyId=AKIABOB").await.unwrap();
        assert!(cloud.state().access_keys.get("AKIABOB").is_none());
    }
}
