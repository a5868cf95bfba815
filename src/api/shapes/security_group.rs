//! A security group in an answer, and its facts for filters.

use super::{
    ip_permission::{IpPermission, permissions},
    tag::{Tag, tag_pairs, tag_set},
};
use crate::{
    api::response::Set,
    domain::{
        cloud_state::CloudState,
        filter::{Described, tag_facts},
        id::SecurityGroupId,
        port_filter::Direction,
        scope::Scope,
        security_group::{self, Peer},
    },
};
use schemars::JsonSchema;
use serde::Serialize;
use std::{borrow::Cow, collections::BTreeMap};

#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroup {
    owner_id: String,
    group_name: String,
    group_description: String,
    group_id: String,
    ip_permissions: Set<IpPermission>,
    ip_permissions_egress: Set<IpPermission>,
    vpc_id: String,
    tag_set: Set<Tag>,
    security_group_arn: String,
    /// Names of the groups that rules name, for filters only.
    #[serde(skip)]
    names: BTreeMap<String, String>,
}

/// A group as an instance or an interface lists it; borrowed from the records, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GroupIdentifier<T> {
    pub group_id: T,
    pub group_name: T,
}

impl GroupIdentifier<&str> {
    pub fn to_owned(self) -> GroupIdentifier<String> {
        let GroupIdentifier { group_id, group_name } = self;
        GroupIdentifier { group_id: group_id.to_owned(), group_name: group_name.to_owned() }
    }
}

pub fn arn(scope: &Scope, id: &SecurityGroupId) -> String {
    format!("arn:aws:ec2:{}:{}:security-group/{id}", scope.region, scope.account)
}

impl SecurityGroup {
    pub fn of(group: &security_group::SecurityGroup, state: &CloudState) -> SecurityGroup {
        let own = state.scope(&group.scope);
        SecurityGroup {
            owner_id: group.scope.account.to_string(),
            group_name: group.name.clone(),
            group_description: group.description.clone(),
            group_id: group.id.to_string(),
            ip_permissions: permissions(group.rules(Direction::Ingress)),
            ip_permissions_egress: permissions(group.rules(Direction::Egress)),
            vpc_id: group.vpc.to_string(),
            tag_set: own.map(|own| tag_set(own, &group.id.to_string())).unwrap_or_default(),
            security_group_arn: arn(&group.scope, &group.id),
            names: names_of_peers(group, state),
        }
    }
}

fn names_of_peers(
    group: &security_group::SecurityGroup,
    state: &CloudState,
) -> BTreeMap<String, String> {
    let name = |peer: &Peer| {
        let Peer::Group { account, group: id } = peer else { return None };
        let scope = Scope { account: account.clone(), region: group.scope.region.clone() };
        let named = state.scope(&scope)?.security_groups.get(id)?;
        Some((id.to_string(), named.name.clone()))
    };
    group.rules.iter().filter_map(|rule| name(&rule.peer)).collect()
}

impl Described for SecurityGroup {
    const FILTERS: &'static [&'static str] = &[
        "description",
        "egress.ip-permission.cidr",
        "egress.ip-permission.from-port",
        "egress.ip-permission.group-id",
        "egress.ip-permission.group-name",
        "egress.ip-permission.ipv6-cidr",
        "egress.ip-permission.prefix-list-id",
        "egress.ip-permission.protocol",
        "egress.ip-permission.to-port",
        "egress.ip-permission.user-id",
        "group-id",
        "group-name",
        "ip-permission.cidr",
        "ip-permission.from-port",
        "ip-permission.group-id",
        "ip-permission.group-name",
        "ip-permission.ipv6-cidr",
        "ip-permission.prefix-list-id",
        "ip-permission.protocol",
        "ip-permission.to-port",
        "ip-permission.user-id",
        "owner-id",
        "tag:",
        "tag-key",
        "tag-value",
        "vpc-id",
    ];

    fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        if let Some(fact) = name.strip_prefix("egress.ip-permission.") {
            return self.permission_facts(&self.ip_permissions_egress, fact);
        }
        if let Some(fact) = name.strip_prefix("ip-permission.") {
            return self.permission_facts(&self.ip_permissions, fact);
        }
        let fact = match name {
            "description" => &self.group_description,
            "group-id" => &self.group_id,
            "group-name" => &self.group_name,
            "owner-id" => &self.owner_id,
            "vpc-id" => &self.vpc_id,
            _ => return tag_facts(name, tag_pairs(&self.tag_set)),
        };
        Some(vec![Cow::Borrowed(fact)])
    }
}

impl SecurityGroup {
    fn permission_facts<'a>(
        &'a self,
        permissions: &'a Set<IpPermission>,
        name: &str,
    ) -> Option<Vec<Cow<'a, str>>> {
        let permissions = permissions.item.iter();
        let number = |port: Option<i32>| port.map(|port| Cow::Owned(port.to_string()));
        let text = |text: &'a String| Cow::Borrowed(text.as_str());
        Some(match name {
            "protocol" => permissions.map(|p| text(&p.ip_protocol)).collect(),
            "from-port" => permissions.filter_map(|p| number(p.from_port)).collect(),
            "to-port" => permissions.filter_map(|p| number(p.to_port)).collect(),
            "cidr" => permissions
                .flat_map(|p| p.ip_ranges.item.iter().map(|range| text(&range.cidr_ip)))
                .collect(),
            "ipv6-cidr" => permissions
                .flat_map(|p| p.ipv6_ranges.item.iter().map(|range| text(&range.cidr_ipv6)))
                .collect(),
            "group-id" => permissions
                .flat_map(|p| p.groups.item.iter().map(|group| text(&group.group_id)))
                .collect(),
            "group-name" => permissions
                .flat_map(|p| p.groups.item.iter())
                .filter_map(|group| self.names.get(&group.group_id).map(text))
                .collect(),
            "user-id" => permissions
                .flat_map(|p| p.groups.item.iter().map(|group| text(&group.user_id)))
                .collect(),
            "prefix-list-id" => Vec::new(),
            _ => return None,
        })
    }
}
