//! CreateTags: puts tags on resources that exist; a key that is there gets the new value.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code, echo},
        response::Return,
        shapes::tag::{TagParameter, read_tags, resource_type},
    },
    messages::cloud,
};
use schemars::JsonSchema;
use serde::Deserialize;

/// EC2's limit to the resources of one request.
const RESOURCES_MAX: usize = 1000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateTags {
    #[serde(default)]
    resource_id: Vec<String>,
    #[serde(default)]
    tag: Vec<TagParameter>,
}

impl Action for CreateTags {
    const NAME: &'static str = "CreateTags";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        let resources = resources(self.resource_id)?;
        if self.tag.is_empty() {
            return Err(ApiError::missing_parameter("Tag"));
        }
        let tags = read_tags(&self.tag)?;
        exchange.command(cloud::CreateTags { resources, tags }).await?;
        Ok(Return::TRUE)
    }
}

/// The ids as they are recorded, each once.
pub(super) fn resources(given: Vec<String>) -> Result<Vec<String>, ApiError> {
    if given.is_empty() {
        return Err(ApiError::missing_parameter("ResourceId"));
    }
    if given.len() > RESOURCES_MAX {
        return Err(ApiError::new(
            Code::InvalidParameterValue,
            format!("No more than {RESOURCES_MAX} resources can be tagged in one request."),
        ));
    }
    let mut resources: Vec<String> = Vec::with_capacity(given.len());
    for id in given {
        // Old tools write ids in upper case; in the records they are in lower case.
        let id = id.to_ascii_lowercase();
        if resource_type(&id).is_none() {
            let id = echo(&id);
            return Err(ApiError::new(Code::InvalidId, format!("The ID '{id}' is not valid")));
        }
        resources.push(id);
    }
    resources.sort();
    resources.dedup();
    Ok(resources)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};

    const TAG: &str = "Tag.1.Key=Name&Tag.1.Value=x";

    #[actix_web::test]
    async fn tags_are_put_on_several_resources_at_once_and_replace_values() {
        let cloud = TestCloud::start().await;
        let id = cloud.launch(1).await.remove(0);
        let instance = cloud.state().instance(&id).unwrap().clone();
        let (volume, port) = (&instance.root_volume, &instance.interfaces[0].id);
        let upper = id.to_string().to_uppercase();
        let query = format!(
            "ResourceId.1={upper}&ResourceId.2={volume}&ResourceId.3={port}&ResourceId.4={id}"
        );
        let done = "<return>true</return>";
        cloud.check("CreateTags", &format!("{query}&{TAG}&Tag.2.Key=bare"), done).await;
        cloud.check("CreateTags", &format!("{query}&Tag.1.Key=Name&Tag.1.Value=y"), done).await;
        let own = cloud.exchange().await.own();
        for resource in [id.to_string(), volume.to_string(), port.to_string()] {
            let tags = own.tags_of(&resource).unwrap();
            assert_eq!((tags["Name"].as_str(), tags["bare"].as_str()), ("y", ""));
        }
    }

    #[actix_web::test]
    async fn what_is_not_there_or_another_s_is_refused_and_nothing_is_tagged() {
        let cloud = TestCloud::start().await;
        let id = cloud.launch(1).await.remove(0);
        let refused = |cloud: TestCloud, query: String, code: &'static str| async move {
            cloud.check_refused("CreateTags", &query, code, "").await;
        };
        let unknown = format!("ResourceId.1={id}&ResourceId.2=i-12345678&{TAG}");
        refused(cloud.clone(), unknown, "InvalidInstanceID.NotFound").await;
        let other = format!("ResourceId={id}&{TAG}");
        refused(cloud.of(BOB), other, "InvalidInstanceID.NotFound").await;
        for (resource, code) in [
            ("vol-12345678", "InvalidVolume.NotFound"),
            ("sg-12345678", "InvalidGroup.NotFound"),
            ("sgr-12345678", "InvalidSecurityGroupRuleId.NotFound"),
            ("vpc-12345678", "InvalidVpcID.NotFound"),
            ("subnet-12345678", "InvalidSubnetID.NotFound"),
            ("eni-12345678", "InvalidNetworkInterfaceID.NotFound"),
            ("ami-12345678", "InvalidAMIID.NotFound"),
            ("key-12345678", "InvalidKeyPair.NotFound"),
            ("i-1234", "InvalidID"),
            ("nonsense", "InvalidID"),
        ] {
            refused(cloud.clone(), format!("ResourceId={resource}&{TAG}"), code).await;
        }
        refused(cloud.clone(), TAG.to_owned(), "MissingParameter").await;
        refused(cloud.clone(), format!("ResourceId={id}"), "MissingParameter").await;
        let reserved = format!("ResourceId={id}&Tag.1.Key=aws:x");
        refused(cloud.clone(), reserved, "InvalidParameterValue").await;
        let twice = format!("ResourceId={id}&{TAG}&Tag.2.Key=Name");
        refused(cloud.clone(), twice, "InvalidParameterValue").await;
        refused(cloud.clone(), format!("ResourceId={id}&{TAG}&DryRun=true"), "DryRunOperation")
            .await;
        assert!(cloud.exchange().await.own().tags.is_empty());
    }
}
