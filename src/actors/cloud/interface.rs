//! Network interfaces: decisions about those that users make, attach, change and delete.
//!
//! The two interfaces that an instance is born with have its security groups and its source check;
//! to change theirs is to change the instance's. A guest's NICs are those of its boot, so an
//! interface is attached to a stopped instance, and detached from one.

use super::{
    addresses::{self, Choice},
    command::Decide,
    instance,
    key_pair::put_tags,
    security_group, subnet,
    tag::remove_tags,
};
use crate::domain::{
    cloud_state::Entry,
    detached_interface::{Attachment, CreationToken, DetachedInterface},
    draft::{Draft, Effect},
    fault::{CloudFault, Wanted},
    id::{AttachmentId, InstanceId, InterfaceId, PrefixedId, SecurityGroupId, VpcId, ZoneName},
    instance::{Instance, InstanceState, Interface},
    interface::{ADDRESSES_MAX, INTERFACES_MAX, MacAddress, Wire},
    security_group::DEFAULT_GROUP_NAME,
    vpc::Subnet,
};
use crate::messages::cloud::interface::{
    AssignAddresses, AttachInterface, CreateInterface, DeleteInterface, DetachInterface,
    InterfaceAttribute, ModifyInterface, UnassignAddresses,
};
use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc};

impl Decide for CreateInterface {
    fn decide(self, draft: &mut Draft<'_>) -> Result<InterfaceId, CloudFault> {
        let made_by = self.client_token.clone().map(|token| {
            let parameters = super::command::fingerprint(&self);
            CreationToken { token, parameters }
        });
        if let Some(earlier) = made_before(made_by.as_ref(), draft)? {
            return Ok(earlier);
        }
        let new = self.interface;
        let subnet = subnet::find(&new.subnet, draft)?;
        let groups = groups(&new.security_groups, &subnet.vpc, draft)?;
        let addresses = addresses::of_new(&new.addresses, &subnet, &BTreeSet::new(), draft)?;
        let interface = made(&subnet, addresses, &new.description, groups, draft);
        let id = interface.id.clone();
        put_tags(id.as_str(), self.tags, draft)?;
        let interface = DetachedInterface { made_by, ..interface };
        draft.put(Entry::DetachedInterface(Arc::new(interface)));
        Ok(id)
    }
}

impl Decide for DeleteInterface {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        let interface = find_detached(&self.interface, draft)?;
        remove_tags(interface.id.as_str(), draft);
        draft.remove(Entry::DetachedInterface(interface));
        Ok(())
    }
}

impl Decide for AttachInterface {
    fn decide(self, draft: &mut Draft<'_>) -> Result<AttachmentId, CloudFault> {
        let interface = find_detached(&self.interface, draft)?;
        let mut instance = own_instance(&self.instance, draft)?;
        require_stopped(&instance, "attached to")?;
        let vpc = instance.vpc().ok_or_else(|| CloudFault::InterfaceNotFound(self.interface))?;
        check_place(&interface, &instance.zone, vpc)?;
        let index = self.device_index;
        if instance.interfaces.iter().any(|other| other.device_index == index) {
            return Err(CloudFault::InvalidParameter(format!(
                "Instance '{}' already has an interface attached at device index '{index}'.",
                instance.id
            )));
        }
        if instance.interfaces.len() >= INTERFACES_MAX as usize {
            return Err(CloudFault::InterfaceLimitExceeded);
        }
        let id = AttachmentId::random(draft.chance);
        let attachment = Attachment {
            id: id.clone(),
            device_index: index,
            at: draft.now,
            deleted_with_instance: false,
        };
        instance.interfaces.push(interface.attached(attachment));
        instance.interfaces.sort_by_key(|interface| interface.device_index);
        draft.remove(Entry::DetachedInterface(interface));
        put_changed(instance, draft);
        Ok(id)
    }
}

impl Decide for DetachInterface {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        let own = draft.own();
        let has_it = |instance: &&Arc<Instance>| {
            instance.state.exists()
                && instance.interfaces.iter().any(|i| i.attachment == self.attachment)
        };
        let Some(instance) = own.instances.values().find(has_it) else {
            return Err(CloudFault::AttachmentNotFound(self.attachment));
        };
        let is_it = |interface: &Interface| interface.attachment == self.attachment;
        let interface = instance.interfaces.iter().find(|interface| is_it(interface));
        let interface = interface.expect("the instance was found by it");
        if !interface.is_further() {
            return Err(CloudFault::InterfaceIndispensable(interface.device_index));
        }
        require_stopped(instance, "detached from")?;
        let left = DetachedInterface::left_by(instance, interface)
            .ok_or(CloudFault::InterfaceIndispensable(interface.device_index))?;
        // The groups that it leaves have members less.
        draft.members_changed(instance);
        let mut instance = Instance::clone(instance);
        instance.interfaces.retain(|interface| !is_it(interface));
        put_changed(instance, draft);
        draft.put(Entry::DetachedInterface(Arc::new(left)));
        Ok(())
    }
}

impl Decide for ModifyInterface {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        let mut holder = Holder::of(&self.interface, draft)?;
        match self.attribute {
            InterfaceAttribute::Description(text) => holder.describe(text),
            InterfaceAttribute::SecurityGroups(wanted) => {
                let groups = groups(&wanted, &holder.vpc()?, draft)?;
                holder.join(groups, draft);
            }
            InterfaceAttribute::SourceDestCheck(on) => holder.check_source(on),
            InterfaceAttribute::DeletedWithInstance(attachment, deleted) => {
                let interface = holder.attached().filter(|i| i.attachment == attachment);
                let Some(interface) = interface else {
                    return Err(CloudFault::AttachmentNotFound(attachment));
                };
                if interface.wire == Wire::Public && !deleted {
                    return Err(CloudFault::Unsupported(
                        "The public network interface is deleted with its instance.".to_owned(),
                    ));
                }
                interface.deleted_with_instance = deleted;
            }
        }
        holder.put(draft);
        Ok(())
    }
}

impl Decide for AssignAddresses {
    fn decide(self, draft: &mut Draft<'_>) -> Result<Vec<Ipv4Addr>, CloudFault> {
        let subnet = Holder::of(&self.interface, draft)?.subnet(draft)?;
        if self.allow_reassignment {
            for address in &self.addresses {
                take_from_others(*address, &subnet, &self.interface, draft)?;
            }
        }
        let mut holder = Holder::of(&self.interface, draft)?;
        let mut choice = Choice { subnet: &subnet, own: draft.own(), promised: BTreeSet::new() };
        let mut assigned = Vec::new();
        for address in self.addresses {
            // Asking for what it has already is granted.
            if holder.secondary().contains(&address) {
                continue;
            }
            choice.take(address)?;
            assigned.push(address);
        }
        let has = 1 + holder.secondary().len() + assigned.len();
        if has + self.count as usize > ADDRESSES_MAX {
            return Err(CloudFault::InterfaceAddressesExceeded);
        }
        for _ in 0..self.count {
            assigned.push(choice.free(draft.chance)?);
        }
        holder.secondary().extend(&assigned);
        holder.put(draft);
        Ok(assigned)
    }
}

impl Decide for UnassignAddresses {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        let mut holder = Holder::of(&self.interface, draft)?;
        for address in self.addresses {
            let Some(place) = holder.secondary().iter().position(|have| *have == address) else {
                return Err(CloudFault::InvalidParameter(format!(
                    "Some of the specified addresses are not assigned to interface {}: {address}",
                    self.interface
                )));
            };
            holder.secondary().remove(place);
        }
        holder.put(draft);
        Ok(())
    }
}

/// An interface wherever it is recorded, to be changed.
enum Holder {
    Detached(DetachedInterface),
    /// The instance, and which of its interfaces.
    Attached(Instance, usize),
}

impl Holder {
    fn of(id: &InterfaceId, draft: &Draft<'_>) -> Result<Holder, CloudFault> {
        let own = draft.own();
        if let Some(interface) = own.detached_interfaces.get(id) {
            return Ok(Holder::Detached(DetachedInterface::clone(interface)));
        }
        let instance = own.interface(id).map(|(_, instance)| Instance::clone(instance));
        let place = |instance: &Instance| instance.interfaces.iter().position(|i| i.id == *id);
        match instance.and_then(|instance| Some((place(&instance)?, instance))) {
            Some((place, instance)) => Ok(Holder::Attached(instance, place)),
            None => Err(CloudFault::InterfaceNotFound(id.clone())),
        }
    }

    fn attached(&mut self) -> Option<&mut Interface> {
        match self {
            Holder::Detached(_) => None,
            Holder::Attached(instance, place) => instance.interfaces.get_mut(*place),
        }
    }

    fn describe(&mut self, text: String) {
        match self {
            Holder::Detached(interface) => interface.description = text,
            Holder::Attached(instance, place) => instance.interfaces[*place].description = text,
        }
    }

    fn join(&mut self, groups: Vec<SecurityGroupId>, draft: &mut Draft<'_>) {
        match self {
            Holder::Detached(interface) => interface.security_groups = groups,
            Holder::Attached(instance, place) => {
                draft.members_changed(instance);
                match &mut instance.interfaces[*place].security_groups {
                    Some(own) => *own = groups,
                    None => instance.security_groups = groups,
                }
                draft.members_changed(instance);
                draft.effect(Effect::RefreshFilters(instance.scope.clone()));
            }
        }
    }

    fn check_source(&mut self, on: bool) {
        match self {
            Holder::Detached(interface) => interface.checks_source = on,
            Holder::Attached(instance, place) => {
                match &mut instance.interfaces[*place].checks_source {
                    Some(own) => *own = on,
                    None => instance.source_dest_check = on,
                }
            }
        }
    }

    fn secondary(&mut self) -> &mut Vec<Ipv4Addr> {
        match self {
            Holder::Detached(interface) => &mut interface.secondary,
            Holder::Attached(instance, place) => &mut instance.interfaces[*place].secondary,
        }
    }

    /// That whose groups it may be in: of an interface on the public wire, the instance's.
    fn vpc(&self) -> Result<VpcId, CloudFault> {
        match self {
            Holder::Detached(interface) => Ok(interface.vpc.clone()),
            Holder::Attached(instance, place) => instance.vpc().cloned().ok_or_else(|| {
                CloudFault::InterfaceNotFound(instance.interfaces[*place].id.clone())
            }),
        }
    }

    fn subnet(&self, draft: &Draft<'_>) -> Result<Arc<Subnet>, CloudFault> {
        let id = match self {
            Holder::Detached(interface) => Some(&interface.subnet),
            Holder::Attached(instance, place) => instance.interfaces[*place].subnet.as_ref(),
        };
        match id {
            Some(id) => subnet::find(id, draft),
            None => Err(CloudFault::Unsupported(
                "The public network interface has one address.".to_owned(),
            )),
        }
    }

    fn put(self, draft: &mut Draft<'_>) {
        match self {
            Holder::Detached(interface) => {
                draft.put(Entry::DetachedInterface(Arc::new(interface)));
            }
            Holder::Attached(instance, _) => put_changed(instance, draft),
        }
    }
}

/// With what its guest may read of it, and with what others' rules admit of it.
fn put_changed(instance: Instance, draft: &mut Draft<'_>) {
    draft.members_changed(&instance);
    draft.effect(Effect::Update(instance.id.clone()));
    draft.put(Entry::Instance(Arc::new(instance)));
}

/// An address besides the first of another interface is taken from it.
fn take_from_others(
    address: Ipv4Addr,
    subnet: &Subnet,
    taker: &InterfaceId,
    draft: &mut Draft<'_>,
) -> Result<(), CloudFault> {
    let own = draft.own();
    let Some(holder) = own.private_addresses.get(&(subnet.vpc.clone(), address)) else {
        return Ok(());
    };
    if holder == taker {
        return Ok(());
    }
    let mut holder = Holder::of(holder, draft)?;
    if let Some(place) = holder.secondary().iter().position(|have| *have == address) {
        holder.secondary().remove(place);
        holder.put(draft);
    }
    Ok(())
}

/// An interface that did not exist before, which is nobody's.
pub fn made(
    subnet: &Subnet,
    mut addresses: Vec<Ipv4Addr>,
    description: &str,
    security_groups: Vec<SecurityGroupId>,
    draft: &mut Draft<'_>,
) -> DetachedInterface {
    let address = addresses.remove(0);
    DetachedInterface {
        scope: draft.scope.clone(),
        id: InterfaceId::random(draft.chance),
        mac: MacAddress::private(address),
        vpc: subnet.vpc.clone(),
        subnet: subnet.id.clone(),
        zone: subnet.zone.clone(),
        address,
        range: subnet.cidr,
        secondary: addresses,
        description: description.to_owned(),
        security_groups,
        checks_source: true,
        made_by: None,
    }
}

/// The caller's interface, which nobody has.
pub fn find_detached(
    id: &InterfaceId,
    draft: &Draft<'_>,
) -> Result<Arc<DetachedInterface>, CloudFault> {
    let own = draft.own();
    match own.detached_interfaces.get(id) {
        Some(interface) => Ok(interface.clone()),
        None if own.interfaces.contains_key(id) => Err(CloudFault::InterfaceInUse(id.clone())),
        None => Err(CloudFault::InterfaceNotFound(id.clone())),
    }
}

/// The groups named, each once; the VPC's default one where none is.
pub fn groups(
    wanted: &[SecurityGroupId],
    vpc: &VpcId,
    draft: &Draft<'_>,
) -> Result<Vec<SecurityGroupId>, CloudFault> {
    let own = draft.own();
    if wanted.is_empty() {
        let default = own.security_group_named(vpc, DEFAULT_GROUP_NAME);
        return Ok(default.map(|group| group.id.clone()).into_iter().collect());
    }
    let mut groups = Vec::new();
    for id in wanted {
        let group = security_group::find_in(id, vpc, &own)?;
        if !groups.contains(&group.id) {
            groups.push(group.id.clone());
        }
    }
    Ok(groups)
}

/// An interface and its instance are in one zone and one VPC.
pub fn check_place(
    interface: &DetachedInterface,
    zone: &ZoneName,
    vpc: &VpcId,
) -> Result<(), CloudFault> {
    let refused = |what: &str| {
        Err(CloudFault::InvalidCombination(format!(
            "You may not attach a network interface to an instance if they are not in the same \
             {what}"
        )))
    };
    match (interface.zone == *zone, interface.vpc == *vpc) {
        (true, true) => Ok(()),
        (false, _) => refused("availability zone"),
        (true, false) => refused("VPC"),
    }
}

fn own_instance(id: &InstanceId, draft: &Draft<'_>) -> Result<Instance, CloudFault> {
    let own = draft.own();
    let instance = own.instances.get(id).filter(|instance| instance.state.exists());
    let instance = instance.ok_or_else(|| CloudFault::InstancesNotFound(vec![id.clone()]))?;
    Ok(Instance::clone(instance))
}

fn require_stopped(instance: &Instance, done_to: &str) -> Result<(), CloudFault> {
    match instance.state {
        InstanceState::Stopped => Ok(()),
        InstanceState::Pending | InstanceState::Running => Err(CloudFault::Unsupported(format!(
            "Network interfaces cannot be {done_to} a running instance in this cloud: stop \
                 instance '{}' first.",
            instance.id
        ))),
        InstanceState::Stopping | InstanceState::ShuttingDown | InstanceState::Terminated => {
            Err(instance::refused(instance, Wanted::ChangeStopped))
        }
    }
}

/// What a client that repeats itself made the first time.
fn made_before(
    token: Option<&CreationToken>,
    draft: &Draft<'_>,
) -> Result<Option<InterfaceId>, CloudFault> {
    let Some(token) = token else { return Ok(None) };
    let own = draft.own();
    let detached = own.detached_interfaces.values().map(|free| (&free.id, &free.made_by));
    let existing = own.instances.values().filter(|instance| instance.state.exists());
    let attached = existing.flat_map(|i| i.interfaces.iter().map(|i| (&i.id, &i.made_by)));
    let mut made = detached.chain(attached).filter_map(|(id, by)| Some((id, by.as_ref()?)));
    match made.find(|(_, by)| by.token == token.token) {
        None => Ok(None),
        Some((id, by)) if by.parameters == token.parameters => Ok(Some(id.clone())),
        Some(_) => Err(CloudFault::IdempotentParameterMismatch),
    }
}
