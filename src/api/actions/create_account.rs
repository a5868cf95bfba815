//! CreateAccount: a new tenant with its first access key, made by an administrator.
//!
//! Mallee's own: EC2 has no such action, and AWS' way to an account is another service. The
//! secret is told this once.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
    },
    domain::{account::SecretKey, id::AccountId},
    messages::cloud,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateAccount {
    account_name: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    account_id: AccountId,
    account_name: String,
    access_key_id: String,
    #[serde(serialize_with = "told")]
    #[schemars(with = "String")]
    secret_access_key: SecretKey,
}

fn told<S: Serializer>(secret: &SecretKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&secret.0)
}

impl Action for CreateAccount {
    const NAME: &'static str = "CreateAccount";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let name = self.account_name.clone();
        let created = exchange.command(cloud::CreateAccount { name }).await?;
        Ok(Response {
            account_id: created.account,
            account_name: self.account_name,
            access_key_id: created.access_key_id,
            secret_access_key: SecretKey(created.secret_access_key),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;
    use crate::domain::account::Role;

    #[actix_web::test]
    async fn an_account_is_made_with_a_key_that_is_on_record() {
        let cloud = TestCloud::start().await.administrator();
        let answer = cloud.call("CreateAccount", "AccountName=carol").await.unwrap();
        let part = |name: &str| {
            let (_, rest) = answer.split_once(&format!("<{name}>")).unwrap();
            rest.split_once(&format!("</{name}>")).unwrap().0.to_owned()
        };
        let state = cloud.state();
        let key = state.access_keys.get(&part("accessKeyId")).unwrap();
        assert_eq!((&key.secret.0, key.role), (&part("secretAccessKey"), Role::User));
        assert_eq!(key.account.as_str(), part("accountId"));
        assert_eq!(state.accounts.get(&key.account).unwrap().name, "carol");
    }

    #[actix_web::test]
    async fn only_an_administrator_makes_accounts_and_names_are_distinct() {
        let cloud = TestCloud::start().await;
        let before = cloud.state().accounts.size();
        let query = "AccountName=carol";
        cloud.check_refused("CreateAccount", query, "UnauthorizedOperation", "").await;
        let root = cloud.administrator();
        let code = "InvalidParameterValue";
        root.check_refused("CreateAccount", "AccountName=alice", code, "'alice'").await;
        for name in ["", "two+words", "a/b", &"x".repeat(64)] {
            let query = format!("AccountName={name}");
            root.check_refused("CreateAccount", &query, code, "account's name").await;
        }
        root.check_refused("CreateAccount", "", "MissingParameter", "AccountName").await;
        let query = "AccountName=carol&DryRun=true";
        root.check_refused("CreateAccount", query, "DryRunOperation", "").await;
        assert_eq!(cloud.state().accounts.size(), before);
    }
}
