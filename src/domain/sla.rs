//! Service level agreements: policies of the administrator's that hear of what happens and may
//! refuse it, change it, or change the state of the cloud (the paper's SLAs).
//!
//! Policies are asked in the order of the configuration; each sees what those before it have made of
//! a request. They decide only: what they change is drafted and recorded like anything else.

mod error_rate;
mod lifetime;
mod quota;
mod stale_capacity;
mod verdict;
mod zone_rewrite;

pub use error_rate::ErrorRate;
pub use lifetime::Lifetime;
pub use quota::Quota;
pub use stale_capacity::StaleCapacity;
pub use verdict::{Occasion, Verdict, Word};
pub use zone_rewrite::ZoneRewrite;

use super::{
    cloud_state::Entry,
    draft::{Draft, Effect},
    fault::CloudFault,
    id::{AccountId, GroupName, ZoneName},
    instance::{Instance, LifecycleEvent, StateReason},
    resources::Resources,
};
use std::{collections::BTreeSet, fmt::Debug, sync::Arc};

/// A launch as it is asked for, before a place is sought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchRequest {
    /// A zone or a meta-zone. None: wherever there is room.
    pub zone: Option<ZoneName>,
    /// Groups that are to get none of it, whatever the zone.
    pub except: BTreeSet<GroupName>,
    pub min_count: u32,
    pub max_count: u32,
    /// What each instance is to hold.
    pub each: Resources,
}

impl LaunchRequest {
    /// Excludes the groups that are unfit. False if for that none is left to which the launch may
    /// go. A zone that is not there has none: it is refused as what it is.
    fn keep_out_of(&mut self, unfit: impl Fn(&GroupName) -> bool, draft: &Draft<'_>) -> bool {
        let groups = draft.settings.groups.iter().map(|group| &group.name);
        let unfit: BTreeSet<GroupName> = groups.filter(|group| unfit(group)).cloned().collect();
        self.except.extend(unfit.iter().cloned());
        let candidates = draft.settings.candidates(&draft.scope.region, self.zone.as_ref());
        let zones = candidates.map(|candidates| candidates.zones).unwrap_or_default();
        let mut names = zones.iter().map(|(_, group)| &group.name);
        names.clone().any(|name| !self.except.contains(name)) || !names.any(|n| unfit.contains(n))
    }

    fn zone_asked_for(&self, draft: &Draft<'_>) -> String {
        self.zone.as_ref().map_or_else(|| draft.scope.region.to_string(), ZoneName::to_string)
    }
}

/// Hears of events. Every method does nothing unless a policy says otherwise.
pub trait SlaPolicy: Debug + Send + Sync {
    /// What the log calls it: as the configuration does.
    fn name(&self) -> &'static str;

    /// A launch is asked for by the draft's caller: it may be refused or rewritten.
    fn request(&self, _: &mut LaunchRequest, _: &Draft<'_>) -> Result<(), CloudFault> {
        Ok(())
    }

    /// An instance is about to be recorded.
    fn commit(&self, _: &mut Instance, _: &Draft<'_>) {}

    /// Time has passed. Told about once a second, and after a restart.
    fn timer(&self, _: &mut Draft<'_>) {}

    /// A node of the group has said what it has.
    fn capacity_changed(&self, _: &GroupName, _: &mut Draft<'_>) {}
}

/// Whom a policy is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accounts(Option<Vec<AccountId>>);

impl Accounts {
    pub fn all() -> Accounts {
        Accounts(None)
    }

    pub fn only(accounts: Vec<AccountId>) -> Accounts {
        Accounts(Some(accounts))
    }

    pub fn include(&self, account: &AccountId) -> bool {
        self.0.as_ref().is_none_or(|accounts| accounts.contains(account))
    }
}

/// The policies of a cloud, in order.
#[derive(Debug, Clone, Default)]
pub struct SlaPolicies(Vec<Arc<dyn SlaPolicy>>);

impl FromIterator<Arc<dyn SlaPolicy>> for SlaPolicies {
    fn from_iter<I: IntoIterator<Item = Arc<dyn SlaPolicy>>>(policies: I) -> SlaPolicies {
        SlaPolicies(policies.into_iter().collect())
    }
}

impl SlaPolicies {
    pub fn request(
        &self,
        request: &mut LaunchRequest,
        draft: &Draft<'_>,
    ) -> Result<(), CloudFault> {
        self.0.iter().try_for_each(|policy| {
            let before = request.clone();
            let outcome = policy.request(request, draft);
            Verdict::of_request(policy.name(), &before, request, &outcome)
                .into_iter()
                .for_each(|verdict| draft.note(verdict));
            outcome
        })
    }

    pub fn commit(&self, instance: &mut Instance, draft: &Draft<'_>) {
        for policy in &self.0 {
            let before = instance.clone();
            policy.commit(instance, draft);
            if *instance != before {
                draft.note(Verdict::of_commit(policy.name(), &instance.id));
            }
        }
    }

    pub fn timer(&self, draft: &mut Draft<'_>) {
        for policy in &self.0 {
            let before = draft.changes();
            policy.timer(draft);
            Verdict::of_changes(policy.name(), Occasion::Timer, before, draft);
        }
    }

    pub fn capacity_changed(&self, group: &GroupName, draft: &mut Draft<'_>) {
        for policy in &self.0 {
            let before = draft.changes();
            policy.capacity_changed(group, draft);
            Verdict::of_changes(policy.name(), Occasion::Capacity, before, draft);
        }
    }
}

/// Ends an instance for a reason of the cloud's own. An owner's protection from termination is
/// against the owner's mistakes, and holds nothing up here.
fn end(instance: &Instance, reason: StateReason, draft: &mut Draft<'_>) {
    let mut ended = Instance::clone(instance);
    let event = LifecycleEvent::TerminateRequested;
    if ended.apply(event, Some(reason), draft.now).is_err() || ended.state == instance.state {
        return;
    }
    ended.revision += 1;
    draft.members_changed(&ended);
    draft.effect(Effect::Drive(ended.id.clone()));
    draft.put(Entry::Instance(Arc::new(ended)));
}
