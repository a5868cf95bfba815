//! A group's nodes in the order of a policy, with what is free on them.
//!
//! A balanced tree (AVL) whose every branch knows, of the nodes below it, what could fit
//! ([`Front`]) and what is free in all. A search leaves out branches that hold no room, so it goes
//! straight to the first node that has some. A branch that seems to hold room and does not costs
//! time and never a wrong answer: what is found was looked at, and what is left out has no room.
//!
//! It is persistent, as all state is: a clone costs nothing, and a change copies one path.

use super::front::Front;
use crate::domain::{id::NodeName, resources::Resources};
use std::{cmp::Ordering, sync::Arc};

#[derive(Debug, Clone, Default)]
pub struct Index {
    root: Link,
}

/// One node's place in the order, and what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub rank: u32,
    pub node: NodeName,
    pub free: Resources,
}

type Link = Option<Arc<Branch>>;

#[derive(Debug)]
struct Branch {
    left: Link,
    entry: Arc<Entry>,
    right: Link,
    height: u8,
    front: Front,
    sum: Sum,
}

/// Wider than [`Resources`], whose vcpus are those of one node.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    vcpus: u64,
    memory_mib: u64,
    disk_gib: u64,
}

impl Index {
    /// Puts a node in its place. One that is in the place already gets the new figures; one that
    /// is elsewhere has to be removed from there.
    pub fn insert(&mut self, entry: Entry) {
        self.root = Some(inserted(self.root.take(), Arc::new(entry)));
    }

    pub fn remove(&mut self, rank: u32, node: &NodeName) {
        self.root = removed(self.root.take(), (rank, node));
    }

    /// The first node with room for which `admits` holds.
    pub fn first(&self, wanted: Resources, admits: impl Fn(&NodeName) -> bool) -> Option<&Entry> {
        self.with_room(wanted).find(|entry| admits(&entry.node))
    }

    /// The first such node after the place given.
    pub fn first_after(
        &self,
        (rank, node): (u32, &NodeName),
        wanted: Resources,
        admits: impl Fn(&NodeName) -> bool,
    ) -> Option<&Entry> {
        let mut nodes = WithRoom { wanted, ahead: Vec::new(), looked_at: 0 };
        let mut next = self.root.as_deref();
        while let Some(branch) = next {
            next = if branch.place() > (rank, node) {
                nodes.ahead.push(Ahead::Entry(branch));
                branch.left.as_deref()
            } else {
                branch.right.as_deref()
            };
        }
        nodes.find(|entry| admits(&entry.node))
    }

    /// The nodes with room, in order; each costs no more than the way to it.
    pub fn with_room(&self, wanted: Resources) -> WithRoom<'_> {
        let ahead = self.root.as_deref().map(Ahead::Branch).into_iter().collect();
        WithRoom { wanted, ahead, looked_at: 0 }
    }

    /// How many of `each` there would be room for if all that is free were on one node.
    pub fn count_in_sum(&self, each: Resources) -> u64 {
        let sum = self.root.as_ref().map(|branch| branch.sum).unwrap_or_default();
        let parts = [
            sum.vcpus.checked_div(each.vcpus.into()),
            sum.memory_mib.checked_div(each.memory_mib),
            sum.disk_gib.checked_div(each.disk_gib),
        ];
        parts.into_iter().flatten().min().unwrap_or(u64::MAX)
    }
}

/// See [`Index::with_room`].
#[derive(Debug)]
pub struct WithRoom<'a> {
    wanted: Resources,
    /// The next one last.
    ahead: Vec<Ahead<'a>>,
    /// How many branches were looked at so far.
    pub looked_at: usize,
}

#[derive(Debug)]
enum Ahead<'a> {
    /// All of it.
    Branch(&'a Branch),
    /// Its own entry and what is right of it.
    Entry(&'a Branch),
}

impl<'a> Iterator for WithRoom<'a> {
    type Item = &'a Entry;

    fn next(&mut self) -> Option<&'a Entry> {
        loop {
            match self.ahead.pop()? {
                Ahead::Branch(branch) => {
                    self.looked_at += 1;
                    if branch.front.has_room(self.wanted) {
                        self.ahead.push(Ahead::Entry(branch));
                        self.ahead.extend(branch.left.as_deref().map(Ahead::Branch));
                    }
                }
                Ahead::Entry(branch) => {
                    self.ahead.extend(branch.right.as_deref().map(Ahead::Branch));
                    if self.wanted.fits_in(branch.entry.free) {
                        return Some(&branch.entry);
                    }
                }
            }
        }
    }
}

impl Branch {
    fn new(left: Link, entry: Arc<Entry>, right: Link) -> Branch {
        let mut front = Front::of(entry.free);
        let mut sum = Sum::default().with(Sum::of(entry.free));
        for below in [&left, &right].into_iter().flatten() {
            front.extend(&below.front);
            sum = sum.with(below.sum);
        }
        let height = 1 + height(&left).max(height(&right));
        Branch { left, entry, right, height, front, sum }
    }

    fn place(&self) -> (u32, &NodeName) {
        (self.entry.rank, &self.entry.node)
    }
}

impl Sum {
    fn of(free: Resources) -> Sum {
        let Resources { vcpus, memory_mib, disk_gib } = free;
        Sum { vcpus: vcpus.into(), memory_mib, disk_gib }
    }

    fn with(self, other: Sum) -> Sum {
        Sum {
            vcpus: self.vcpus.saturating_add(other.vcpus),
            memory_mib: self.memory_mib.saturating_add(other.memory_mib),
            disk_gib: self.disk_gib.saturating_add(other.disk_gib),
        }
    }
}

fn height(link: &Link) -> u8 {
    link.as_ref().map_or(0, |branch| branch.height)
}

fn inserted(link: Link, entry: Arc<Entry>) -> Arc<Branch> {
    let Some(branch) = link else { return Arc::new(Branch::new(None, entry, None)) };
    let (left, right) = (branch.left.clone(), branch.right.clone());
    match (entry.rank, &entry.node).cmp(&branch.place()) {
        Ordering::Less => balanced(Some(inserted(left, entry)), branch.entry.clone(), right),
        Ordering::Equal => Arc::new(Branch::new(left, entry, right)),
        Ordering::Greater => balanced(left, branch.entry.clone(), Some(inserted(right, entry))),
    }
}

fn removed(link: Link, place: (u32, &NodeName)) -> Link {
    let branch = link?;
    let (left, right) = (branch.left.clone(), branch.right.clone());
    match place.cmp(&branch.place()) {
        Ordering::Less => Some(balanced(removed(left, place), branch.entry.clone(), right)),
        Ordering::Greater => Some(balanced(left, branch.entry.clone(), removed(right, place))),
        Ordering::Equal => match right {
            None => left,
            Some(right) => {
                let (next, right) = without_first(&right);
                Some(balanced(left, next, right))
            }
        },
    }
}

/// The first entry, and the rest.
fn without_first(branch: &Branch) -> (Arc<Entry>, Link) {
    match &branch.left {
        None => (branch.entry.clone(), branch.right.clone()),
        Some(left) => {
            let (first, left) = without_first(left);
            (first, Some(balanced(left, branch.entry.clone(), branch.right.clone())))
        }
    }
}

/// A branch over two whose heights differ by two at most, which in the result differ by one.
fn balanced(left: Link, entry: Arc<Entry>, right: Link) -> Arc<Branch> {
    let join = |left: &Link, entry: &Arc<Entry>, right: &Link| {
        Some(Arc::new(Branch::new(left.clone(), entry.clone(), right.clone())))
    };
    let made = match (&left, &right) {
        (Some(high), _) if high.height > height(&right) + 1 => match &high.right {
            Some(inner) if inner.height > height(&high.left) => Branch::new(
                join(&high.left, &high.entry, &inner.left),
                inner.entry.clone(),
                join(&inner.right, &entry, &right),
            ),
            _ => Branch::new(
                high.left.clone(),
                high.entry.clone(),
                join(&high.right, &entry, &right),
            ),
        },
        (_, Some(high)) if high.height > height(&left) + 1 => match &high.left {
            Some(inner) if inner.height > height(&high.right) => Branch::new(
                join(&left, &entry, &inner.left),
                inner.entry.clone(),
                join(&inner.right, &high.entry, &high.right),
            ),
            _ => {
                Branch::new(join(&left, &entry, &high.left), high.entry.clone(), high.right.clone())
            }
        },
        _ => Branch::new(left, entry, right),
    };
    Arc::new(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ambient::Ambient, domain::time::Timestamp};
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};
    use std::{collections::BTreeMap, ops::Bound};

    impl Index {
        /// Checks what the tree promises of itself; returns how high it is.
        pub fn check(&self) -> u8 {
            fn check(link: &Link) -> u8 {
                let Some(branch) = link else { return 0 };
                let (left, right) = (check(&branch.left), check(&branch.right));
                assert!(left.abs_diff(right) <= 1);
                assert_eq!(branch.height, 1 + left.max(right));
                for below in branch.left.iter() {
                    assert!(below.place() < branch.place());
                }
                for below in branch.right.iter() {
                    assert!(below.place() > branch.place());
                }
                branch.height
            }
            check(&self.root)
        }
    }

    fn amount(vcpus: u32, memory_mib: u64) -> Resources {
        Resources { vcpus, memory_mib, disk_gib: 10 }
    }

    fn entry(number: usize, free: Resources) -> Entry {
        Entry { rank: 0, node: format!("n{number:05}").parse().unwrap(), free }
    }

    #[test]
    fn nodes_full_in_different_ways_are_not_looked_at_one_by_one() {
        let mut index = Index::default();
        for number in 0..10_000 {
            let free = match number % 3 {
                0 => amount(0, 4096),
                1 => amount(8, 64),
                _ => Resources { disk_gib: 0, ..amount(8, 4096) },
            };
            index.insert(entry(number, free));
        }
        assert!(index.check() <= 18, "a tree of 10,000 is {} high", index.check());
        let mut search = index.with_room(amount(1, 512));
        assert_eq!((search.next(), search.looked_at), (None, 1));
        index.insert(entry(7_777, amount(1, 512)));
        let mut search = index.with_room(amount(1, 512));
        assert_eq!(search.next().unwrap().node.as_str(), "n07777");
        assert!(search.looked_at <= 36, "{} branches were looked at", search.looked_at);
    }

    /// What is left of a node after instances of many kinds, as many as fit of those drawn.
    fn filled(draw: &mut impl FnMut() -> u64) -> Resources {
        const KINDS: [(u32, u64); 8] = [
            (1, 512),
            (1, 2048),
            (2, 1024),
            (2, 4096),
            (2, 16_384),
            (4, 8192),
            (4, 32_768),
            (8, 16_384),
        ];
        let mut free = Resources { vcpus: 16, memory_mib: 65_536, disk_gib: 500 };
        for _ in 0..12 {
            let (vcpus, memory_mib) = KINDS[(draw() % 8) as usize];
            let held = Resources { vcpus, memory_mib, disk_gib: 8 + draw() % 100 };
            if held.fits_in(free) {
                free -= held;
            }
        }
        free
    }

    #[test]
    fn few_branches_are_looked_at_among_nodes_filled_at_random() {
        let mut chance = Ambient::seeded(1, Timestamp(0)).0.chance("nodes");
        let mut draw = || {
            let mut bytes = [0; 8];
            chance.fill(&mut bytes);
            u64::from_be_bytes(bytes)
        };
        let mut index = Index::default();
        let mut nodes = Vec::new();
        for number in 0..10_000 {
            let free = filled(&mut draw);
            nodes.push(free);
            index.insert(entry(number, free));
        }
        let mut rare = 0;
        for (vcpus, memory_mib, disk_gib) in
            (0..9u32).flat_map(|v| (1..9).flat_map(move |m| [(v, m * 4096, 8), (v, m * 4096, 200)]))
        {
            let wanted = Resources { vcpus, memory_mib, disk_gib };
            let fits = nodes.iter().filter(|free| wanted.fits_in(**free)).count();
            let mut search = index.with_room(wanted);
            assert_eq!(search.next().is_some(), fits > 0, "{wanted:?}");
            rare += usize::from(fits < 10);
            assert!(search.looked_at <= 400, "{wanted:?}: {}, {fits} fit", search.looked_at);
        }
        assert!(rare > 20, "only {rare} were hard to find");
    }

    #[test]
    fn a_clone_keeps_what_it_had() {
        let mut index = Index::default();
        for number in 0..100 {
            index.insert(entry(number, amount(1, 512)));
        }
        let before = index.clone();
        for number in 0..100 {
            let Entry { rank, node, .. } = entry(number, Resources::NONE);
            index.remove(rank, &node);
        }
        assert_eq!(index.first(Resources::NONE, |_| true), None);
        assert_eq!(before.with_room(amount(1, 512)).count(), 100);
        assert_eq!((before.count_in_sum(amount(2, 0)), index.count_in_sum(amount(2, 0))), (50, 0));
    }

    proptest! {
        #[test]
        fn the_tree_stays_balanced_and_in_order_whatever_comes_and_goes(
            steps in prop::collection::vec((any::<bool>(), 0..3u32, 0..40usize, 0..4u32), 0..200),
            (rank, number, vcpus) in (0..3u32, 0..40usize, 0..4u32),
        ) {
            let mut index = Index::default();
            let mut expected = BTreeMap::new();
            for (comes, rank, number, vcpus) in steps {
                let added = Entry { rank, ..entry(number, amount(vcpus, 64)) };
                if comes {
                    index.insert(added.clone());
                    expected.insert((rank, added.node.clone()), added);
                } else {
                    index.remove(rank, &added.node);
                    expected.remove(&(rank, added.node));
                }
                index.check();
            }
            let wanted = amount(vcpus, 1);
            let fits = |entry: &&Entry| wanted.fits_in(entry.free);
            let found: Vec<&Entry> = index.with_room(wanted).collect();
            prop_assert_eq!(found, expected.values().filter(fits).collect::<Vec<_>>());
            let place = (rank, entry(number, wanted).node);
            let after = expected.range((Bound::Excluded(&place), Bound::Unbounded));
            let after = after.map(|(_, entry)| entry).find(fits);
            prop_assert_eq!(index.first_after((rank, &place.1), wanted, |_| true), after);
        }
    }
}
