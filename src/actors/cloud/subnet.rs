//! Subnets of users' own VPCs: decisions. Default subnets are `scope`'s.

use super::{command::Decide, key_pair::put_tags, tag::remove_tags, vpc};
use crate::domain::{
    cloud_state::Entry,
    draft::Draft,
    fault::{CloudFault, NetworkKind},
    id::{PrefixedId, SubnetId, ZoneName},
    port_filter::Cidr,
    vpc::{Subnet, check_subnet_cidr},
};
use crate::messages::cloud::network::{CreateSubnet, DeleteSubnet, ModifySubnet};
use std::sync::Arc;

impl Decide for CreateSubnet {
    fn decide(self, draft: &mut Draft<'_>) -> Result<SubnetId, CloudFault> {
        let own = draft.own();
        let vpc = vpc::find(&self.vpc, draft)?;
        check_subnet_cidr(self.cidr, &vpc, own.subnets.values().map(|subnet| &**subnet))?;
        check_beside_public(self.cidr, draft)?;
        let subnet = Subnet {
            scope: draft.scope.clone(),
            id: SubnetId::random(draft.chance),
            vpc: vpc.id.clone(),
            cidr: self.cidr,
            zone: zone(self.zone, draft)?,
            is_default: false,
            maps_public_address: None,
            created_at: draft.now,
        };
        let id = subnet.id.clone();
        put_tags(id.as_str(), self.tags, draft)?;
        draft.put(Entry::Subnet(Arc::new(subnet)));
        Ok(id)
    }
}

impl Decide for DeleteSubnet {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        let subnet = find(&self.subnet, draft)?;
        let (kind, id) = (NetworkKind::Subnet, subnet.id.to_string());
        if subnet.is_default {
            return Err(CloudFault::DefaultNetwork { kind, id });
        }
        if draft.own().addresses_taken(&subnet).next().is_some() {
            return Err(CloudFault::NetworkInUse { kind, id });
        }
        remove_tags(&id, draft);
        draft.remove(Entry::Subnet(subnet));
        Ok(())
    }
}

impl Decide for ModifySubnet {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        let subnet = find(&self.subnet, draft)?;
        let maps_public_address = Some(self.maps_public_address);
        let subnet = Subnet { maps_public_address, ..Subnet::clone(&subnet) };
        draft.put(Entry::Subnet(Arc::new(subnet)));
        Ok(())
    }
}

/// The caller's subnet.
pub fn find(id: &SubnetId, draft: &Draft<'_>) -> Result<Arc<Subnet>, CloudFault> {
    draft.own().subnets.get(id).cloned().ok_or_else(|| CloudFault::SubnetNotFound(id.clone()))
}

/// The zone asked for, or the region's first: EC2 chooses one too.
fn zone(asked: Option<ZoneName>, draft: &Draft<'_>) -> Result<ZoneName, CloudFault> {
    let region = &draft.scope.region;
    let mut zones = draft.settings.zones(region).map(|(zone, _)| zone);
    let found = match &asked {
        Some(asked) => zones.find(|zone| zone == asked),
        None => zones.next(),
    };
    let name = asked.map_or_else(|| region.to_string(), |zone| zone.to_string());
    found.ok_or(CloudFault::UnknownZone(name))
}

/// A guest has an interface on the public wire too, and could not tell which of the two leads to an
/// address that is on both.
fn check_beside_public(cidr: Cidr, draft: &Draft<'_>) -> Result<(), CloudFault> {
    let mut groups = draft.settings.groups.iter();
    match groups.any(|group| group.public_addresses.overlaps(cidr)) {
        true => Err(CloudFault::SubnetRange(cidr)),
        false => Ok(()),
    }
}
