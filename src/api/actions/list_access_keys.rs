//! ListAccessKeys, of IAM: a user's access keys, without their secrets.

use crate::api::{
    action::{Action, Exchange},
    error::ApiError,
    response::Members,
    service::Service,
    shapes::{
        credential::{AccessKeyMetadata, listed},
        user::holder,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ListAccessKeys {
    user_name: Option<String>,
    marker: Option<String>,
    max_items: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Response {
    user_name: String,
    access_key_metadata: Members<AccessKeyMetadata>,
    is_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    marker: Option<String>,
}

impl Action for ListAccessKeys {
    const NAME: &'static str = "ListAccessKeys";
    const SERVICE: Service = Service::Iam;
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let holder = holder(self.user_name.as_deref(), exchange)?;
        let keys = exchange.state.access_keys_of(&holder.id);
        let keys = keys.map(|key| (key.id.clone(), AccessKeyMetadata::of(key, &holder.name)));
        let listed = listed(self.marker.as_deref(), self.max_items, keys)?;
        Ok(Response {
            user_name: holder.name.clone(),
            access_key_metadata: listed.members,
            is_truncated: listed.is_truncated,
            marker: listed.marker,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    const ACTION: &str = "ListAccessKeys";

    #[actix_web::test]
    async fn a_user_sees_its_own_keys_and_an_administrator_anybodys() {
        let cloud = TestCloud::start().await;
        let answer = cloud.call(ACTION, "").await.unwrap();
        let expected = "<ListAccessKeysResult><UserName>alice</UserName><AccessKeyMetadata>\
             <member><UserName>alice</UserName><AccessKeyId>AKIAALICE</AccessKeyId>\
             <Status>Active</Status><CreateDate>2026-01-02T03:04:05.000Z</CreateDate></member>\
             </AccessKeyMetadata><IsTruncated>false</IsTruncated></ListAccessKeysResult>";
        assert!(answer.contains(expected), "{answer}");
        cloud.check_refused(ACTION, "UserName=root", "AccessDenied", "").await;
        let root = cloud.administrator();
        assert_eq!(root.call(ACTION, "UserName=alice").await.unwrap(), answer);
        assert_eq!(root.values(ACTION, "", "AccessKeyId").await, ["AKIAROOT"]);
        root.check_refused(ACTION, "UserName=nobody", "NoSuchEntity", "nobody").await;
    }

    #[actix_web::test]
    async fn keys_come_in_pages() {
        let cloud = TestCloud::start().await;
        cloud.call("CreateAccessKey", "").await.unwrap();
        let first = cloud.values(ACTION, "MaxItems=1", "AccessKeyId").await;
        let marker = cloud.value(ACTION, "MaxItems=1", "Marker").await;
        assert_eq!(cloud.value(ACTION, "MaxItems=1", "IsTruncated").await, "true");
        let rest = cloud.values(ACTION, &format!("Marker={marker}"), "AccessKeyId").await;
        let mut both = [first, rest].concat();
        assert_eq!(both.len(), 2);
        both.dedup();
        assert_eq!(both.len(), 2);
        cloud.check_refused(ACTION, "MaxItems=0", "ValidationError", "MaxItems").await;
        cloud.check_refused(ACTION, "Marker=x", "ValidationError", "Marker").await;
    }
}
