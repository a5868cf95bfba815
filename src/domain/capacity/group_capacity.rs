//! What the nodes of one group have, and their order to its placement policy.
//!
//! Figures and order change in one place, together: the order cannot be of other figures.

use super::{NodeCapacity, Quality, Room};
use crate::domain::{
    id::NodeName,
    placement::{
        FirstFit, PlacementPolicy, Search,
        index::{Entry, Index},
    },
    resources::Resources,
};
use rpds::RedBlackTreeMapSync;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct GroupCapacity {
    policy: Arc<dyn PlacementPolicy>,
    nodes: RedBlackTreeMapSync<NodeName, Ranked>,
    index: Index,
    last_chosen: Option<NodeName>,
    /// Of all nodes together.
    quality: Quality,
}

/// The rank is the one that the index knows the node by.
#[derive(Debug, Clone)]
struct Ranked {
    capacity: NodeCapacity,
    rank: u32,
}

impl GroupCapacity {
    pub fn place_by(&mut self, policy: Arc<dyn PlacementPolicy>) {
        let nodes = std::mem::take(&mut self.nodes);
        let quality = std::mem::take(&mut self.quality);
        *self = GroupCapacity { policy, quality, ..GroupCapacity::default() };
        for (name, ranked) in &nodes {
            self.change(name, |capacity| *capacity = ranked.capacity.clone());
        }
    }

    pub fn node(&self, name: &NodeName) -> Option<&NodeCapacity> {
        self.nodes.get(name).map(|ranked| &ranked.capacity)
    }

    pub fn nodes(&self) -> impl Iterator<Item = (&NodeName, &NodeCapacity)> {
        self.nodes.iter().map(|(name, ranked)| (name, &ranked.capacity))
    }

    pub fn quality(&self) -> &Quality {
        &self.quality
    }

    pub fn quality_mut(&mut self) -> &mut Quality {
        &mut self.quality
    }

    pub fn change(&mut self, name: &NodeName, change: impl FnOnce(&mut NodeCapacity)) {
        let known = self.nodes.get(name);
        let mut capacity =
            known.map_or_else(NodeCapacity::unknown, |ranked| ranked.capacity.clone());
        change(&mut capacity);
        let (free, rank) = (capacity.free(), self.policy.rank(capacity.total, capacity.free()));
        let known = known.map(|ranked| (ranked.rank, ranked.capacity.free()));
        if known != Some((rank, free)) {
            if let Some((former, _)) = known.filter(|(former, _)| *former != rank) {
                self.index.remove(former, name);
            }
            self.index.insert(Entry { rank, node: name.clone(), free });
        }
        self.nodes.insert_mut(name.clone(), Ranked { capacity, rank });
    }

    pub fn forget(&mut self, name: &NodeName) {
        if let Some(known) = self.nodes.get(name) {
            self.index.remove(known.rank, name);
            self.nodes.remove_mut(name);
        }
    }

    /// The policy's choice among the nodes with room.
    pub fn choose(&mut self, wanted: Resources, except: &[NodeName]) -> Option<NodeName> {
        let admits = |node: &NodeName| !except.contains(node);
        let last = match self.policy.search() {
            Search::FromTheFirst => None,
            Search::FromTheLastChosen => self.last_chosen.as_ref(),
        };
        let last = last.and_then(|name| Some((self.nodes.get(name)?.rank, name)));
        let after = last.and_then(|last| self.index.first_after(last, wanted, admits));
        let chosen = after.or_else(|| self.index.first(wanted, admits))?.node.clone();
        self.last_chosen = Some(chosen.clone());
        Some(chosen)
    }

    /// Every node with room takes one at least, so no more than `count` nodes are looked at.
    pub fn room(&self, each: Resources, count: u64) -> Room {
        let mut placeable: u64 = 0;
        let mut nodes = self.index.with_room(each);
        while placeable < count {
            let Some(entry) = nodes.next() else { break };
            placeable = placeable.saturating_add(entry.free.count_of(each));
        }
        Room { placeable: placeable.min(count), in_all: self.index.count_in_sum(each) }
    }
}

impl Default for GroupCapacity {
    fn default() -> GroupCapacity {
        GroupCapacity {
            policy: Arc::new(FirstFit),
            nodes: RedBlackTreeMapSync::default(),
            index: Index::default(),
            last_chosen: None,
            quality: Quality::default(),
        }
    }
}
