//! GetCallerIdentity, of STS: whose key the request was signed with. Terraform and Ansible ask
//! this before anything else.
//!
//! An administrator is its account's root; everybody else is a user named as the account is.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        service::Service,
        shapes::user::{arn, user_id},
    },
    domain::{account::Caller, id::AccountId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetCallerIdentity {}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Response {
    arn: String,
    user_id: String,
    account: AccountId,
}

impl Action for GetCallerIdentity {
    const NAME: &'static str = "GetCallerIdentity";
    const SERVICE: Service = Service::Sts;
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let Caller { account, role } = exchange.caller.clone();
        let Some(record) = exchange.state.accounts.get(&account) else {
            log::error!("request {}: no record of account `{account}`", exchange.cause.request_id);
            return Err(ApiError::internal());
        };
        Ok(Response { arn: arn(record, role), user_id: user_id(&account, role), account })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    #[actix_web::test]
    async fn a_user_is_named_as_its_account_and_an_administrator_is_root() {
        let cloud = TestCloud::start().await;
        let answer = cloud.call("GetCallerIdentity", "").await.unwrap();
        assert!(
            answer.contains(
                "<Arn>arn:aws:iam::111111111111:user/alice</Arn>\
                 <UserId>AIDA00000111111111111</UserId><Account>111111111111</Account>"
            ),
            "{answer}"
        );
        let answer = cloud.administrator().call("GetCallerIdentity", "").await.unwrap();
        assert!(
            answer.contains(
                "<Arn>arn:aws:iam::123456789012:root</Arn><UserId>123456789012</UserId>\
                 <Account>123456789012</Account>"
            ),
            "{answer}"
        );
    }
}
