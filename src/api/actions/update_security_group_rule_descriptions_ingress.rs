//! UpdateSecurityGroupRuleDescriptionsIngress: what is said of rules that let traffic in.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        response::Return,
        shapes::rule_change::Redescription,
    },
    domain::port_filter::Direction,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
pub struct UpdateSecurityGroupRuleDescriptionsIngress(Redescription);

impl Action for UpdateSecurityGroupRuleDescriptionsIngress {
    const NAME: &'static str = "UpdateSecurityGroupRuleDescriptionsIngress";
    type Response = Return;

    async fn perform(self, exchange: &Exchange) -> Result<Return, ApiError> {
        self.0.perform(Direction::Ingress, exchange).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;

    const UPDATE: &str = "UpdateSecurityGroupRuleDescriptionsIngress";
    const RULE: &str = "GroupName=default&IpPermissions.1.IpProtocol=tcp\
        &IpPermissions.1.FromPort=22&IpPermissions.1.ToPort=22\
        &IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8";

    #[actix_web::test]
    async fn a_rule_is_named_by_what_it_permits_or_by_id_and_loses_a_description_not_given() {
        let cloud = TestCloud::start().await;
        let rule = "AuthorizeSecurityGroupIngress";
        let id = cloud.value(rule, RULE, "securityGroupRuleId").await;
        let shown = async || {
            let query = format!("SecurityGroupRuleId.1={id}");
            cloud.values("DescribeSecurityGroupRules", &query, "description").await
        };
        let described = format!("{RULE}&IpPermissions.1.IpRanges.1.Description=office");
        cloud.check(UPDATE, &described, "<return>true</return>").await;
        assert_eq!(shown().await, ["office"]);
        let by_id = format!(
            "GroupName=default&SecurityGroupRuleDescription.1.SecurityGroupRuleId={id}\
             &SecurityGroupRuleDescription.1.Description=home"
        );
        cloud.call(UPDATE, &by_id).await.unwrap();
        assert_eq!(shown().await, ["home"]);
        cloud.call(UPDATE, RULE).await.unwrap();
        assert!(shown().await.is_empty());
        let egress = "UpdateSecurityGroupRuleDescriptionsEgress";
        let code = "InvalidSecurityGroupRuleId.NotFound";
        cloud.check_refused(egress, &by_id, code, &id).await;
        cloud.check_refused(egress, RULE, "InvalidPermission.NotFound", "").await;
        cloud.check_refused(UPDATE, "GroupName=default", "MissingParameter", "").await;
    }
}
