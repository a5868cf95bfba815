//! `SecurityGroupRule`: one rule with its id, as modern clients manage them.

use super::{
    tag::{Tag, tag_set},
    traffic,
};
use crate::{
    api::response::Set,
    domain::{
        cloud_state::CloudState,
        id::PrefixedId,
        port_filter::Direction,
        scope::Scope,
        security_group::{Peer, SecurityGroup, SecurityGroupRule as Rule},
    },
};
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroupRule {
    pub security_group_rule_id: String,
    pub group_id: String,
    pub group_owner_id: String,
    is_egress: bool,
    ip_protocol: String,
    from_port: i32,
    to_port: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cidr_ipv4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cidr_ipv6: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referenced_group_info: Option<ReferencedSecurityGroup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    pub tag_set: Set<Tag>,
    security_group_rule_arn: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ReferencedSecurityGroup {
    group_id: String,
    user_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpc_id: Option<String>,
}

/// The same where it is told what was taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevokedSecurityGroupRule {
    security_group_rule_id: String,
    group_id: String,
    is_egress: bool,
    ip_protocol: String,
    from_port: i32,
    to_port: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cidr_ipv4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cidr_ipv6: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referenced_group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

impl SecurityGroupRule {
    pub fn of(rule: &Rule, group: &SecurityGroup, state: &CloudState) -> SecurityGroupRule {
        let Scope { account, region } = &group.scope;
        let peer = Parts::of(&rule.peer);
        let (from_port, to_port) = ports(rule);
        let id = rule.id.as_str();
        SecurityGroupRule {
            security_group_rule_id: id.to_owned(),
            group_id: group.id.to_string(),
            group_owner_id: account.to_string(),
            is_egress: rule.direction == Direction::Egress,
            ip_protocol: traffic::protocol(rule.traffic),
            from_port,
            to_port,
            cidr_ipv4: peer.cidr_ipv4,
            cidr_ipv6: peer.cidr_ipv6,
            referenced_group_info: referenced(&rule.peer, group, state),
            description: rule.description.clone(),
            tag_set: state.scope(&group.scope).map(|own| tag_set(own, id)).unwrap_or_default(),
            security_group_rule_arn: format!(
                "arn:aws:ec2:{region}:{account}:security-group-rule/{id}"
            ),
        }
    }
}

impl RevokedSecurityGroupRule {
    pub fn of(rule: &Rule, group_id: &str) -> RevokedSecurityGroupRule {
        let peer = Parts::of(&rule.peer);
        let (from_port, to_port) = ports(rule);
        RevokedSecurityGroupRule {
            security_group_rule_id: rule.id.to_string(),
            group_id: group_id.to_owned(),
            is_egress: rule.direction == Direction::Egress,
            ip_protocol: traffic::protocol(rule.traffic),
            from_port,
            to_port,
            cidr_ipv4: peer.cidr_ipv4,
            cidr_ipv6: peer.cidr_ipv6,
            referenced_group_id: peer.group_id,
            description: rule.description.clone(),
        }
    }
}

/// Unlike a permission, a rule always has ports: -1 where there are none.
fn ports(rule: &Rule) -> (i32, i32) {
    traffic::ports(rule.traffic).unwrap_or((-1, -1))
}

fn referenced(
    peer: &Peer,
    group: &SecurityGroup,
    state: &CloudState,
) -> Option<ReferencedSecurityGroup> {
    let Peer::Group { account, group: named } = peer else { return None };
    let scope = Scope { account: account.clone(), region: group.scope.region.clone() };
    let vpc = state
        .scope(&scope)
        .and_then(|theirs| theirs.security_groups.get(named))
        .map(|group| group.vpc.to_string());
    Some(ReferencedSecurityGroup {
        group_id: named.to_string(),
        user_id: account.to_string(),
        vpc_id: vpc,
    })
}

/// A peer is exactly one of these.
#[derive(Default)]
struct Parts {
    cidr_ipv4: Option<String>,
    cidr_ipv6: Option<String>,
    group_id: Option<String>,
}

impl Parts {
    fn of(peer: &Peer) -> Parts {
        let text = Some(peer.to_string());
        match peer {
            Peer::Range(_) => Parts { cidr_ipv4: text, ..Parts::default() },
            Peer::Ipv6Range(_) => Parts { cidr_ipv6: text, ..Parts::default() },
            Peer::Group { .. } => Parts { group_id: text, ..Parts::default() },
        }
    }
}
