//! What nodes state, taken into the records.
//!
//! Only a report, never silence, moves an instance: a node that does not report leaves its instances
//! as they were last known. A report goes on from an earlier one, or tells everything.

use super::Core;
use crate::{
    domain::{
        boot_phase::BootPhase,
        capacity::Observation,
        cloud_state::Entry,
        draft::{Draft, Effect},
        fault::CloudFault,
        id::{GroupName, InstanceId, NodeName},
        instance::{Instance, InstanceState, LifecycleEvent, StateReason},
    },
    messages::{
        cloud::ReportPlacements,
        group::TerminateInstances,
        report::{GroupReport, Heard, InstanceReport, NodeReport, Reading},
    },
};
use std::{
    collections::{BTreeMap, HashSet},
    rc::Rc,
    sync::Arc,
};

impl Core {
    pub(super) async fn take_report(
        self: &Rc<Self>,
        from: GroupReport,
    ) -> Result<Heard, CloudFault> {
        let GroupReport { group, report } = from;
        let key = (group.clone(), report.node.clone());
        {
            let mut book = self.book.borrow_mut();
            // What it says now it said before it was evicted.
            if book.state.evictions.contains_key(&key) {
                return Ok(Heard::Taken);
            }
            let heard = &mut book.driver.heard;
            match report.after(heard.get(&key).copied()) {
                Reading::Late => return Ok(Heard::Taken),
                Reading::Gap => return Ok(Heard::TellAll),
                Reading::News => heard.insert(key.clone(), report.generation),
            };
            let foreign = report.foreign_total();
            // By the clock here: those of the hosts may differ.
            let at = self.ambient.now();
            book.state.capacity.report(&group, &report.node, report.total, foreign, at);
            for stated in &report.instances {
                let why = stated.impairment.as_deref();
                book.state.note_impairment(&stated.instance, why, at);
            }
            book.state.capacity.describe(&group, &report.node, &report.hypervisor);
            self.publish(&mut book);
        }
        let mut strangers = Vec::new();
        let mut unknown = Vec::new();
        let decision = self.decide(|draft| {
            for stated in &report.instances {
                match draft.state.instance(&stated.instance).cloned() {
                    Some(instance) if instance.state.exists() => {
                        take(&instance, stated, &report.node, draft);
                    }
                    Some(_) if stated.phase == BootPhase::Ended => {
                        draft.effect(Effect::Forget(stated.instance.clone()));
                    }
                    // Its record was kept long enough and is gone, or was never ours.
                    None if stated.phase == BootPhase::Ended => {
                        unknown.push(stated.instance.clone());
                    }
                    Some(_) | None if stated.phase == BootPhase::Ending => {}
                    Some(_) | None => strangers.push((stated.instance.clone(), stated.revision)),
                }
            }
            for instance in self.missing(&group, &report) {
                state_gone(&instance, draft);
            }
        });
        self.end_strangers(&group, strangers);
        self.forget(&group, unknown);
        if let Err(fault) = self.keep(decision, self.own_context("report")).await {
            // What was not kept is to be heard again.
            self.book.borrow_mut().driver.heard.remove(&key);
            return Err(fault);
        }
        self.tell_policies_of_capacity(&group).await;
        Ok(Heard::Taken)
    }

    pub(super) fn warn_of_absent_groups(&self) {
        let book = self.book.borrow();
        let mut absent: BTreeMap<_, Vec<String>> = BTreeMap::new();
        let existing = book.durable.instances().filter(|instance| instance.state.exists());
        for instance in existing.filter(|i| !self.groups.contains_key(&i.group)) {
            absent.entry(&instance.group).or_default().push(format!("`{}`", instance.id));
        }
        for (group, instances) in absent {
            log::error!(
                "group `{group}` is not in the configuration any more: its instances ({}) stay as \
                 last known and cannot be reached until it is put back",
                instances.join(", ")
            );
        }
    }

    /// Of what a group keeps room for and its nodes do not have, it may forget what has ended here:
    /// an instance that never came to a node has no node to state its end.
    pub(super) async fn take_placements(self: &Rc<Self>, from: ReportPlacements) {
        let over: Vec<InstanceId> = {
            let mut book = self.book.borrow_mut();
            book.state.note_absent_nodes(&from.group, &from.absent, self.ambient.now());
            self.publish(&mut book);
            let exists =
                |id: &InstanceId| book.durable.instance(id).is_some_and(|i| i.state.exists());
            from.unstated.into_iter().filter(|id| !exists(id)).collect()
        };
        self.forget(&from.group, over);
        let explained = self.decide(|draft| {
            for node in &from.absent {
                explain_waiting(&from.group, node, draft);
            }
        });
        if !explained.changes.is_empty() {
            self.keep_own(explained, "absent nodes").await;
        }
    }

    /// Instances the node is on record to have and does not know.
    fn missing(&self, group: &GroupName, report: &NodeReport) -> Vec<Arc<Instance>> {
        let book = self.book.borrow();
        let unknown = |instance: &Instance| match book.driver.accepted_at(instance) {
            Some(accepted) => report.generation > accepted,
            // Not asked since our start: what is settled the node must know.
            None => !instance.state.is_transient(),
        };
        let placed = |id: &InstanceId| {
            let instance = book.state.instance(id)?;
            let here = instance.state.exists()
                && instance.group == *group
                && instance.node.as_ref() == Some(&report.node);
            here.then_some(instance)
        };
        if report.since.is_some() {
            let gone = report.gone.iter().filter_map(placed);
            return gone.filter(|instance| unknown(instance)).cloned().collect();
        }
        let seen: HashSet<&InstanceId> = report.instances.iter().map(|i| &i.instance).collect();
        let on_record = book.state.placed_on(group, &report.node);
        on_record
            .filter(|instance| !seen.contains(&instance.id) && unknown(instance))
            .cloned()
            .collect()
    }

    /// Guests whose end is on record, or that this cloud never heard of: they are ended, since an
    /// instance nobody can see is capacity nobody gets back.
    fn end_strangers(self: &Rc<Self>, group: &GroupName, strangers: Vec<(InstanceId, u64)>) {
        if strangers.is_empty() {
            return;
        }
        let Some(address) = self.groups.get(group) else { return };
        let instances = strangers
            .into_iter()
            .map(|(id, revision)| {
                log::warn!("node has instance `{id}`, which the records say is gone: ending it");
                (id, revision + 1)
            })
            .collect();
        let answer = address.ask(self.own_context("strangers"), TerminateInstances { instances });
        actix_rt::spawn(async move {
            if let Err(fault) = answer.await {
                log::warn!("strangers will be met again in the next report: {fault}");
            }
        });
    }
}

/// What was asked of an instance before its node was taken away is still wanted, and users are told
/// what it waits for.
fn explain_waiting(group: &GroupName, node: &NodeName, draft: &mut Draft<'_>) {
    let why = format!("waiting for node '{node}', which is not in the configuration any more");
    let reason = Some(StateReason::internal_error(&why));
    let waiting: Vec<Arc<Instance>> = draft
        .state
        .placed_on(group, node)
        .filter(|i| i.state.is_transient() && i.state_reason != reason)
        .cloned()
        .collect();
    for instance in waiting {
        let mut explained = Instance::clone(&instance);
        explained.state_reason = reason.clone();
        draft.put(Entry::Instance(Arc::new(explained)));
    }
}

fn take(instance: &Arc<Instance>, stated: &InstanceReport, node: &NodeName, draft: &mut Draft<'_>) {
    // The group's word on where it placed the instance may have been lost on the way.
    let placed = match &instance.node {
        Some(known) if known == node => instance.clone(),
        // It has been given to another since, and this is no word on what becomes of it there.
        Some(_) => return,
        None => {
            let mut placed = Instance::clone(instance);
            placed.node = Some(node.clone());
            let placed = Arc::new(placed);
            draft.put(Entry::Instance(placed.clone()));
            placed
        }
    };
    // While the node owes a change, a statement older than the request is not about its outcome.
    // Of a settled instance only a reboot can be newer, and that may have been lost: it is asked
    // once more, which a node that has it already ignores.
    if stated.revision != instance.revision && instance.state.is_transient() {
        return;
    }
    if instance.state == InstanceState::Running
        && stated.phase == BootPhase::Running
        && stated.revision < instance.revision
    {
        draft.effect(Effect::Reboot(instance.id.clone()));
    }
    let event = match stated.phase {
        BootPhase::Running => LifecycleEvent::GuestStarted,
        BootPhase::Stopped => LifecycleEvent::GuestStopped,
        BootPhase::Ended => LifecycleEvent::GuestGone,
        BootPhase::Accepted
        | BootPhase::FetchingImage
        | BootPhase::PreparingDisk
        | BootPhase::AttachingNetwork
        | BootPhase::StartingDomain
        | BootPhase::Stopping
        | BootPhase::Ending => return,
    };
    record(&placed, event, stated.reason.clone(), draft);
}

fn state_gone(instance: &Arc<Instance>, draft: &mut Draft<'_>) {
    let reason = match instance.state {
        InstanceState::ShuttingDown => instance.state_reason.clone(),
        _ => Some(StateReason::internal_error("the node no longer knows the instance")),
    };
    record(instance, LifecycleEvent::GuestGone, reason, draft);
}

fn record(
    instance: &Arc<Instance>,
    event: LifecycleEvent,
    reason: Option<StateReason>,
    draft: &mut Draft<'_>,
) {
    let mut after = Instance::clone(instance);
    // A node's reason, or the user's request that it carries out.
    let reason = match event {
        LifecycleEvent::GuestStarted => None,
        _ => reason.or_else(|| instance.state_reason.clone()),
    };
    // What a node states is never refused.
    let _ = after.apply(event, reason, draft.now);
    if after.state == instance.state {
        return;
    }
    if instance.state == InstanceState::Pending {
        let observation = start_observed(&after);
        draft.state.capacity.observe(&after.id, observation, draft.now);
    }
    if !after.state.exists() {
        draft.effect(Effect::Forget(after.id.clone()));
        draft.members_changed(&after);
    }
    draft.put(Entry::Instance(Arc::new(after)));
}

/// What is stated of an instance that was to be started. One that ended by its own doing, before it
/// was told to run, did run.
fn start_observed(after: &Instance) -> Observation {
    let own_doing = |reason: &StateReason| reason.code.starts_with("Client.");
    match after.state {
        InstanceState::Running => Observation::Started,
        _ if after.state_reason.as_ref().is_some_and(own_doing) => Observation::Started,
        _ => Observation::Failed,
    }
}
