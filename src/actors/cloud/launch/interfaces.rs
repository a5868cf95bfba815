//! The interfaces of an instance: the paper's two, public first, so that the guest's first NIC has
//! the default route; and those that its user wants besides.

use super::places::Place;
use crate::{
    actors::cloud::{addresses, interface, subnet},
    domain::{
        cloud_state::Entry,
        detached_interface::Attachment,
        draft::Draft,
        fault::CloudFault,
        id::{AttachmentId, InterfaceId, PrefixedId},
        instance::Interface,
        interface::{FURTHER_FROM, INTERFACES_MAX, MacAddress, Wire},
    },
    messages::cloud::{
        LaunchReservation, SecurityGroupName,
        interface::{FurtherInterface, InterfaceSource},
    },
};
use std::{collections::BTreeSet, net::Ipv4Addr};

/// Checks what is asked for, and has an existing private interface say what it says of the
/// instance: where it is, and behind which rules.
pub fn settle(asked: &mut LaunchReservation, draft: &Draft<'_>) -> Result<(), CloudFault> {
    let wanted = &asked.interfaces;
    if asked.max_count > 1 && wanted.are_for_one() {
        return Err(CloudFault::InvalidCombination(
            "Multiple instances cannot be launched with one network interface or private address"
                .to_owned(),
        ));
    }
    let named: Vec<&InterfaceId> = wanted.existing().collect();
    let mut distinct = BTreeSet::new();
    if let Some(twice) = named.into_iter().find(|id| !distinct.insert(*id)) {
        return Err(CloudFault::InterfaceInUse(twice.clone()));
    }
    let mut indexes = BTreeSet::new();
    for further in &wanted.further {
        let index = further.device_index;
        if index < FURTHER_FROM || !indexes.insert(index) {
            return Err(CloudFault::InvalidParameter(format!(
                "Several network interfaces are specified for device index '{index}'"
            )));
        }
    }
    if FURTHER_FROM as usize + wanted.further.len() > INTERFACES_MAX as usize {
        return Err(CloudFault::InterfaceLimitExceeded);
    }
    if let Some(id) = &wanted.private.existing {
        let existing = interface::find_detached(id, draft)?;
        asked.subnet = Some(existing.subnet.clone());
        let groups = existing.security_groups.iter().cloned();
        asked.security_groups = groups.map(SecurityGroupName::Id).collect();
    }
    Ok(())
}

/// An existing private interface is the instance's, and what was said of it is said of that.
pub fn checks_source(asked: &LaunchReservation, draft: &Draft<'_>) -> bool {
    let existing = asked.interfaces.private.existing.as_ref();
    existing
        .and_then(|id| interface::find_detached(id, draft).ok())
        .is_none_or(|existing| existing.checks_source)
}

pub fn of(
    asked: &LaunchReservation,
    place: &Place,
    draft: &mut Draft<'_>,
) -> Result<Vec<Interface>, CloudFault> {
    let public = public(place, draft)?;
    let private = private(asked, place, draft)?;
    let mut promised: BTreeSet<Ipv4Addr> = private.addresses().collect();
    let mut interfaces = vec![public, private];
    for further in &asked.interfaces.further {
        let interface = further_one(further, place, &promised, draft)?;
        promised.extend(interface.addresses());
        interfaces.push(interface);
    }
    interfaces.sort_by_key(|interface| interface.device_index);
    Ok(interfaces)
}

fn public(place: &Place, draft: &mut Draft<'_>) -> Result<Interface, CloudFault> {
    let range = place.group.public_addresses;
    let (state, elastic) = (&draft.state, &draft.settings.elastic);
    let address = addresses::free_address(range, draft.chance, |address| {
        address == place.group.gateway
            || state.public_addresses.contains_key(&address)
            || elastic.keeps(address)
            || state.elastic_addresses.contains_key(&address)
    })
    .ok_or_else(|| CloudFault::AddressesExhausted(range.to_string()))?;
    Ok(Interface {
        id: InterfaceId::random(draft.chance),
        attachment: AttachmentId::random(draft.chance),
        device_index: 0,
        mac: MacAddress::public(address),
        wire: Wire::Public,
        address,
        range,
        subnet: None,
        attached_at: draft.now,
        secondary: Vec::new(),
        description: String::new(),
        security_groups: None,
        checks_source: None,
        deleted_with_instance: true,
        made_by: None,
    })
}

/// Its groups, and whether its source is checked, are the instance's.
fn private(
    asked: &LaunchReservation,
    place: &Place,
    draft: &mut Draft<'_>,
) -> Result<Interface, CloudFault> {
    let wanted = &asked.interfaces.private;
    let interface = match &wanted.existing {
        Some(id) => take(id, draft)?,
        None => {
            let subnet = &place.subnet;
            let addresses = addresses::of_new(&wanted.addresses, subnet, &BTreeSet::new(), draft)?;
            interface::made(subnet, addresses, &wanted.description, Vec::new(), draft)
        }
    };
    let attachment = attachment(1, wanted.outlives_instance, draft);
    Ok(Interface { security_groups: None, checks_source: None, ..interface.attached(attachment) })
}

fn further_one(
    further: &FurtherInterface,
    place: &Place,
    promised: &BTreeSet<Ipv4Addr>,
    draft: &mut Draft<'_>,
) -> Result<Interface, CloudFault> {
    let interface = match &further.interface {
        InterfaceSource::Existing(id) => take(id, draft)?,
        InterfaceSource::New(new) => {
            let subnet = subnet::find(&new.subnet, draft)?;
            let groups = interface::groups(&new.security_groups, &subnet.vpc, draft)?;
            let addresses = addresses::of_new(&new.addresses, &subnet, promised, draft)?;
            interface::made(&subnet, addresses, &new.description, groups, draft)
        }
    };
    interface::check_place(&interface, &place.subnet.zone, &place.subnet.vpc)?;
    let attachment = attachment(further.device_index, further.outlives_instance, draft);
    Ok(interface.attached(attachment))
}

/// An interface that was nobody's.
fn take(
    id: &InterfaceId,
    draft: &mut Draft<'_>,
) -> Result<crate::domain::detached_interface::DetachedInterface, CloudFault> {
    let existing = interface::find_detached(id, draft)?;
    draft.remove(Entry::DetachedInterface(existing.clone()));
    Ok((*existing).clone())
}

fn attachment(device_index: u32, outlives_instance: bool, draft: &mut Draft<'_>) -> Attachment {
    Attachment {
        id: AttachmentId::random(draft.chance),
        device_index,
        at: draft.now,
        deleted_with_instance: !outlives_instance,
    }
}
