//! From records to wishes: what the cloud asks of its groups, and asks again.
//!
//! Wishes are read from the durable record when they are sent, and carry the record's revision, so
//! sending one twice or late does no harm. An instance whose record wants something of its node
//! (`InstanceState::is_transient`) is looked at again until the node has taken it up.

use super::{Core, instance_spec, refresh::Refresh};
use crate::{
    domain::{
        cloud_state::CloudState,
        draft::Effect,
        id::{GroupName, InstanceId, NodeName},
        instance::{Instance, InstanceState},
        time::Timestamp,
    },
    messages::{
        CallContext,
        group::{
            Done, ForgetInstances, Outcome, PlaceInstances, RebootInstances, StopInstances,
            TerminateInstances, UpdateInstances, Wanted,
        },
        node::UpdateInstance,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

/// A wish nobody has taken up is repeated after this long.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The same for what may change without a boot, which a cloud that has just begun tells of every
/// instance there is: one that is busy with that is not to be told it all once more.
const UPDATE_RETRY_AFTER: Duration = Duration::from_secs(10);

/// What outcomes of updates say for a revision: requests count from 1.
pub(super) const UPDATE: u64 = 0;

/// What is remembered of wishes; nothing of it survives a restart, or needs to.
#[derive(Debug)]
pub struct Driver {
    /// Instances whose records want something, and when it was last asked for.
    wishes: BTreeMap<InstanceId, Option<Asked>>,
    /// The revision a node has taken up, and the generation of its reports that know of it.
    accepted: HashMap<InstanceId, (u64, u64)>,
    /// Instances whose node has not confirmed what may change without a boot, and when it was told.
    updates: BTreeMap<InstanceId, Option<Timestamp>>,
    pub(super) refresh: Refresh,
    /// Nodes whose group is being asked to evict them.
    pub evicting: BTreeSet<(GroupName, NodeName)>,
    /// The generation of the newest report heard of each node.
    pub heard: BTreeMap<(GroupName, NodeName), u64>,
}

impl Driver {
    /// After a restart everything transient is wished for anew, and nodes are told of all that exist
    /// what may have changed without a boot, filters included. A boot that its node has taken up
    /// is no news to it, however it is asked again, so it is told of that too.
    pub fn restored(state: &CloudState, zones: &[GroupName], filters_generation: u64) -> Driver {
        let existing = || state.instances().filter(|instance| instance.state.exists());
        let transient = existing().filter(|instance| instance.state.is_transient());
        Driver {
            wishes: transient.map(|instance| (instance.id.clone(), None)).collect(),
            updates: existing().map(|instance| (instance.id.clone(), None)).collect(),
            accepted: HashMap::new(),
            refresh: Refresh::restored(state, zones, filters_generation),
            evicting: BTreeSet::new(),
            heard: BTreeMap::new(),
        }
    }

    /// A node has taken up the latest request.
    pub fn take_accepted(&mut self, state: &CloudState, done: Done) {
        let Done { instance, revision, outcome } = done;
        let latest = state.instance(&instance).is_some_and(|i| i.revision == revision);
        if let Outcome::Accepted { generation, .. } = outcome
            && latest
        {
            self.wishes.remove(&instance);
            self.accepted.insert(instance, (revision, generation));
        }
    }

    /// An update that may have met a boot on its way, or met nobody, or that its node could not
    /// carry out, is told again.
    pub fn take_update(&mut self, state: &CloudState, done: &Done) {
        let unanswered = matches!(done.outcome, Outcome::Unanswered | Outcome::Refused(_));
        let booting = state.instance(&done.instance).is_some_and(|i| self.is_unplaced(i));
        if !unanswered && !booting {
            self.updates.remove(&done.instance);
        }
    }

    /// Whether an answer to what was asked in that message decides what becomes of the wish. A later
    /// asking may have been granted what this one was refused.
    pub fn decides(&self, instance: &InstanceId, generation: u64) -> bool {
        let asked = self.wishes.get(instance).copied().flatten();
        asked.is_none_or(|asked| asked.generation <= generation)
    }

    /// A boot with an older view of things may be on its way to a node.
    pub(super) fn is_unplaced(&self, instance: &Instance) -> bool {
        instance.state == InstanceState::Pending && self.wishes.contains_key(&instance.id)
    }

    /// The generation from which on a node's reports know of the record's latest request.
    pub fn accepted_at(&self, instance: &Instance) -> Option<u64> {
        self.accepted
            .get(&instance.id)
            .filter(|(revision, _)| *revision == instance.revision)
            .map(|(_, generation)| *generation)
    }
}

/// An asking for a wish. It may have been asked for before, and that may be under way still.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Timestamp,
    /// Of the message.
    generation: u64,
}

/// Wishes of one kind for one group, sent in one message.
#[derive(Debug, Default)]
struct Wishes {
    place: Vec<Wanted>,
    stop: Vec<(InstanceId, u64)>,
    force_stop: Vec<(InstanceId, u64)>,
    terminate: Vec<(InstanceId, u64)>,
    reboot: Vec<(InstanceId, u64)>,
    update: Vec<UpdateInstance>,
    forget: Vec<InstanceId>,
}

impl Core {
    /// Sends what the effects point at. Returns at once; answers come to `take_outcomes`.
    pub(super) fn enact(self: &Rc<Self>, effects: BTreeSet<Effect>, context: CallContext) {
        let mut by_group: BTreeMap<GroupName, Wishes> = BTreeMap::new();
        let generation = {
            let mut book = self.book.borrow_mut();
            let now = self.ambient.now();
            let state = book.durable.clone();
            let generation = book.driver.refresh.next_generation();
            for effect in effects {
                match effect {
                    Effect::Drive(id) => {
                        let Some(instance) = state.instance(&id) else { continue };
                        tracing::debug!(
                            request_id = %context.request_id,
                            instance = %id,
                            state = instance.state.as_str(),
                            "recorded, and wanted of its group"
                        );
                        book.driver.wishes.insert(id, Some(Asked { at: now, generation }));
                        if instance.state == InstanceState::Pending {
                            book.driver.refresh.placing(&state, instance);
                        }
                        let wishes = by_group.entry(instance.group.clone()).or_default();
                        self.wish(instance, &state, generation, wishes);
                    }
                    Effect::Reboot(id) => {
                        let Some(instance) = state.instance(&id) else { continue };
                        let wishes = by_group.entry(instance.group.clone()).or_default();
                        wishes.reboot.push((id, instance.revision));
                    }
                    Effect::Update(id) => {
                        let Some(instance) = state.instance(&id) else { continue };
                        book.driver.updates.insert(id, Some(now));
                        let wishes = by_group.entry(instance.group.clone()).or_default();
                        wishes.update.extend(self.update_of(instance, &state, generation));
                    }
                    Effect::Forget(id) => {
                        // While its end is not on the disk yet, the node is not to forget it.
                        let ended = |instance: &&Arc<Instance>| !instance.state.exists();
                        let Some(instance) = state.instance(&id).filter(ended) else { continue };
                        book.driver.wishes.remove(&id);
                        book.driver.updates.remove(&id);
                        book.driver.accepted.remove(&id);
                        by_group.entry(instance.group.clone()).or_default().forget.push(id);
                    }
                    Effect::RefreshFilters(scope) => {
                        book.driver.refresh.rules_changed(&state, &scope);
                    }
                    Effect::RefreshMembers(scope, group) => {
                        book.driver.refresh.members_changed(&state, &scope, &group);
                    }
                }
            }
            generation
        };
        for (group, wishes) in by_group {
            self.send(&group, wishes, generation, context.clone());
        }
        self.refresh();
    }

    fn update_of(
        &self,
        instance: &Instance,
        state: &CloudState,
        generation: u64,
    ) -> Option<UpdateInstance> {
        let own = state.scope(&instance.scope)?;
        let elastic = instance.interfaces.iter().map(|interface| {
            let assignment = instance_spec::elastic(interface, own, &self.settings, generation);
            (interface.id.clone(), assignment)
        });
        Some(UpdateInstance {
            instance: instance.id.clone(),
            generation,
            metadata: instance_spec::metadata(instance, own)?,
            shutdown_behavior: instance.shutdown_behavior,
            elastic: elastic.collect(),
        })
    }

    /// What the record wants of its node now.
    fn wish(&self, instance: &Instance, state: &CloudState, generation: u64, wishes: &mut Wishes) {
        let id = instance.id.clone();
        let revision = instance.revision;
        match instance.state {
            InstanceState::Pending => {
                if let Some(spec) = instance_spec::of(instance, state, &self.settings, generation) {
                    wishes.place.push(Wanted { spec, revision });
                }
            }
            InstanceState::Stopping if instance.stop_forced => {
                wishes.force_stop.push((id, revision))
            }
            InstanceState::Stopping => wishes.stop.push((id, revision)),
            InstanceState::ShuttingDown => wishes.terminate.push((id, revision)),
            InstanceState::Running | InstanceState::Stopped | InstanceState::Terminated => {}
        }
    }

    fn send(
        self: &Rc<Self>,
        group: &GroupName,
        wishes: Wishes,
        generation: u64,
        context: CallContext,
    ) {
        let Some(address) = self.groups.get(group).cloned() else {
            log::error!(
                "instances of group `{group}`, which is not configured, are left as they are"
            );
            return;
        };
        let Wishes { place, stop, force_stop, terminate, reboot, update, forget } = wishes;
        let starting = place.iter().map(|wanted| (wanted.spec.instance.clone(), wanted.revision));
        let starting: Vec<_> = starting.collect();
        macro_rules! send {
            ($wanted:expr, $message:expr) => {
                send!($wanted, $message, |_, _| {})
            };
            ($wanted:expr, $message:expr, $observe:expr) => {
                if !$wanted.is_empty() {
                    let core = self.clone();
                    let context = context.clone();
                    let answer = address.ask(context.clone(), $message);
                    actix_rt::spawn(async move {
                        let answer = answer.await;
                        $observe(&core, &answer);
                        core.take_outcomes(answer, generation).await;
                    });
                }
            };
        }
        send!(place, PlaceInstances { instances: place }, |core: &Rc<Core>, answer: &_| {
            core.observe_starts(&starting, answer);
        });
        send!(stop, StopInstances { instances: stop, force: false });
        send!(force_stop, StopInstances { instances: force_stop, force: true });
        send!(terminate, TerminateInstances { instances: terminate });
        send!(reboot, RebootInstances { instances: reboot });
        send!(update, UpdateInstances { instances: update });
        self.forget(group, forget);
    }

    /// Their ends are on record here, or nothing is: the group need not keep their last words.
    pub(super) fn forget(&self, group: &GroupName, instances: Vec<InstanceId>) {
        let Some(address) = self.groups.get(group).filter(|_| !instances.is_empty()) else {
            return;
        };
        let answer = address.ask(self.own_context("forget"), ForgetInstances { instances });
        actix_rt::spawn(async move {
            if let Err(fault) = answer.await {
                log::debug!("a group will be told again to forget: {fault}");
            }
        });
    }

    pub(super) async fn tick(self: &Rc<Self>) {
        let now = self.ambient.now();
        let due: BTreeSet<Effect> = {
            let mut book = self.book.borrow_mut();
            book.driver.refresh.tick();
            let state = book.durable.clone();
            let overdue = |asked: Option<Timestamp>, after: Duration| {
                asked.is_none_or(|asked| now.since(asked) >= after)
            };
            let transient = |id: &InstanceId| {
                state.instance(id).is_some_and(|instance| instance.state.is_transient())
            };
            // What a report has settled meanwhile is no wish any more.
            book.driver.wishes.retain(|id, _| transient(id));
            let wishes = book.driver.wishes.iter();
            let wishes =
                wishes.filter(|(_, asked)| overdue(asked.map(|asked| asked.at), RETRY_AFTER));
            let updates = book.driver.updates.iter();
            let updates = updates.filter(|(_, asked)| overdue(**asked, UPDATE_RETRY_AFTER));
            wishes
                .map(|(id, _)| Effect::Drive(id.clone()))
                .chain(updates.map(|(id, _)| Effect::Update(id.clone())))
                .collect()
        };
        self.enact(due, self.own_context("retry"));
        self.carry_out_evictions();
        self.notice_silence().await;
        self.tell_policies_the_time().await;
        self.bury().await;
    }
}
