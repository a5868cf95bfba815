//! CreateSecurityGroup: a new group, which lets nothing in and everything out.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Set,
        shapes::{
            security_group::arn,
            tag::{SpecifiedTags, Tag, TagSpecification, tags_shown},
        },
    },
    domain::id::VpcId,
    messages::cloud,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CreateSecurityGroup {
    group_name: String,
    #[serde(alias = "Description")]
    group_description: String,
    vpc_id: Option<VpcId>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// In the answers of old, all that is said besides the id.
    #[serde(rename = "return")]
    done: bool,
    group_id: String,
    tag_set: Set<Tag>,
    security_group_arn: String,
}

impl Action for CreateSecurityGroup {
    const NAME: &'static str = "CreateSecurityGroup";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let kind = "security-group";
        let tags = SpecifiedTags::read(&self.tag_specification, &[kind])?.take(kind);
        let tag_set = tags_shown(&tags);
        let command = cloud::CreateSecurityGroup {
            name: self.group_name,
            description: self.group_description,
            vpc: self.vpc_id,
            tags,
        };
        let id = exchange.command(command).await?;
        Ok(Response {
            done: true,
            security_group_arn: arn(&exchange.scope, &id),
            group_id: id.into(),
            tag_set,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};

    const CREATE: &str = "CreateSecurityGroup";
    const WEB: &str = "GroupName=web&GroupDescription=Web servers";

    #[actix_web::test]
    async fn the_answer_has_the_id_the_arn_and_the_tags() {
        let cloud = TestCloud::start().await;
        let tags = "TagSpecification.1.ResourceType=security-group\
                    &TagSpecification.1.Tag.1.Key=team&TagSpecification.1.Tag.1.Value=a";
        cloud
            .check(
                CREATE,
                &format!("{WEB}&{tags}"),
                "<return>true</return><groupId>sg-1</groupId>\
                 <tagSet><item><key>team</key><value>a</value></item></tagSet>\
                 <securityGroupArn>arn:aws:ec2:us-east-1:111111111111:security-group/sg-1\
                 </securityGroupArn>",
            )
            .await;
    }

    #[actix_web::test]
    async fn a_name_is_taken_once_in_a_vpc_and_an_account() {
        let cloud = TestCloud::start().await;
        cloud.call(CREATE, WEB).await.unwrap();
        let text = "The security group 'web' already exists for VPC 'vpc-";
        cloud.check_refused(CREATE, WEB, "InvalidGroup.Duplicate", text).await;
        cloud.of(BOB).call(CREATE, WEB).await.unwrap();
        cloud.in_region("eu-west-1").call(CREATE, WEB).await.unwrap();
    }

    #[actix_web::test]
    async fn what_no_group_can_be_is_refused_and_makes_none() {
        let cloud = TestCloud::start().await;
        let refused = async |query: &str, code: &str, part: &str| {
            cloud.check_refused(CREATE, query, code, part).await;
        };
        refused("GroupName=default&GroupDescription=d", "InvalidGroup.Reserved", "default").await;
        refused("GroupName=sg-x&GroupDescription=d", "InvalidParameterValue", "sg-*").await;
        refused("GroupName=w", "MissingParameter", "GroupDescription").await;
        refused("GroupName=w&GroupDescription=", "MissingParameter", "GroupDescription").await;
        refused("GroupDescription=d", "MissingParameter", "GroupName").await;
        refused("GroupName=w&GroupDescription=%3Cd", "InvalidParameterValue", "description").await;
        let nowhere = "GroupName=w&GroupDescription=d&VpcId=vpc-01234567";
        refused(nowhere, "InvalidVpcID.NotFound", "vpc-01234567").await;
        refused(&format!("{WEB}&DryRun=true"), "DryRunOperation", "would have").await;
        let names = cloud.values("DescribeSecurityGroups", "", "groupName").await;
        assert_eq!(names, ["default"]);
    }
}
