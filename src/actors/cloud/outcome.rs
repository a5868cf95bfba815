//! What groups answer to wishes: taken into the records, and out of what is remembered.
//!
//! An answer says whether a wish was taken up. What becomes of it a report tells (`report`).

use super::{Core, driver::UPDATE};
use crate::{
    actors::address::{Answer, AskError},
    domain::{
        capacity::Observation,
        cloud_state::Entry,
        draft::{Draft, Effect},
        id::InstanceId,
        instance::{Instance, InstanceState, LifecycleEvent, StateReason},
        time::Timestamp,
    },
    messages::group::{Done, Outcome, Outcomes, PlaceInstances},
};
use std::{collections::BTreeMap, rc::Rc, sync::Arc};

impl Core {
    /// What a group's answer tells of its figures, by which it had room for these starts. That an
    /// instance came to run, or failed to, a report tells.
    pub(super) fn observe_starts(
        &self,
        starting: &[(InstanceId, u64)],
        answer: &Answer<PlaceInstances>,
    ) {
        let observation = |outcome: Option<&Outcome>| match outcome {
            Some(Outcome::Accepted { .. } | Outcome::NotPlaced) => None,
            Some(Outcome::NoRoom) => Some(Observation::NoRoom),
            Some(Outcome::Refused(_)) => Some(Observation::Failed),
            Some(Outcome::Unanswered) | None => Some(Observation::Unanswered),
        };
        let outcomes: BTreeMap<&InstanceId, &Outcome> = match answer {
            Ok(Outcomes { outcomes }) => {
                outcomes.iter().map(|done| (&done.instance, &done.outcome)).collect()
            }
            Err(_) => BTreeMap::new(),
        };
        let mut book = self.book.borrow_mut();
        let now = self.ambient.now();
        let mut observed = false;
        for (id, revision) in starting {
            let Some(observation) = observation(outcomes.get(id).copied()) else { continue };
            // Of one that its owner has ended meanwhile it proves nothing.
            let waits = |instance: &Arc<Instance>| {
                instance.state == InstanceState::Pending && instance.revision == *revision
            };
            if book.state.instance(id).is_some_and(waits) {
                book.state.capacity.observe(id, observation, now);
                observed = true;
            }
        }
        if observed {
            self.publish(&mut book);
        }
    }

    pub(super) async fn take_outcomes(self: &Rc<Self>, answer: Answer<PlaceInstances>) {
        let outcomes = match answer {
            Ok(Outcomes { outcomes }) => outcomes,
            Err(AskError::Refused(fault)) => {
                log::warn!("a group could not take up its wishes: {fault}");
                return;
            }
            Err(fault) => {
                log::warn!("wishes to a group will be repeated: {fault}");
                return;
            }
        };
        let state = self.book.borrow().state.clone();
        let changed = self.decide(|draft| {
            for done in &outcomes {
                if let Some(instance) = state.instance(&done.instance) {
                    take_outcome(instance, done, draft);
                }
            }
        });
        {
            let mut book = self.book.borrow_mut();
            for done in outcomes {
                match done.revision {
                    UPDATE => book.driver.take_update(&state, &done),
                    _ => book.driver.take_accepted(&state, done),
                }
            }
        }
        self.keep_own(changed, "outcome").await;
    }
}

/// The group's word on one wish.
fn take_outcome(instance: &Arc<Instance>, done: &Done, draft: &mut Draft<'_>) {
    let mut after = Instance::clone(instance);
    // An answer to a request that has been overtaken tells where the instance is, and no more.
    if done.revision != instance.revision && !matches!(done.outcome, Outcome::Accepted { .. }) {
        return;
    }
    match &done.outcome {
        Outcome::Accepted { node, .. } => {
            if after.node.as_ref() == Some(node) {
                return;
            }
            after.node = Some(node.clone());
        }
        Outcome::NoRoom => {
            give_up(&mut after, StateReason::insufficient_capacity("no node has room"), draft.now);
        }
        Outcome::Refused(why) => {
            if instance.state != InstanceState::Pending {
                log::warn!("instance `{}` stays `{}`: {why}", instance.id, instance.state.as_str());
                return;
            }
            give_up(&mut after, StateReason::internal_error(why), draft.now);
        }
        Outcome::NotPlaced => {
            // The group's own record says that no node ever had it, so there is nothing to end.
            if instance.state != InstanceState::ShuttingDown {
                return;
            }
            let reason = after.state_reason.clone();
            let _ = after.apply(LifecycleEvent::GuestGone, reason, draft.now);
        }
        Outcome::Unanswered => return,
    }
    if after.state != instance.state && !after.state.exists() {
        draft.members_changed(&after);
        draft.effect(Effect::Forget(after.id.clone()));
    }
    draft.put(Entry::Instance(Arc::new(after)));
}

/// Rolls a launch back, or a start of an instance that has a disk already.
fn give_up(instance: &mut Instance, reason: StateReason, now: Timestamp) {
    let event = match instance.node {
        Some(_) => LifecycleEvent::GuestStopped,
        None => LifecycleEvent::GuestGone,
    };
    if instance.state == InstanceState::Pending {
        // What a node or group states is never refused.
        let _ = instance.apply(event, Some(reason), now);
    }
}
