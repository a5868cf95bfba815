//! The live cable graph: shortest paths from here, and the tree along which a switch's broadcasts
//! go.
//!
//! A cable is there when both its ends say so, and costs what the dearer end says. All switches
//! that know the same cables build the same trees: of two equally short ways, the one over the
//! parent with the lower number.

use super::hash::FastMap;
use crate::domain::overlay::SwitchId;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

#[derive(Debug, Default)]
pub struct Topology {
    switches: Vec<SwitchId>,
    places: FastMap<SwitchId, usize>,
    /// Of each switch, the places of its neighbours with the costs, by number of the switch.
    cables: Vec<Vec<(usize, u32)>>,
}

/// Shortest paths from one switch.
#[derive(Debug)]
pub struct Tree {
    /// What each place is reached over, and at which cost in all. None: not at all, or it is the
    /// root.
    reached: Vec<Option<(usize, u32)>>,
    root: usize,
}

impl Topology {
    /// From what each switch says of its cables.
    pub fn new(said: &BTreeMap<SwitchId, BTreeMap<SwitchId, u32>>) -> Topology {
        let switches: Vec<SwitchId> = said.keys().copied().collect();
        let places: FastMap<SwitchId, usize> =
            switches.iter().enumerate().map(|(place, switch)| (*switch, place)).collect();
        let cables = said.iter().map(|(switch, cables)| {
            let mutual = cables.iter().filter_map(|(neighbour, cost)| {
                let back = said.get(neighbour)?.get(switch)?;
                Some((places[neighbour], *cost.max(back)))
            });
            mutual.collect()
        });
        Topology { cables: cables.collect(), switches, places }
    }

    pub fn tree(&self, root: SwitchId) -> Option<Tree> {
        let root = *self.places.get(&root)?;
        let mut reached: Vec<Option<(usize, u32)>> = vec![None; self.switches.len()];
        let mut is_settled = vec![false; self.switches.len()];
        // By cost, then by parent: places are in the order of the switches' numbers.
        let mut open = BinaryHeap::from([Reverse((0u32, root, root))]);
        while let Some(Reverse((cost, parent, place))) = open.pop() {
            if is_settled[place] {
                continue;
            }
            is_settled[place] = true;
            if place != root {
                reached[place] = Some((parent, cost));
            }
            for (neighbour, step) in &self.cables[place] {
                if !is_settled[*neighbour] {
                    open.push(Reverse((cost.saturating_add(*step), place, *neighbour)));
                }
            }
        }
        Some(Tree { reached, root })
    }

    /// Every switch that the tree reaches, with the first step of the way and the cost in all.
    pub fn routes(&self, tree: &Tree) -> FastMap<SwitchId, (SwitchId, u32)> {
        let mut routes = FastMap::default();
        for (place, reached) in tree.reached.iter().enumerate() {
            let Some((_, cost)) = reached else { continue };
            let mut step = place;
            while let Some((parent, _)) = tree.reached[step]
                && parent != tree.root
            {
                step = parent;
            }
            routes.insert(self.switches[place], (self.switches[step], *cost));
        }
        routes
    }

    /// Every switch on the way from the tree's root, without the root.
    pub fn way(&self, tree: &Tree, to: SwitchId) -> Vec<(SwitchId, u32)> {
        let mut way = Vec::new();
        let mut place = self.places.get(&to).copied();
        while let Some(at) = place
            && let Some((parent, cost)) = tree.reached[at]
        {
            way.push((self.switches[at], cost));
            place = Some(parent);
        }
        way.reverse();
        way
    }

    /// The neighbours below `own` in the tree on whose side any of the members is.
    pub fn branches(
        &self,
        tree: &Tree,
        own: SwitchId,
        members: impl Iterator<Item = SwitchId>,
    ) -> Vec<SwitchId> {
        let Some(own) = self.places.get(&own).copied() else { return Vec::new() };
        let mut is_wanted = vec![false; self.switches.len()];
        let mut branches = Vec::new();
        for member in members {
            let Some(mut place) = self.places.get(&member).copied() else { continue };
            while !is_wanted[place]
                && let Some((parent, _)) = tree.reached[place]
            {
                is_wanted[place] = true;
                if parent == own {
                    branches.push(self.switches[place]);
                }
                place = parent;
            }
        }
        branches.sort_unstable();
        branches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(cables: &[(u32, u32, u32)]) -> Topology {
        let mut said: BTreeMap<SwitchId, BTreeMap<SwitchId, u32>> = BTreeMap::new();
        for (a, b, cost) in cables {
            said.entry(SwitchId(*a)).or_default().insert(SwitchId(*b), *cost);
            said.entry(SwitchId(*b)).or_default().insert(SwitchId(*a), *cost);
        }
        Topology::new(&said)
    }

    fn ids<const N: usize>(numbers: [u32; N]) -> Vec<SwitchId> {
        numbers.map(SwitchId).to_vec()
    }

    #[test]
    fn the_way_is_the_cheapest_and_of_equals_the_one_over_the_lower_number() {
        let graph = graph(&[(1, 2, 1), (1, 3, 1), (2, 4, 1), (3, 4, 1), (1, 5, 9), (4, 5, 1)]);
        let tree = graph.tree(SwitchId(1)).unwrap();
        let routes = graph.routes(&tree);
        assert_eq!(routes[&SwitchId(4)], (SwitchId(2), 2));
        assert_eq!(routes[&SwitchId(5)], (SwitchId(2), 3));
        assert!(!routes.contains_key(&SwitchId(1)));
    }

    #[test]
    fn a_cable_that_one_end_denies_is_none() {
        let said = BTreeMap::from([
            (SwitchId(1), BTreeMap::from([(SwitchId(2), 1)])),
            (SwitchId(2), BTreeMap::new()),
        ]);
        let graph = Topology::new(&said);
        assert!(graph.routes(&graph.tree(SwitchId(1)).unwrap()).is_empty());
    }

    #[test]
    fn branches_lead_to_members_only() {
        let graph = graph(&[(1, 2, 1), (1, 3, 1), (2, 4, 1), (3, 5, 1)]);
        let tree = graph.tree(SwitchId(1)).unwrap();
        let below =
            |own, members: Vec<SwitchId>| graph.branches(&tree, SwitchId(own), members.into_iter());
        assert_eq!(below(1, ids([4])), ids([2]));
        assert_eq!(below(1, ids([4, 5, 2])), ids([2, 3]));
        assert_eq!(below(2, ids([4, 5])), ids([4]));
        assert_eq!(below(4, ids([4, 5])), ids([]));
        assert_eq!(below(1, ids([9])), ids([]));
    }
}
