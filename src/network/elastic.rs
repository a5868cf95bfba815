//! Who of a host's ports has which elastic address.
//!
//! Two ports may have been told of one address, when it moves and the tellings cross: it is the one's
//! that was told later, in whatever order they are heard here.

use crate::domain::{
    elastic_address::{Elastic, ElasticAssignment},
    id::InterfaceId,
};
use std::{collections::HashMap, net::Ipv4Addr};

#[derive(Debug, Clone, Default)]
pub struct Holders(HashMap<Ipv4Addr, Held>);

#[derive(Debug, Clone)]
struct Held {
    by: InterfaceId,
    generation: u64,
    elastic: Elastic,
}

/// What an assignment changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// What the interface had and has no more.
    pub lost: Option<Ipv4Addr>,
    /// What it has now.
    pub has: Option<Elastic>,
    /// Who had that until now.
    pub from: Option<InterfaceId>,
}

impl Holders {
    pub fn assign(&mut self, interface: &InterfaceId, assignment: &ElasticAssignment) -> Moved {
        let before = self.of(interface);
        self.0.retain(|_, held| held.by != *interface);
        let generation = assignment.generation;
        let is_free = |elastic: &Elastic| {
            self.0.get(&elastic.address).is_none_or(|held| held.generation <= generation)
        };
        let has = assignment.elastic.filter(is_free);
        let from = has.and_then(|elastic| {
            let held = Held { by: interface.clone(), generation, elastic };
            self.0.insert(elastic.address, held).map(|earlier| earlier.by)
        });
        let lost = before.map(|elastic| elastic.address);
        let lost = lost.filter(|address| has.is_none_or(|has| has.address != *address));
        Moved { lost, has, from }
    }

    /// Leaves the interface with none, and says which it had.
    pub fn withdraw(&mut self, interface: &InterfaceId) -> Option<Ipv4Addr> {
        self.assign(interface, &ElasticAssignment::default()).lost
    }

    pub fn holder(&self, address: Ipv4Addr) -> Option<&InterfaceId> {
        self.0.get(&address).map(|held| &held.by)
    }

    pub fn of(&self, interface: &InterfaceId) -> Option<Elastic> {
        self.0.values().find(|held| held.by == *interface).map(|held| held.elastic)
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(number: u8) -> InterfaceId {
        format!("eni-0000000{number}").parse().unwrap()
    }

    fn assignment(generation: u64, last: Option<u8>) -> ElasticAssignment {
        let elastic = |last| Elastic {
            address: Ipv4Addr::new(203, 0, 113, last),
            egress: Default::default(),
        };
        ElasticAssignment { generation, elastic: last.map(elastic) }
    }

    #[test]
    fn an_address_is_the_ones_that_was_told_of_it_later_in_whatever_order_that_is_heard() {
        let address = Ipv4Addr::new(203, 0, 113, 7);
        let tellings =
            [(1, assignment(1, Some(7))), (1, assignment(2, None)), (2, assignment(2, Some(7)))];
        for order in [[0, 1, 2], [0, 2, 1], [2, 0, 1], [2, 1, 0], [1, 2, 0]] {
            let mut holders = Holders::default();
            for place in order {
                let (number, assignment) = tellings[place];
                holders.assign(&interface(number), &assignment);
            }
            assert_eq!(holders.holder(address), Some(&interface(2)), "{order:?}");
        }
    }

    #[test]
    fn what_changes_is_told() {
        let mut holders = Holders::default();
        let address = |last| Some(Ipv4Addr::new(203, 0, 113, last));
        let gained = holders.assign(&interface(1), &assignment(1, Some(7)));
        assert_eq!((gained.lost, gained.from), (None, None));
        let taken = holders.assign(&interface(2), &assignment(2, Some(7)));
        assert_eq!((taken.lost, taken.from), (None, Some(interface(1))));
        assert_eq!(holders.of(&interface(1)), None);
        let changed = holders.assign(&interface(2), &assignment(3, Some(8)));
        assert_eq!((changed.lost, changed.has), (address(7), assignment(3, Some(8)).elastic));
        let again = holders.assign(&interface(2), &assignment(4, Some(8)));
        assert_eq!(again, Moved { has: assignment(4, Some(8)).elastic, ..Moved::default() });
        assert_eq!(holders.withdraw(&interface(2)), address(8));
        assert_eq!(holders.withdraw(&interface(2)), None);
    }
}
