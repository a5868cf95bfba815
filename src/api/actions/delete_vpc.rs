//! DeleteVpc: of a VPC that nothing is in any more but its default security group, which goes with
//! it. The default VPC stays.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Return,
    },
    domain::id::VpcId,
    messages::cloud::network,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteVpc {
    vpc_id: VpcId,
}

impl Action for DeleteVpc {
    const NAME: &'static str = "DeleteVpc";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        exchange.command(network::DeleteVpc { vpc: self.vpc_id }).await?;
        Ok(Return::TRUE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};

    const DELETE: &str = "DeleteVpc";

    #[actix_web::test]
    async fn a_vpc_goes_with_its_group_its_tags_and_its_number() {
        let cloud = TestCloud::start().await;
        let before = cloud.state();
        let vpc = cloud.value("CreateVpc", "CidrBlock=10.0.0.0/16", "vpcId").await;
        let tags = format!("ResourceId.1={vpc}&Tag.1.Key=a&Tag.1.Value=b");
        cloud.call("CreateTags", &tags).await.unwrap();
        let query = format!("VpcId={vpc}");
        cloud.check_refused(DELETE, &format!("{query}&DryRun=true"), "DryRunOperation", "").await;
        let code = "InvalidVpcID.NotFound";
        cloud.of(BOB).check_refused(DELETE, &query, code, &vpc).await;
        cloud.check(DELETE, &query, "<return>true</return>").await;
        cloud.check_refused(DELETE, &query, code, &vpc).await;
        let (before, after) = (before.clone(), cloud.state());
        assert_eq!(after.networks.size(), before.networks.size() + 1, "Bob has come");
        let own = after.scope(&cloud.scope()).unwrap();
        assert_eq!((own.vpcs.size(), own.security_groups.size(), own.tags.size()), (1, 1, 0));
    }

    #[actix_web::test]
    async fn what_is_in_a_vpc_goes_first_and_the_default_one_never() {
        let cloud = TestCloud::start().await;
        let vpc = cloud.value("CreateVpc", "CidrBlock=10.0.0.0/16", "vpcId").await;
        let query = format!("VpcId={vpc}");
        let refused = async || {
            cloud.check_refused(DELETE, &query, "DependencyViolation", &vpc).await;
        };
        let subnet = format!("VpcId={vpc}&CidrBlock=10.0.0.0/24");
        let subnet = cloud.value("CreateSubnet", &subnet, "subnetId").await;
        refused().await;
        cloud.call("DeleteSubnet", &format!("SubnetId={subnet}")).await.unwrap();
        let group = format!("GroupName=web&GroupDescription=d&VpcId={vpc}");
        let group = cloud.value("CreateSecurityGroup", &group, "groupId").await;
        refused().await;
        cloud.call("DeleteSecurityGroup", &format!("GroupId={group}")).await.unwrap();
        // A group elsewhere admits the members of its default group.
        let of_vpc = format!("Filter.1.Name=vpc-id&Filter.1.Value.1={vpc}");
        let default = cloud.value("DescribeSecurityGroups", &of_vpc, "groupId").await;
        let rule = format!(
            "GroupName=default&IpPermissions.1.IpProtocol=-1&IpPermissions.1.Groups.1.GroupId={default}"
        );
        cloud.call("AuthorizeSecurityGroupIngress", &rule).await.unwrap();
        refused().await;
        cloud.call("RevokeSecurityGroupIngress", &rule).await.unwrap();
        cloud.check(DELETE, &query, "<return>true</return>").await;

        let default = "Filter.1.Name=is-default&Filter.1.Value.1=true";
        let default = cloud.value("DescribeVpcs", default, "vpcId").await;
        let query = format!("VpcId={default}");
        cloud.check_refused(DELETE, &query, "OperationNotPermitted", &default).await;
    }
}
