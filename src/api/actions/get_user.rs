//! GetUser, of IAM: who the caller is, or to an administrator, who somebody else is.

use crate::api::{
    action::{Action, Exchange},
    error::ApiError,
    service::Service,
    shapes::user::{User, holder},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetUser {
    user_name: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Response {
    user: User,
}

impl Action for GetUser {
    const NAME: &'static str = "GetUser";
    const SERVICE: Service = Service::Iam;
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let account = holder(self.user_name.as_deref(), exchange)?;
        let role = exchange.state.role_of(&account.id);
        Ok(Response { user: User::of(&account, role) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    const ACTION: &str = "GetUser";

    #[actix_web::test]
    async fn a_user_is_named_as_its_account_and_the_administrator_is_root() {
        let cloud = TestCloud::start().await;
        let alice = "<User><Path>/</Path><UserName>alice</UserName>\
             <UserId>AIDA00000111111111111</UserId>\
             <Arn>arn:aws:iam::111111111111:user/alice</Arn>\
             <CreateDate>2026-01-02T03:04:05.000Z</CreateDate></User>";
        let answer = cloud.call(ACTION, "").await.unwrap();
        assert!(answer.contains(alice), "{answer}");
        let root = cloud.administrator();
        assert!(root.call(ACTION, "UserName=alice").await.unwrap().contains(alice));
        let own = root.call(ACTION, "").await.unwrap();
        assert!(own.contains("<Arn>arn:aws:iam::123456789012:root</Arn>"), "{own}");
    }

    #[actix_web::test]
    async fn who_else_there_is_only_an_administrator_is_told() {
        let cloud = TestCloud::start().await;
        cloud.check_refused(ACTION, "UserName=bob", "AccessDenied", "").await;
        cloud.check_refused(ACTION, "UserName=nobody", "AccessDenied", "").await;
        let root = cloud.administrator();
        root.check_refused(ACTION, "UserName=nobody", "NoSuchEntity", "nobody").await;
    }
}
