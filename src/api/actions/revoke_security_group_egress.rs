//! RevokeSecurityGroupEgress: takes away rules that let traffic out, all of them or none.
//!
//! In a VPC EC2 refuses to revoke what is not there, and everything here is in a VPC.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        shapes::rule_change::{Revocation, Revoked},
    },
    domain::port_filter::Direction,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
pub struct RevokeSecurityGroupEgress(Revocation);

impl Action for RevokeSecurityGroupEgress {
    const NAME: &'static str = "RevokeSecurityGroupEgress";
    type Response = Revoked;

    async fn perform(self, exchange: &Exchange) -> Result<Revoked, ApiError> {
        self.0.perform(Direction::Egress, exchange).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    const REVOKE: &str = "RevokeSecurityGroupEgress";
    const EVERYTHING: &str = "GroupId=sg-1&IpPermissions.1.IpProtocol=-1\
        &IpPermissions.1.FromPort=0&IpPermissions.1.ToPort=0";

    async fn cloud_with_web_group() -> TestCloud {
        let cloud = TestCloud::start().await;
        let web = "GroupName=web&GroupDescription=d";
        cloud.call("CreateSecurityGroup", web).await.unwrap();
        cloud
    }

    #[actix_web::test]
    async fn the_rule_every_group_is_born_with_is_revoked_as_terraform_does() {
        let cloud = cloud_with_web_group().await;
        let ipv6 = format!("{EVERYTHING}&IpPermissions.1.Ipv6Ranges.1.CidrIpv6=::/0");
        let code = "InvalidPermission.NotFound";
        let text = "The specified rule does not exist in this security group.";
        cloud.check_refused(REVOKE, &ipv6, code, text).await;
        let ipv4 = format!("{EVERYTHING}&IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0");
        cloud
            .check(
                REVOKE,
                &ipv4,
                "<return>true</return><unknownIpPermissionSet/><revokedSecurityGroupRuleSet>\
                 <item><securityGroupRuleId>sgr-1</securityGroupRuleId><groupId>sg-1</groupId>\
                 <isEgress>true</isEgress><ipProtocol>-1</ipProtocol><fromPort>-1</fromPort>\
                 <toPort>-1</toPort><cidrIpv4>0.0.0.0/0</cidrIpv4></item>\
                 </revokedSecurityGroupRuleSet>",
            )
            .await;
        cloud.check_refused(REVOKE, &ipv4, code, text).await;
    }

    #[actix_web::test]
    async fn rules_are_revoked_by_id_in_their_own_direction_all_or_none() {
        let cloud = cloud_with_web_group().await;
        let of_web = "Filter.1.Name=group-id&Filter.1.Value.1=sg-1";
        let id = cloud.value("DescribeSecurityGroupRules", of_web, "securityGroupRuleId").await;
        let by_id = format!("GroupId=sg-1&SecurityGroupRuleId.1={id}");
        let code = "InvalidSecurityGroupRuleId.NotFound";
        cloud.check_refused("RevokeSecurityGroupIngress", &by_id, code, &id).await;
        let with_unknown = format!("{by_id}&SecurityGroupRuleId.2=sgr-01234567");
        cloud.check_refused(REVOKE, &with_unknown, code, "'sgr-01234567'").await;
        let both = format!("{by_id}&IpPermissions.1.IpProtocol=-1\
            &IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0");
        cloud.check_refused(REVOKE, &both, "InvalidParameterCombination", "").await;
        cloud.check_refused(REVOKE, "GroupId=sg-1", "MissingParameter", "ipPermissions").await;
        assert_eq!(cloud.values(REVOKE, &by_id, "securityGroupRuleId").await, [id]);
    }
}
