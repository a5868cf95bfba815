//! DescribeSecurityGroupRules: rules one by one, each with its id.

use crate::{
    api::{
        action::{Action, Exchange},
        describe::select,
        error::ApiError,
        fault,
        filters::{FilterParameter, read_filters},
        pagination::{PageRequest, RESULTS},
        response::Set,
        selection::Selection,
        shapes::{security_group_rule::SecurityGroupRule, tag::tag_pairs},
    },
    domain::{
        fault::CloudFault,
        filter::{Described, tag_facts},
        id::SecurityGroupRuleId,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSecurityGroupRules {
    #[serde(default)]
    security_group_rule_id: Vec<String>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
    max_results: Option<u32>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    security_group_rule_set: Set<SecurityGroupRule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Described for SecurityGroupRule {
    const FILTERS: &'static [&'static str] =
        &["group-id", "security-group-rule-id", "tag:", "tag-key", "tag-value"];

    fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let fact = match name {
            "group-id" => &self.group_id,
            "security-group-rule-id" => &self.security_group_rule_id,
            _ => return tag_facts(name, tag_pairs(&self.tag_set)),
        };
        Some(vec![Cow::Borrowed(fact)])
    }
}

impl Action for DescribeSecurityGroupRules {
    const NAME: &'static str = "DescribeSecurityGroupRules";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let filters = read_filters::<SecurityGroupRule>(&self.filter)?;
        let page = PageRequest::new(self.max_results, self.next_token.as_deref(), RESULTS)?;
        let selection =
            Selection::<SecurityGroupRuleId>::read(&self.security_group_rule_id, exchange)?;
        let mut described = BTreeMap::new();
        let mut unknown: BTreeSet<_> = selection.ids.iter().cloned().collect();
        let groups = selection.scopes.iter().flat_map(|scope| scope.security_groups.values());
        for (group, rule) in groups.flat_map(|g| g.rules.iter().map(move |rule| (g, rule))) {
            if !selection.ids.is_empty() && !unknown.remove(&rule.id) {
                continue;
            }
            described.insert(
                rule.id.clone(),
                SecurityGroupRule::of(rule, group, &exchange.state),
            );
        }
        if !unknown.is_empty() {
            let unknown = unknown.into_iter().collect();
            return Err(fault::api_error(CloudFault::SecurityGroupRulesNotFound(unknown)));
        }
        let page = select(described, &filters, &page)?;
        Ok(Response { security_group_rule_set: page.results.into(), next_token: page.next_token })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};

    const DESCRIBE: &str = "DescribeSecurityGroupRules";

    #[actix_web::test]
    async fn every_rule_has_its_own_item_of_its_own_shape() {
        let cloud = TestCloud::start().await;
        let web = "GroupName=web&GroupDescription=d";
        cloud.call("CreateSecurityGroup", web).await.unwrap();
        let egress = "<securityGroupRuleSet><item>\
            <securityGroupRuleId>sgr-1</securityGroupRuleId><groupId>sg-1</groupId>\
            <groupOwnerId>111111111111</groupOwnerId><isEgress>true</isEgress>\
            <ipProtocol>-1</ipProtocol><fromPort>-1</fromPort><toPort>-1</toPort>\
            <cidrIpv4>0.0.0.0/0</cidrIpv4><tagSet/><securityGroupRuleArn>\
            arn:aws:ec2:us-east-1:111111111111:security-group-rule/sgr-1</securityGroupRuleArn>\
            </item></securityGroupRuleSet>";
        let of_web = "Filter.1.Name=group-id&Filter.1.Value.1=sg-1";
        cloud.check(DESCRIBE, of_web, egress).await;
        cloud.check(DESCRIBE, "SecurityGroupRuleId.1=sgr-1", egress).await;
        let both = cloud.values(DESCRIBE, "", "isEgress").await;
        assert_eq!(both.len(), 3, "the default group has two");
    }

    #[actix_web::test]
    async fn rules_are_found_by_the_tags_they_were_made_with() {
        let cloud = TestCloud::start().await;
        let rule = "GroupName=default&IpProtocol=tcp&FromPort=22&ToPort=22&CidrIp=10.0.0.0/8\
            &TagSpecification.1.ResourceType=security-group-rule\
            &TagSpecification.1.Tag.1.Key=why&TagSpecification.1.Tag.1.Value=ssh";
        cloud.call("AuthorizeSecurityGroupIngress", rule).await.unwrap();
        let by_tag = "Filter.1.Name=tag:why&Filter.1.Value.1=ssh";
        assert_eq!(cloud.values(DESCRIBE, by_tag, "fromPort").await, ["22"]);
        assert_eq!(cloud.values(DESCRIBE, by_tag, "value").await, ["ssh"]);
    }

    #[actix_web::test]
    async fn a_rule_that_is_not_there_or_not_ones_own_is_refused() {
        let cloud = TestCloud::start().await;
        let id = cloud.values(DESCRIBE, "", "securityGroupRuleId").await.remove(0);
        let code = "InvalidSecurityGroupRuleId.NotFound";
        let query = format!("SecurityGroupRuleId.1={id}");
        cloud.of(BOB).check_refused(DESCRIBE, &query, code, &id).await;
        let malformed = "SecurityGroupRuleId.1=sg-01234567";
        cloud.check_refused(DESCRIBE, malformed, "InvalidSecurityGroupRuleId.Malformed", "").await;
    }
}
