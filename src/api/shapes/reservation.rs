//! Reservations: the instances of one launch, as DescribeInstances and RunInstances show them.

use super::{instance::InstanceElement, security_group::GroupIdentifier};
use crate::{
    api::response::Set,
    domain::id::{AccountId, ReservationId},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::HashMap;

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    reservation_id: String,
    owner_id: String,
    /// EC2 lists here the groups of EC2-Classic only; in a VPC they are with the instance.
    group_set: Set<GroupIdentifier<String>>,
    instances_set: Set<InstanceElement>,
}

impl Reservation {
    /// Those of one launch that are left of it.
    pub fn of(id: &ReservationId, owner: &AccountId, elements: Vec<InstanceElement>) -> Self {
        Reservation {
            reservation_id: id.to_string(),
            owner_id: owner.to_string(),
            group_set: Set::default(),
            instances_set: elements.into(),
        }
    }
}

/// Instances under their reservations: those in the order in which they first come, their
/// instances in the order of the launch.
pub fn by_reservation(elements: Vec<InstanceElement>) -> Set<Reservation> {
    let mut reservations: Vec<Reservation> = Vec::new();
    let mut places = HashMap::new();
    for element in elements {
        let instance = &element.instance;
        let place = *places.entry(instance.reservation.clone()).or_insert(reservations.len());
        if place == reservations.len() {
            let owner = &instance.scope.account;
            reservations.push(Reservation::of(&instance.reservation, owner, Vec::new()));
        }
        reservations[place].instances_set.item.push(element);
    }
    for reservation in &mut reservations {
        reservation.instances_set.item.sort_by_key(|element| element.instance.launch_index);
    }
    reservations.into()
}
