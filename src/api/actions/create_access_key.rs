//! CreateAccessKey, of IAM: a further access key for a user, whose secret is told this once.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        service::Service,
        shapes::user::holder,
        time::DateTime,
    },
    domain::{account::SecretKey, credential::CredentialStatus},
    messages::cloud::credential as cloud,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateAccessKey {
    user_name: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Response {
    access_key: AccessKey,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct AccessKey {
    user_name: String,
    access_key_id: String,
    status: CredentialStatus,
    secret_access_key: SecretKey,
    create_date: DateTime,
}

impl Action for CreateAccessKey {
    const NAME: &'static str = "CreateAccessKey";
    const SERVICE: Service = Service::Iam;
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let holder = holder(self.user_name.as_deref(), exchange)?;
        let made = exchange.command(cloud::CreateAccessKey { user: self.user_name }).await?;
        Ok(Response {
            access_key: AccessKey {
                user_name: holder.name.clone(),
                access_key_id: made.id,
                status: made.status,
                secret_access_key: made.secret,
                create_date: made.created_at.into(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ALICE, TestCloud};
    use crate::{
        api::{endpoint::Ec2, signature::Credentials},
        domain::account::Role,
    };

    const ACTION: &str = "CreateAccessKey";

    #[actix_web::test]
    async fn a_key_is_told_whole_once_and_is_believed_from_then_on() {
        let cloud = TestCloud::start().await;
        let answer = cloud.call(ACTION, "").await.unwrap();
        let part = |name: &str| {
            let (_, rest) = answer.split_once(&format!("<{name}>")).unwrap();
            rest.split_once(&format!("</{name}>")).unwrap().0.to_owned()
        };
        assert_eq!((part("UserName"), part("Status")), ("alice".into(), "Active".into()));
        let id = part("AccessKeyId");
        let known = Ec2(cloud.cloud.clone()).find(&id).unwrap();
        assert_eq!((known.secret, known.account.as_str()), (part("SecretAccessKey"), ALICE));
        assert!(!known.administrator);
        assert!(!cloud.call("ListAccessKeys", "").await.unwrap().contains("Secret"));
    }

    #[actix_web::test]
    async fn an_administrator_makes_one_for_anybody_and_others_for_themselves() {
        let cloud = TestCloud::start().await;
        cloud.check_refused(ACTION, "UserName=bob", "AccessDenied", "administrator").await;
        cloud.check_refused(ACTION, "UserName=nobody", "AccessDenied", "administrator").await;
        let root = cloud.administrator();
        root.check_refused(ACTION, "UserName=nobody", "NoSuchEntity", "name nobody").await;
        let id = root.value(ACTION, "UserName=alice", "AccessKeyId").await;
        let key = cloud.state().access_keys.get(&id).unwrap().clone();
        assert_eq!((key.account.as_str(), key.role), (ALICE, Role::User));
        let part = "AccessKeysPerUser: 2";
        cloud.check_refused(ACTION, "UserName=alice", "LimitExceeded", part).await;
    }

    #[actix_web::test]
    async fn there_is_no_rehearsing_and_nothing_is_done_for_who_asks_for_it() {
        let cloud = TestCloud::start().await;
        let before = cloud.state().access_keys.size();
        cloud.check_refused(ACTION, "DryRun=true", "UnknownParameter", "DryRun").await;
        assert_eq!(cloud.state().access_keys.size(), before);
    }
}
