//! What every account has in every region from the first moment: a default VPC, a default subnet
//! a zone, and the default security group, which admits its own members and all egress.

use crate::domain::{
    cloud_state::Entry,
    draft::Draft,
    id::{PrefixedId, SecurityGroupId, SecurityGroupRuleId, SubnetId, VpcId, ZoneName},
    overlay::NetworkId,
    port_filter::{Cidr, Direction, Traffic},
    security_group::{DEFAULT_GROUP_NAME, Peer, SecurityGroup, SecurityGroupRule},
    vpc::{self, Subnet, Vpc, VpcAttributes},
};
use std::sync::Arc;

/// Makes what is missing; usually nothing.
pub fn open(draft: &mut Draft<'_>) {
    number_networks(draft);
    if let Some(vpc) = draft.own().default_vpc().cloned() {
        // Of a zone that has come to the configuration since.
        open_subnets(draft, &vpc);
        return;
    }
    let vpc = Vpc {
        scope: draft.scope.clone(),
        id: VpcId::random(draft.chance),
        cidr: vpc::default_cidr(),
        network: free_network(draft),
        attributes: VpcAttributes::default(),
        is_default: true,
        created_at: draft.now,
    };
    open_subnets(draft, &vpc);
    let group = default_security_group(draft, &vpc);
    draft.put(Entry::Vpc(Arc::new(vpc)));
    draft.put(Entry::SecurityGroup(Arc::new(group)));
}

/// A number in the overlay that no VPC has.
pub fn free_network(draft: &mut Draft<'_>) -> Option<NetworkId> {
    let taken = &draft.state.networks;
    vpc::free_network(draft.chance, |network| taken.contains_key(&network))
}

/// VPCs recorded before there was an overlay get their numbers.
fn number_networks(draft: &mut Draft<'_>) {
    let own = draft.own();
    for vpc in own.vpcs.values().filter(|vpc| vpc.network.is_none()) {
        let network = free_network(draft);
        draft.put(Entry::Vpc(Arc::new(Vpc { network, ..Vpc::clone(vpc) })));
    }
}

fn open_subnets(draft: &mut Draft<'_>, vpc: &Vpc) {
    let own = draft.own();
    let has = |zone: &ZoneName| own.subnets.values().any(|s| s.is_default && s.zone == *zone);
    let zones = draft.settings.zones(&draft.scope.region).map(|(zone, _)| zone).enumerate();
    let without: Vec<_> = zones.filter(|(_, zone)| !has(zone)).collect();
    for (index, zone) in without {
        let Some(cidr) = vpc::default_subnet_cidr(index) else { break };
        let subnet = Subnet {
            scope: draft.scope.clone(),
            id: SubnetId::random(draft.chance),
            vpc: vpc.id.clone(),
            cidr,
            zone,
            is_default: true,
            maps_public_address: None,
            created_at: draft.now,
        };
        draft.put(Entry::Subnet(Arc::new(subnet)));
    }
}

/// The group that every VPC is born with.
pub fn default_security_group(draft: &mut Draft<'_>, vpc: &Vpc) -> SecurityGroup {
    let id = SecurityGroupId::random(draft.chance);
    let members = Peer::Group { account: draft.scope.account.clone(), group: id.clone() };
    let mut rule = |direction, peer| SecurityGroupRule {
        id: SecurityGroupRuleId::random(draft.chance),
        direction,
        traffic: Traffic::Any,
        peer,
        description: None,
    };
    let rules =
        vec![rule(Direction::Ingress, members), rule(Direction::Egress, Peer::Range(Cidr::ANY))];
    SecurityGroup {
        scope: draft.scope.clone(),
        id,
        name: DEFAULT_GROUP_NAME.to_owned(),
        description: "default VPC security group".to_owned(),
        vpc: vpc.id.clone(),
        rules,
        created_at: draft.now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        account::{Caller, Role},
        chance::Counting,
        cloud_state::{Change, CloudState},
        draft::Decision,
        scope::Scope,
        settings::CloudSettings,
        time::Timestamp,
    };

    fn opened(state: &CloudState, account: &str, chance: &mut Counting) -> Decision {
        let account = account.parse().unwrap();
        let caller = Caller { account, role: Role::User };
        let scope = Scope { account: caller.account.clone(), region: "local".parse().unwrap() };
        let settings = CloudSettings::for_tests();
        let mut draft = Draft::new(state, &settings, &caller, scope, Timestamp::EPOCH, chance);
        open(&mut draft);
        draft.decided()
    }

    fn vpcs(state: &CloudState) -> Vec<Arc<Vpc>> {
        state.scopes.values().flat_map(|own| own.vpcs.values().cloned()).collect()
    }

    #[test]
    fn a_scope_is_opened_once_and_its_network_has_a_number_of_its_own() {
        let chance = &mut Counting::default();
        let first = opened(&CloudState::default(), "111111111111", chance);
        assert!(opened(&first.state, "111111111111", chance).changes.is_empty());
        let both = opened(&first.state, "222222222222", chance).state;
        let numbers: Vec<_> = vpcs(&both).iter().map(|vpc| vpc.network.unwrap()).collect();
        assert_eq!((numbers.len(), both.networks.size()), (2, 2));
        assert_ne!(numbers[0], numbers[1]);
    }

    #[test]
    fn a_network_recorded_without_a_number_gets_one_when_its_scope_is_opened() {
        let chance = &mut Counting::default();
        let mut state = opened(&CloudState::default(), "111111111111", chance).state;
        let mut old = serde_json::to_value(&*vpcs(&state)[0]).unwrap();
        old.as_object_mut().unwrap().remove("network").unwrap();
        state.apply(&Change::Remove(Entry::Vpc(vpcs(&state)[0].clone())));
        assert_eq!(state.networks.size(), 0);
        let old: Vpc = serde_json::from_value(old).unwrap();
        state.apply(&Change::Put(Entry::Vpc(Arc::new(old.clone()))));
        let numbered = vpcs(&opened(&state, "111111111111", chance).state).remove(0);
        assert!(numbered.network.is_some());
        assert_eq!(Vpc { network: None, ..Vpc::clone(&numbered) }, old);
    }
}
