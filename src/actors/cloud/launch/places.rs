//! Where a launch may go: the zones it admits, each with the subnet it would be in there, and how
//! instances are shared out among them. One code path, whether a subnet is asked for, a zone, a
//! meta-zone or nothing of it.

use crate::{
    domain::{
        allocation::{AllocationPolicy, Offer},
        capacity::Room,
        cloud_state::ScopeState,
        draft::Draft,
        fault::CloudFault,
        id::{GroupName, SubnetId, ZoneName},
        resources::Resources,
        settings::{Candidates, GroupSettings},
        vpc::Subnet,
    },
    messages::cloud::LaunchReservation,
};
use std::{collections::BTreeSet, sync::Arc};

/// A zone that instances of the launch may come to.
pub(super) struct Place {
    pub group: GroupSettings,
    pub subnet: Arc<Subnet>,
    /// How many of the launch it has.
    pub given: u64,
    /// It could not take what it was given, and gets no more.
    pub exhausted: bool,
}

pub(super) struct Places {
    /// In the order of the configuration; at least one.
    pub places: Vec<Place>,
    /// Of the places, those that a policy of the cloud keeps it out of.
    except: BTreeSet<GroupName>,
    pub policy: Arc<dyn AllocationPolicy>,
    /// What was asked for, in words for users.
    pub name: String,
}

impl Places {
    pub fn of(
        asked: &LaunchReservation,
        except: BTreeSet<GroupName>,
        own: &ScopeState,
        draft: &Draft<'_>,
    ) -> Result<Places, CloudFault> {
        let region = &draft.scope.region;
        let unknown = |zone: &dyn ToString| CloudFault::UnknownZone(zone.to_string());
        let candidates = draft.settings.candidates(region, asked.zone.as_ref());
        let Candidates { zones, policy } = candidates.ok_or_else(|| {
            unknown(asked.zone.as_ref().expect("to name no zone is always possible"))
        })?;
        let places = match &asked.subnet {
            Some(subnet) => vec![place_of(subnet, &zones, asked, own)?],
            // A zone without a default subnet can only be asked for by a subnet.
            None => zones
                .iter()
                .filter_map(|(zone, group)| Place::default_of(zone, group, own))
                .collect(),
        };
        let name = match (&places[..], &asked.zone) {
            ([only], _) => only.subnet.zone.to_string(),
            (_, Some(zone)) => zone.to_string(),
            (_, None) => region.to_string(),
        };
        if places.is_empty() {
            return Err(unknown(&name));
        }
        Ok(Places { places, except, policy, name })
    }

    /// Which places the next instances go to, by their number, and how many to each; nothing when
    /// no more are to be had.
    pub fn shares(&self, wanted: u64, each: Resources, draft: &Draft<'_>) -> Vec<(usize, u64)> {
        let offer = |place: &Place| {
            let is_open = !place.exhausted && !self.except.contains(&place.group.name);
            let room = match is_open {
                true => draft.state.capacity.room(&place.group.name, each, wanted),
                false => Room { placeable: 0, in_all: 0 },
            };
            Offer { room, given: place.given }
        };
        let offers: Vec<Offer> = self.places.iter().map(offer).collect();
        let shares = self.policy.shares(&offers, wanted);
        let shares = shares.into_iter().map(|share| (share.group, share.count));
        shares.filter(|(_, count)| *count > 0).collect()
    }
}

/// That of the subnet asked for, which is in the zone asked for, or in one of the meta-zone's.
fn place_of(
    id: &SubnetId,
    zones: &[(ZoneName, &GroupSettings)],
    asked: &LaunchReservation,
    own: &ScopeState,
) -> Result<Place, CloudFault> {
    let subnet = own.subnets.get(id).ok_or_else(|| CloudFault::SubnetNotFound(id.clone()))?;
    match (zones.iter().find(|(zone, _)| *zone == subnet.zone), &asked.zone) {
        (Some((_, group)), _) => Ok(Place::new(group, subnet)),
        (None, Some(zone)) => Err(CloudFault::InvalidParameter(format!(
            "The zone '{zone}' does not contain the subnet '{id}'"
        ))),
        (None, None) => Err(CloudFault::UnknownZone(subnet.zone.to_string())),
    }
}

impl Place {
    fn default_of(zone: &ZoneName, group: &GroupSettings, own: &ScopeState) -> Option<Place> {
        let mut subnets = own.subnets.values();
        let subnet = subnets.find(|subnet| subnet.is_default && subnet.zone == *zone)?;
        Some(Place::new(group, subnet))
    }

    fn new(group: &GroupSettings, subnet: &Arc<Subnet>) -> Place {
        Place { group: group.clone(), subnet: subnet.clone(), given: 0, exhausted: false }
    }
}
