//! A decision in the making: a copy of the state that is changed as it is decided.
//!
//! A refused or dry-run decision is a draft nobody keeps, so that every action's checks and its
//! dry run are one and the same code. What a decision needs from other roles afterwards it leaves
//! as `Effect`s, carried out once the changes are durable.

use super::{
    account::Caller,
    chance::Chance,
    cloud_state::{Change, CloudState, Entry, ScopeState},
    detached_interface::DetachedInterface,
    fault::CloudFault,
    id::{InstanceId, SecurityGroupId},
    instance::{Instance, Interface},
    scope::Scope,
    settings::CloudSettings,
    sla::Verdict,
    time::Timestamp,
};
use std::{cell::RefCell, collections::BTreeSet, sync::Arc};

/// Something to be asked of the groups after the changes are durable. Effects only point at the
/// state; what to ask is read from it then, so that a repeated or late effect does no harm.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Bring the instance's node in line with its record.
    Drive(InstanceId),
    /// Restart the guest; its record has a new revision for it.
    Reboot(InstanceId),
    /// What may change without a boot has changed: metadata, options.
    Update(InstanceId),
    /// Rules changed, or whose they are: filters of the scope's ports have to follow.
    RefreshFilters(Scope),
    /// Instances joined the group, or left it.
    RefreshMembers(Scope, SecurityGroupId),
    /// The node may forget an instance whose end is recorded.
    Forget(InstanceId),
}

#[derive(Debug)]
pub struct Draft<'a> {
    pub state: CloudState,
    pub settings: &'a CloudSettings,
    pub caller: &'a Caller,
    pub scope: Scope,
    pub now: Timestamp,
    pub chance: &'a mut dyn Chance,
    changes: Vec<Change>,
    effects: BTreeSet<Effect>,
    /// Policies that are only asked have a say too.
    verdicts: RefCell<Vec<Verdict>>,
}

/// A decision taken.
#[derive(Debug)]
pub struct Decision {
    pub state: CloudState,
    pub changes: Vec<Change>,
    pub effects: BTreeSet<Effect>,
    /// What policies made of it.
    pub verdicts: Vec<Verdict>,
}

impl<'a> Draft<'a> {
    pub fn new(
        state: &CloudState,
        settings: &'a CloudSettings,
        caller: &'a Caller,
        scope: Scope,
        now: Timestamp,
        chance: &'a mut dyn Chance,
    ) -> Draft<'a> {
        Draft {
            state: state.clone(),
            settings,
            caller,
            scope,
            now,
            chance,
            changes: Vec::new(),
            effects: BTreeSet::new(),
            verdicts: RefCell::default(),
        }
    }

    /// The caller's own resources. The scope is opened before any command reaches the cloud.
    pub fn own(&self) -> ScopeState {
        self.state.scope(&self.scope).cloned().unwrap_or_default()
    }

    pub fn put(&mut self, entry: Entry) {
        match entry {
            Entry::Instance(instance) if !instance.state.exists() => self.put_ended(instance),
            entry => self.change(Change::Put(entry)),
        }
    }

    pub fn remove(&mut self, entry: Entry) {
        self.change(Change::Remove(entry));
    }

    pub fn effect(&mut self, effect: Effect) {
        self.effects.insert(effect);
    }

    /// The instance came into its security groups, or left them.
    pub fn members_changed(&mut self, instance: &Instance) {
        for group in instance.all_groups() {
            self.effect(Effect::RefreshMembers(instance.scope.clone(), group.clone()));
        }
    }

    /// How many changes there are so far.
    pub fn changes(&self) -> usize {
        self.changes.len()
    }

    /// For whoever wants to know why: it is no part of what is decided.
    pub fn note(&self, verdict: Verdict) {
        self.verdicts.borrow_mut().push(verdict);
    }

    pub fn require_administrator(&self, what: &str) -> Result<(), CloudFault> {
        if self.caller.is_administrator() {
            Ok(())
        } else {
            Err(CloudFault::NotAuthorized(format!("only an administrator may {what}")))
        }
    }

    pub fn decided(self) -> Decision {
        Decision {
            state: self.state,
            changes: self.changes,
            effects: self.effects,
            verdicts: self.verdicts.into_inner(),
        }
    }

    /// Interfaces that do not go with their instance are nobody's from its end on.
    fn put_ended(&mut self, instance: Arc<Instance>) {
        let stays = |interface: &&Interface| !interface.deleted_with_instance;
        let left: Vec<_> = instance
            .interfaces
            .iter()
            .filter(stays)
            .filter_map(|interface| DetachedInterface::left_by(&instance, interface))
            .collect();
        let mut ended = Instance::clone(&instance);
        ended.interfaces.retain(|interface| !left.iter().any(|left| left.id == interface.id));
        self.change(Change::Put(Entry::Instance(Arc::new(ended))));
        for interface in left {
            self.change(Change::Put(Entry::DetachedInterface(Arc::new(interface))));
        }
    }

    fn change(&mut self, change: Change) {
        self.state.apply(&change);
        self.changes.push(change);
    }
}
