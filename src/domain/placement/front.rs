//! A few amounts that together say what could fit on some nodes.

use crate::domain::resources::Resources;

/// How many amounts are kept. Nodes run out of one thing or another, and more than this many ways
/// to be nearly full are told apart less sharply.
const AMOUNTS_MAX: usize = 4;

/// Whatever fits on one of the nodes fits in one of these amounts. The converse holds while no more
/// than `AMOUNTS_MAX` nodes are incomparable (one has more vcpus left, another more memory); beyond
/// that, amounts alike are made one that is at least as large as both.
///
/// One amount, the largest of each resource, would say of a node without vcpus and one without
/// memory that both are left.
#[derive(Debug, Clone, Copy)]
pub struct Front {
    amounts: [Resources; AMOUNTS_MAX],
    count: usize,
}

impl Front {
    pub fn of(free: Resources) -> Front {
        let mut amounts = [Resources::NONE; AMOUNTS_MAX];
        amounts[0] = free;
        Front { amounts, count: 1 }
    }

    /// Speaks of the other's nodes, too.
    pub fn extend(&mut self, other: &Front) {
        for amount in other.amounts() {
            self.add(*amount);
        }
    }

    pub fn has_room(&self, wanted: Resources) -> bool {
        self.amounts().iter().any(|amount| wanted.fits_in(*amount))
    }

    fn amounts(&self) -> &[Resources] {
        &self.amounts[..self.count]
    }

    fn add(&mut self, amount: Resources) {
        let mut added = amount;
        loop {
            if self.has_room(added) {
                return;
            }
            self.retain(|amount| !amount.fits_in(added));
            if self.count < AMOUNTS_MAX {
                self.amounts[self.count] = added;
                self.count += 1;
                return;
            }
            // One fewer with every turn, so this ends.
            added = self.merge_nearest(added);
        }
    }

    /// Makes the two amounts most alike, the new one among them, one; returns what is to be added
    /// in its place.
    fn merge_nearest(&mut self, added: Resources) -> Resources {
        let mut nearest = (f32::INFINITY, 0, None);
        for (at, one) in self.amounts().iter().enumerate() {
            let others = self.amounts().iter().enumerate().skip(at + 1);
            let others = others.map(|(at, other)| (Some(at), *other));
            for (with, other) in others.chain([(None, added)]) {
                let distance = distance(*one, other);
                if distance < nearest.0 {
                    nearest = (distance, at, with);
                }
            }
        }
        let (_, at, with) = nearest;
        match with {
            None => {
                let merged = larger(self.amounts[at], added);
                self.take(at);
                merged
            }
            Some(with) => {
                let merged = larger(self.amounts[at], self.amounts[with]);
                // The later one first, since taking moves what is behind.
                self.take(with);
                self.take(at);
                self.amounts[self.count] = added;
                self.count += 1;
                merged
            }
        }
    }

    fn take(&mut self, at: usize) {
        self.count -= 1;
        self.amounts[at] = self.amounts[self.count];
    }

    fn retain(&mut self, keeps: impl Fn(Resources) -> bool) {
        let mut at = 0;
        while at < self.count {
            if keeps(self.amounts[at]) {
                at += 1;
            } else {
                self.take(at);
            }
        }
    }
}

/// Of each resource, the larger amount.
fn larger(one: Resources, other: Resources) -> Resources {
    Resources {
        vcpus: one.vcpus.max(other.vcpus),
        memory_mib: one.memory_mib.max(other.memory_mib),
        disk_gib: one.disk_gib.max(other.disk_gib),
    }
}

/// How unlike two amounts are: none of a resource and some of it is as far as it goes.
fn distance(one: Resources, other: Resources) -> f32 {
    let apart = |one: u64, other: u64| {
        let (less, more) = (one.min(other), one.max(other));
        if more == 0 { 0.0 } else { 1.0 - less as f32 / more as f32 }
    };
    apart(one.vcpus.into(), other.vcpus.into())
        + apart(one.memory_mib, other.memory_mib)
        + apart(one.disk_gib, other.disk_gib)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Strategy, prop, prop_assert, proptest};

    const fn amount(vcpus: u32, memory_mib: u64, disk_gib: u64) -> Resources {
        Resources { vcpus, memory_mib, disk_gib }
    }

    fn front(amounts: &[Resources]) -> Front {
        let mut front = Front::of(amounts[0]);
        for amount in &amounts[1..] {
            front.extend(&Front::of(*amount));
        }
        front
    }

    #[test]
    fn nodes_that_ran_out_of_different_things_are_not_taken_for_one_that_has_both() {
        let front = front(&[amount(0, 64, 64), amount(64, 0, 64), amount(64, 64, 0)]);
        assert!(front.has_room(amount(0, 64, 1)) && front.has_room(amount(64, 0, 1)));
        assert!(!front.has_room(amount(1, 1, 1)));
    }

    #[test]
    fn amounts_most_alike_are_merged_first() {
        let (cpus, memory) = (amount(64, 0, 100), amount(0, 64, 100));
        let alike = [amount(8, 8, 10), amount(9, 8, 9), amount(8, 9, 8)];
        let front = front(&[cpus, memory, alike[0], alike[1], alike[2]]);
        assert!(!front.has_room(amount(1, 10, 1).max_of(amount(10, 1, 1))));
        assert!(alike.into_iter().all(|amount| front.has_room(amount)));
    }

    impl Resources {
        fn max_of(self, other: Resources) -> Resources {
            larger(self, other)
        }
    }

    fn some_amount() -> impl Strategy<Value = Resources> {
        (0..9u32, 0..9u64, 0..9u64).prop_map(|(vcpus, memory, disk)| amount(vcpus, memory, disk))
    }

    proptest! {
        #[test]
        fn what_fits_on_a_node_always_fits_in_the_front(
            amounts in prop::collection::vec(some_amount(), 1..20),
            wanted in some_amount(),
        ) {
            let fits = amounts.iter().any(|amount| wanted.fits_in(*amount));
            prop_assert!(!fits || front(&amounts).has_room(wanted));
        }

        #[test]
        fn a_front_of_few_says_exactly_what_fits(
            amounts in prop::collection::vec(some_amount(), 1..=AMOUNTS_MAX),
            wanted in some_amount(),
        ) {
            let fits = amounts.iter().any(|amount| wanted.fits_in(*amount));
            prop_assert!(fits == front(&amounts).has_room(wanted));
        }
    }
}
