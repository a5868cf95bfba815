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
            let Some(instance) = book.state.instance(id).filter(|instance| {
                instance.state == InstanceState::Pending && instance.revision == *revision
            }) else {
                continue;
            };
            let (group, has_node) = (instance.group.clone(), instance.node.is_some());
            // Until the group has said on which, the node that was reserved on is a guess, and a
            // node is not to be blamed for another.
            match has_node {
                true => book.state.capacity.observe(id, observation, now),
                false => book.state.capacity.observe_group(&group, observation, now),
            }
            observed = true;
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

#[cfg(test)]
mod tests {
    use crate::{
        actors::{
            address::Address,
            testing::{Cloud, Fate, GROUP, Node, a_launch, losing, on_behalf_of, user, wait},
        },
        domain::{
            capacity::Record,
            id::{GroupName, NodeName},
            instance::InstanceState,
            resources::Resources,
        },
        messages::{
            cloud::{LaunchReservation, ReportGroup},
            report::{GroupReport, NodeReport},
        },
    };

    fn group() -> GroupName {
        GROUP.parse().unwrap()
    }

    /// What was observed of the starts at the group, and what is still outstanding there.
    fn observed(cloud: &Cloud) -> (Record, u64) {
        let state = cloud.published.load();
        let quality = state.capacity.quality(&group()).unwrap();
        (quality.observed.record(cloud.clock.now()), quality.outstanding.count)
    }

    #[actix_rt::test]
    async fn a_start_is_observed_once_as_what_became_of_it() {
        let cloud = Cloud::start(vec![Node::start("n1", 4)]).await;
        let id = cloud.launch(1).await.remove(0);
        assert_eq!(observed(&cloud).1, 1);
        cloud.until(&id, |instance| instance.state == InstanceState::Running).await;
        assert_eq!(observed(&cloud), (Record { started: 1, ..Record::default() }, 0));
        cloud.group.nodes[0].hindrance.fail_next("start");
        let id = cloud.launch(1).await.remove(0);
        cloud.until(&id, |instance| instance.state == InstanceState::Terminated).await;
        assert_eq!(observed(&cloud), (Record { started: 1, failed: 1, ..Record::default() }, 0));
    }

    #[actix_rt::test]
    async fn an_answer_that_is_lost_is_observed_and_so_is_what_comes_of_asking_again() {
        let weather = losing("group.place_instances", Fate::LoseAnswer, 1);
        let cloud = Cloud::start_in(weather, vec![Node::start("n1", 4)]).await;
        let id = cloud.launch(1).await.remove(0);
        cloud.until(&id, |instance| instance.state == InstanceState::Running).await;
        wait("both are observed", || async {
            let expected = Record { started: 1, unanswered: 1, ..Record::default() };
            (observed(&cloud) == (expected, 0)).then_some(())
        })
        .await;
    }

    #[actix_rt::test]
    async fn room_that_a_group_does_not_have_after_all_is_observed_of_the_group_and_given_back() {
        let cloud = Cloud::start(vec![Node::start("n1", 1)]).await;
        wait("n1 is heard", || async {
            cloud.published.load().capacity.node(&group(), &"n1".parse().unwrap()).map(|_| ())
        })
        .await;
        // Only the cloud has heard of this node.
        let node: NodeName = "n2".parse().unwrap();
        let report = NodeReport {
            node: node.clone(),
            generation: 1,
            made_at: cloud.clock.now(),
            total: Resources { vcpus: 3, memory_mib: 1 << 20, disk_gib: 1 << 20 },
            since: None,
            instances: Vec::new(),
            gone: Vec::new(),
            foreign: Vec::new(),
            hypervisor: "none".to_owned(),
        };
        let report = ReportGroup { report: GroupReport { group: group(), report } };
        Address::Local(cloud.addr.clone()).ask(on_behalf_of(user()), report).await.unwrap();
        let launch = LaunchReservation { min_count: 3, max_count: 3, ..a_launch() };
        let launched = cloud.command(launch).await.unwrap().instances;
        let mut ends = Vec::new();
        for id in &launched {
            let settled = cloud.until(id, |i| i.state != InstanceState::Pending).await;
            ends.push(settled.state);
        }
        use InstanceState::{Running, Terminated};
        assert_eq!(ends.iter().filter(|state| **state == Running).count(), 1);
        assert_eq!(ends.iter().filter(|state| **state == Terminated).count(), 2);
        let record = Record { started: 1, no_room: 2, ..Record::default() };
        assert_eq!(observed(&cloud), (record, 0));
        let state = cloud.published.load();
        let free = |node| state.capacity.node(&group(), node).unwrap().free().vcpus;
        assert_eq!((free(&"n1".parse().unwrap()), free(&node)), (0, 3), "it is rolled back");
    }
}
