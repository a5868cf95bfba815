//! A node that is gone for good, on an administrator's word.
//!
//! Its certificate was revoked before anything here is decided, so that it cannot speak for its
//! instances any more. Those that asked for it are run on another node, under the same id and
//! addresses, once their group has taken it that the node is gone; all others end at once.

use super::{Core, command::Decide};
use crate::{
    domain::{
        cloud_state::{CloudState, Entry, Eviction},
        draft::{Draft, Effect},
        fault::CloudFault,
        id::{GroupName, InstanceId, NodeName},
        instance::{Instance, LifecycleEvent, StateReason},
    },
    messages::{
        cloud::{EvictNode, Evicted},
        group,
    },
};
use std::{rc::Rc, sync::Arc};

/// A tag of an instance: whether it is run on another node when its own is evicted.
pub const RESTART_ELSEWHERE: &str = "mallee:restart-elsewhere";

impl Decide for EvictNode {
    fn decide(self, draft: &mut Draft<'_>) -> Result<Evicted, CloudFault> {
        draft.require_administrator("evict nodes")?;
        let EvictNode { group, node, was_member } = self;
        let key = (group.clone(), node.clone());
        let state = &draft.state;
        let is_known = was_member
            || state.capacity.node(&group, &node).is_some()
            || state.absent_nodes.contains_key(&key)
            || state.evictions.contains_key(&key)
            || state.placed_on(&group, &node).next().is_some();
        if !is_known {
            return Err(CloudFault::NodeNotFound { group, node });
        }
        let since = draft.now;
        draft.put(Entry::Eviction(Arc::new(Eviction {
            group: group.clone(),
            node: node.clone(),
            since,
        })));
        let (mut ended, mut restarted) = (Vec::new(), Vec::new());
        for instance in there(&draft.state, &group, &node) {
            if is_restarted_elsewhere(&instance, &draft.state) {
                restarted.push(instance.id.clone());
            } else {
                ended.push(instance.id.clone());
                end(&instance, &node, draft);
            }
        }
        Ok(Evicted { ended, restarted })
    }
}

impl Core {
    /// Has groups take it that nodes are gone. Returns at once: a group may take its time, and is
    /// asked once at a time.
    pub(super) fn carry_out_evictions(self: &Rc<Self>) {
        let mut book = self.book.borrow_mut();
        let evictions: Vec<Arc<Eviction>> = book.durable.evictions.values().cloned().collect();
        for eviction in evictions {
            let key = (eviction.group.clone(), eviction.node.clone());
            // A group that would still let the node in has no use for being told.
            if self.members.has_heard(&eviction.group) && book.driver.evicting.insert(key.clone()) {
                let core = self.clone();
                actix_rt::spawn(async move {
                    core.carry_out_eviction(eviction).await;
                    core.book.borrow_mut().driver.evicting.remove(&key);
                });
            }
        }
    }

    /// When the group has taken it, deals with what is left there.
    async fn carry_out_eviction(self: &Rc<Self>, eviction: Arc<Eviction>) {
        // A group that is not configured any more has nothing to say.
        if let Some(group) = self.groups.get(&eviction.group) {
            let asked = group::EvictNode { node: eviction.node.clone() };
            if let Err(fault) = group.ask(self.own_context("eviction"), asked).await {
                log::warn!("group `{}` is told again to evict: {fault}", eviction.group);
                return;
            }
        }
        // A host that joins anew under this name counts its reports from the beginning.
        let key = (eviction.group.clone(), eviction.node.clone());
        self.book.borrow_mut().driver.heard.remove(&key);
        let settled = self.decide(|draft| settle(&eviction, draft));
        self.keep_own(settled, "eviction").await;
        log::info!("node `{}` of group `{}` is evicted", eviction.node, eviction.group);
    }
}

fn settle(eviction: &Arc<Eviction>, draft: &mut Draft<'_>) {
    let Eviction { group, node, .. } = &**eviction;
    let left = there(&draft.state, group, node);
    draft.state.capacity.forget_node(group, node);
    for instance in left {
        if is_restarted_elsewhere(&instance, &draft.state) {
            restart(&instance, node, draft);
        } else {
            end(&instance, node, draft);
        }
    }
    draft.remove(Entry::Eviction(eviction.clone()));
}

fn there(state: &CloudState, group: &GroupName, node: &NodeName) -> Vec<Arc<Instance>> {
    state.placed_on(group, node).cloned().collect()
}

fn is_restarted_elsewhere(instance: &Instance, state: &CloudState) -> bool {
    let own = state.scope(&instance.scope);
    let tags = own.and_then(|own| own.tags_of(&instance.id.to_string()));
    tags.and_then(|tags| tags.get(RESTART_ELSEWHERE)).is_some_and(|value| value == "true")
}

fn end(instance: &Arc<Instance>, node: &NodeName, draft: &mut Draft<'_>) {
    let why = format!("the administrator evicted its node '{node}'");
    let mut after = Instance::clone(instance);
    // What is known of a node that is gone is never refused.
    let _ =
        after.apply(LifecycleEvent::GuestGone, Some(StateReason::internal_error(&why)), draft.now);
    draft.members_changed(&after);
    draft.put(Entry::Instance(Arc::new(after)));
}

/// As one that was never placed: its group chooses a node for it, which makes it a new disk.
fn restart(instance: &Arc<Instance>, node: &NodeName, draft: &mut Draft<'_>) {
    let why = format!("it is run on another node, since its node '{node}' was evicted");
    let mut after = Instance::clone(instance);
    let _ =
        after.apply(LifecycleEvent::NodeLost, Some(StateReason::internal_error(&why)), draft.now);
    after.node = None;
    after.revision += 1;
    let id: InstanceId = after.id.clone();
    draft.put(Entry::Instance(Arc::new(after)));
    draft.effect(Effect::Drive(id));
}
