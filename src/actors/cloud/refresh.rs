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
        scope::Scope,
    },
    messages::group::SetFilters,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

/// Something that a zone may know an older version of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Stale {
    /// Who is in a group of the scope.
    Members(Scope, SecurityGroupId),
    /// What the scope's ports admit.
    Filters(Scope),
}

/// What is to be told, and what is being told.
#[derive(Debug)]
pub struct Refresh {
    generation: u64,
    stale: BTreeMap<GroupName, BTreeSet<Stale>>,
    /// On its way to zones that have not answered.
    sent: BTreeMap<GroupName, BTreeSet<Stale>>,
}

impl Refresh {
    /// After a restart everything is told once more.
    pub fn restored(state: &CloudState, generation: u64) -> Refresh {
        let mut refresh = Refresh { generation, stale: BTreeMap::new(), sent: BTreeMap::new() };
        for scope in state.scopes.keys() {
            refresh.rules_changed(state, scope);
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
        let groups: Vec<SecurityGroupId> = own.security_groups.keys().cloned().collect();
        for zone in filters::zones(own) {
            let stale = self.stale.entry(zone).or_default();
            stale.insert(Stale::Filters(scope.clone()));
            stale.extend(peers(filters::named_by(own, &groups)));
        }
    }

    pub fn members_changed(&mut self, state: &CloudState, scope: &Scope, group: &SecurityGroupId) {
        for zone in filters::followers(state, scope, group) {
            let stale = self.stale.entry(zone).or_default();
            stale.insert(Stale::Members(scope.clone(), group.clone()));
        }
    }

    /// An instance may come to a node that has heard of none of its peers.
    pub fn placing(&mut self, state: &CloudState, instance: &Instance) {
        let Some(own) = state.scope(&instance.scope) else { return };
        let named = filters::named_by(own, &instance.security_groups);
        if !named.is_empty() {
            self.stale.entry(instance.group.clone()).or_default().extend(peers(named));
        }
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
}

fn peers(named: BTreeSet<(Scope, SecurityGroupId)>) -> impl Iterator<Item = Stale> {
    named.into_iter().map(|(scope, group)| Stale::Members(scope, group))
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
                self.book.borrow_mut().driver.refresh.sent.remove(&zone);
                continue;
            };
            let mut message =
                SetFilters { generation, members: Vec::new(), assignments: Vec::new() };
            for each in &stale {
                match each {
                    Stale::Members(scope, group) => {
                        message.members.push(filters::members(&state, scope, group));
                    }
                    Stale::Filters(scope) => {
                        message.assignments.extend(filters::of_scope(&state, scope, &zone));
                        // A boot on its way has the filters of when it was sent, and may come
                        // after these.
                        let mut book = self.book.borrow_mut();
                        let own = state.scope(scope);
                        let mut instances = own.into_iter().flat_map(|own| own.instances.values());
                        if instances.any(|instance| book.driver.is_unplaced(instance)) {
                            let again = book.driver.refresh.stale.entry(zone.clone());
                            again.or_default().insert(each.clone());
                        }
                    }
                }
            }
            let answer = address.ask(self.own_context("filters"), message);
            let core = self.clone();
            actix_rt::spawn(async move { core.take_refreshed(zone, answer.await) });
        }
    }

    fn take_refreshed(self: &Rc<Self>, zone: GroupName, answer: Answer<SetFilters>) {
        let more = {
            let mut book = self.book.borrow_mut();
            let refresh = &mut book.driver.refresh;
            let sent = refresh.sent.remove(&zone).unwrap_or_default();
            if let Err(fault) = &answer {
                // At the next tick, since what failed now would fail at once again.
                log::warn!("filters of zone `{zone}` will be sent again: {fault}");
                refresh.stale.entry(zone.clone()).or_default().extend(sent);
            }
            answer.is_ok() && refresh.stale.contains_key(&zone)
        };
        if more {
            self.refresh();
        }
    }
}
