//! RunInstances' decision: resolve every reference, reserve, record as `pending`.
//!
//! Nothing is reserved before everything named has been found, and all of it is one draft: a
//! launch that cannot reach its minimum leaves no trace.

mod interfaces;
mod places;

use super::{
    command::{Decide, fingerprint},
    security_group,
};
use crate::domain::{
    cloud_state::{ClientToken, Entry, ScopeState},
    draft::{Draft, Effect},
    fault::CloudFault,
    id::{
        GroupName, ImageId, InstanceId, PrefixedId, ReservationId, SecurityGroupId, VolumeId, VpcId,
    },
    image::{BootSource, Image, ImageKind},
    instance::{Instance, InstanceState, StateReason},
    instance_type::InstanceTypes,
    key_pair::KeyPair,
    resources::Resources,
    security_group::DEFAULT_GROUP_NAME,
    sla::LaunchRequest,
    tag::{self, TagSet, Tags},
};
use crate::messages::cloud::{LaunchReservation, Launched, SecurityGroupName};
use places::{Place, Places};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

impl Decide for LaunchReservation {
    fn decide(mut self, draft: &mut Draft<'_>) -> Result<Launched, CloudFault> {
        if let Some(earlier) = launched_before(&self, draft)? {
            return Ok(earlier);
        }
        let parameters = self.client_token.is_some().then(|| fingerprint(&self));
        check_counts(&self)?;
        interfaces::settle(&mut self, draft)?;
        let except = ask_policies(&mut self, draft)?;
        let (resolved, places) = resolve(&self, except, draft)?;
        let reservation = ReservationId::random(draft.chance);
        let instances = reserve(&self, &resolved, places, &reservation, draft)?;
        if let (Some(token), Some(parameters)) = (&self.client_token, parameters) {
            draft.put(Entry::ClientToken(Arc::new(ClientToken {
                scope: draft.scope.clone(),
                token: token.clone(),
                parameters,
                reservation: reservation.clone(),
                used_at: draft.now,
            })));
        }
        Ok(Launched { reservation, instances })
    }
}

/// Policies may refuse the launch, make another of it, or keep it out of groups. A subnet has the
/// last word on the zone.
fn ask_policies(
    asked: &mut LaunchReservation,
    draft: &Draft<'_>,
) -> Result<BTreeSet<GroupName>, CloudFault> {
    let (_, each) = instance_type(asked, draft)?;
    let subnet = asked.subnet.as_ref().and_then(|id| draft.own().subnets.get(id).cloned());
    let zone = subnet.as_ref().map(|subnet| subnet.zone.clone()).or_else(|| asked.zone.clone());
    let (min_count, max_count) = (asked.min_count, asked.max_count);
    let except = BTreeSet::new();
    let mut request = LaunchRequest { zone, except, min_count, max_count, each };
    draft.settings.sla.request(&mut request, draft)?;
    if subnet.is_none() {
        asked.zone = request.zone;
    }
    (asked.min_count, asked.max_count) = (request.min_count, request.max_count);
    Ok(request.except)
}

fn instance_type(
    asked: &LaunchReservation,
    draft: &Draft<'_>,
) -> Result<(String, Resources), CloudFault> {
    let name = asked.instance_type.clone().unwrap_or_else(|| InstanceTypes::DEFAULT.to_owned());
    match draft.settings.instance_types.get(&name) {
        Some(resources) => Ok((name, resources)),
        None => Err(CloudFault::UnknownInstanceType(name)),
    }
}

/// A client that repeats itself after a lost answer gets the first answer.
fn launched_before(
    asked: &LaunchReservation,
    draft: &Draft<'_>,
) -> Result<Option<Launched>, CloudFault> {
    let own = draft.own();
    let Some(earlier) = asked.client_token.as_ref().and_then(|token| own.client_tokens.get(token))
    else {
        return Ok(None);
    };
    if earlier.parameters != fingerprint(asked) {
        return Err(CloudFault::IdempotentParameterMismatch);
    }
    let mut instances: Vec<_> = own
        .instances
        .values()
        .filter(|instance| instance.reservation == earlier.reservation)
        .collect();
    instances.sort_by_key(|instance| instance.launch_index);
    Ok(Some(Launched {
        reservation: earlier.reservation.clone(),
        instances: instances.into_iter().map(|instance| instance.id.clone()).collect(),
    }))
}

/// Everything the request names, found.
struct Resolved {
    image: Arc<Image>,
    kernel: Option<Arc<Image>>,
    ramdisk: Option<Arc<Image>>,
    instance_type: String,
    resources: Resources,
    key: Option<Arc<KeyPair>>,
    security_groups: Vec<SecurityGroupId>,
}

fn resolve(
    asked: &LaunchReservation,
    except: BTreeSet<GroupName>,
    draft: &Draft<'_>,
) -> Result<(Resolved, Places), CloudFault> {
    let own = draft.own();
    let image = image(&asked.image, ImageKind::Machine, draft)?;
    let kernel = part(asked.kernel.as_ref(), image.kernel.as_ref(), ImageKind::Kernel, draft)?;
    let ramdisk = part(asked.ramdisk.as_ref(), image.ramdisk.as_ref(), ImageKind::Ramdisk, draft)?;
    let (instance_type, mut resources) = instance_type(asked, draft)?;
    resources.disk_gib = root_gib(asked, resources, &image)?;
    let key = match &asked.key_name {
        None => None,
        Some(name) => {
            Some(own.key_pairs.get(name).ok_or_else(|| CloudFault::KeyPairNotFound(name.clone()))?)
        }
    };
    let places = Places::of(asked, except, &own, draft)?;
    // Several places are default subnets, all of the default VPC.
    let vpc = &places.places[0].subnet.vpc;
    let security_groups = security_groups(&asked.security_groups, vpc, &own)?;
    let resolved = Resolved {
        image,
        kernel,
        ramdisk,
        instance_type,
        resources,
        key: key.cloned(),
        security_groups,
    };
    Ok((resolved, places))
}

fn check_counts(asked: &LaunchReservation) -> Result<(), CloudFault> {
    if asked.min_count == 0 || asked.max_count == 0 {
        return Err(CloudFault::InvalidParameter(
            "MinCount and MaxCount must be at least 1".to_owned(),
        ));
    }
    if asked.min_count > asked.max_count {
        return Err(CloudFault::InvalidParameter(format!(
            "MinCount ({}) must not be greater than MaxCount ({})",
            asked.min_count, asked.max_count
        )));
    }
    Ok(())
}

/// The kernel or ramdisk asked for, or else the image's own. Who may launch an image may launch it
/// with the parts it names, whether or not they could be launched with another.
fn part(
    asked: Option<&ImageId>,
    of_image: Option<&ImageId>,
    kind: ImageKind,
    draft: &Draft<'_>,
) -> Result<Option<Arc<Image>>, CloudFault> {
    match (asked, of_image) {
        (Some(id), _) => image(id, kind, draft).map(Some),
        (None, Some(id)) => match draft.state.images.get(id) {
            Some(part) => of_kind(part, kind).map(Some),
            None => Err(CloudFault::ImageUnavailable(id.clone())),
        },
        (None, None) => Ok(None),
    }
}

fn image(id: &ImageId, kind: ImageKind, draft: &Draft<'_>) -> Result<Arc<Image>, CloudFault> {
    let image = draft
        .state
        .images
        .get(id)
        .filter(|image| image.visible_to(&draft.scope.account) || draft.caller.is_administrator())
        .ok_or_else(|| CloudFault::ImagesNotFound(vec![id.clone()]))?;
    of_kind(image, kind)
}

fn of_kind(image: &Arc<Image>, kind: ImageKind) -> Result<Arc<Image>, CloudFault> {
    if image.kind != kind {
        let id = &image.id;
        return Err(CloudFault::InvalidParameter(format!(
            "The image '{id}' is a {}, where a {} is expected",
            image.kind.as_str(),
            kind.as_str()
        )));
    }
    Ok(image.clone())
}

fn root_gib(
    asked: &LaunchReservation,
    of_type: Resources,
    image: &Image,
) -> Result<u64, CloudFault> {
    match asked.root_gib {
        Some(gib) if gib < image.size_gib => Err(CloudFault::InvalidParameter(format!(
            "Volume of size {gib}GB is smaller than image '{}', expect size>= {}GB",
            image.id, image.size_gib
        ))),
        Some(gib) => Ok(gib),
        None => Ok(of_type.disk_gib.max(image.size_gib)),
    }
}

fn security_groups(
    asked: &[SecurityGroupName],
    vpc: &VpcId,
    own: &ScopeState,
) -> Result<Vec<SecurityGroupId>, CloudFault> {
    let default = [SecurityGroupName::Name(DEFAULT_GROUP_NAME.to_owned())];
    let asked = if asked.is_empty() { &default[..] } else { asked };
    let mut ids = Vec::new();
    for name in asked {
        let id = match name {
            SecurityGroupName::Id(id) => security_group::find_in(id, vpc, own)?.id.clone(),
            SecurityGroupName::Name(name) => {
                let group = own.security_group_named(vpc, name);
                group.ok_or_else(|| CloudFault::SecurityGroupNameNotFound(name.clone()))?.id.clone()
            }
        };
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// As many as fit, up to the maximum; fewer than the minimum is a refusal.
fn reserve(
    asked: &LaunchReservation,
    resolved: &Resolved,
    mut places: Places,
    reservation: &ReservationId,
    draft: &mut Draft<'_>,
) -> Result<Vec<InstanceId>, CloudFault> {
    let max_count = asked.max_count as usize;
    let mut ids = Vec::new();
    let mut exhausted = None;
    // More than once where a place could not take its share.
    while ids.len() < max_count {
        let wanted = (max_count - ids.len()) as u64;
        let shares = places.shares(wanted, resolved.resources, draft);
        if shares.is_empty() {
            break;
        }
        for (number, count) in shares {
            let place = &mut places.places[number];
            for index in (ids.len()..max_count).take(count as usize) {
                match launch_one(index as u32, asked, resolved, place, reservation, draft) {
                    Ok(Some(id)) => ids.push(id),
                    Ok(None) => place.exhausted = true,
                    // Capacity is no use without an address.
                    Err(fault @ CloudFault::AddressesExhausted(_)) => {
                        place.exhausted = true;
                        exhausted = Some(fault);
                    }
                    Err(fault) => return Err(fault),
                }
                if place.exhausted {
                    break;
                }
                place.given += 1;
            }
        }
    }
    if ids.len() >= asked.min_count as usize {
        return Ok(ids);
    }
    Err(exhausted.unwrap_or_else(|| CloudFault::InsufficientCapacity {
        instance_type: resolved.instance_type.clone(),
        zone: places.name,
        wanted: asked.min_count,
        available: ids.len() as u64,
    }))
}

/// None: the place has no room. Where there are no addresses, nothing has been reserved.
fn launch_one(
    index: u32,
    asked: &LaunchReservation,
    resolved: &Resolved,
    place: &Place,
    reservation: &ReservationId,
    draft: &mut Draft<'_>,
) -> Result<Option<InstanceId>, CloudFault> {
    let id = InstanceId::random(draft.chance);
    let mut instance = instance(id.clone(), index, asked, resolved, place, reservation, draft)?;
    let (group, resources) = (&place.group.name, resolved.resources);
    if draft.state.capacity.reserve(&id, group, resources, &[]).is_none() {
        return Ok(None);
    }
    draft.settings.sla.commit(&mut instance, draft);
    tag_new(asked, &instance, draft)?;
    draft.members_changed(&instance);
    draft.put(Entry::Instance(Arc::new(instance)));
    draft.effect(Effect::Drive(id.clone()));
    Ok(Some(id))
}

fn instance(
    id: InstanceId,
    launch_index: u32,
    asked: &LaunchReservation,
    resolved: &Resolved,
    place: &Place,
    reservation: &ReservationId,
    draft: &mut Draft<'_>,
) -> Result<Instance, CloudFault> {
    let checks_source = interfaces::checks_source(asked, draft);
    let interfaces = interfaces::of(asked, place, draft)?;
    Ok(Instance {
        scope: draft.scope.clone(),
        id,
        reservation: reservation.clone(),
        launch_index,
        image: resolved.image.id.clone(),
        kernel: resolved.kernel.as_ref().map(|image| image.id.clone()),
        ramdisk: resolved.ramdisk.as_ref().map(|image| image.id.clone()),
        instance_type: resolved.instance_type.clone(),
        resources: resolved.resources,
        architecture: resolved.image.architecture.clone(),
        root_device_name: resolved.image.root_device_name.clone(),
        root_volume: VolumeId::random(draft.chance),
        key_name: asked.key_name.clone(),
        security_groups: resolved.security_groups.clone(),
        user_data: asked.user_data.clone(),
        client_token: asked.client_token.clone(),
        interfaces,
        zone: place.subnet.zone.clone(),
        group: place.group.name.clone(),
        node: None,
        placed_at: 0,
        state: InstanceState::Pending,
        state_reason: Some(StateReason::pending()),
        state_since: draft.now,
        launched_at: draft.now,
        ends_at: None,
        boot: BootSource {
            root: resolved.image.blob,
            format: resolved.image.format,
            kernel: resolved.kernel.as_ref().map(|image| image.blob),
            ramdisk: resolved.ramdisk.as_ref().map(|image| image.blob),
        },
        public_key: resolved.key.as_ref().map(|key| key.public_key.clone()),
        revision: 1,
        stop_forced: false,
        shutdown_behavior: asked.shutdown_behavior,
        disable_api_termination: asked.disable_api_termination,
        disable_api_stop: asked.disable_api_stop,
        ebs_optimized: asked.ebs_optimized,
        monitoring: asked.monitoring,
        source_dest_check: checks_source,
        metadata_options: asked.metadata_options,
    })
}

fn tag_new(
    asked: &LaunchReservation,
    instance: &Instance,
    draft: &mut Draft<'_>,
) -> Result<(), CloudFault> {
    let mut wanted: BTreeMap<String, &Tags> = BTreeMap::new();
    wanted.insert(instance.id.to_string(), &asked.instance_tags);
    wanted.insert(instance.root_volume.to_string(), &asked.volume_tags);
    for interface in instance.interfaces.iter().filter(|i| !asked.interfaces.names(&i.id)) {
        wanted.insert(interface.id.to_string(), &asked.interface_tags);
    }
    for (resource, new) in wanted {
        if new.is_empty() {
            continue;
        }
        let mut tags = Tags::new();
        tag::merge(&mut tags, new.clone())?;
        let scope = draft.scope.clone();
        draft.put(Entry::Tags(Arc::new(TagSet { scope, resource, tags })));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
