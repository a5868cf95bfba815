//! From records to wishes: what the cloud asks of its groups, and asks again.
//!
//! Wishes are read from the durable record when they are sent, and carry the record's revision, so
//! sending one twice or late does no harm. An instance whose record wants something of its node
//! (`InstanceState::is_transient`) is looked at again until the node has taken it up.

use super::{Core, instance_spec, refresh::Refresh};
use crate::{
    actors::address::{Answer, AskError},
    domain::{
        cloud_state::{ClientToken, CloudState, Entry},
        draft::{Decision, Draft, Effect},
        fault::CloudFault,
        id::{GroupName, InstanceId, NodeName},
        instance::{Instance, InstanceState, LifecycleEvent, StateReason},
        scope::Scope,
        time::Timestamp,
    },
    messages::{
        CallContext, cloud,
        group::{
            Done, ForgetInstances, GroupFault, Outcome, Outcomes, PlaceInstances, ReadConsole,
            RebootInstances, StopInstances, TerminateInstances, UpdateInstances, Wanted,
        },
        node::{ConsoleText, UpdateInstance},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

/// A wish nobody has taken up is repeated after this long.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What outcomes of updates say for a revision: requests count from 1.
const UPDATE: u64 = 0;

/// EC2 keeps a client token at least a day.
const TOKENS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// What is remembered of wishes; nothing of it survives a restart, or needs to.
#[derive(Debug)]
pub struct Driver {
    /// Instances whose records want something, and when it was last asked for.
    wishes: BTreeMap<InstanceId, Option<Timestamp>>,
    /// The revision a node has taken up, and the generation of its reports that know of it.
    accepted: HashMap<InstanceId, (u64, u64)>,
    /// Instances whose node has not confirmed what may change without a boot, and when it was told.
    updates: BTreeMap<InstanceId, Option<Timestamp>>,
    pub(super) refresh: Refresh,
    /// The newest generation seen of each node.
    pub generations: BTreeMap<(GroupName, NodeName), u64>,
}

impl Driver {
    /// After a restart everything transient is wished for anew, and nodes are told of all that exist
    /// what may have changed without a boot, filters included. A boot that its node has taken up
    /// is no news to it, however it is asked again, so it is told of that too.
    pub fn restored(state: &CloudState, filters_generation: u64) -> Driver {
        let existing = || state.instances().filter(|instance| instance.state.exists());
        let transient = existing().filter(|instance| instance.state.is_transient());
        Driver {
            wishes: transient.map(|instance| (instance.id.clone(), None)).collect(),
            updates: existing().map(|instance| (instance.id.clone(), None)).collect(),
            accepted: HashMap::new(),
            refresh: Refresh::restored(state, filters_generation),
            generations: BTreeMap::new(),
        }
    }

    /// A node has taken up the latest request.
    fn take_accepted(&mut self, state: &CloudState, done: Done) {
        let Done { instance, revision, outcome } = done;
        let latest = state.instance(&instance).is_some_and(|i| i.revision == revision);
        if let Outcome::Accepted { generation, .. } = outcome
            && latest
        {
            self.wishes.remove(&instance);
            self.accepted.insert(instance, (revision, generation));
        }
    }

    /// An update that may have met a boot on its way, or met nobody, is told again.
    fn take_update(&mut self, state: &CloudState, done: &Done) {
        let unanswered = matches!(done.outcome, Outcome::Unanswered);
        let booting = state.instance(&done.instance).is_some_and(|i| self.is_unplaced(i));
        if !unanswered && !booting {
            self.updates.remove(&done.instance);
        }
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
        {
            let mut book = self.book.borrow_mut();
            let now = self.ambient.now();
            let state = book.durable.clone();
            let generation = book.driver.refresh.next_generation();
            for effect in effects {
                match effect {
                    Effect::Drive(id) => {
                        let Some(instance) = state.instance(&id) else { continue };
                        book.driver.wishes.insert(id, Some(now));
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
                        wishes.update.extend(update_of(instance, &state));
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
        }
        for (group, wishes) in by_group {
            self.send(&group, wishes, context.clone());
        }
        self.refresh();
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

    fn send(self: &Rc<Self>, group: &GroupName, wishes: Wishes, context: CallContext) {
        let Some(address) = self.groups.get(group).cloned() else {
            log::error!(
                "instances of group `{group}`, which is not configured, are left as they are"
            );
            return;
        };
        let Wishes { place, stop, force_stop, terminate, reboot, update, forget } = wishes;
        macro_rules! send {
            ($wanted:expr, $message:expr) => {
                if !$wanted.is_empty() {
                    let core = self.clone();
                    let context = context.clone();
                    let answer = address.ask(context.clone(), $message);
                    actix_rt::spawn(async move { core.take_outcomes(answer.await).await });
                }
            };
        }
        send!(place, PlaceInstances { instances: place });
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

    async fn take_outcomes(self: &Rc<Self>, answer: Answer<PlaceInstances>) {
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

    /// A decision of the cloud itself, on behalf of nobody.
    pub(super) fn decide(&self, decide: impl FnOnce(&mut Draft<'_>)) -> Decision {
        let book = self.book.borrow();
        // Another stream than users' commands have: what they draw must not depend on the clock.
        let mut chance = self.ambient.chance("cloud's own");
        let caller = self.own_context("decision").on_behalf_of;
        let scope = Scope {
            account: self.root.clone(),
            region: self.settings.regions.default_region().clone(),
        };
        let now = self.ambient.now();
        let mut draft = Draft::new(&book.state, &self.settings, &caller, scope, now, &mut *chance);
        decide(&mut draft);
        draft.decided()
    }

    pub(super) async fn keep_own(self: &Rc<Self>, decision: Decision, what: &str) {
        // What cannot be recorded now is stated again by the next report, or wished for again.
        if let Err(fault) = self.keep(decision, self.own_context(what)).await {
            log::error!("{what}: {fault}");
        }
    }

    pub(super) async fn tick(self: &Rc<Self>) {
        let now = self.ambient.now();
        let due: BTreeSet<Effect> = {
            let mut book = self.book.borrow_mut();
            let state = book.durable.clone();
            let overdue = |asked: &Option<Timestamp>| {
                asked.is_none_or(|asked| now.since(asked) >= RETRY_AFTER)
            };
            let transient = |id: &InstanceId| {
                state.instance(id).is_some_and(|instance| instance.state.is_transient())
            };
            // What a report has settled meanwhile is no wish any more.
            book.driver.wishes.retain(|id, _| transient(id));
            let wishes = book.driver.wishes.iter().filter(|(_, asked)| overdue(asked));
            let updates = book.driver.updates.iter().filter(|(_, asked)| overdue(asked));
            wishes
                .map(|(id, _)| Effect::Drive(id.clone()))
                .chain(updates.map(|(id, _)| Effect::Update(id.clone())))
                .collect()
        };
        self.enact(due, self.own_context("retry"));
        self.bury().await;
    }

    /// Terminated instances are described for a while and then forgotten, as are spent tokens.
    async fn bury(self: &Rc<Self>) {
        let now = self.ambient.now();
        let shown = self.settings.terminated_shown;
        let buried = self.decide(|draft| {
            let old: Vec<Arc<Instance>> = draft
                .state
                .instances()
                .filter(|i| !i.state.exists() && now.since(i.state_since) >= shown)
                .cloned()
                .collect();
            for instance in old {
                for resource in resources_of(&instance) {
                    let tags = draft
                        .state
                        .scope(&instance.scope)
                        .and_then(|own| own.tags.get(&resource))
                        .cloned();
                    if let Some(tags) = tags {
                        draft.remove(Entry::Tags(tags));
                    }
                }
                draft.remove(Entry::Instance(instance));
            }
            let spent: Vec<Arc<ClientToken>> = draft
                .state
                .scopes
                .values()
                .flat_map(|own| own.client_tokens.values())
                .filter(|token| now.since(token.used_at) >= TOKENS_KEPT)
                .cloned()
                .collect();
            for token in spent {
                draft.remove(Entry::ClientToken(token));
            }
        });
        if !buried.changes.is_empty() {
            self.keep_own(buried, "burial").await;
        }
    }

    pub(super) async fn read_console(
        self: &Rc<Self>,
        context: CallContext,
        asked: cloud::ReadConsole,
    ) -> Result<ConsoleText, CloudFault> {
        let not_found = || CloudFault::InstancesNotFound(vec![asked.instance.clone()]);
        let caller = &context.on_behalf_of;
        let group = {
            let book = self.book.borrow();
            let instance = book.durable.instance(&asked.instance).ok_or_else(not_found)?;
            let own =
                instance.scope.region == asked.region && instance.scope.account == caller.account;
            if !own && !caller.is_administrator() {
                return Err(not_found());
            }
            instance.group.clone()
        };
        let address = self.groups.get(&group).ok_or_else(not_found)?;
        let read = ReadConsole { instance: asked.instance.clone() };
        match address.ask(context.clone(), read).await {
            Ok(text) => Ok(text),
            // Nothing has been written yet, or no longer: EC2 answers with no output.
            Err(AskError::Refused(GroupFault::NotPlaced(_))) => {
                Ok(ConsoleText { bytes: Vec::new(), written_at: self.ambient.now() })
            }
            Err(AskError::Refused(fault)) => Err(CloudFault::NotRecorded(fault.to_string())),
            Err(_) => Err(CloudFault::Unanswered),
        }
    }
}

fn update_of(instance: &Instance, state: &CloudState) -> Option<UpdateInstance> {
    let own = state.scope(&instance.scope)?;
    Some(UpdateInstance {
        instance: instance.id.clone(),
        metadata: instance_spec::metadata(instance, own)?,
        shutdown_behavior: instance.shutdown_behavior,
    })
}

/// Everything that ends with an instance and may carry tags.
fn resources_of(instance: &Instance) -> Vec<String> {
    let mut ids = vec![instance.id.to_string(), instance.root_volume.to_string()];
    ids.extend(instance.interfaces.iter().map(|interface| interface.id.to_string()));
    ids
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
    if after.state != instance.state {
        if !after.state.exists() {
            draft.members_changed(&after);
            draft.effect(Effect::Forget(after.id.clone()));
        }
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
