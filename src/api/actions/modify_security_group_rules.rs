//! ModifySecurityGroupRules: rules are replaced and keep their ids, all of them or none.
//!
//! A rule's direction stays. A description that is not given is taken away, since the rule is
//! written anew.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code},
        response::Return,
        shapes::{
            ip_permission::{
                UserIdGroupPairParameter, no_prefix_list, read_cidr, read_ipv6_cidr,
            },
            traffic::TrafficParameters,
        },
    },
    domain::id::{SecurityGroupId, SecurityGroupRuleId},
    messages::cloud::{self, Permission},
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct ModifySecurityGroupRules {
    group_id: SecurityGroupId,
    #[serde(default)]
    security_group_rule: Vec<RuleUpdate>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct RuleUpdate {
    security_group_rule_id: SecurityGroupRuleId,
    security_group_rule: RuleParameter,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct RuleParameter {
    ip_protocol: String,
    from_port: Option<i64>,
    to_port: Option<i64>,
    cidr_ipv4: Option<String>,
    cidr_ipv6: Option<String>,
    prefix_list_id: Option<String>,
    referenced_group_id: Option<String>,
    description: Option<String>,
}

impl RuleParameter {
    fn read(self, exchange: &Exchange) -> Result<Permission, ApiError> {
        let (from_port, to_port) = (self.from_port, self.to_port);
        let traffic = TrafficParameters { protocol: &self.ip_protocol, from_port, to_port };
        let traffic = traffic.read()?;
        if let Some(id) = &self.prefix_list_id {
            return Err(no_prefix_list(id));
        }
        let peer = match (&self.cidr_ipv4, &self.cidr_ipv6, self.referenced_group_id) {
            (Some(range), None, None) => read_cidr(range)?,
            (None, Some(range), None) => read_ipv6_cidr(range)?,
            (None, None, group_id @ Some(_)) => {
                UserIdGroupPairParameter { group_id, ..UserIdGroupPairParameter::default() }
                    .read(exchange)?
            }
            (None, None, None) => {
                return Err(ApiError::new(
                    Code::MissingParameter,
                    "A security group rule must have a CidrIpv4, a CidrIpv6, a PrefixListId or a \
                     ReferencedGroupId",
                ));
            }
            _ => {
                return Err(ApiError::invalid_combination(
                    "Only one of CidrIpv4, CidrIpv6, PrefixListId and ReferencedGroupId may be \
                     specified",
                ));
            }
        };
        Ok(Permission { traffic, peer, description: self.description })
    }
}

impl Action for ModifySecurityGroupRules {
    const NAME: &'static str = "ModifySecurityGroupRules";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        if self.security_group_rule.is_empty() {
            return Err(ApiError::missing_parameter("SecurityGroupRule"));
        }
        let mut rules = Vec::new();
        for update in self.security_group_rule {
            let permission = update.security_group_rule.read(exchange)?;
            rules.push((update.security_group_rule_id, permission));
        }
        let group = self.group_id;
        exchange.command(cloud::ModifySecurityGroupRules { group, rules }).await?;
        Ok(Return::TRUE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    const MODIFY: &str = "ModifySecurityGroupRules";

    async fn cloud_with_two_rules() -> TestCloud {
        let cloud = TestCloud::start().await;
        let web = "GroupName=web&GroupDescription=d";
        cloud.call("CreateSecurityGroup", web).await.unwrap();
        for port in [22, 80] {
            let rule = format!(
                "GroupId=sg-1&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort={port}\
                 &IpPermissions.1.ToPort={port}&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8\
                 &IpPermissions.1.IpRanges.1.Description=old"
            );
            cloud.call("AuthorizeSecurityGroupIngress", &rule).await.unwrap();
        }
        cloud
    }

    fn update(position: u32, rule: &str, port: u16, peer: &str) -> String {
        let place = format!("SecurityGroupRule.{position}");
        format!(
            "&{place}.SecurityGroupRuleId={rule}&{place}.SecurityGroupRule.IpProtocol=tcp\
             &{place}.SecurityGroupRule.FromPort={port}&{place}.SecurityGroupRule.ToPort={port}\
             &{place}.SecurityGroupRule.{peer}"
        )
    }

    async fn rule(cloud: &TestCloud, id: &str, element: &str) -> Vec<String> {
        let query = format!("SecurityGroupRuleId.1={id}");
        cloud.values("DescribeSecurityGroupRules", &query, element).await
    }

    #[actix_web::test]
    async fn a_rule_is_replaced_under_its_id() {
        let cloud = cloud_with_two_rules().await;
        let query = format!("GroupId=sg-1{}", update(1, "sgr-1", 443, "CidrIpv6=::/0"));
        cloud.check(MODIFY, &query, "<return>true</return>").await;
        assert_eq!(rule(&cloud, "sgr-1", "fromPort").await, ["443"]);
        assert_eq!(rule(&cloud, "sgr-1", "cidrIpv6").await, ["::/0"]);
        assert!(rule(&cloud, "sgr-1", "cidrIpv4").await.is_empty());
        assert!(rule(&cloud, "sgr-1", "description").await.is_empty());
    }

    #[actix_web::test]
    async fn two_rules_may_exchange_what_they_permit_and_may_not_become_the_same() {
        let cloud = cloud_with_two_rules().await;
        let range = "CidrIpv4=10.0.0.0/8";
        let exchanged =
            format!("GroupId=sg-1{}{}", update(1, "sgr-1", 80, range), update(2, "sgr-2", 22, range));
        cloud.call(MODIFY, &exchanged).await.unwrap();
        assert_eq!(rule(&cloud, "sgr-1", "fromPort").await, ["80"]);
        let same = format!("GroupId=sg-1{}", update(1, "sgr-1", 22, range));
        let spelled = "peer: 10.0.0.0/8, TCP, from port: 22, to port: 22, ALLOW";
        cloud.check_refused(MODIFY, &same, "InvalidPermission.Duplicate", spelled).await;
    }

    #[actix_web::test]
    async fn nothing_is_changed_if_one_of_the_rules_cannot_be() {
        let cloud = cloud_with_two_rules().await;
        let good = update(1, "sgr-1", 443, "CidrIpv4=0.0.0.0/0");
        let refused = async |second: String, code: &str| {
            let query = format!("GroupId=sg-1{good}{second}");
            cloud.check_refused(MODIFY, &query, code, "").await;
            assert_eq!(rule(&cloud, "sgr-1", "fromPort").await, ["22"]);
        };
        let unknown = "sgr-01234567";
        let not_found = "InvalidSecurityGroupRuleId.NotFound";
        refused(update(2, unknown, 1, "CidrIpv4=0.0.0.0/0"), not_found).await;
        refused(update(2, "sgr-2", 1, "CidrIpv4=0.0.0.0/33"), "InvalidParameterValue").await;
        refused(update(2, "sgr-2", 1, "Description=x"), "MissingParameter").await;
        let list = "PrefixListId=pl-12345678";
        refused(update(2, "sgr-2", 1, list), "InvalidPrefixListID.NotFound").await;
        let peer = "ReferencedGroupId=sg-01234567";
        refused(update(2, "sgr-2", 1, peer), "InvalidGroup.NotFound").await;
    }
}
