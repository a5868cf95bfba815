//! Security groups compiled into what a port admits, and who the members are that they speak of.
//!
//! A rule that names a group stands for the addresses of its members, public and private: a guest
//! talks to a neighbour on either wire. Elastic addresses are among them: that is where a neighbour
//! on another host may seem to speak from.

use crate::domain::{
    cloud_state::{CloudState, ScopeState},
    id::{GroupName, SecurityGroupId},
    instance::{Instance, Interface},
    port_filter::{GroupMembers, Peers, Permit, PortFilter, Traffic},
    scope::Scope,
    security_group::{Peer, SecurityGroupRule},
};
use crate::messages::node::FilterAssignment;
use std::collections::{BTreeMap, BTreeSet};

/// What a port of an instance in these groups admits.
pub fn of_groups(own: &ScopeState, groups: &[SecurityGroupId]) -> PortFilter {
    let permits = rules(own, groups).filter_map(permit).filter(|permit| !is_ipv6(permit)).collect();
    PortFilter { permits }
}

/// The filters of a scope's ports in one zone, those with the same groups sharing one.
pub fn of_scope(state: &CloudState, scope: &Scope, zone: &GroupName) -> Vec<FilterAssignment> {
    let Some(own) = state.scope(scope) else { return Vec::new() };
    let mut ports: BTreeMap<&[SecurityGroupId], Vec<_>> = BTreeMap::new();
    for instance in existing(own).filter(|instance| instance.group == *zone) {
        for interface in &instance.interfaces {
            ports.entry(instance.groups_of(interface)).or_default().push(interface.id.clone());
        }
    }
    let assignment = |(groups, interfaces)| {
        let filter = of_groups(own, groups);
        FilterAssignment { interfaces, filter }
    };
    ports.into_iter().map(assignment).collect()
}

/// Who is in a group now; nobody, if there is no such group any more.
pub fn members(state: &CloudState, scope: &Scope, group: &SecurityGroupId) -> GroupMembers {
    let mut addresses = BTreeSet::new();
    if let Some(own) = state.scope(scope) {
        for instance in own.members(group) {
            let is_in = |i: &&Interface| instance.groups_of(i).contains(group);
            for interface in instance.interfaces.iter().filter(is_in) {
                addresses.extend(interface.addresses());
                let elastic = own.elastic_address_of(&interface.id);
                addresses.extend(elastic.map(|elastic| elastic.address));
            }
        }
    }
    GroupMembers { group: group.clone(), addresses }
}

/// Whose members the ports of an instance in these groups have to know, and where those are.
pub fn named_by<'a>(
    own: &ScopeState,
    groups: impl IntoIterator<Item = &'a SecurityGroupId>,
) -> BTreeSet<(Scope, SecurityGroupId)> {
    let of = |rule: &SecurityGroupRule, scope: &Scope| match &rule.peer {
        Peer::Group { account, group } => {
            let scope = Scope { account: account.clone(), region: scope.region.clone() };
            Some((scope, group.clone()))
        }
        Peer::Range(_) | Peer::Ipv6Range(_) => None,
    };
    let groups = groups.into_iter().filter_map(|id| own.security_groups.get(id));
    groups.flat_map(|group| group.rules.iter().filter_map(|rule| of(rule, &group.scope))).collect()
}

/// The zones of a scope's instances.
pub fn zones(own: &ScopeState) -> BTreeSet<GroupName> {
    let zones: BTreeSet<&GroupName> = existing(own).map(|instance| &instance.group).collect();
    zones.into_iter().cloned().collect()
}

/// Whether a scope has an instance in the zone.
pub fn is_in(own: &ScopeState, zone: &GroupName) -> bool {
    existing(own).any(|instance| instance.group == *zone)
}

/// The zones that have to know who is in a group: those of the instances whose rules may name it.
pub fn followers(
    state: &CloudState,
    scope: &Scope,
    group: &SecurityGroupId,
) -> BTreeSet<GroupName> {
    naming(state, scope, group).flat_map(zones).collect()
}

/// Whether a zone is among those.
pub fn follows(
    state: &CloudState,
    zone: &GroupName,
    scope: &Scope,
    group: &SecurityGroupId,
) -> bool {
    naming(state, scope, group).any(|own| is_in(own, zone))
}

/// Where rules are that name the group, its own included.
fn naming<'a>(
    state: &'a CloudState,
    scope: &Scope,
    group: &'a SecurityGroupId,
) -> impl Iterator<Item = &'a ScopeState> {
    let names_itself = |own: &&ScopeState| {
        let rules = own.security_groups.get(group).into_iter().flat_map(|itself| &itself.rules);
        let peers = rules.map(|rule| &rule.peer);
        peers
            .into_iter()
            .any(|peer| matches!(peer, Peer::Group { group: named, .. } if named == group))
    };
    let home = state.scope(scope).filter(names_itself);
    let elsewhere = state.scopes_naming(group).filter_map(|scope| state.scope(scope));
    home.into_iter().chain(elsewhere)
}

fn existing(own: &ScopeState) -> impl Iterator<Item = &Instance> {
    own.instances.values().map(|instance| &**instance).filter(|instance| instance.state.exists())
}

fn rules<'a>(
    own: &'a ScopeState,
    groups: &'a [SecurityGroupId],
) -> impl Iterator<Item = &'a SecurityGroupRule> {
    groups.iter().filter_map(|id| own.security_groups.get(id)).flat_map(|group| &group.rules)
}

/// Guests have no IPv6, so a node is not told of what only IPv6 can carry.
fn is_ipv6(permit: &Permit) -> bool {
    matches!(permit.traffic, Traffic::Icmpv6 { .. })
}

fn permit(rule: &SecurityGroupRule) -> Option<Permit> {
    let peers = match &rule.peer {
        Peer::Range(range) => [*range].into(),
        Peer::Ipv6Range(_) => return None,
        Peer::Group { group, .. } => Peers::Members(group.clone()),
    };
    Some(Permit { direction: rule.direction, traffic: rule.traffic, peers })
}
