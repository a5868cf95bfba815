//! What the cloud manager tells of its decisions: read off the changes that were recorded, so that
//! nothing is told that did not happen, and nothing that happened goes untold.

use crate::{
    domain::{
        cloud_state::{Change, CloudState, Entry},
        draft::Decision,
        id::InstanceId,
        instance::{Instance, InstanceState},
        sla::Verdict,
        trace::Cause,
    },
    events::{
        Teller,
        event::{Event, Eviction, Policy, Reservation, Transition},
    },
};
use std::{cell::RefCell, collections::HashMap};

/// Tells, and remembers for whom. Of a log that is off it remembers nothing.
#[derive(Debug, Default)]
pub struct Told {
    teller: Teller,
    /// The latest request for each instance that exists: what a node states of an instance later is
    /// about that, while the request is being carried out. Not on record, so after a restart such
    /// statements stand for themselves.
    requests: RefCell<HashMap<InstanceId, Cause>>,
}

/// To be told once the decision is on the disk.
#[derive(Debug, Default)]
pub struct Telling(Vec<(Cause, Event)>);

impl Told {
    pub fn by(teller: Teller) -> Told {
        Told { teller, requests: RefCell::default() }
    }

    /// What a decision comes to, made in that state.
    pub fn of(&self, before: &CloudState, decision: &Decision, cause: &Cause) -> Telling {
        let mut telling = Telling::default();
        if !self.teller.is_on() {
            return telling;
        }
        telling.0.extend(verdicts(&decision.verdicts).map(|event| (cause.clone(), event)));
        // One decision may put the same instance more than once.
        let mut latest: HashMap<&InstanceId, &Instance> = HashMap::new();
        for change in &decision.changes {
            match change {
                Change::Put(Entry::Instance(after)) => {
                    let recorded = || before.instance(&after.id).map(|before| &**before);
                    let before = latest.insert(&after.id, after).or_else(recorded);
                    let cause = self.cause(before, after, cause);
                    let events = of_instance(before, after);
                    telling.0.extend(events.map(|event| (cause.clone(), event)));
                }
                Change::Put(Entry::Eviction(eviction)) => {
                    let event = of_eviction("begun", eviction);
                    telling.0.push((cause.clone(), event));
                }
                Change::Remove(Entry::Eviction(eviction)) => {
                    let event = of_eviction("settled", eviction);
                    telling.0.push((cause.clone(), event));
                }
                Change::Put(_) | Change::Remove(_) => {}
            }
        }
        telling
    }

    /// What happened.
    pub fn tell(&self, telling: Telling) {
        for (cause, event) in telling.0 {
            self.teller.tell(Some(&cause), || event);
        }
    }

    /// What policies made of something that was refused, and so is nothing else.
    pub fn tell_refused(&self, of: &[Verdict], cause: &Cause) {
        verdicts(of).for_each(|event| self.teller.tell(Some(cause), || event));
    }

    /// Whose doing a change is: a new revision is a request's; what else befalls an instance is its
    /// latest request's as long as that is being carried out.
    fn cause(&self, before: Option<&Instance>, after: &Instance, cause: &Cause) -> Cause {
        let mut requests = self.requests.borrow_mut();
        if before.is_none_or(|before| before.revision != after.revision) {
            if after.state.exists() {
                requests.insert(after.id.clone(), cause.clone());
            }
            return cause.clone();
        }
        let carried_out = before.is_some_and(|before| before.state.is_transient());
        let latest = match after.state.exists() {
            true => requests.get(&after.id).cloned(),
            false => requests.remove(&after.id),
        };
        latest.filter(|_| carried_out).unwrap_or_else(|| cause.clone())
    }
}

fn verdicts(of: &[Verdict]) -> impl Iterator<Item = Event> {
    of.iter().map(|verdict| {
        Event::Policy(Policy {
            policy: verdict.policy,
            on: verdict.on.as_str(),
            outcome: verdict.word.as_str(),
            why: verdict.why.clone(),
        })
    })
}

fn of_eviction(outcome: &'static str, eviction: &crate::domain::cloud_state::Eviction) -> Event {
    let (group, node) = (Some(eviction.group.clone()), eviction.node.clone());
    Event::Eviction(Eviction { outcome, group, node })
}

fn of_instance(before: Option<&Instance>, after: &Instance) -> impl Iterator<Item = Event> {
    let transition = (before.map(|before| before.state) != Some(after.state)).then(|| {
        Event::Transition(Transition {
            instance: after.id.clone(),
            from: before.map(|before| before.state.as_str()),
            to: after.state.as_str(),
            account: after.scope.account.clone(),
            group: Some(after.group.clone()),
            node: after.node.clone(),
            reason_code: after.state_reason.as_ref().map(|reason| reason.code.clone()),
            reason: after.state_reason.as_ref().map(|reason| reason.message.clone()),
        })
    });
    let reservation = outcome(before, after).map(|outcome| {
        Event::Reservation(Reservation {
            outcome,
            instance: after.id.clone(),
            group: after.group.clone(),
            node: after.node.clone(),
            resources: after.resources,
        })
    });
    // What is made or confirmed comes first, and what is given back is so because of what happened.
    let given_back = after.state == InstanceState::Terminated;
    let (first, second) =
        if given_back { (transition, reservation) } else { (reservation, transition) };
    first.into_iter().chain(second)
}

/// What became of the room that is kept for an instance.
fn outcome(before: Option<&Instance>, after: &Instance) -> Option<&'static str> {
    let Some(before) = before else { return Some("made") };
    match (&before.node, &after.node) {
        _ if before.state.exists() && !after.state.exists() => match before.node {
            Some(_) => Some("released"),
            None => Some("rolled-back"),
        },
        (None, Some(_)) => Some("confirmed"),
        // It is run elsewhere: there is room for it on no node in particular.
        (Some(_), None) => Some("made"),
        _ => None,
    }
}
