//! Elastic addresses: decisions.
//!
//! Whoever has one, or loses it, is told by an update, which needs no boot; where the instance is a
//! member of security groups, their members are told with it.

use super::{command::Decide, key_pair::put_tags};
use crate::domain::{
    cloud_state::{CloudState, Entry, ScopeState},
    draft::{Draft, Effect},
    elastic_address::{AddressDomain, AddressFault, Association, ElasticAddress, ElasticPool},
    fault::CloudFault,
    id::{AllocationId, AssociationId, PrefixedId},
    instance::{Instance, InstanceState, Interface},
    interface::Wire,
    settings::CloudSettings,
};
use crate::messages::cloud::elastic_address::{
    AddressName, AddressTarget, AllocateAddress, Allocated, AssociateAddress, Associated,
    DisassociateAddress, Reassociation, ReleaseAddress,
};
use std::{net::Ipv4Addr, sync::Arc};

impl Decide for AllocateAddress {
    fn decide(self, draft: &mut Draft<'_>) -> Result<Allocated, CloudFault> {
        let held = draft.own().elastic_addresses.size() as u64;
        if held >= draft.settings.elastic.per_account {
            return Err(AddressFault::LimitExceeded.into());
        }
        let address = match self.address {
            None => any_free(draft).ok_or(AddressFault::Exhausted)?,
            Some(wanted) => free(draft.settings, &draft.state)
                .find(|address| draft.settings.reach.shown(*address) == wanted)
                .ok_or(AddressFault::Unavailable(wanted))?,
        };
        let id = AllocationId::random(draft.chance);
        put_tags(id.as_str(), self.tags, draft)?;
        draft.put(Entry::ElasticAddress(Arc::new(ElasticAddress {
            scope: draft.scope.clone(),
            id: id.clone(),
            address,
            domain: self.domain,
            allocated_at: draft.now,
            association: None,
        })));
        Ok(Allocated { id, address })
    }
}

impl Decide for AssociateAddress {
    fn decide(self, draft: &mut Draft<'_>) -> Result<Associated, CloudFault> {
        let address = find(&self.address, draft)?;
        let (instance, interface) = target(&self.target, draft)?;
        check_private_address(self.private_address, &instance, &interface, &self.target)?;
        let own = draft.own();
        let current = own.association(&address);
        if let Some(same) = current.filter(|current| current.interface == interface.id) {
            return Ok(Associated { id: same.id.clone(), domain: address.domain });
        }
        let occupant = own.elastic_address_of(&interface.id).cloned();
        if self.reassociation == Reassociation::Refused && address.domain == AddressDomain::Vpc {
            check_free(&address, current, occupant.as_deref().and_then(|o| own.association(o)))?;
        }
        if let Some(occupant) = occupant {
            disassociate(&occupant, draft);
        }
        disassociate(&address, draft);
        let association = Association {
            id: AssociationId::random(draft.chance),
            instance: instance.id.clone(),
            interface: interface.id.clone(),
            private_address: interface.address,
        };
        let associated = Associated { id: association.id.clone(), domain: address.domain };
        let address = ElasticAddress { association: Some(association), ..(*address).clone() };
        draft.put(Entry::ElasticAddress(Arc::new(address)));
        tell(&instance, draft);
        Ok(associated)
    }
}

impl Decide for DisassociateAddress {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        let address = match self {
            DisassociateAddress::Association(id) => {
                let own = draft.own();
                let has_it = |address: &&Arc<ElasticAddress>| {
                    own.association(address).is_some_and(|association| association.id == id)
                };
                let found = own.elastic_addresses.values().find(has_it).cloned();
                found.ok_or(AddressFault::AssociationNotFound(id))?
            }
            DisassociateAddress::Address(shown) => find(&AddressName::Address(shown), draft)?,
        };
        disassociate(&address, draft);
        Ok(())
    }
}

impl Decide for ReleaseAddress {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        let address = find(&self.address, draft)?;
        if draft.own().association(&address).is_some() {
            if address.domain == AddressDomain::Vpc {
                let shown = draft.settings.reach.shown(address.address);
                return Err(AddressFault::InUse(shown).into());
            }
            disassociate(&address, draft);
        }
        if let Some(tags) = draft.own().tags.get(address.id.as_str()) {
            draft.remove(Entry::Tags(tags.clone()));
        }
        draft.remove(Entry::ElasticAddress(address));
        Ok(())
    }
}

/// What an instance that is about to be forgotten leaves associated is so no more.
pub(super) fn forget(instance: &Instance, draft: &mut Draft<'_>) {
    let own = draft.state.scope(&instance.scope).cloned().unwrap_or_default();
    for interface in &instance.interfaces {
        let id = own.elastic_interfaces.get(&interface.id);
        if let Some(address) = id.and_then(|id| own.elastic_addresses.get(id)) {
            let address = ElasticAddress { association: None, ..(**address).clone() };
            draft.put(Entry::ElasticAddress(Arc::new(address)));
        }
    }
}

/// The addresses of the pool that nobody has. Those that are no host's address in a group's range
/// are none to give out, and nor are those that instances had before there was a pool.
fn free<'a>(
    settings: &'a CloudSettings,
    state: &'a CloudState,
) -> impl Iterator<Item = Ipv4Addr> + 'a {
    let ElasticPool { range, .. } = settings.elastic;
    let addresses = range
        .into_iter()
        .flat_map(|range| (0..range.size()).filter_map(move |offset| range.nth(offset)));
    addresses.filter(move |address| {
        let is_special = settings.groups.iter().any(|group| {
            let range = group.public_addresses;
            let last = range.nth(range.size() - 1);
            group.gateway == *address || range.address() == *address || last == Some(*address)
        });
        !is_special
            && !state.public_addresses.contains_key(address)
            && !state.elastic_addresses.contains_key(address)
    })
}

/// One at random, so that one given back is not the next one given out: a stranger's caches may
/// still hold it.
fn any_free(draft: &mut Draft<'_>) -> Option<Ipv4Addr> {
    let free: Vec<Ipv4Addr> = free(draft.settings, &draft.state).collect();
    let mut bytes = [0; 8];
    draft.chance.fill(&mut bytes);
    let place = u64::from_be_bytes(bytes).checked_rem(free.len() as u64)?;
    free.get(place as usize).copied()
}

/// The caller's own elastic address.
fn find(name: &AddressName, draft: &Draft<'_>) -> Result<Arc<ElasticAddress>, AddressFault> {
    let own = draft.own();
    match name {
        AddressName::Allocation(id) => {
            let found = own.elastic_addresses.get(id).cloned();
            found.ok_or_else(|| AddressFault::AllocationNotFound(id.clone()))
        }
        AddressName::Address(shown) => {
            let is_it = |address: &Ipv4Addr| draft.settings.reach.shown(*address) == *shown;
            let found = own.elastic_addresses.values().find(|own| is_it(&own.address)).cloned();
            found.ok_or_else(|| match draft.state.elastic_addresses.keys().any(is_it) {
                true => AddressFault::AnotherAccounts(*shown),
                false => AddressFault::AddressNotFound(*shown),
            })
        }
    }
}

/// The interface meant, and whose it is. An instance must have got somewhere before it can be given
/// an address, and must not be ending.
fn target(
    target: &AddressTarget,
    draft: &Draft<'_>,
) -> Result<(Arc<Instance>, Interface), CloudFault> {
    let own: ScopeState = draft.own();
    let instance = match target {
        AddressTarget::Instance(id) => {
            own.instances.get(id).ok_or_else(|| CloudFault::InstancesNotFound(vec![id.clone()]))?
        }
        AddressTarget::Interface(id) => own
            .interfaces
            .get(id)
            .and_then(|instance| own.instances.get(instance))
            .ok_or_else(|| CloudFault::InterfaceNotFound(id.clone()))?,
    };
    let ready = match instance.state {
        InstanceState::Running | InstanceState::Stopping | InstanceState::Stopped => true,
        InstanceState::Pending | InstanceState::ShuttingDown | InstanceState::Terminated => false,
    };
    if !ready {
        let (instance, state) = (instance.id.clone(), instance.state);
        return Err(AddressFault::InstanceNotReady { instance, state }.into());
    }
    let named = |interface: &&Interface| match target {
        AddressTarget::Instance(_) => interface.wire == Wire::Public,
        AddressTarget::Interface(id) => interface.id == *id,
    };
    let interface = instance.interfaces.iter().find(named);
    match (interface, target) {
        (Some(interface), _) if interface.wire == Wire::Public => {
            Ok((instance.clone(), interface.clone()))
        }
        (Some(interface), _) => Err(AddressFault::NotPublic(interface.id.clone()).into()),
        (None, AddressTarget::Interface(id)) => Err(CloudFault::InterfaceNotFound(id.clone())),
        (None, AddressTarget::Instance(id)) => {
            let (instance, state) = (id.clone(), instance.state);
            Err(AddressFault::InstanceNotReady { instance, state }.into())
        }
    }
}

/// An instance may be spoken of by any of its addresses, an interface by its own.
fn check_private_address(
    wanted: Option<Ipv4Addr>,
    instance: &Instance,
    interface: &Interface,
    target: &AddressTarget,
) -> Result<(), AddressFault> {
    let Some(address) = wanted else { return Ok(()) };
    let (is_its_own, owner) = match target {
        AddressTarget::Instance(id) => {
            (instance.interfaces.iter().any(|own| own.address == address), id.to_string())
        }
        AddressTarget::Interface(id) => (interface.address == address, id.to_string()),
    };
    match is_its_own {
        true => Ok(()),
        false => Err(AddressFault::NotAnAddressOf { address, owner }),
    }
}

fn check_free(
    address: &ElasticAddress,
    current: Option<&Association>,
    occupying: Option<&Association>,
) -> Result<(), AddressFault> {
    let (resource, association) = match (current, occupying) {
        (Some(current), _) => (address.id.to_string(), current),
        (None, Some(occupying)) => (occupying.interface.to_string(), occupying),
        (None, None) => return Ok(()),
    };
    Err(AddressFault::AlreadyAssociated { resource, association: association.id.clone() })
}

/// Of an address of the caller's, whether or not it is associated.
fn disassociate(address: &ElasticAddress, draft: &mut Draft<'_>) {
    let own = draft.own();
    let holder = own.association(address).and_then(|a| own.instances.get(&a.instance)).cloned();
    if address.association.is_some() {
        let address = ElasticAddress { association: None, ..address.clone() };
        draft.put(Entry::ElasticAddress(Arc::new(address)));
    }
    if let Some(holder) = holder {
        tell(&holder, draft);
    }
}

fn tell(instance: &Instance, draft: &mut Draft<'_>) {
    draft.effect(Effect::Update(instance.id.clone()));
    draft.members_changed(instance);
}

#[cfg(test)]
mod tests;
