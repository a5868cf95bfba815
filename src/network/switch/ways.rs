//! The ways from here, as of the last look at the cable graph, and what follows from them.

use super::{
    directory::Directory,
    hash::FastMap,
    topology::{Topology, Tree},
};
use crate::domain::overlay::{NetworkId, SwitchId};
use std::collections::BTreeMap;

#[derive(Debug)]
pub struct Ways {
    own: SwitchId,
    topology: Topology,
    own_tree: Option<Tree>,
    /// First step and cost in all.
    routes: FastMap<SwitchId, (SwitchId, u32)>,
    /// Of switches whose broadcasts have come by.
    trees: FastMap<SwitchId, Option<Tree>>,
    branches: FastMap<(SwitchId, NetworkId), Branches>,
}

/// Where a broadcast goes on to, as long as the same switches are in the network.
#[derive(Debug)]
struct Branches {
    generation: u64,
    neighbours: Vec<SwitchId>,
}

/// Of these there may be as many as switches and networks together, so they are not kept for ever.
const BRANCHES: usize = 65_536;

/// Who can be reached now and could not, and the other way round.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reach {
    pub gained: Vec<SwitchId>,
    pub lost: Vec<SwitchId>,
}

impl Ways {
    pub fn new(own: SwitchId) -> Ways {
        Ways {
            own,
            topology: Topology::default(),
            own_tree: None,
            routes: FastMap::default(),
            trees: FastMap::default(),
            branches: FastMap::default(),
        }
    }

    pub fn find(&mut self, cables: &BTreeMap<SwitchId, BTreeMap<SwitchId, u32>>) -> Reach {
        self.topology = Topology::new(cables);
        self.own_tree = self.topology.tree(self.own);
        self.trees.clear();
        self.branches.clear();
        let found = self.own_tree.as_ref().map(|tree| self.topology.routes(tree));
        let before = std::mem::replace(&mut self.routes, found.unwrap_or_default());
        let not_in = |a: &FastMap<SwitchId, _>, b: &FastMap<SwitchId, _>| {
            let mut switches: Vec<SwitchId> =
                a.keys().filter(|switch| !b.contains_key(switch)).copied().collect();
            switches.sort_unstable();
            switches
        };
        Reach { gained: not_in(&self.routes, &before), lost: not_in(&before, &self.routes) }
    }

    /// First step and cost in all.
    pub fn to(&self, switch: SwitchId) -> Option<(SwitchId, u32)> {
        self.routes.get(&switch).copied()
    }

    pub fn hops(&self, switch: SwitchId) -> Vec<(SwitchId, u32)> {
        self.own_tree.as_ref().map_or_else(Vec::new, |tree| self.topology.way(tree, switch))
    }

    /// The neighbours that a broadcast of a switch is passed on to from here.
    pub fn branches(
        &mut self,
        source: SwitchId,
        network: NetworkId,
        directory: &Directory,
    ) -> &[SwitchId] {
        let generation = directory.generation(network);
        let key = (source, network);
        if self.branches.get(&key).is_none_or(|known| known.generation != generation) {
            let neighbours = self.find_branches(source, network, directory);
            if self.branches.len() >= BRANCHES {
                self.branches.clear();
            }
            self.branches.insert(key, Branches { generation, neighbours });
        }
        self.branches.get(&key).map_or(&[], |known| &known.neighbours)
    }

    fn find_branches(
        &mut self,
        source: SwitchId,
        network: NetworkId,
        directory: &Directory,
    ) -> Vec<SwitchId> {
        let Ways { own, topology, trees, .. } = self;
        let tree = trees.entry(source).or_insert_with(|| topology.tree(source));
        let members = directory.members(network);
        tree.as_ref().map_or_else(Vec::new, |tree| topology.branches(tree, *own, members))
    }
}
