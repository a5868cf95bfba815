//! Security groups: decisions. What a name, a description or a rule may be is `domain`'s.
//!
//! Every request is carried out whole or not at all. Where a change of rules reaches ports, their
//! filters are refreshed; a new group has no members, and one that can be deleted neither.

use super::{command::Decide, key_pair::put_tags, tag::remove_tags};
use crate::domain::{
    cloud_state::{Entry, ScopeState},
    draft::{Draft, Effect},
    fault::CloudFault,
    id::{AccountId, PrefixedId, SecurityGroupId, SecurityGroupRuleId, VpcId},
    port_filter::{Cidr, Direction, Traffic},
    scope::Scope,
    security_group::{
        self, Peer, RULES_PER_DIRECTION, SecurityGroup, SecurityGroupRule, check_rule_description,
        spelled,
    },
};
use crate::messages::cloud::{
    AuthorizeSecurityGroup, CreateSecurityGroup, DeleteSecurityGroup, ModifySecurityGroupRules,
    Permission, RevokeSecurityGroup, RulesChanged, SecurityGroupName, UpdateRuleDescriptions,
};
use std::{collections::BTreeSet, sync::Arc};

impl Decide for CreateSecurityGroup {
    fn decide(self, draft: &mut Draft<'_>) -> Result<SecurityGroupId, CloudFault> {
        let name = security_group::check_name(&self.name)?.to_owned();
        security_group::check_description(&self.description)?;
        let own = draft.own();
        let vpc = match self.vpc {
            Some(id) => own.vpcs.get(&id).ok_or(CloudFault::VpcNotFound(id))?,
            None => own.default_vpc().expect("every command opens its scope first"),
        };
        if own.security_group_named(&vpc.id, &name).is_some() {
            return Err(CloudFault::SecurityGroupExists { name, vpc: vpc.id.clone() });
        }
        let everything_out =
            Permission { traffic: Traffic::Any, peer: Peer::Range(Cidr::ANY), description: None };
        let group = SecurityGroup {
            scope: draft.scope.clone(),
            id: SecurityGroupId::random(draft.chance),
            name,
            description: self.description,
            vpc: vpc.id.clone(),
            rules: vec![new_rule(Direction::Egress, everything_out, draft)],
            created_at: draft.now,
        };
        let id = group.id.clone();
        put_tags(id.as_str(), self.tags, draft)?;
        draft.put(Entry::SecurityGroup(Arc::new(group)));
        Ok(id)
    }
}

impl Decide for DeleteSecurityGroup {
    fn decide(self, draft: &mut Draft<'_>) -> Result<SecurityGroupId, CloudFault> {
        let group = find(&self.group, draft)?;
        let id = group.id.clone();
        if group.is_default() {
            return Err(CloudFault::DefaultSecurityGroup(id));
        }
        let own = draft.own();
        let in_use = own.members(&id).next().is_some()
            || own.detached_interfaces.values().any(|free| free.security_groups.contains(&id))
            || draft.state.scopes_naming(&id).next().is_some();
        if in_use {
            return Err(CloudFault::SecurityGroupInUse(id));
        }
        for rule in &group.rules {
            remove_tags(rule.id.as_str(), draft);
        }
        remove_tags(id.as_str(), draft);
        draft.remove(Entry::SecurityGroup(group));
        Ok(id)
    }
}

impl Decide for AuthorizeSecurityGroup {
    fn decide(self, draft: &mut Draft<'_>) -> Result<RulesChanged, CloudFault> {
        let mut group = SecurityGroup::clone(&*find(&self.group, draft)?);
        check_distinct(&self.permissions)?;
        let mut made = Vec::new();
        for permission in self.permissions {
            check(&permission, draft)?;
            if matching(&group, self.direction, &permission).is_some() {
                let rule = spelled(permission.traffic, &permission.peer);
                return Err(CloudFault::PermissionExists(rule));
            }
            let rule = new_rule(self.direction, permission, draft);
            put_tags(rule.id.as_str(), self.tags.clone(), draft)?;
            made.push(rule);
        }
        group.rules.extend(made.iter().cloned());
        check_limit(&group, self.direction)?;
        Ok(changed(group, made, draft))
    }
}

impl Decide for RevokeSecurityGroup {
    /// Rules may be named twice over, by what they permit and by id.
    fn decide(self, draft: &mut Draft<'_>) -> Result<RulesChanged, CloudFault> {
        let mut group = SecurityGroup::clone(&*find(&self.group, draft)?);
        let mut revoked: BTreeSet<SecurityGroupRuleId> = BTreeSet::new();
        for permission in &self.permissions {
            let rule = matching(&group, self.direction, permission);
            revoked.insert(rule.ok_or_else(|| not_found(permission))?.id.clone());
        }
        let unknown: Vec<_> = self
            .rules
            .iter()
            .filter(|id| !group.rules(self.direction).any(|rule| rule.id == **id))
            .cloned()
            .collect();
        if !unknown.is_empty() {
            return Err(CloudFault::SecurityGroupRulesNotFound(unknown));
        }
        revoked.extend(self.rules);
        let (gone, kept) = group.rules.into_iter().partition(|rule| revoked.contains(&rule.id));
        group.rules = kept;
        for id in &revoked {
            remove_tags(id.as_str(), draft);
        }
        Ok(changed(group, gone, draft))
    }
}

impl Decide for ModifySecurityGroupRules {
    fn decide(self, draft: &mut Draft<'_>) -> Result<RulesChanged, CloudFault> {
        let mut group = SecurityGroup::clone(&*find(&SecurityGroupName::Id(self.group), draft)?);
        let mut modified = Vec::new();
        for (id, permission) in self.rules {
            check(&permission, draft)?;
            let rule = rule_mut(&mut group, &id)?;
            let Permission { traffic, peer, description } = permission;
            let direction = rule.direction;
            *rule = SecurityGroupRule { id, direction, traffic, peer, description };
            modified.push(rule.clone());
        }
        // Only the outcome counts: two rules may exchange what they permit.
        for rule in &modified {
            let same = |other: &&SecurityGroupRule| {
                other.traffic == rule.traffic && other.peer == rule.peer
            };
            if group.rules(rule.direction).filter(same).count() > 1 {
                return Err(CloudFault::PermissionExists(spelled(rule.traffic, &rule.peer)));
            }
        }
        check_limit(&group, Direction::Ingress)?;
        check_limit(&group, Direction::Egress)?;
        Ok(changed(group, modified, draft))
    }
}

impl Decide for UpdateRuleDescriptions {
    fn decide(self, draft: &mut Draft<'_>) -> Result<RulesChanged, CloudFault> {
        let mut group = SecurityGroup::clone(&*find(&self.group, draft)?);
        let mut wanted = self.rules;
        for permission in self.permissions {
            let rule = matching(&group, self.direction, &permission);
            let id = rule.ok_or_else(|| not_found(&permission))?.id.clone();
            wanted.push((id, permission.description));
        }
        let mut described = Vec::new();
        for (id, description) in wanted {
            let rule = rule_mut(&mut group, &id)?;
            if rule.direction != self.direction {
                return Err(CloudFault::SecurityGroupRulesNotFound(vec![id]));
            }
            rule.description = checked_description(description)?;
            described.push(rule.clone());
        }
        let id = group.id.clone();
        draft.put(Entry::SecurityGroup(Arc::new(group)));
        Ok(RulesChanged { group: id, rules: described })
    }
}

/// The caller's group; a name is looked for in the default VPC.
fn find(name: &SecurityGroupName, draft: &Draft<'_>) -> Result<Arc<SecurityGroup>, CloudFault> {
    let own = draft.own();
    match name {
        SecurityGroupName::Id(id) => own
            .security_groups
            .get(id)
            .cloned()
            .ok_or_else(|| CloudFault::SecurityGroupNotFound(id.clone())),
        SecurityGroupName::Name(name) => own
            .default_vpc()
            .and_then(|vpc| own.security_group_named(&vpc.id, name))
            .cloned()
            .ok_or_else(|| CloudFault::SecurityGroupNameNotFound(name.clone())),
    }
}

/// A group for something in that VPC.
pub fn find_in<'a>(
    id: &SecurityGroupId,
    vpc: &VpcId,
    own: &'a ScopeState,
) -> Result<&'a Arc<SecurityGroup>, CloudFault> {
    let group = own.security_groups.get(id);
    let group = group.ok_or_else(|| CloudFault::SecurityGroupNotFound(id.clone()))?;
    match group.vpc == *vpc {
        true => Ok(group),
        false => Err(CloudFault::SecurityGroupElsewhere { group: id.clone(), vpc: vpc.clone() }),
    }
}

fn check(permission: &Permission, draft: &Draft<'_>) -> Result<(), CloudFault> {
    checked_description(permission.description.clone())?;
    match &permission.peer {
        Peer::Range(_) | Peer::Ipv6Range(_) => Ok(()),
        Peer::Group { account, group } => check_peer(account, group, draft),
    }
}

/// A rule may name a group of another account, in the same region.
fn check_peer(
    account: &AccountId,
    group: &SecurityGroupId,
    draft: &Draft<'_>,
) -> Result<(), CloudFault> {
    let scope = Scope { account: account.clone(), region: draft.scope.region.clone() };
    let exists =
        draft.state.scope(&scope).is_some_and(|scope| scope.security_groups.contains_key(group));
    if exists { Ok(()) } else { Err(CloudFault::SecurityGroupNotFound(group.clone())) }
}

fn checked_description(description: Option<String>) -> Result<Option<String>, CloudFault> {
    let description = description.filter(|text| !text.is_empty());
    check_rule_description(description.as_deref().unwrap_or_default())?;
    Ok(description)
}

fn check_distinct(permissions: &[Permission]) -> Result<(), CloudFault> {
    let distinct: BTreeSet<_> = permissions.iter().map(|p| (p.traffic, &p.peer)).collect();
    if distinct.len() < permissions.len() {
        let message = "The same permission must not appear multiple times".to_owned();
        return Err(CloudFault::InvalidParameter(message));
    }
    Ok(())
}

fn check_limit(group: &SecurityGroup, direction: Direction) -> Result<(), CloudFault> {
    let ipv4 = |rule: &&SecurityGroupRule| !matches!(rule.peer, Peer::Ipv6Range(_));
    let ipv6 = |rule: &&SecurityGroupRule| !matches!(rule.peer, Peer::Range(_));
    let most = group
        .rules(direction)
        .filter(ipv4)
        .count()
        .max(group.rules(direction).filter(ipv6).count());
    match most > RULES_PER_DIRECTION {
        true => Err(CloudFault::RuleLimitExceeded(group.id.clone())),
        false => Ok(()),
    }
}

/// Descriptions do not tell rules apart.
fn matching<'g>(
    group: &'g SecurityGroup,
    direction: Direction,
    permission: &Permission,
) -> Option<&'g SecurityGroupRule> {
    group
        .rules(direction)
        .find(|rule| rule.traffic == permission.traffic && rule.peer == permission.peer)
}

fn rule_mut<'g>(
    group: &'g mut SecurityGroup,
    id: &SecurityGroupRuleId,
) -> Result<&'g mut SecurityGroupRule, CloudFault> {
    let rule = group.rules.iter_mut().find(|rule| rule.id == *id);
    rule.ok_or_else(|| CloudFault::SecurityGroupRulesNotFound(vec![id.clone()]))
}

fn not_found(permission: &Permission) -> CloudFault {
    CloudFault::PermissionNotFound(spelled(permission.traffic, &permission.peer))
}

fn new_rule(
    direction: Direction,
    permission: Permission,
    draft: &mut Draft<'_>,
) -> SecurityGroupRule {
    SecurityGroupRule {
        id: SecurityGroupRuleId::random(draft.chance),
        direction,
        traffic: permission.traffic,
        peer: permission.peer,
        description: permission.description.filter(|text| !text.is_empty()),
    }
}

fn changed(
    group: SecurityGroup,
    rules: Vec<SecurityGroupRule>,
    draft: &mut Draft<'_>,
) -> RulesChanged {
    let id = group.id.clone();
    draft.put(Entry::SecurityGroup(Arc::new(group)));
    draft.effect(Effect::RefreshFilters(draft.scope.clone()));
    RulesChanged { group: id, rules }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        actors::cloud::scope,
        domain::{
            account::{Caller, Role},
            chance::Counting,
            cloud_state::CloudState,
            security_group::{DEFAULT_GROUP_NAME, Ipv6Cidr},
            settings::CloudSettings,
            tag::Tags,
            time::Timestamp,
        },
    };
    use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

    /// What `look` finds out on an open scope, and the effects of what it decided.
    fn on_a_draft<R>(look: impl FnOnce(&mut Draft<'_>) -> R) -> (R, BTreeSet<Effect>) {
        let region: crate::domain::id::RegionName = "local".parse().unwrap();
        let settings = CloudSettings::for_tests();
        let account: AccountId = "111111111111".parse().unwrap();
        let caller = Caller { account: account.clone(), role: Role::User };
        let mut chance = Counting::default();
        let state = CloudState::default();
        let scope = Scope { account, region };
        let mut draft =
            Draft::new(&state, &settings, &caller, scope, Timestamp::EPOCH, &mut chance);
        scope::open(&mut draft);
        let found = look(&mut draft);
        (found, draft.decided().effects)
    }

    fn default_group() -> SecurityGroupName {
        SecurityGroupName::Name(DEFAULT_GROUP_NAME.to_owned())
    }

    fn authorize(permissions: Vec<Permission>) -> AuthorizeSecurityGroup {
        let tags = Tags::from([("k".to_owned(), "v".to_owned())]);
        let (group, direction) = (default_group(), Direction::Ingress);
        AuthorizeSecurityGroup { group, direction, permissions, tags }
    }

    fn revoke(permissions: Vec<Permission>) -> RevokeSecurityGroup {
        let (group, direction, rules) = (default_group(), Direction::Ingress, Vec::new());
        RevokeSecurityGroup { group, direction, permissions, rules }
    }

    #[test]
    fn rules_are_made_in_their_direction_reach_the_ports_and_a_refusal_changes_nothing() {
        let permission = Permission {
            traffic: Traffic::Tcp { from: 22, to: 22 },
            peer: Peer::Range(Cidr::ANY),
            description: None,
        };
        let (scope, effects) = on_a_draft(|draft| {
            let before = find(&default_group(), draft).unwrap();
            assert!(revoke(vec![permission.clone()]).decide(draft).is_err());
            assert_eq!(find(&default_group(), draft).unwrap(), before);
            authorize(vec![permission.clone()]).decide(draft).unwrap();
            let group = find(&default_group(), draft).unwrap();
            assert!(matching(&group, Direction::Ingress, &permission).is_some());
            assert!(matching(&group, Direction::Egress, &permission).is_none());
            draft.scope.clone()
        });
        assert_eq!(effects, BTreeSet::from([Effect::RefreshFilters(scope)]));
    }

    fn traffic() -> impl Strategy<Value = Traffic> {
        let ports = || (any::<u16>(), any::<u16>()).prop_map(|(a, b)| (a.min(b), a.max(b)));
        prop_oneof![
            Just(Traffic::Any),
            ports().prop_map(|(from, to)| Traffic::Tcp { from, to }),
            ports().prop_map(|(from, to)| Traffic::Udp { from, to }),
            any::<Option<u8>>().prop_map(|kind| Traffic::Icmp { kind, code: None }),
            any::<u8>().prop_map(Traffic::Protocol),
        ]
    }

    fn peer() -> impl Strategy<Value = Option<Peer>> {
        prop_oneof![
            (any::<u32>(), 0..=32u8)
                .prop_map(|(bits, length)| Cidr::new(bits.into(), length).map(Peer::Range)),
            (any::<u128>(), 0..=128u8).prop_map(|(bits, length)| Ipv6Cidr::new(
                bits.into(),
                length
            )
            .map(Peer::Ipv6Range)),
            // The group itself, filled in by the test.
            Just(None),
        ]
    }

    proptest! {
        #[test]
        fn revoking_what_was_authorized_restores_the_group(
            wanted in prop::collection::btree_map((traffic(), peer()), any::<bool>(), 1..40),
            order in any::<prop::sample::Index>(),
        ) {
            on_a_draft(|draft| {
                let before = find(&default_group(), draft).unwrap();
                let tags = draft.own().tags.size();
                let itself = Peer::Group {
                    account: draft.scope.account.clone(),
                    group: before.id.clone(),
                };
                let mut permissions: Vec<_> = wanted
                    .into_iter()
                    .map(|((traffic, peer), described)| Permission {
                        traffic,
                        peer: peer.unwrap_or_else(|| itself.clone()),
                        description: described.then(|| "why".to_owned()),
                    })
                    // The group is born with this one.
                    .filter(|p| !(p.traffic == Traffic::Any && p.peer == itself))
                    .collect();
                if permissions.is_empty() {
                    return Ok(());
                }
                let made = authorize(permissions.clone()).decide(draft).unwrap();
                prop_assert_eq!(made.rules.len(), permissions.len());
                let turn = order.index(permissions.len());
                permissions.rotate_left(turn);
                revoke(permissions).decide(draft).unwrap();
                prop_assert_eq!(&*find(&default_group(), draft).unwrap(), &*before);
                prop_assert_eq!(draft.own().tags.size(), tags);
                Ok(())
            })
            .0?;
        }
    }
}
