//! What groups answer to wishes: taken into the records, and out of what is remembered.
//!
//! An answer says whether a wish was taken up. What becomes of it a report tells (`report`).

use super::{Core, driver::UPDATE};
use crate::{
    actors::address::{Answer, AskError},
    domain::{
        cloud_state::Entry,
        draft::{Draft, Effect},
        instance::{Instance, InstanceState, LifecycleEvent, StateReason},
        time::Timestamp,
    },
    messages::group::{Done, Outcome, Outcomes, PlaceInstances},
};
use std::{rc::Rc, sync::Arc};

impl Core {
    /// Answers what was asked in the message of this generation.
    pub(super) async fn take_outcomes(
        self: &Rc<Self>,
        answer: Answer<PlaceInstances>,
        generation: u64,
    ) {
        let mut outcomes = match answer {
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
        let state = {
            let book = self.book.borrow();
            outcomes.retain(|done| {
                let granted = matches!(done.outcome, Outcome::Accepted { .. });
                granted
                    || done.revision == UPDATE
                    || book.driver.decides(&done.instance, generation)
            });
            book.state.clone()
        };
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
        Outcome::Accepted { node, generation } => {
            if after.node.as_ref() == Some(node) {
                return;
            }
            after.node = Some(node.clone());
            after.placed_at = *generation;
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
