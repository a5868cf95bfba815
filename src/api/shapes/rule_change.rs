//! The requests that make rules and take them away, alike for both directions.

use super::{
    ip_permission::{IpPermissionParameter, UserIdGroupPairParameter, read_cidr},
    security_group_rule::{RevokedSecurityGroupRule, SecurityGroupRule},
    tag::{SpecifiedTags, TagSpecification},
    traffic::TrafficParameters,
};
use crate::{
    api::{
        action::Exchange,
        error::{ApiError, Code},
        response::{Return, Set},
    },
    domain::{
        id::{SecurityGroupId, SecurityGroupRuleId},
        port_filter::{Direction, Traffic},
    },
    messages::cloud::{
        AuthorizeSecurityGroup, Permission, RevokeSecurityGroup, SecurityGroupName,
        UpdateRuleDescriptions,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Authorize…: permissions as a list, or one in the flat form of EC2's first years.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Authorization {
    group_id: Option<SecurityGroupId>,
    group_name: Option<String>,
    #[serde(default)]
    ip_permissions: Vec<IpPermissionParameter>,
    ip_protocol: Option<String>,
    from_port: Option<i64>,
    to_port: Option<i64>,
    cidr_ip: Option<String>,
    source_security_group_name: Option<String>,
    source_security_group_owner_id: Option<String>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
}

/// Revoke…: the same, or rules by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Revocation {
    group_id: Option<SecurityGroupId>,
    group_name: Option<String>,
    #[serde(default)]
    ip_permissions: Vec<IpPermissionParameter>,
    ip_protocol: Option<String>,
    from_port: Option<i64>,
    to_port: Option<i64>,
    cidr_ip: Option<String>,
    source_security_group_name: Option<String>,
    source_security_group_owner_id: Option<String>,
    #[serde(default)]
    security_group_rule_id: Vec<SecurityGroupRuleId>,
}

/// UpdateSecurityGroupRuleDescriptions…: rules by what they permit, or by id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Redescription {
    group_id: Option<SecurityGroupId>,
    group_name: Option<String>,
    #[serde(default)]
    ip_permissions: Vec<IpPermissionParameter>,
    #[serde(default)]
    security_group_rule_description: Vec<RuleDescription>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct RuleDescription {
    security_group_rule_id: SecurityGroupRuleId,
    description: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Authorized {
    #[serde(rename = "return")]
    done: bool,
    security_group_rule_set: Set<SecurityGroupRule>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revoked {
    #[serde(rename = "return")]
    done: bool,
    /// What was not there is refused, so never any.
    unknown_ip_permission_set: Set<String>,
    revoked_security_group_rule_set: Set<RevokedSecurityGroupRule>,
}

impl Authorization {
    pub async fn perform(
        self,
        direction: Direction,
        exchange: &Exchange,
    ) -> Result<Authorized, ApiError> {
        let kind = "security-group-rule";
        let tags = SpecifiedTags::read(&self.tag_specification, &[kind])?.take(kind);
        let group = group_named(self.group_id, self.group_name)?;
        let flat = FlatPermission {
            ip_protocol: self.ip_protocol,
            from_port: self.from_port,
            to_port: self.to_port,
            cidr_ip: self.cidr_ip,
            group_name: self.source_security_group_name,
            group_owner: self.source_security_group_owner_id,
        };
        let permissions = read_permissions(&self.ip_permissions, flat, exchange)?;
        if permissions.is_empty() {
            return Err(ApiError::missing_parameter("ipPermissions"));
        }
        let command = AuthorizeSecurityGroup { group, direction, permissions, tags };
        let made = exchange.command(command).await?;
        let state = exchange.latest();
        let group =
            state.scope(&exchange.scope).and_then(|own| own.security_groups.get(&made.group));
        // Somebody else may have deleted the group since; then there is nothing to tell of it.
        let rules = group
            .iter()
            .flat_map(|group| {
                made.rules.iter().map(|rule| SecurityGroupRule::of(rule, group, &state))
            })
            .collect();
        Ok(Authorized { done: true, security_group_rule_set: rules })
    }
}

impl Revocation {
    pub async fn perform(
        self,
        direction: Direction,
        exchange: &Exchange,
    ) -> Result<Revoked, ApiError> {
        let group = group_named(self.group_id, self.group_name)?;
        let flat = FlatPermission {
            ip_protocol: self.ip_protocol,
            from_port: self.from_port,
            to_port: self.to_port,
            cidr_ip: self.cidr_ip,
            group_name: self.source_security_group_name,
            group_owner: self.source_security_group_owner_id,
        };
        let permissions = read_permissions(&self.ip_permissions, flat, exchange)?;
        let rules = self.security_group_rule_id;
        check_one_form(&permissions, &rules, "securityGroupRuleIds")?;
        let command = RevokeSecurityGroup { group, direction, permissions, rules };
        let gone = exchange.command(command).await?;
        let group = gone.group.to_string();
        let rules =
            gone.rules.iter().map(|rule| RevokedSecurityGroupRule::of(rule, &group)).collect();
        Ok(Revoked {
            done: true,
            unknown_ip_permission_set: Set::default(),
            revoked_security_group_rule_set: rules,
        })
    }
}

impl Redescription {
    pub async fn perform(
        self,
        direction: Direction,
        exchange: &Exchange,
    ) -> Result<Return, ApiError> {
        let group = group_named(self.group_id, self.group_name)?;
        let permissions = read_listed(&self.ip_permissions, exchange)?;
        let rules: Vec<_> = self
            .security_group_rule_description
            .into_iter()
            .map(|rule| (rule.security_group_rule_id, rule.description))
            .collect();
        check_one_form(&permissions, &rules, "securityGroupRuleDescriptions")?;
        let command = UpdateRuleDescriptions { group, direction, permissions, rules };
        exchange.command(command).await?;
        Ok(Return::TRUE)
    }
}

/// Rules are named by what they permit or by id, the latter in the parameter `by_id`; not by both.
fn check_one_form<R>(permissions: &[Permission], rules: &[R], by_id: &str) -> Result<(), ApiError> {
    match (permissions.is_empty(), rules.is_empty()) {
        (true, true) => Err(ApiError::new(
            Code::MissingParameter,
            format!("Either 'ipPermissions' or '{by_id}' should be provided."),
        )),
        (false, false) => Err(ApiError::invalid_combination(format!(
            "The parameter 'ipPermissions' may not be used in combination with '{by_id}'"
        ))),
        (true, false) | (false, true) => Ok(()),
    }
}

/// A request names its group by id or by name, not by both.
pub fn group_named(
    id: Option<SecurityGroupId>,
    name: Option<String>,
) -> Result<SecurityGroupName, ApiError> {
    match (id, name) {
        (Some(id), None) => Ok(SecurityGroupName::Id(id)),
        (None, Some(name)) => Ok(SecurityGroupName::Name(name)),
        (Some(_), Some(_)) => Err(ApiError::invalid_combination(
            "The parameter 'groupName' may not be used in combination with 'groupId'",
        )),
        (None, None) => Err(ApiError::new(
            Code::MissingParameter,
            "The request must contain the parameter groupName or groupId",
        )),
    }
}

/// One permission, its parts beside the group's name.
struct FlatPermission {
    ip_protocol: Option<String>,
    from_port: Option<i64>,
    to_port: Option<i64>,
    cidr_ip: Option<String>,
    group_name: Option<String>,
    group_owner: Option<String>,
}

impl FlatPermission {
    fn is_given(&self) -> bool {
        self.ip_protocol.is_some()
            || self.from_port.is_some()
            || self.to_port.is_some()
            || self.cidr_ip.is_some()
            || self.group_name.is_some()
            || self.group_owner.is_some()
    }

    /// A source group stands for everything of TCP, UDP and ICMP, as it did when there was no
    /// other way to name one; a range needs a protocol.
    fn read(self, exchange: &Exchange) -> Result<Vec<Permission>, ApiError> {
        if self.group_name.is_some() || self.group_owner.is_some() {
            if self.ip_protocol.is_some()
                || self.from_port.is_some()
                || self.to_port.is_some()
                || self.cidr_ip.is_some()
            {
                return Err(ApiError::invalid_combination(
                    "The parameter 'sourceSecurityGroupName' may not be used in combination with \
                     'ipProtocol', 'fromPort', 'toPort' or 'cidrIp'",
                ));
            }
            let pair = UserIdGroupPairParameter {
                user_id: self.group_owner,
                group_name: self.group_name,
                ..UserIdGroupPairParameter::default()
            };
            let peer = pair.read(exchange)?;
            let everything = [
                Traffic::Tcp { from: 0, to: u16::MAX },
                Traffic::Udp { from: 0, to: u16::MAX },
                Traffic::Icmp { kind: None, code: None },
            ];
            let permit = |traffic| Permission { traffic, peer: peer.clone(), description: None };
            return Ok(everything.into_iter().map(permit).collect());
        }
        let protocol = self.ip_protocol.ok_or_else(|| ApiError::missing_parameter("ipProtocol"))?;
        let cidr = self.cidr_ip.ok_or_else(|| ApiError::missing_parameter("cidrIp"))?;
        let (from_port, to_port) = (self.from_port, self.to_port);
        let traffic = TrafficParameters { protocol: &protocol, from_port, to_port }.read()?;
        Ok(vec![Permission { traffic, peer: read_cidr(&cidr)?, description: None }])
    }
}

/// Either form; none at all is for the caller to judge.
fn read_permissions(
    listed: &[IpPermissionParameter],
    flat: FlatPermission,
    exchange: &Exchange,
) -> Result<Vec<Permission>, ApiError> {
    if !flat.is_given() {
        return read_listed(listed, exchange);
    }
    if !listed.is_empty() {
        return Err(ApiError::invalid_combination(
            "The parameter 'ipPermissions' may not be used in combination with 'ipProtocol', \
             'fromPort', 'toPort', 'cidrIp' or 'sourceSecurityGroupName'",
        ));
    }
    flat.read(exchange)
}

pub fn read_listed(
    listed: &[IpPermissionParameter],
    exchange: &Exchange,
) -> Result<Vec<Permission>, ApiError> {
    let mut permissions = Vec::new();
    for permission in listed {
        permissions.extend(permission.read(exchange)?);
    }
    Ok(permissions)
}
