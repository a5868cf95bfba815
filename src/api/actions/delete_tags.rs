//! DeleteTags: takes tags off resources, by key, or by key and value; all tags if none is named.

use super::create_tags::resources;
use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Return,
    },
    messages::cloud,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteTags {
    #[serde(default)]
    resource_id: Vec<String>,
    #[serde(default)]
    tag: Vec<Unwanted>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Unwanted {
    key: String,
    /// The empty value is a value too: only a tag that has it is deleted.
    value: Option<String>,
}

impl Action for DeleteTags {
    const NAME: &'static str = "DeleteTags";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        let resources = resources(self.resource_id)?;
        let tags = self.tag.into_iter().map(|tag| (tag.key, tag.value)).collect();
        exchange.command(cloud::DeleteTags { resources, tags }).await?;
        Ok(Return::TRUE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    async fn check_left(delete: &str, left: &[&str]) {
        let cloud = TestCloud::start().await;
        let id = cloud.launch(1).await.remove(0);
        let create = format!(
            "ResourceId={id}&Tag.1.Key=a&Tag.1.Value=1&Tag.2.Key=b&Tag.2.Value=2&Tag.3.Key=c"
        );
        cloud.call("CreateTags", &create).await.unwrap();
        let delete = format!("ResourceId={id}&{delete}");
        cloud.check("DeleteTags", &delete, "<return>true</return>").await;
        let own = cloud.exchange().await.own();
        let keys: Vec<_> = own.tags_of(&id.to_string()).into_iter().flat_map(|t| t.keys()).collect();
        assert_eq!(keys, left, "{delete}");
    }

    #[actix_web::test]
    async fn a_tag_is_deleted_by_key_and_by_value_if_one_is_given() {
        check_left("Tag.1.Key=a&Tag.2.Key=none", &["b", "c"]).await;
        check_left("Tag.1.Key=a&Tag.1.Value=1", &["b", "c"]).await;
        check_left("Tag.1.Key=a&Tag.1.Value=2", &["a", "b", "c"]).await;
        check_left("Tag.1.Key=a&Tag.1.Value=&Tag.2.Key=c&Tag.2.Value=", &["a", "b"]).await;
    }

    #[actix_web::test]
    async fn without_a_key_every_tag_goes() {
        check_left("", &[]).await;
    }

    #[actix_web::test]
    async fn the_resource_must_be_there() {
        let cloud = TestCloud::start().await;
        cloud.check_refused("DeleteTags", "Tag.1.Key=a", "MissingParameter", "ResourceId").await;
        let unknown = "ResourceId=i-12345678&Tag.1.Key=a";
        cloud.check_refused("DeleteTags", unknown, "InvalidInstanceID.NotFound", "").await;
        let id = cloud.launch(1).await.remove(0);
        let rehearsed = format!("ResourceId={id}&DryRun=true");
        cloud.check_refused("DeleteTags", &rehearsed, "DryRunOperation", "").await;
    }
}
