//! The PRS: a simple representation of the physical resources, kept through reports of nodes and
//! reservations of ours (paper, section 2, "VM control").
//!
//! A node's free capacity is what it last declared, less what foreign guests hold, less every
//! holding recorded here. A reservation is a holding of an instance that no node says to run yet.
//! Holdings are derived from the instance records, so a restart rebuilds them.
//!
//! Figures come with their quality (`quality`): how far they can be trusted.

mod group_capacity;
mod quality;

pub use quality::{Observation, Observed, Outstanding, Quality, Record, SILENCE_MAX};

use super::{
    id::{GroupName, InstanceId, NodeName},
    placement::PlacementPolicy,
    resources::Resources,
    time::Timestamp,
};
use group_capacity::GroupCapacity;
use rpds::RedBlackTreeMapSync;
use std::{sync::Arc, time::Duration};

/// What is known of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCapacity {
    pub total: Resources,
    /// Held by guests that are not ours.
    pub foreign: Resources,
    /// Held or reserved by ours.
    pub held: Resources,
    pub quality: Quality,
    /// What runs its guests, in its own words; `None` before it said.
    pub hypervisor: Option<String>,
}

impl NodeCapacity {
    fn unknown() -> NodeCapacity {
        NodeCapacity {
            total: Resources::NONE,
            foreign: Resources::NONE,
            held: Resources::NONE,
            quality: Quality::default(),
            hypervisor: None,
        }
    }

    pub fn free(&self) -> Resources {
        self.total.less(self.foreign).less(self.held)
    }
}

/// What one instance holds, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    pub group: GroupName,
    pub node: NodeName,
    pub resources: Resources,
    pub commitment: Commitment,
}

/// A change of the figures is a reservation until it is committed, or rolled back by a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commitment {
    Reserved,
    Committed,
}

/// How well a group could take what is asked for; a group that could better is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Room {
    /// How many could be placed at once, up to as many as were asked for.
    pub placeable: u64,
    /// How many would fit if all that is free were on one node: how empty the group is.
    pub in_all: u64,
}

/// Cheap to clone: a draft may reserve and be thrown away.
#[derive(Debug, Clone)]
pub struct Capacity {
    groups: RedBlackTreeMapSync<GroupName, GroupCapacity>,
    holdings: RedBlackTreeMapSync<InstanceId, Holding>,
    /// From when on silence counts of who was never heard of.
    listening_since: Timestamp,
}

impl Default for Capacity {
    fn default() -> Capacity {
        Capacity {
            groups: RedBlackTreeMapSync::default(),
            holdings: RedBlackTreeMapSync::default(),
            listening_since: Timestamp::EPOCH,
        }
    }
}

impl Capacity {
    /// Before this nobody could have been heard.
    pub fn listen_from(&mut self, now: Timestamp) {
        self.listening_since = now;
    }

    /// From now on the group's nodes are chosen by this policy; without it, by first fit.
    pub fn place_by(&mut self, group: &GroupName, policy: Arc<dyn PlacementPolicy>) {
        self.group(group).place_by(policy);
    }

    /// A node's own word on what it has, heard at this time.
    pub fn report(
        &mut self,
        group: &GroupName,
        node: &NodeName,
        total: Resources,
        foreign: Resources,
        at: Timestamp,
    ) {
        self.change(group, node, |capacity| {
            capacity.total = total;
            capacity.foreign = foreign;
            capacity.quality.reported_at = Some(at);
        });
        let quality = self.group(group).quality_mut();
        quality.reported_at = quality.reported_at.max(Some(at));
    }

    /// A node's own words on what runs its guests.
    pub fn describe(&mut self, group: &GroupName, node: &NodeName, hypervisor: &str) {
        let same = |capacity: &NodeCapacity| capacity.hypervisor.as_deref() == Some(hypervisor);
        if !self.node(group, node).is_some_and(same) {
            self.change(group, node, |capacity| capacity.hypervisor = Some(hypervisor.to_owned()));
        }
    }

    /// Reserves on the node with room that the group's policy chooses, other than those given.
    pub fn reserve(
        &mut self,
        instance: &InstanceId,
        group: &GroupName,
        resources: Resources,
        except: &[NodeName],
    ) -> Option<NodeName> {
        let node = self.groups.get_mut(group)?.choose(resources, except)?;
        self.reserve_on(instance, group, &node, resources);
        Some(node)
    }

    /// Reserves where an instance is to be started, whether or not there is room.
    pub fn reserve_on(
        &mut self,
        instance: &InstanceId,
        group: &GroupName,
        node: &NodeName,
        resources: Resources,
    ) {
        let (group, node) = (group.clone(), node.clone());
        self.put(instance, Holding { group, node, resources, commitment: Commitment::Reserved });
    }

    /// Records where an instance is and what it holds there, replacing what was recorded before.
    pub fn hold(
        &mut self,
        instance: &InstanceId,
        group: &GroupName,
        node: &NodeName,
        resources: Resources,
    ) {
        let (group, node) = (group.clone(), node.clone());
        self.put(instance, Holding { group, node, resources, commitment: Commitment::Committed });
    }

    pub fn release(&mut self, instance: &InstanceId) {
        let Some(Holding { group, node, resources, commitment }) =
            self.holdings.get(instance).cloned()
        else {
            return;
        };
        self.holdings.remove_mut(instance);
        self.change(&group, &node, |capacity| {
            capacity.held -= resources;
            if commitment == Commitment::Reserved {
                capacity.quality.outstanding.take(resources);
            }
        });
        if commitment == Commitment::Reserved {
            self.group(&group).quality_mut().outstanding.take(resources);
        }
    }

    /// What became of an instance that was to be started on the node where its room is held.
    pub fn observe(&mut self, instance: &InstanceId, observation: Observation, now: Timestamp) {
        let Some(Holding { group, node, .. }) = self.holdings.get(instance).cloned() else {
            return;
        };
        self.change(&group, &node, |capacity| capacity.quality.observed.note(observation, now));
        self.observe_group(&group, observation, now);
    }

    /// The same of one that was to be started on some node of the group.
    pub fn observe_group(&mut self, group: &GroupName, observation: Observation, now: Timestamp) {
        self.group(group).quality_mut().observed.note(observation, now);
    }

    /// Of all figures of a group; `None` if nothing is known of it at all.
    pub fn quality(&self, group: &GroupName) -> Option<&Quality> {
        self.groups.get(group).map(GroupCapacity::quality)
    }

    /// For how long nothing was heard, be it of a node or of a whole group.
    pub fn silence(&self, quality: Option<&Quality>, now: Timestamp) -> Duration {
        now.since(self.last_heard(quality))
    }

    /// When something was last heard, or could first have been.
    pub fn last_heard(&self, quality: Option<&Quality>) -> Timestamp {
        quality.and_then(|quality| quality.reported_at).unwrap_or(self.listening_since)
    }

    /// Nodes that have said nothing for longer than they may.
    pub fn silent_nodes(
        &self,
        now: Timestamp,
    ) -> impl Iterator<Item = (&GroupName, &NodeName)> + use<'_> {
        let nodes = self.groups.iter().flat_map(|(group, capacity)| {
            capacity.nodes().map(move |(node, capacity)| (group, node, capacity))
        });
        nodes
            .filter(move |(_, _, node)| self.silence(Some(&node.quality), now) > SILENCE_MAX)
            .map(|(group, node, _)| (group, node))
    }

    /// Nothing is known of the node any more, and nothing is held there.
    pub fn forget_node(&mut self, group: &GroupName, node: &NodeName) {
        let there = |holding: &Holding| holding.group == *group && holding.node == *node;
        let held: Vec<InstanceId> = self
            .holdings
            .iter()
            .filter(|(_, held)| there(held))
            .map(|(id, _)| id.clone())
            .collect();
        held.iter().for_each(|instance| self.release(instance));
        if let Some(capacity) = self.groups.get_mut(group) {
            capacity.forget(node);
        }
    }

    pub fn holding(&self, instance: &InstanceId) -> Option<&Holding> {
        self.holdings.get(instance)
    }

    pub fn node(&self, group: &GroupName, node: &NodeName) -> Option<&NodeCapacity> {
        self.groups.get(group)?.node(node)
    }

    /// The nodes of a group in the order of their names.
    pub fn nodes_of(
        &self,
        group: &GroupName,
    ) -> impl Iterator<Item = (&NodeName, &NodeCapacity)> + use<'_> {
        self.groups.get(group).into_iter().flat_map(GroupCapacity::nodes)
    }

    /// How well `count` of `each` could be placed; looks at no more than `count` nodes.
    pub fn room(&self, group: &GroupName, each: Resources, count: u64) -> Room {
        let room = self.groups.get(group).map(|group| group.room(each, count));
        room.unwrap_or(Room { placeable: 0, in_all: 0 })
    }

    /// How many of `each` could be placed at once now: the sum over nodes of what fits on each.
    /// Looks at every node: for figures that are shown, not for decisions.
    pub fn free_count(&self, group: &GroupName, each: Resources) -> u64 {
        self.nodes_of(group).map(|(_, capacity)| capacity.free().count_of(each)).sum()
    }

    /// The same with every node empty of ours.
    pub fn total_count(&self, group: &GroupName, each: Resources) -> u64 {
        self.nodes_of(group)
            .map(|(_, capacity)| capacity.total.less(capacity.foreign).count_of(each))
            .sum()
    }

    fn put(&mut self, instance: &InstanceId, holding: Holding) {
        if self.holdings.get(instance) == Some(&holding) {
            return;
        }
        self.release(instance);
        let Holding { resources, commitment, .. } = holding;
        self.change(&holding.group, &holding.node, |capacity| {
            capacity.held += resources;
            if commitment == Commitment::Reserved {
                capacity.quality.outstanding.add(resources);
            }
        });
        if commitment == Commitment::Reserved {
            self.group(&holding.group).quality_mut().outstanding.add(resources);
        }
        self.holdings.insert_mut(instance.clone(), holding);
    }

    fn change(
        &mut self,
        group: &GroupName,
        node: &NodeName,
        change: impl FnOnce(&mut NodeCapacity),
    ) {
        self.group(group).change(node, change);
    }

    fn group(&mut self, name: &GroupName) -> &mut GroupCapacity {
        if !self.groups.contains_key(name) {
            self.groups.insert_mut(name.clone(), GroupCapacity::default());
        }
        self.groups.get_mut(name).expect("a group is put there if it was not")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{chance::Counting, id::PrefixedId};

    const SMALL: Resources = Resources { vcpus: 2, memory_mib: 1024, disk_gib: 10 };

    fn two_unlike_nodes() -> (Capacity, GroupName) {
        let group: GroupName = "group-a".parse().unwrap();
        let mut capacity = Capacity::default();
        for (name, vcpus, gib) in [("n1", 4, 4), ("n2", 1, 8)] {
            let total = Resources { vcpus, memory_mib: gib * 1024, disk_gib: 100 };
            let node = name.parse().unwrap();
            capacity.report(&group, &node, total, Resources::NONE, Timestamp(1));
        }
        (capacity, group)
    }

    #[test]
    fn counts_are_per_node_and_not_of_the_sum() {
        let (capacity, group) = two_unlike_nodes();
        assert_eq!(capacity.free_count(&group, SMALL), 2);
    }

    #[test]
    fn a_release_gives_back_exactly_what_was_reserved() {
        let (mut capacity, group) = two_unlike_nodes();
        let mut chance = Counting::default();
        let ids: Vec<_> = (0..3).map(|_| InstanceId::random(&mut chance)).collect();
        assert!(capacity.reserve(&ids[0], &group, SMALL, &[]).is_some());
        assert!(capacity.reserve(&ids[1], &group, SMALL, &[]).is_some());
        assert_eq!(capacity.reserve(&ids[2], &group, SMALL, &[]), None);
        capacity.release(&ids[0]);
        capacity.release(&ids[0]);
        assert_eq!(capacity.free_count(&group, SMALL), 1);
        capacity.release(&ids[1]);
        assert_eq!(capacity.free_count(&group, SMALL), 2);
    }

    #[test]
    fn foreign_guests_are_subtracted() {
        let (mut capacity, group) = two_unlike_nodes();
        let node = "n1".parse().unwrap();
        let total = Resources { vcpus: 4, memory_mib: 4096, disk_gib: 100 };
        capacity.report(&group, &node, total, SMALL, Timestamp(2));
        assert_eq!(capacity.free_count(&group, SMALL), 1);
        assert_eq!(capacity.total_count(&group, SMALL), 1);
    }

    #[test]
    fn a_reservation_is_outstanding_until_it_is_committed_or_released() {
        let (mut capacity, group) = two_unlike_nodes();
        let outstanding = |capacity: &Capacity, node: &NodeName| {
            let of_node = capacity.node(&group, node).unwrap().quality.outstanding;
            (capacity.quality(&group).unwrap().outstanding, of_node)
        };
        let id = InstanceId::random(&mut Counting::default());
        let node = capacity.reserve(&id, &group, SMALL, &[]).unwrap();
        let one = Outstanding { count: 1, resources: SMALL };
        capacity.reserve_on(&id, &group, &node, SMALL);
        assert_eq!(outstanding(&capacity, &node), (one, one), "asked twice, it is one");
        capacity.hold(&id, &group, &node, SMALL);
        assert_eq!(outstanding(&capacity, &node), Default::default());
        assert_eq!(capacity.free_count(&group, SMALL), 1, "and is held for that");
        capacity.reserve_on(&id, &group, &node, SMALL);
        capacity.release(&id);
        assert_eq!(outstanding(&capacity, &node), Default::default());
        assert_eq!(capacity.free_count(&group, SMALL), 2);
    }

    #[test]
    fn what_was_observed_is_of_the_node_and_of_its_group() {
        let (mut capacity, group) = two_unlike_nodes();
        let id = InstanceId::random(&mut Counting::default());
        capacity.observe(&id, Observation::Failed, Timestamp(1));
        assert_eq!(capacity.quality(&group).unwrap().observed, Observed::default(), "of whom?");
        let node = capacity.reserve(&id, &group, SMALL, &[]).unwrap();
        capacity.observe(&id, Observation::Failed, Timestamp(1));
        let of_node = &capacity.node(&group, &node).unwrap().quality;
        for quality in [of_node, capacity.quality(&group).unwrap()] {
            assert_eq!(quality.observed.record(Timestamp(2)).failed, 1);
        }
        let other = "n2".parse().unwrap();
        assert_eq!(capacity.node(&group, &other).unwrap().quality.observed, Observed::default());
    }

    #[test]
    fn a_group_is_heard_of_while_one_of_its_nodes_is() {
        let (mut capacity, group) = two_unlike_nodes();
        let late = Timestamp(1) + SILENCE_MAX + Duration::from_millis(1);
        assert_eq!(capacity.silent_nodes(late).count(), 2);
        let node = "n2".parse().unwrap();
        capacity.report(&group, &node, SMALL, Resources::NONE, Timestamp(2));
        let silent: Vec<_> = capacity.silent_nodes(late).map(|(_, node)| node.as_str()).collect();
        assert_eq!(silent, ["n1"]);
        assert!(capacity.silence(capacity.quality(&group), late) <= SILENCE_MAX);
        capacity.listen_from(Timestamp(5));
        assert_eq!(capacity.silence(None, Timestamp(9)), Duration::from_millis(4), "never heard");
    }

    #[test]
    fn a_node_that_is_forgotten_offers_and_holds_nothing() {
        let (mut capacity, group) = two_unlike_nodes();
        let id = InstanceId::random(&mut Counting::default());
        let node = capacity.reserve(&id, &group, SMALL, &[]).unwrap();
        capacity.forget_node(&group, &node);
        assert_eq!((capacity.node(&group, &node), capacity.holding(&id)), (None, None));
        assert_eq!(capacity.free_count(&group, SMALL), 0);
        assert_eq!(capacity.reserve(&id, &group, SMALL, &[]), None);
        assert_eq!(capacity.quality(&group).unwrap().outstanding, Outstanding::default());
        capacity.release(&id);
    }

    #[test]
    fn a_draft_thrown_away_reserved_nothing() {
        let (capacity, group) = two_unlike_nodes();
        let mut draft = capacity.clone();
        draft.reserve(&InstanceId::random(&mut Counting::default()), &group, SMALL, &[]).unwrap();
        assert_eq!(capacity.free_count(&group, SMALL), 2);
        assert_eq!(draft.free_count(&group, SMALL), 1);
    }
}
