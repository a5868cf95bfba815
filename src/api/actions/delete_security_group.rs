//! DeleteSecurityGroup: of a group that nothing uses. The default group stays.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        shapes::rule_change::group_named,
    },
    domain::id::SecurityGroupId,
    messages::cloud,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteSecurityGroup {
    group_id: Option<SecurityGroupId>,
    group_name: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    #[serde(rename = "return")]
    done: bool,
    group_id: String,
}

impl Action for DeleteSecurityGroup {
    const NAME: &'static str = "DeleteSecurityGroup";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let group = group_named(self.group_id, self.group_name)?;
        let id = exchange.command(cloud::DeleteSecurityGroup { group }).await?;
        Ok(Response { done: true, group_id: id.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud, a_launch};
    use crate::messages::cloud::{LaunchReservation, SecurityGroupName};

    const DELETE: &str = "DeleteSecurityGroup";

    async fn cloud_with_groups() -> TestCloud {
        let cloud = TestCloud::start().await;
        for name in ["web", "db"] {
            let query = format!("GroupName={name}&GroupDescription=d");
            cloud.call("CreateSecurityGroup", &query).await.unwrap();
        }
        cloud
    }

    #[actix_web::test]
    async fn a_group_is_deleted_by_id_or_by_name() {
        let cloud = cloud_with_groups().await;
        cloud.check(DELETE, "GroupId=sg-1", "<return>true</return><groupId>sg-1</groupId>").await;
        cloud.check(DELETE, "GroupName=db", "<return>true</return><groupId>sg-2</groupId>").await;
        cloud.check_refused(DELETE, "GroupId=sg-1", "InvalidGroup.NotFound", "'sg-1'").await;
        cloud.check_refused(DELETE, "GroupName=db", "InvalidGroup.NotFound", "'db'").await;
    }

    #[actix_web::test]
    async fn nothing_is_deleted_that_is_not_ones_own_or_is_not_named() {
        let cloud = cloud_with_groups().await;
        let code = "InvalidGroup.NotFound";
        cloud.of(BOB).check_refused(DELETE, "GroupId=sg-1", code, "").await;
        cloud.check_refused(DELETE, "", "MissingParameter", "groupName or groupId").await;
        let both = "GroupId=sg-1&GroupName=web";
        cloud.check_refused(DELETE, both, "InvalidParameterCombination", "").await;
        cloud.check_refused(DELETE, "GroupId=web", "InvalidGroupId.Malformed", "web").await;
    }

    #[actix_web::test]
    async fn the_default_group_stays() {
        let cloud = cloud_with_groups().await;
        cloud.check_refused(DELETE, "GroupName=default", "CannotDelete", "default").await;
    }

    #[actix_web::test]
    async fn a_group_named_by_a_rule_of_another_is_in_use() {
        let cloud = cloud_with_groups().await;
        let rule = "IpPermissions.1.IpProtocol=-1&IpPermissions.1.Groups.1.GroupId=";
        let authorize = "AuthorizeSecurityGroupIngress";
        cloud.call(authorize, &format!("GroupId=sg-1&{rule}sg-2")).await.unwrap();
        cloud.call(authorize, &format!("GroupId=sg-1&{rule}sg-1")).await.unwrap();
        cloud.check_refused(DELETE, "GroupId=sg-2", "DependencyViolation", "sg-2").await;
        // A rule of its own is no obstacle, and goes with the group.
        cloud.call(DELETE, "GroupId=sg-1").await.unwrap();
        cloud.call(DELETE, "GroupId=sg-2").await.unwrap();
    }

    #[actix_web::test]
    async fn a_group_named_by_another_account_is_in_use() {
        let cloud = cloud_with_groups().await;
        let rule = "GroupName=default&IpPermissions.1.IpProtocol=-1\
                    &IpPermissions.1.Groups.1.UserId=111111111111\
                    &IpPermissions.1.Groups.1.GroupName=web";
        cloud.of(BOB).call("AuthorizeSecurityGroupIngress", rule).await.unwrap();
        cloud.check_refused(DELETE, "GroupName=web", "DependencyViolation", "sg-1").await;
        cloud.of(BOB).call("RevokeSecurityGroupIngress", rule).await.unwrap();
        cloud.call(DELETE, "GroupName=web").await.unwrap();
    }

    #[actix_web::test]
    async fn a_group_is_in_use_until_its_last_instance_is_terminated() {
        let cloud = cloud_with_groups().await;
        let security_groups = vec![SecurityGroupName::Name("web".to_owned())];
        let ids = cloud.launch_as(LaunchReservation { security_groups, ..a_launch() }).await;
        cloud.settle().await;
        cloud.check_refused(DELETE, "GroupName=web", "DependencyViolation", "dependent").await;
        let terminate = crate::messages::cloud::TerminateInstances { instances: ids };
        cloud.exchange().await.command(terminate).await.unwrap();
        cloud.check_refused(DELETE, "GroupName=web", "DependencyViolation", "dependent").await;
        cloud.settle().await;
        cloud.call(DELETE, "GroupName=web").await.unwrap();
    }
}
