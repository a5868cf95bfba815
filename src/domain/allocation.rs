//! How a launch that is not for one zone is shared out among groups.
//!
//! A meta-zone stands for such a policy (the paper, section 2, "Cloud Manager"): users name it where
//! they would name a zone, and each instance comes to a real one. A policy only says how many go
//! where; what a launch reserves, and that it is all or nothing below its minimum, is decided with
//! it. Which node of a group gets an instance is the group's `placement`.

use super::capacity::Room;
use serde::{Deserialize, Serialize};
use std::{cmp::Reverse, fmt, sync::Arc};

/// A group as a launch finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    pub room: Room,
    /// How many of this very launch it has already.
    pub given: u64,
}

/// So many go to the group at this place in the list of offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    pub group: usize,
    pub count: u64,
}

/// Chooses among groups.
pub trait AllocationPolicy: fmt::Debug + Send + Sync {
    /// Shares out what is `wanted` and not yet given, of no group more than can be placed there;
    /// where less is shared out, the rest is not to be had. The offers are in the order of the
    /// configuration. Asked once more for what a group could not take after all.
    fn shares(&self, offers: &[Offer], wanted: u64) -> Vec<Share>;

    /// What users may expect of it, as the end of a sentence.
    fn promise(&self) -> &'static str;
}

/// The policies there are, by the names they have in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AllocationName {
    #[default]
    EmptiestFirst,
    FirstListed,
    Balanced,
    OneZone,
}

impl AllocationName {
    pub const ALL: [AllocationName; 4] = [
        AllocationName::EmptiestFirst,
        AllocationName::FirstListed,
        AllocationName::Balanced,
        AllocationName::OneZone,
    ];

    pub fn policy(self) -> Arc<dyn AllocationPolicy> {
        match self {
            AllocationName::EmptiestFirst => Arc::new(EmptiestFirst),
            AllocationName::FirstListed => Arc::new(FirstListed),
            AllocationName::Balanced => Arc::new(Balanced),
            AllocationName::OneZone => Arc::new(OneZone),
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            AllocationName::EmptiestFirst => "emptiest-first",
            AllocationName::FirstListed => "first-listed",
            AllocationName::Balanced => "balanced",
            AllocationName::OneZone => "one-zone",
        }
    }
}

/// The paper's "any": the emptiest group, and where that is full, the next.
#[derive(Debug)]
pub struct EmptiestFirst;

impl AllocationPolicy for EmptiestFirst {
    fn shares(&self, offers: &[Offer], wanted: u64) -> Vec<Share> {
        fill(emptiest_first(offers), offers, wanted)
    }

    fn promise(&self) -> &'static str {
        "the emptiest zone first, and the next when it is full"
    }
}

/// As the administrator has listed the groups: the first until it is full, then the next.
#[derive(Debug)]
pub struct FirstListed;

impl AllocationPolicy for FirstListed {
    fn shares(&self, offers: &[Offer], wanted: u64) -> Vec<Share> {
        fill((0..offers.len()).collect(), offers, wanted)
    }

    fn promise(&self) -> &'static str {
        "the first zone of the list until it is full, then the next"
    }
}

/// As evenly as there is room, so that a lost group takes few of a launch along.
#[derive(Debug)]
pub struct Balanced;

impl AllocationPolicy for Balanced {
    fn shares(&self, offers: &[Offer], wanted: u64) -> Vec<Share> {
        let mut counts = vec![0; offers.len()];
        for _ in 0..wanted {
            let has_room = |group: &usize| counts[*group] < offers[*group].room.placeable;
            // Of those with as many, the emptiest.
            let next = (0..offers.len()).filter(has_room).min_by_key(|group| {
                let Offer { room, given } = offers[*group];
                (given + counts[*group], Reverse(room.in_all.saturating_sub(counts[*group])))
            });
            let Some(group) = next else { break };
            counts[group] += 1;
        }
        let shares = counts.into_iter().enumerate().map(|(group, count)| Share { group, count });
        shares.filter(|share| share.count > 0).collect()
    }

    fn promise(&self) -> &'static str {
        "every zone as many as the others, as far as there is room"
    }
}

/// EC2's rule for launches that name no zone: all in one, that which can take the most of it, and
/// among those that can take it all, the emptiest.
#[derive(Debug)]
pub struct OneZone;

impl AllocationPolicy for OneZone {
    fn shares(&self, offers: &[Offer], wanted: u64) -> Vec<Share> {
        let begun = offers.iter().position(|offer| offer.given > 0);
        let chosen = begun.or_else(|| emptiest_first(offers).first().copied());
        fill(chosen.into_iter().collect(), offers, wanted)
    }

    fn promise(&self) -> &'static str {
        "all in one zone, that which has the most room"
    }
}

/// The groups that can take the most first, of equals the one listed first: none is overlooked.
fn emptiest_first(offers: &[Offer]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..offers.len()).collect();
    order.sort_by_key(|group| Reverse(offers[*group].room));
    order
}

/// Each as many as it can take, in this order.
fn fill(order: Vec<usize>, offers: &[Offer], wanted: u64) -> Vec<Share> {
    let mut left = wanted;
    let mut shares = Vec::new();
    for group in order {
        let count = offers[group].room.placeable.min(left);
        if count > 0 {
            left -= count;
            shares.push(Share { group, count });
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    fn offers(free: &[u64], wanted: u64) -> Vec<Offer> {
        let offer = |free: &u64| Offer {
            room: Room { placeable: (*free).min(wanted), in_all: *free },
            given: 0,
        };
        free.iter().map(offer).collect()
    }

    /// How many each group gets, as (place, count) in the order they are taken.
    fn shared(policy: &dyn AllocationPolicy, free: &[u64], wanted: u64) -> Vec<(usize, u64)> {
        let shares = policy.shares(&offers(free, wanted), wanted);
        shares.into_iter().map(|share| (share.group, share.count)).collect()
    }

    #[test]
    fn the_emptiest_group_is_filled_first_and_the_rest_overflows_to_the_next() {
        assert_eq!(shared(&EmptiestFirst, &[3, 4], 6), [(1, 4), (0, 2)]);
        assert_eq!(shared(&EmptiestFirst, &[9, 4], 6), [(0, 6)]);
        assert_eq!(
            shared(&EmptiestFirst, &[4, 9, 10], 3),
            [(2, 3)],
            "of those that can take it all"
        );
        assert_eq!(shared(&EmptiestFirst, &[3, 4], 9), [(1, 4), (0, 3)], "no more are to be had");
        assert_eq!(shared(&EmptiestFirst, &[0, 0], 1), []);
    }

    #[test]
    fn equal_groups_are_taken_in_the_order_of_the_file_and_none_is_dropped() {
        assert_eq!(shared(&EmptiestFirst, &[2, 2, 2], 5), [(0, 2), (1, 2), (2, 1)]);
    }

    #[test]
    fn the_group_listed_first_is_filled_first_however_full_it_is() {
        assert_eq!(shared(&FirstListed, &[1, 0, 9], 4), [(0, 1), (2, 3)]);
    }

    #[test]
    fn a_balanced_launch_is_even_as_far_as_there_is_room() {
        assert_eq!(shared(&Balanced, &[9, 9, 9], 6), [(0, 2), (1, 2), (2, 2)]);
        assert_eq!(shared(&Balanced, &[1, 9, 9], 6), [(0, 1), (1, 3), (2, 2)]);
        assert_eq!(shared(&Balanced, &[5, 9], 1), [(1, 1)], "one goes to the emptiest");
        let half = [Offer { given: 2, ..offers(&[9, 9], 2)[0] }, offers(&[9, 9], 2)[1]];
        assert_eq!(Balanced.shares(&half, 2), [Share { group: 1, count: 2 }]);
    }

    #[test]
    fn one_zone_means_one_zone_though_another_has_room() {
        assert_eq!(shared(&OneZone, &[3, 4], 6), [(1, 4)]);
        let closed = Offer { room: Room { placeable: 0, in_all: 0 }, given: 1 };
        assert_eq!(OneZone.shares(&[offers(&[4], 2)[0], closed], 2), []);
    }

    proptest! {
        #[test]
        fn no_policy_gives_a_group_more_than_it_has_room_for_or_a_launch_more_than_it_wants(
            free in prop::collection::vec(0..20u64, 0..8), wanted in 0..40u64, seed in any::<u64>()
        ) {
            let mut offers = offers(&free, wanted);
            for (place, offer) in offers.iter_mut().enumerate() {
                offer.given = (seed >> (place * 2)) & 3;
            }
            for name in AllocationName::ALL {
                let shares = name.policy().shares(&offers, wanted);
                let mut seen = Vec::new();
                for Share { group, count } in &shares {
                    assert!((1..=offers[*group].room.placeable).contains(count), "{name:?}");
                    assert!(!seen.contains(group), "{name:?} names a group twice");
                    seen.push(*group);
                }
                let sum: u64 = shares.iter().map(|share| share.count).sum();
                let most: u64 = offers.iter().map(|offer| offer.room.placeable).sum();
                assert!(sum <= wanted);
                if name != AllocationName::OneZone {
                    assert_eq!(sum, most.min(wanted), "{name:?} leaves room unused");
                }
            }
        }
    }
}
