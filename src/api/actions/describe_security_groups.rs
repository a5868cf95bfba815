//! DescribeSecurityGroups: groups and their rules, as permissions.

use crate::{
    api::{
        action::{Action, Exchange},
        describe::select,
        error::{ApiError, Code, echo},
        fault,
        filters::{FilterParameter, read_filters},
        pagination::{PageRequest, RESULTS},
        response::Set,
        selection::Selection,
        shapes::security_group::SecurityGroup,
    },
    domain::{fault::CloudFault, id::SecurityGroupId},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeSecurityGroups {
    #[serde(default)]
    group_id: Vec<String>,
    /// In the default VPC.
    #[serde(default)]
    group_name: Vec<String>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
    max_results: Option<u32>,
    next_token: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    security_group_info: Set<SecurityGroup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Action for DescribeSecurityGroups {
    const NAME: &'static str = "DescribeSecurityGroups";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let filters = read_filters::<SecurityGroup>(&self.filter)?;
        let page = PageRequest::new(self.max_results, self.next_token.as_deref(), RESULTS)?;
        let selection = Selection::<SecurityGroupId>::read(&self.group_id, exchange)?;
        let mut groups = selection.find(|scope| &scope.security_groups).map_err(not_found)?;
        if !self.group_name.is_empty() {
            check_names(&self.group_name, exchange)?;
            let own = exchange.state.scope(&exchange.scope);
            let vpc = own.and_then(|own| own.default_vpc()).map(|vpc| &vpc.id);
            groups.retain(|(_, group)| {
                Some(&group.vpc) == vpc && self.group_name.contains(&group.name)
            });
        }
        let shown =
            groups.into_iter().map(|(id, group)| (id, SecurityGroup::of(group, &exchange.state)));
        let page = select(shown, &filters, &page)?;
        Ok(Response { security_group_info: page.results.into(), next_token: page.next_token })
    }
}

fn check_names(names: &[String], exchange: &Exchange) -> Result<(), ApiError> {
    let own = exchange.own();
    let known = |name: &str| {
        own.default_vpc().is_some_and(|vpc| own.security_group_named(&vpc.id, name).is_some())
    };
    match names.iter().find(|name| !known(name)) {
        Some(name) => {
            let name = echo(name).to_owned();
            Err(fault::api_error(CloudFault::SecurityGroupNameNotFound(name)))
        }
        None => Ok(()),
    }
}

fn not_found(ids: Vec<SecurityGroupId>) -> ApiError {
    match <[SecurityGroupId; 1]>::try_from(ids) {
        Ok([id]) => fault::api_error(CloudFault::SecurityGroupNotFound(id)),
        Err(ids) => {
            let ids = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            ApiError::new(
                Code::InvalidGroupNotFound,
                format!("The security groups '{ids}' do not exist"),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BOB, TestCloud};

    const DESCRIBE: &str = "DescribeSecurityGroups";

    async fn cloud_with_web_group() -> TestCloud {
        let cloud = TestCloud::start().await;
        let web = "GroupName=web&GroupDescription=Web servers";
        cloud.call("CreateSecurityGroup", web).await.unwrap();
        let rules = "GroupId=sg-1\
            &IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=443\
            &IpPermissions.1.ToPort=443&IpPermissions.1.IpRanges.1.CidrIp=10.1.2.3/8\
            &IpPermissions.1.IpRanges.1.Description=inside\
            &IpPermissions.1.Ipv6Ranges.1.CidrIpv6=::/0\
            &IpPermissions.2.IpProtocol=tcp&IpPermissions.2.FromPort=443\
            &IpPermissions.2.ToPort=443&IpPermissions.2.Groups.1.GroupName=default\
            &IpPermissions.3.IpProtocol=icmp&IpPermissions.3.FromPort=8\
            &IpPermissions.3.ToPort=-1&IpPermissions.3.IpRanges.1.CidrIp=0.0.0.0/0";
        cloud.call("AuthorizeSecurityGroupIngress", rules).await.unwrap();
        cloud
    }

    #[actix_web::test]
    async fn rules_about_the_same_traffic_are_one_permission() {
        let cloud = cloud_with_web_group().await;
        let default = cloud.value(DESCRIBE, "GroupName.1=default", "groupId").await;
        assert_eq!(default, "sg-2");
        let egress = "<ipPermissionsEgress><item><ipProtocol>-1</ipProtocol><groups/><ipRanges>\
            <item><cidrIp>0.0.0.0/0</cidrIp></item></ipRanges><ipv6Ranges/><prefixListIds/></item>\
            </ipPermissionsEgress>";
        let vpc = cloud.value(DESCRIBE, "GroupId.1=sg-1", "vpcId").await;
        cloud
            .check(
                DESCRIBE,
                "GroupId.1=sg-1",
                &format!(
                    "<securityGroupInfo><item><ownerId>111111111111</ownerId>\
                     <groupName>web</groupName><groupDescription>Web servers</groupDescription>\
                     <groupId>sg-1</groupId><ipPermissions>\
                     <item><ipProtocol>tcp</ipProtocol><fromPort>443</fromPort>\
                     <toPort>443</toPort><groups><item><groupId>sg-2</groupId>\
                     <userId>111111111111</userId></item></groups>\
                     <ipRanges><item><cidrIp>10.0.0.0/8</cidrIp>\
                     <description>inside</description></item></ipRanges>\
                     <ipv6Ranges><item><cidrIpv6>::/0</cidrIpv6></item></ipv6Ranges>\
                     <prefixListIds/></item>\
                     <item><ipProtocol>icmp</ipProtocol><fromPort>8</fromPort>\
                     <toPort>-1</toPort><groups/><ipRanges><item><cidrIp>0.0.0.0/0</cidrIp></item>\
                     </ipRanges><ipv6Ranges/><prefixListIds/></item></ipPermissions>{egress}\
                     <vpcId>{vpc}</vpcId><tagSet/><securityGroupArn>\
                     arn:aws:ec2:us-east-1:111111111111:security-group/sg-1</securityGroupArn>\
                     </item></securityGroupInfo>"
                ),
            )
            .await;
    }

    #[actix_web::test]
    async fn the_default_group_admits_its_own_members_and_lets_everything_out() {
        let cloud = TestCloud::start().await;
        let answer = cloud.call(DESCRIBE, "").await.unwrap();
        assert!(answer.contains(
            "<ipPermissions><item><ipProtocol>-1</ipProtocol><groups><item>\
             <groupId>sg-1</groupId><userId>111111111111</userId></item></groups>"
        ));
        assert!(answer.contains("<cidrIp>0.0.0.0/0</cidrIp>"));
    }

    #[actix_web::test]
    async fn groups_are_found_by_what_their_rules_say() {
        let cloud = cloud_with_web_group().await;
        let check = async |filter: &str, value: &str, names: &[&str]| {
            let query = format!("Filter.1.Name={filter}&Filter.1.Value.1={value}");
            let found = cloud.values(DESCRIBE, &query, "groupName").await;
            assert_eq!(found, names, "{query}");
        };
        check("group-name", "w*", &["web"]).await;
        check("description", "Web servers", &["web"]).await;
        check("owner-id", "222222222222", &[]).await;
        check("ip-permission.cidr", "10.0.0.0/8", &["web"]).await;
        check("ip-permission.ipv6-cidr", "::/0", &["web"]).await;
        check("ip-permission.from-port", "443", &["web"]).await;
        check("ip-permission.to-port", "-1", &["web"]).await;
        check("ip-permission.protocol", "icmp", &["web"]).await;
        check("ip-permission.protocol", "udp", &[]).await;
        check("egress.ip-permission.protocol", "icmp", &[]).await;
        let both = cloud
            .values(DESCRIBE, "Filter.1.Name=ip-permission.group-name&Filter.1.Value.1=default", "groupName")
            .await;
        assert_eq!(both.len(), 2, "web names the default group, which names itself");
    }

    #[actix_web::test]
    async fn tags_are_shown_and_filtered_by() {
        let cloud = TestCloud::start().await;
        let tagged = "GroupName=db&GroupDescription=d\
            &TagSpecification.1.ResourceType=security-group\
            &TagSpecification.1.Tag.1.Key=team&TagSpecification.1.Tag.1.Value=a";
        cloud.call("CreateSecurityGroup", tagged).await.unwrap();
        let by_tag = "Filter.1.Name=tag:team&Filter.1.Value.1=a";
        assert_eq!(cloud.values(DESCRIBE, by_tag, "groupName").await, ["db"]);
        assert_eq!(cloud.values(DESCRIBE, by_tag, "key").await, ["team"]);
    }

    #[actix_web::test]
    async fn what_is_not_there_or_not_ones_own_is_refused() {
        let cloud = cloud_with_web_group().await;
        let code = "InvalidGroup.NotFound";
        cloud.of(BOB).check_refused(DESCRIBE, "GroupId.1=sg-1", code, "'sg-1'").await;
        let two = "GroupId.1=sg-01234567&GroupId.2=sg-01234568";
        cloud.check_refused(DESCRIBE, two, code, "'sg-01234567, sg-01234568' do not").await;
        cloud.check_refused(DESCRIBE, "GroupName.1=nope", code, "'nope'").await;
        cloud.check_refused(DESCRIBE, "GroupId.1=x", "InvalidGroupId.Malformed", "x").await;
        cloud.check_refused(DESCRIBE, "GroupId.1=verbose", "InvalidGroupId.Malformed", "").await;
        let filter = "Filter.1.Name=size&Filter.1.Value.1=1";
        cloud.check_refused(DESCRIBE, filter, "InvalidParameterValue", "size").await;
    }

    #[actix_web::test]
    async fn an_administrator_sees_all_accounts_of_the_region_with_verbose() {
        let cloud = cloud_with_web_group().await;
        cloud.in_region("eu-west-1").call(DESCRIBE, "").await.unwrap();
        let root = cloud.administrator();
        assert_eq!(root.values(DESCRIBE, "", "groupName").await, ["default"]);
        let mut all = root.values(DESCRIBE, "GroupId.1=verbose", "groupName").await;
        all.sort();
        assert_eq!(all, ["default", "default", "web"]);
    }

    #[actix_web::test]
    async fn pages_have_all_groups_once() {
        let cloud = TestCloud::start().await;
        for n in 0..7 {
            let query = format!("GroupName=g{n}&GroupDescription=d");
            cloud.call("CreateSecurityGroup", &query).await.unwrap();
        }
        let mut names = cloud.values(DESCRIBE, "MaxResults=5", "groupName").await;
        assert_eq!(names.len(), 5);
        let token = cloud.value(DESCRIBE, "MaxResults=5", "nextToken").await;
        let rest = format!("MaxResults=5&NextToken={token}");
        names.extend(cloud.values(DESCRIBE, &rest, "groupName").await);
        names.sort();
        assert_eq!(names, ["default", "g0", "g1", "g2", "g3", "g4", "g5", "g6"]);
    }
}
