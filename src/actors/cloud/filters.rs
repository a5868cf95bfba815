//! Security groups compiled into what a port admits.
//!
//! A rule that names a group stands for the addresses of its members, public and private: a guest
//! talks to a neighbour on either wire.

use crate::domain::{
    cloud_state::{CloudState, ScopeState},
    id::{AccountId, GroupName, SecurityGroupId},
    port_filter::{Cidr, Permit, PortFilter, Traffic},
    scope::Scope,
    security_group::{Peer, SecurityGroup, SecurityGroupRule},
};
use crate::messages::node::FilterAssignment;
use std::collections::{BTreeMap, BTreeSet};

/// What a port of an instance in these groups admits.
pub fn of_groups(state: &CloudState, own: &ScopeState, groups: &[SecurityGroupId]) -> PortFilter {
    let permits = groups
        .iter()
        .filter_map(|id| own.security_groups.get(id))
        .flat_map(|group| group.rules.iter().map(move |rule| permit(state, own, group, rule)))
        .filter(|permit| !permit.peers.is_empty() && !is_ipv6(permit))
        .collect();
    PortFilter { permits }
}

/// The filters of all ports of a scope, instances with the same groups sharing one.
pub fn of_scope(state: &CloudState, scope: &Scope) -> Vec<(GroupName, FilterAssignment)> {
    let Some(own) = state.scope(scope) else { return Vec::new() };
    let mut ports: BTreeMap<(_, Vec<SecurityGroupId>), Vec<_>> = BTreeMap::new();
    for instance in own.instances.values().filter(|instance| instance.state.exists()) {
        let key = (instance.group.clone(), instance.security_groups.clone());
        ports.entry(key).or_default().extend(instance.interfaces.iter().map(|i| i.id.clone()));
    }
    ports
        .into_iter()
        .map(|((group, groups), interfaces)| {
            let filter = of_groups(state, own, &groups);
            (group, FilterAssignment { interfaces, filter })
        })
        .collect()
}

/// Guests have no IPv6, so a node is not told of what only IPv6 can carry.
fn is_ipv6(permit: &Permit) -> bool {
    matches!(permit.traffic, Traffic::Icmpv6 { .. })
}

/// The scope, and those whose groups' rules name groups of it: they follow its members too.
pub fn affected(state: &CloudState, scope: Scope) -> BTreeSet<Scope> {
    let groups = state.scope(&scope).into_iter().flat_map(|own| own.security_groups.keys());
    let mut affected: BTreeSet<Scope> =
        groups.flat_map(|group| state.scopes_naming(group)).cloned().collect();
    affected.insert(scope);
    affected
}

fn permit(
    state: &CloudState,
    own: &ScopeState,
    group: &SecurityGroup,
    rule: &SecurityGroupRule,
) -> Permit {
    let peers = match &rule.peer {
        Peer::Range(range) => vec![*range],
        Peer::Ipv6Range(_) => vec![],
        Peer::Group { account, group: peer } => members(state, own, account, &group.scope, peer),
    };
    Permit { direction: rule.direction, traffic: rule.traffic, peers }
}

fn members(
    state: &CloudState,
    own: &ScopeState,
    account: &AccountId,
    scope: &Scope,
    group: &SecurityGroupId,
) -> Vec<Cidr> {
    let addresses = |scope: &ScopeState| -> Vec<Cidr> {
        scope
            .members(group)
            .flat_map(|instance| instance.interfaces.iter().map(|i| Cidr::host(i.address)))
            .collect()
    };
    if *account == scope.account {
        return addresses(own);
    }
    let other = Scope { account: account.clone(), region: scope.region.clone() };
    state.scope(&other).map(addresses).unwrap_or_default()
}
