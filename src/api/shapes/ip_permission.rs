//! `IpPermission`: what rules permit, several peers under one protocol and port range.
//!
//! EC2 writes many rules as one permission, and reads one permission as many rules. A rule's own
//! shape, one peer and an id, is `security_group_rule`.

use super::traffic::{self, TrafficParameters};
use crate::{
    api::{
        action::Exchange,
        error::{ApiError, Code, echo},
        fault,
        response::Set,
    },
    domain::{
        fault::CloudFault,
        id::{AccountId, PrefixedId, SecurityGroupId},
        port_filter::{Cidr, Traffic},
        scope::Scope,
        security_group::{Ipv6Cidr, Peer, SecurityGroupRule},
    },
    messages::cloud::Permission,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct IpPermissionParameter {
    ip_protocol: Option<String>,
    from_port: Option<i64>,
    to_port: Option<i64>,
    #[serde(default)]
    ip_ranges: Vec<IpRangeParameter>,
    #[serde(default)]
    ipv6_ranges: Vec<Ipv6RangeParameter>,
    #[serde(default, alias = "UserIdGroupPairs")]
    groups: Vec<UserIdGroupPairParameter>,
    #[serde(default)]
    prefix_list_ids: Vec<PrefixListIdParameter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct IpRangeParameter {
    cidr_ip: String,
    description: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct Ipv6RangeParameter {
    cidr_ipv6: String,
    description: Option<String>,
}

/// How a request names a peer group. The VPC follows from the group; there are no peerings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct UserIdGroupPairParameter {
    pub user_id: Option<String>,
    pub group_id: Option<String>,
    pub group_name: Option<String>,
    pub description: Option<String>,
    #[serde(rename = "VpcId")]
    pub _vpc_id: Option<String>,
    pub vpc_peering_connection_id: Option<String>,
    #[serde(rename = "PeeringStatus")]
    pub _peering_status: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct PrefixListIdParameter {
    prefix_list_id: String,
    #[serde(rename = "Description")]
    _description: Option<String>,
}

impl IpPermissionParameter {
    /// One permission a peer.
    pub fn read(&self, exchange: &Exchange) -> Result<Vec<Permission>, ApiError> {
        let protocol = self.ip_protocol.as_deref();
        let protocol = protocol.ok_or_else(|| ApiError::missing_parameter("IpProtocol"))?;
        let (from_port, to_port) = (self.from_port, self.to_port);
        let traffic = TrafficParameters { protocol, from_port, to_port }.read()?;
        if let Some(list) = self.prefix_list_ids.first() {
            return Err(no_prefix_list(&list.prefix_list_id));
        }
        let mut permissions = Vec::new();
        let mut permit = |peer, description: &Option<String>| {
            permissions.push(Permission { traffic, peer, description: description.clone() });
        };
        for range in &self.ip_ranges {
            permit(read_cidr(&range.cidr_ip)?, &range.description);
        }
        for range in &self.ipv6_ranges {
            permit(read_ipv6_cidr(&range.cidr_ipv6)?, &range.description);
        }
        for pair in &self.groups {
            permit(pair.read(exchange)?, &pair.description);
        }
        if permissions.is_empty() {
            return Err(ApiError::new(
                Code::MissingParameter,
                "An IP permission must contain an IP range or a source group",
            ));
        }
        Ok(permissions)
    }
}

impl UserIdGroupPairParameter {
    /// The group, which is there; by name it is looked for in the account's default VPC.
    pub fn read(&self, exchange: &Exchange) -> Result<Peer, ApiError> {
        if let Some(id) = &self.vpc_peering_connection_id {
            let id = echo(id);
            return Err(ApiError::new(
                Code::InvalidParameterValue,
                format!("The VPC peering connection '{id}' does not exist"),
            ));
        }
        let account: AccountId = match &self.user_id {
            Some(id) => id.parse()?,
            None => exchange.scope.account.clone(),
        };
        let scope = Scope { account, region: exchange.scope.region.clone() };
        let state = exchange.state.scope(&scope);
        let group = match (&self.group_id, &self.group_name) {
            (Some(id), _) => {
                let id: SecurityGroupId = id.parse()?;
                state
                    .and_then(|state| state.security_groups.get(&id))
                    .ok_or_else(|| fault::api_error(CloudFault::SecurityGroupNotFound(id)))?
            }
            (None, Some(name)) => state
                .and_then(|state| state.security_group_named(&state.default_vpc()?.id, name))
                .ok_or_else(|| {
                    fault::api_error(CloudFault::SecurityGroupNameNotFound(echo(name).to_owned()))
                })?,
            (None, None) => {
                return Err(ApiError::new(Code::MissingParameter, "Source group ID missing."));
            }
        };
        Ok(Peer::Group { account: scope.account, group: group.id.clone() })
    }
}

pub fn read_cidr(text: &str) -> Result<Peer, ApiError> {
    text.parse::<Cidr>().map(Peer::Range).map_err(|_| malformed_cidr(text))
}

pub fn read_ipv6_cidr(text: &str) -> Result<Peer, ApiError> {
    text.parse::<Ipv6Cidr>().map(Peer::Ipv6Range).map_err(|_| malformed_cidr(text))
}

fn malformed_cidr(text: &str) -> ApiError {
    let text = echo(text);
    ApiError::new(Code::InvalidParameterValue, format!("CIDR block {text} is malformed"))
}

/// There are no prefix lists here.
pub fn no_prefix_list(id: &str) -> ApiError {
    let id = echo(id);
    ApiError::new(
        Code::InvalidPrefixListIdNotFound,
        format!("The prefix list ID '{id}' does not exist"),
    )
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IpPermission {
    pub ip_protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_port: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_port: Option<i32>,
    pub groups: Set<UserIdGroupPair>,
    pub ip_ranges: Set<IpRange>,
    pub ipv6_ranges: Set<Ipv6Range>,
    /// Always empty.
    prefix_list_ids: Set<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserIdGroupPair {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    pub group_id: String,
    pub user_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IpRange {
    pub cidr_ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ipv6Range {
    pub cidr_ipv6: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

impl IpPermission {
    fn about(traffic: Traffic) -> IpPermission {
        let (from_port, to_port) = traffic::ports(traffic).unzip();
        IpPermission {
            ip_protocol: traffic::protocol(traffic),
            from_port,
            to_port,
            groups: Set::default(),
            ip_ranges: Set::default(),
            ipv6_ranges: Set::default(),
            prefix_list_ids: Set::default(),
        }
    }

    fn add(&mut self, rule: &SecurityGroupRule) {
        let description = rule.description.clone();
        match &rule.peer {
            Peer::Range(range) => {
                self.ip_ranges.item.push(IpRange { cidr_ip: range.to_string(), description });
            }
            Peer::Ipv6Range(range) => {
                let cidr_ipv6 = range.to_string();
                self.ipv6_ranges.item.push(Ipv6Range { cidr_ipv6, description });
            }
            Peer::Group { account, group } => self.groups.item.push(UserIdGroupPair {
                description,
                group_id: group.as_str().to_owned(),
                user_id: account.to_string(),
            }),
        }
    }
}

/// Rules as permissions: those about the same traffic are one, in the order of the first of each.
pub fn permissions<'a>(
    rules: impl IntoIterator<Item = &'a SecurityGroupRule>,
) -> Set<IpPermission> {
    let mut permissions: Vec<(Traffic, IpPermission)> = Vec::new();
    for rule in rules {
        // There are at most some dozens.
        let position = permissions.iter().position(|(traffic, _)| *traffic == rule.traffic);
        let position = position.unwrap_or_else(|| {
            permissions.push((rule.traffic, IpPermission::about(rule.traffic)));
            permissions.len() - 1
        });
        permissions[position].1.add(rule);
    }
    permissions.into_iter().map(|(_, permission)| permission).collect()
}
