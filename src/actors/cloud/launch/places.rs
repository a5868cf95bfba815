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
        id::{GroupName, ZoneName},
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
    policy: Arc<dyn AllocationPolicy>,
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
        let zone = asked.zone.as_ref();
        let Candidates { mut zones, policy } = draft
            .settings
            .candidates(region, zone)
            .ok_or_else(|| unknown(&zone.expect("no zone is never unknown")))?;
        let default =
            |zone: &ZoneName| own.subnets.values().find(|s| s.is_default && s.zone == *zone);
        let mut places = Vec::new();
        let name = match &asked.subnet {
            Some(id) => {
                let subnet = own.subnets.get(id);
                let subnet = subnet.ok_or_else(|| CloudFault::SubnetNotFound(id.clone()))?;
                let place = zones.iter().position(|(zone, _)| *zone == subnet.zone);
                let (zone, group) = match (place, zone) {
                    (Some(place), _) => zones.swap_remove(place),
                    (None, None) => return Err(unknown(&subnet.zone)),
                    (None, Some(zone)) => {
                        return Err(CloudFault::InvalidParameter(format!(
                            "The zone '{zone}' does not contain the subnet '{id}'"
                        )));
                    }
                };
                places.push(Place::new(group, subnet));
                zone.to_string()
            }
            None => {
                // A zone without a default subnet can only be asked for by a subnet.
                let inhabited =
                    zones.iter().filter_map(|(zone, group)| Some((group, default(zone)?)));
                places.extend(inhabited.map(|(group, subnet)| Place::new(group, subnet)));
                match (zone, &places[..]) {
                    (Some(zone), _) => zone.to_string(),
                    (None, [only]) => only.subnet.zone.to_string(),
                    (None, _) => region.to_string(),
                }
            }
        };
        if places.is_empty() {
            return Err(CloudFault::UnknownZone(name));
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
        shares.into_iter().map(|share| (share.group, share.count)).collect()
    }
}

impl Place {
    fn new(group: &GroupSettings, subnet: &Arc<Subnet>) -> Place {
        Place { group: group.clone(), subnet: subnet.clone(), given: 0, exhausted: false }
    }
}
