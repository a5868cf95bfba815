//! What ports admit, kept in line with the records: filters when rules change, members when
//! instances come and go.
//!
//! Each zone is sent all that is stale there in one message, and the next when it has answered: of
//! a hundred changes that come meanwhile, the last is all it needs to hear of. What is sent is read
//! from the durable record then.

use super::{Core, filters};
use crate::{
    actors::address::Answer,
    domain::{
        cloud_state::CloudState,
        id::{GroupName, SecurityGroupId},
        instance::Instance,
        port_filter::GroupMembers,
        scope::Scope,
    },
    messages::group::SetFilters,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    rc::Rc,
    time::Duration,
};
use tokio::time::Instant;

/// Something that a zone may know an older version of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Stale {
    /// Who is in a group of the scope.
    Members(Scope, SecurityGroupId),
    /// What the scope's ports admit.
    Filters(Scope),
}

/// A zone begins to hear of a change within this, however long the last telling took: EC2's users
/// see a rule in force within a second or two.
const REST_MAX: Duration = Duration::from_millis(500);

/// What is to be told, and what has been.
#[derive(Debug)]
pub struct Refresh {
    generation: u64,
    stale: BTreeMap<GroupName, BTreeSet<Stale>>,
    /// On its way to zones that have not answered.
    sent: BTreeMap<GroupName, BTreeSet<Stale>>,
    /// What is told again in any case, but not at once.
    next_tick: BTreeMap<GroupName, BTreeSet<Stale>>,
    /// Groups that a zone has been told the members of, and not that it need not know of them.
    told: BTreeMap<GroupName, BTreeSet<(Scope, SecurityGroupId)>>,
}

impl Refresh {
    /// After a restart everything is told once more, what is over included: the process may have
    /// ended before it was.
    pub fn restored(state: &CloudState, zones: &[GroupName], generation: u64) -> Refresh {
        let mut refresh = Refresh {
            generation,
            stale: BTreeMap::new(),
            sent: BTreeMap::new(),
            next_tick: BTreeMap::new(),
            told: BTreeMap::new(),
        };
        for (scope, own) in &state.scopes {
            refresh.rules_changed(state, scope);
            for (zone, group) in zones
                .iter()
                .flat_map(|zone| own.security_groups.keys().map(move |group| (zone, group)))
            {
                refresh.note(zone, Stale::Members(scope.clone(), group.clone()));
            }
        }
        refresh
    }

    /// Of whatever is told next.
    pub fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    pub fn rules_changed(&mut self, state: &CloudState, scope: &Scope) {
        let Some(own) = state.scope(scope) else { return };
        for zone in filters::zones(own) {
            let stale = self.stale.entry(zone).or_default();
            stale.insert(Stale::Filters(scope.clone()));
            stale.extend(peers(filters::named_by(own, own.security_groups.keys())));
        }
        self.end(state, |_, (home, _)| home.region == scope.region);
    }

    pub fn members_changed(&mut self, state: &CloudState, scope: &Scope, group: &SecurityGroupId) {
        for zone in filters::followers(state, scope, group) {
            self.note(&zone, Stale::Members(scope.clone(), group.clone()));
        }
        let Some(own) = state.scope(scope) else { return };
        let named = filters::named_by(own, [group]);
        self.end(state, |zone, peer| !filters::is_in(own, zone) && named.contains(peer));
    }

    /// An instance may come to a node that has heard of none of its peers.
    pub fn placing(&mut self, state: &CloudState, instance: &Instance) {
        let Some(own) = state.scope(&instance.scope) else { return };
        let named = filters::named_by(own, instance.all_groups());
        if !named.is_empty() {
            self.stale.entry(instance.group.clone()).or_default().extend(peers(named));
        }
    }

    pub fn tick(&mut self) {
        for (zone, again) in mem::take(&mut self.next_tick) {
            self.stale.entry(zone).or_default().extend(again);
        }
    }

    /// Of these groups: where no rule of anybody speaks of one any more, it is not to be known who
    /// is in it, for the addresses may go to others.
    fn end(
        &mut self,
        state: &CloudState,
        may_be_over: impl Fn(&GroupName, &(Scope, SecurityGroupId)) -> bool,
    ) {
        for (zone, told) in &self.told {
            let asked = told.iter().filter(|peer| may_be_over(zone, peer));
            let over = asked.filter(|(home, group)| !filters::follows(state, zone, home, group));
            let over: BTreeSet<_> = over.cloned().collect();
            if !over.is_empty() {
                self.stale.entry(zone.clone()).or_default().extend(peers(over));
            }
        }
    }

    fn note(&mut self, zone: &GroupName, stale: Stale) {
        self.stale.entry(zone.clone()).or_default().insert(stale);
    }

    /// What to tell each zone that waits for nothing.
    fn take_due(&mut self) -> Vec<(GroupName, BTreeSet<Stale>)> {
        let idle: Vec<GroupName> =
            self.stale.keys().filter(|zone| !self.sent.contains_key(zone)).cloned().collect();
        let due = idle.into_iter().filter_map(|zone| self.stale.remove_entry(&zone));
        let due: Vec<_> = due.collect();
        self.sent.extend(due.iter().cloned());
        due
    }

    /// Who the zone is to know to be in the group, remembered as told: nobody, where no rule of its
    /// instances speaks of the group.
    fn tell_members(
        &mut self,
        state: &CloudState,
        zone: &GroupName,
        scope: &Scope,
        group: &SecurityGroupId,
    ) -> GroupMembers {
        let told = self.told.entry(zone.clone()).or_default();
        if filters::follows(state, zone, scope, group) {
            told.insert((scope.clone(), group.clone()));
            return filters::members(state, scope, group);
        }
        told.remove(&(scope.clone(), group.clone()));
        GroupMembers { group: group.clone(), addresses: BTreeSet::new() }
    }

    /// The zone has answered.
    fn take_answer(&mut self, zone: &GroupName, heard: bool) {
        let sent = self.sent.remove(zone).unwrap_or_default();
        if !heard {
            // What failed now would fail at once again.
            self.next_tick.entry(zone.clone()).or_default().extend(sent);
        }
    }
}

fn peers(named: BTreeSet<(Scope, SecurityGroupId)>) -> impl Iterator<Item = Stale> {
    named.into_iter().map(|(scope, group)| Stale::Members(scope, group))
}

/// Telling of thousands of members keeps everybody below busy; it takes a fifth of their time.
fn rest_after(telling_took: Duration) -> Duration {
    (4 * telling_took).min(REST_MAX)
}

impl Core {
    /// Sends what is stale to the zones that have answered for what they were sent before.
    pub(super) fn refresh(self: &Rc<Self>) {
        let (state, due, generation) = {
            let mut book = self.book.borrow_mut();
            let due = book.driver.refresh.take_due();
            (book.durable.clone(), due, book.driver.refresh.next_generation())
        };
        for (zone, stale) in due {
            let Some(address) = self.groups.get(&zone) else {
                // It is taken up by the start that finds it configured again.
                self.book.borrow_mut().driver.refresh.take_answer(&zone, true);
                continue;
            };
            let mut message =
                SetFilters { generation, members: Vec::new(), assignments: Vec::new() };
            for each in &stale {
                match each {
                    Stale::Members(scope, group) => {
                        let mut book = self.book.borrow_mut();
                        let refresh = &mut book.driver.refresh;
                        message.members.push(refresh.tell_members(&state, &zone, scope, group));
                    }
                    Stale::Filters(scope) => {
                        message.assignments.extend(filters::of_scope(&state, scope, &zone));
                        // A boot on its way has the filters of when it was sent, and may come
                        // after these.
                        let mut book = self.book.borrow_mut();
                        let own = state.scope(scope);
                        let mut instances = own.into_iter().flat_map(|own| own.instances.values());
                        if instances.any(|instance| book.driver.is_unplaced(instance)) {
                            let again = book.driver.refresh.next_tick.entry(zone.clone());
                            again.or_default().insert(each.clone());
                        }
                    }
                }
            }
            let answer = address.ask(self.own_context("filters"), message);
            let core = self.clone();
            actix_rt::spawn(async move {
                let begun = Instant::now();
                let answer = answer.await;
                actix_rt::time::sleep(rest_after(begun.elapsed())).await;
                core.take_refreshed(zone, answer);
            });
        }
    }

    fn take_refreshed(self: &Rc<Self>, zone: GroupName, answer: Answer<SetFilters>) {
        if let Err(fault) = &answer {
            log::warn!("filters of zone `{zone}` will be sent again: {fault}");
        }
        self.book.borrow_mut().driver.refresh.take_answer(&zone, answer.is_ok());
        self.refresh();
    }
}
