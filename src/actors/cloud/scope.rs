//! What every account has in every region from the first moment: a default VPC, a default subnet
//! a zone, and the default security group, which admits its own members and all egress.

use crate::domain::{
    cloud_state::Entry,
    draft::Draft,
    id::{PrefixedId, SecurityGroupId, SecurityGroupRuleId, SubnetId, VpcId, ZoneName},
    port_filter::{Cidr, Direction, Traffic},
    security_group::{DEFAULT_GROUP_NAME, Peer, SecurityGroup, SecurityGroupRule},
    vpc::{self, Subnet, Vpc},
};
use std::sync::Arc;

/// Makes what is missing; usually nothing.
pub fn open(draft: &mut Draft<'_>) {
    if let Some(vpc) = draft.own().default_vpc().cloned() {
        // Of a zone that has come to the configuration since.
        open_subnets(draft, &vpc);
        return;
    }
    let vpc = Vpc {
        scope: draft.scope.clone(),
        id: VpcId::random(draft.chance),
        cidr: vpc::default_cidr(),
        is_default: true,
        created_at: draft.now,
    };
    open_subnets(draft, &vpc);
    let group = default_security_group(draft, &vpc);
    draft.put(Entry::Vpc(Arc::new(vpc)));
    draft.put(Entry::SecurityGroup(Arc::new(group)));
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
            created_at: draft.now,
        };
        draft.put(Entry::Subnet(Arc::new(subnet)));
    }
}

fn default_security_group(draft: &mut Draft<'_>, vpc: &Vpc) -> SecurityGroup {
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
