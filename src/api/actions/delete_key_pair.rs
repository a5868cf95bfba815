//! DeleteKeyPair: forgets a public key. Guests that have it keep it, and deleting a pair that is
//! not there is no error.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
    },
    domain::id::KeyPairId,
    messages::cloud,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteKeyPair {
    key_name: Option<String>,
    key_pair_id: Option<KeyPairId>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    #[serde(rename = "return")]
    done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_pair_id: Option<KeyPairId>,
}

impl Action for DeleteKeyPair {
    const NAME: &'static str = "DeleteKeyPair";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let pair = match (self.key_name, self.key_pair_id) {
            (Some(name), None) => cloud::DeleteKeyPair::Named(name),
            (None, Some(id)) => cloud::DeleteKeyPair::Id(id),
            (None, None) => return Err(ApiError::missing_parameter("KeyName")),
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid_combination(
                    "The parameters KeyName and KeyPairId cannot be used together",
                ));
            }
        };
        let key_pair_id = exchange.command(pair).await?;
        Ok(Response { done: true, key_pair_id })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};

    async fn with_pairs(names: &[&str]) -> TestCloud {
        let cloud = TestCloud::start().await;
        for name in names {
            let create = format!("KeyName={name}&KeyType=ed25519");
            cloud.call("CreateKeyPair", &create).await.unwrap();
        }
        cloud
    }

    #[actix_web::test]
    async fn a_pair_is_deleted_by_name_or_by_id_with_its_tags() {
        let cloud = with_pairs(&["a", "b"]).await;
        cloud.call("CreateTags", "ResourceId=key-2&Tag.1.Key=x").await.unwrap();
        let answer = "<return>true</return><keyPairId>key-1</keyPairId>";
        cloud.check("DeleteKeyPair", "KeyName=a", answer).await;
        let answer = "<return>true</return><keyPairId>key-2</keyPairId>";
        cloud.check("DeleteKeyPair", "KeyPairId=key-2", answer).await;
        let own = cloud.exchange().await.own();
        assert!(own.key_pairs.is_empty() && own.tags.is_empty());
    }

    #[actix_web::test]
    async fn a_pair_that_is_not_there_or_another_s_is_deleted_without_effect() {
        let cloud = with_pairs(&["a"]).await;
        cloud.check("DeleteKeyPair", "KeyName=none", "<return>true</return>").await;
        cloud.of(BOB).check("DeleteKeyPair", "KeyName=a", "<return>true</return>").await;
        cloud.of(BOB).check("DeleteKeyPair", "KeyPairId=key-1", "<return>true</return>").await;
        assert_eq!(cloud.exchange().await.own().key_pairs.size(), 1);
    }

    #[actix_web::test]
    async fn exactly_one_pair_is_named() {
        let cloud = with_pairs(&["a"]).await;
        cloud.check_refused("DeleteKeyPair", "", "MissingParameter", "KeyName").await;
        let both = "KeyName=a&KeyPairId=key-1";
        cloud.check_refused("DeleteKeyPair", both, "InvalidParameterCombination", "").await;
        let malformed = "KeyPairId=a";
        cloud.check_refused("DeleteKeyPair", malformed, "InvalidKeyPairID.Malformed", "").await;
        cloud.check_refused("DeleteKeyPair", "KeyName=a&DryRun=true", "DryRunOperation", "").await;
        assert_eq!(cloud.exchange().await.own().key_pairs.size(), 1);
    }
}
