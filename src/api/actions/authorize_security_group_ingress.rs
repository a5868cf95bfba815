//! AuthorizeSecurityGroupIngress: rules that let traffic in, all of them or none.
//!
//! What a request may say is `shapes::rule_change`'s, what may be permitted the cloud's.

use crate::{
    api::{
        action::{Action, Exchange},
        error::ApiError,
        shapes::rule_change::{Authorization, Authorized},
    },
    domain::port_filter::Direction,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
pub struct AuthorizeSecurityGroupIngress(Authorization);

impl Action for AuthorizeSecurityGroupIngress {
    const NAME: &'static str = "AuthorizeSecurityGroupIngress";
    type Response = Authorized;

    async fn perform(self, exchange: &Exchange) -> Result<Authorized, ApiError> {
        self.0.perform(Direction::Ingress, exchange).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};

    const AUTHORIZE: &str = "AuthorizeSecurityGroupIngress";

    async fn cloud_with_web_group() -> TestCloud {
        let cloud = TestCloud::start().await;
        let web = "GroupName=web&GroupDescription=d";
        cloud.call("CreateSecurityGroup", web).await.unwrap();
        cloud
    }

    /// `protocol`, both ports, and the rest of the permission.
    fn permission(position: u32, protocol: &str, ports: (i32, i32), rest: &str) -> String {
        let place = format!("IpPermissions.{position}");
        let (from, to) = ports;
        format!(
            "&{place}.IpProtocol={protocol}&{place}.FromPort={from}&{place}.ToPort={to}\
             &{place}.{rest}"
        )
    }

    fn ssh(position: u32) -> String {
        permission(position, "tcp", (22, 22), "IpRanges.1.CidrIp=0.0.0.0/0")
    }

    async fn ingress_rules(cloud: &TestCloud) -> usize {
        let of_web = "Filter.1.Name=group-id&Filter.1.Value.1=sg-1";
        let rules = cloud.values("DescribeSecurityGroupRules", of_web, "isEgress").await;
        rules.iter().filter(|egress| *egress == "false").count()
    }

    #[actix_web::test]
    async fn the_answer_has_the_id_of_every_rule_made() {
        let cloud = cloud_with_web_group().await;
        let group = permission(2, "-1", (0, 0), "Groups.1.GroupId=sg-1");
        let rest = "&IpPermissions.1.IpRanges.1.Description=the world\
            &TagSpecification.1.ResourceType=security-group-rule&TagSpecification.1.Tag.1.Key=k";
        let vpc = cloud.value("DescribeVpcs", "", "vpcId").await;
        cloud
            .check(
                AUTHORIZE,
                &format!("GroupId=sg-1{}{group}{rest}", ssh(1)),
                &format!(
                    "<return>true</return><securityGroupRuleSet>\
                     <item><securityGroupRuleId>sgr-1</securityGroupRuleId><groupId>sg-1</groupId>\
                     <groupOwnerId>111111111111</groupOwnerId><isEgress>false</isEgress>\
                     <ipProtocol>tcp</ipProtocol><fromPort>22</fromPort><toPort>22</toPort>\
                     <cidrIpv4>0.0.0.0/0</cidrIpv4><description>the world</description>\
                     <tagSet><item><key>k</key><value/></item></tagSet>\
                     <securityGroupRuleArn>arn:aws:ec2:us-east-1:111111111111:\
                     security-group-rule/sgr-1</securityGroupRuleArn></item>\
                     <item><securityGroupRuleId>sgr-2</securityGroupRuleId><groupId>sg-1</groupId>\
                     <groupOwnerId>111111111111</groupOwnerId><isEgress>false</isEgress>\
                     <ipProtocol>-1</ipProtocol><fromPort>-1</fromPort><toPort>-1</toPort>\
                     <referencedGroupInfo><groupId>sg-1</groupId><userId>111111111111</userId>\
                     <vpcId>{vpc}</vpcId></referencedGroupInfo>\
                     <tagSet><item><key>k</key><value/></item></tagSet>\
                     <securityGroupRuleArn>arn:aws:ec2:us-east-1:111111111111:\
                     security-group-rule/sgr-2</securityGroupRuleArn></item>\
                     </securityGroupRuleSet>"
                ),
            )
            .await;
    }

    #[actix_web::test]
    async fn a_rule_that_is_there_already_is_refused_in_aws_s_words_and_with_it_the_others() {
        let cloud = cloud_with_web_group().await;
        cloud.call(AUTHORIZE, &format!("GroupId=sg-1{}", ssh(1))).await.unwrap();
        let more = permission(1, "tcp", (80, 80), "IpRanges.1.CidrIp=0.0.0.0/0");
        let text = "the specified rule \"peer: 0.0.0.0/0, TCP, from port: 22, to port: 22, ALLOW\" \
                    already exists";
        let query = format!("GroupId=sg-1{more}{}", ssh(2));
        cloud.check_refused(AUTHORIZE, &query, "InvalidPermission.Duplicate", text).await;
        assert_eq!(ingress_rules(&cloud).await, 1);
        let twice = format!("GroupName=web{more}{}", permission(2, "6", (80, 80), "IpRanges.1.CidrIp=0.0.0.0/0"));
        let text = "The same permission must not appear multiple times";
        cloud.check_refused(AUTHORIZE, &twice, "InvalidParameterValue", text).await;
        assert_eq!(ingress_rules(&cloud).await, 1);
    }

    #[actix_web::test]
    async fn the_flat_form_of_old_makes_one_rule_or_opens_to_a_group() {
        let cloud = cloud_with_web_group().await;
        let flat = "GroupName=web&IpProtocol=tcp&FromPort=22&ToPort=22&CidrIp=10.1.1.1/8";
        assert_eq!(cloud.values(AUTHORIZE, flat, "cidrIpv4").await, ["10.0.0.0/8"]);
        let group = "GroupName=web&SourceSecurityGroupName=default\
            &SourceSecurityGroupOwnerId=222222222222";
        cloud.of(BOB).call("DescribeVpcs", "").await.unwrap();
        let protocols = cloud.values(AUTHORIZE, group, "ipProtocol").await;
        assert_eq!(protocols, ["tcp", "udp", "icmp"]);
        let code = "InvalidParameterCombination";
        let mixed = format!("{flat}{}", ssh(1));
        cloud.check_refused(AUTHORIZE, &mixed, code, "ipPermissions").await;
        let mixed = format!("{group}&IpProtocol=tcp");
        cloud.check_refused(AUTHORIZE, &mixed, code, "sourceSecurityGroupName").await;
        let half = "GroupName=web&IpProtocol=-1";
        cloud.check_refused(AUTHORIZE, half, "MissingParameter", "cidrIp").await;
    }

    #[actix_web::test]
    async fn sixty_rules_of_each_family_and_direction_are_the_most() {
        let cloud = cloud_with_web_group().await;
        let port = |n: i32| permission(1, "tcp", (n, n), "IpRanges.1.CidrIp=0.0.0.0/0");
        for n in 1..=60 {
            cloud.call(AUTHORIZE, &format!("GroupId=sg-1{}", port(n))).await.unwrap();
        }
        let code = "RulesPerSecurityGroupLimitExceeded";
        let one_more = format!("GroupId=sg-1{}", port(61));
        cloud.check_refused(AUTHORIZE, &one_more, code, "maximum number of rules").await;
        let group = permission(1, "-1", (0, 0), "Groups.1.GroupId=sg-1");
        cloud.check_refused(AUTHORIZE, &format!("GroupId=sg-1{group}"), code, "").await;
        let ipv6 = permission(1, "-1", (0, 0), "Ipv6Ranges.1.CidrIpv6=::/0");
        cloud.call(AUTHORIZE, &format!("GroupId=sg-1{ipv6}")).await.unwrap();
        assert_eq!(ingress_rules(&cloud).await, 61);
    }

    #[actix_web::test]
    async fn what_cannot_be_permitted_is_refused_and_changes_nothing() {
        let cloud = cloud_with_web_group().await;
        let refused = async |second: String, code: &str, part: &str| {
            let query = format!("GroupId=sg-1{}{second}", ssh(1));
            cloud.check_refused(AUTHORIZE, &query, code, part).await;
            assert_eq!(ingress_rules(&cloud).await, 0, "{second}");
        };
        let tcp = |rest: &str| permission(2, "tcp", (80, 80), rest);
        let value = "InvalidParameterValue";
        refused(tcp("IpRanges.1.CidrIp=10.0.0.0"), value, "CIDR block 10.0.0.0 is malformed").await;
        refused(tcp("IpRanges.1.CidrIp=::/0"), value, "CIDR block ::/0 is malformed").await;
        refused(tcp("Ipv6Ranges.1.CidrIpv6=1.2.3.4/8"), value, "malformed").await;
        let list = "PrefixListIds.1.PrefixListId=pl-12345678";
        refused(tcp(list), "InvalidPrefixListID.NotFound", "pl-12345678").await;
        let not_found = "InvalidGroup.NotFound";
        refused(tcp("Groups.1.GroupId=sg-01234567"), not_found, "sg-01234567").await;
        refused(tcp("Groups.1.GroupName=nope"), not_found, "nope").await;
        refused(tcp("Groups.1.UserId=1"), value, "account").await;
        refused(tcp("Groups.1.Description=x"), "MissingParameter", "Source group ID").await;
        refused("&IpPermissions.2.IpProtocol=-1".into(), "MissingParameter", "IP range").await;
        let described = "IpRanges.1.CidrIp=10.0.0.0/8&IpPermissions.2.IpRanges.1.Description=%3C";
        refused(tcp(described), value, "rule description").await;
        let reversed = permission(2, "tcp", (80, 22), "IpRanges.1.CidrIp=10.0.0.0/8");
        refused(reversed, "InvalidPermission.Malformed", "80:22").await;
        refused("&DryRun=true".into(), "DryRunOperation", "").await;
        cloud.check_refused(AUTHORIZE, "GroupId=sg-1", "MissingParameter", "ipPermissions").await;
        let of_bob = format!("GroupId=sg-1{}", ssh(1));
        cloud.of(BOB).check_refused(AUTHORIZE, &of_bob, not_found, "sg-1").await;
    }
}
