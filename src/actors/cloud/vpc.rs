//! VPCs: decisions. The default one is `scope`'s.

use super::{
    command::Decide,
    key_pair::put_tags,
    scope::{default_security_group, free_network},
    tag::remove_tags,
};
use crate::domain::{
    cloud_state::Entry,
    draft::Draft,
    fault::{CloudFault, NetworkKind},
    id::{PrefixedId, VpcId},
    vpc::{self, Vpc, VpcAttributes},
};
use crate::messages::cloud::network::{CreateVpc, DeleteVpc, ModifyVpc, VpcAttribute};
use std::sync::Arc;

impl Decide for CreateVpc {
    fn decide(self, draft: &mut Draft<'_>) -> Result<VpcId, CloudFault> {
        vpc::check_vpc_cidr(self.cidr)?;
        let network = free_network(draft).ok_or(CloudFault::NetworksExhausted)?;
        let vpc = Vpc {
            scope: draft.scope.clone(),
            id: VpcId::random(draft.chance),
            cidr: self.cidr,
            network: Some(network),
            attributes: VpcAttributes::default(),
            is_default: false,
            created_at: draft.now,
        };
        let id = vpc.id.clone();
        let group = default_security_group(draft, &vpc);
        put_tags(id.as_str(), self.tags, draft)?;
        draft.put(Entry::Vpc(Arc::new(vpc)));
        draft.put(Entry::SecurityGroup(Arc::new(group)));
        Ok(id)
    }
}

impl Decide for DeleteVpc {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        let own = draft.own();
        let vpc = find(&self.vpc, draft)?;
        let (kind, id) = (NetworkKind::Vpc, vpc.id.to_string());
        if vpc.is_default {
            return Err(CloudFault::DefaultNetwork { kind, id });
        }
        let groups = own.security_groups.values().filter(|group| group.vpc == vpc.id);
        let (default, others): (Vec<_>, Vec<_>) = groups.partition(|group| group.is_default());
        let has_subnet = own.subnets.values().any(|subnet| subnet.vpc == vpc.id);
        let is_named =
            default.iter().any(|group| draft.state.scopes_naming(&group.id).next().is_some());
        if has_subnet || !others.is_empty() || is_named {
            return Err(CloudFault::NetworkInUse { kind, id });
        }
        for group in default {
            for rule in &group.rules {
                remove_tags(rule.id.as_str(), draft);
            }
            remove_tags(group.id.as_str(), draft);
            draft.remove(Entry::SecurityGroup(group.clone()));
        }
        remove_tags(&id, draft);
        draft.remove(Entry::Vpc(vpc));
        Ok(())
    }
}

impl Decide for ModifyVpc {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        let mut vpc = Vpc::clone(&*find(&self.vpc, draft)?);
        match self.attribute {
            VpcAttribute::DnsSupport(on) => vpc.attributes.dns_support = on,
            VpcAttribute::DnsHostnames(on) => vpc.attributes.dns_hostnames = on,
            VpcAttribute::AddressUsageMetrics(on) => vpc.attributes.address_usage_metrics = on,
        }
        draft.put(Entry::Vpc(Arc::new(vpc)));
        Ok(())
    }
}

/// The caller's VPC.
pub fn find(id: &VpcId, draft: &Draft<'_>) -> Result<Arc<Vpc>, CloudFault> {
    draft.own().vpcs.get(id).cloned().ok_or_else(|| CloudFault::VpcNotFound(id.clone()))
}
