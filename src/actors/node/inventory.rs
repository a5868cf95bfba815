//! What a node has: its instances as their actors last told, what they hold together, and what of
//! it those above have not heard yet.
//!
//! Every change is of a generation of its own, so that a report can say what changed since another
//! one, however many are on their way, lost or overtaken.

use super::instance::InstanceActor;
use crate::{
    domain::{
        id::{AccountId, InstanceId, InterfaceId},
        resources::Resources,
    },
    messages::report::InstanceReport,
};
use actix::Addr;
use std::collections::{BTreeMap, BTreeSet};

/// What the manager remembers of an instance, its actor being the owner of the rest.
#[derive(Debug)]
pub struct Known {
    pub owner: AccountId,
    pub interfaces: Vec<InterfaceId>,
    pub actor: Option<Addr<InstanceActor>>,
    /// As last told by the actor.
    pub report: InstanceReport,
}

#[derive(Debug)]
pub struct Inventory {
    instances: BTreeMap<InstanceId, Known>,
    held: Resources,
    generation: u64,
    told: Option<Told>,
}

/// A report that told everything up to its generation, and what changed since.
#[derive(Debug)]
struct Told {
    generation: u64,
    heard: bool,
    since: BTreeMap<u64, InstanceId>,
}

/// What is to be reported.
#[derive(Debug, PartialEq, Eq)]
pub struct News {
    /// Of the report that this goes on from; none: this is everything.
    pub since: Option<u64>,
    pub instances: Vec<InstanceReport>,
    pub gone: Vec<InstanceId>,
}

impl Inventory {
    /// Of an earlier process nobody is taken to have heard anything.
    pub fn new(generation: u64) -> Inventory {
        Inventory { instances: BTreeMap::new(), held: Resources::NONE, generation, told: None }
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What all instances hold together.
    pub fn held(&self) -> Resources {
        self.held
    }

    pub fn get(&self, instance: &InstanceId) -> Option<&Known> {
        self.instances.get(instance)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Known> {
        self.instances.values()
    }

    pub fn insert(&mut self, known: Known) {
        let instance = known.report.instance.clone();
        self.held += known.report.held;
        if let Some(before) = self.instances.insert(instance.clone(), known) {
            self.held -= before.report.held;
        }
        self.changed(instance);
    }

    pub fn remove(&mut self, instance: &InstanceId) {
        if let Some(before) = self.instances.remove(instance) {
            self.held -= before.report.held;
            self.changed(instance.clone());
        }
    }

    pub fn change<R>(
        &mut self,
        instance: &InstanceId,
        change: impl FnOnce(&mut Known) -> R,
    ) -> Option<R> {
        let known = self.instances.get_mut(instance)?;
        self.held -= known.report.held;
        let outcome = change(known);
        self.held += known.report.held;
        self.changed(instance.clone());
        Some(outcome)
    }

    /// Something else that a report tells has changed.
    pub fn touch(&mut self) {
        self.generation += 1;
    }

    fn changed(&mut self, instance: InstanceId) {
        self.generation += 1;
        if let Some(told) = &mut self.told {
            told.since.insert(self.generation, instance);
        }
    }

    pub fn everything(&self) -> News {
        let instances = self.instances.values().map(|known| known.report.clone()).collect();
        News { since: None, instances, gone: Vec::new() }
    }

    /// What the next report is to say.
    pub fn news(&mut self) -> News {
        match &self.told {
            Some(told) if told.heard => self.news_since(told),
            _ => {
                let generation = self.generation;
                self.told = Some(Told { generation, heard: false, since: BTreeMap::new() });
                self.everything()
            }
        }
    }

    fn news_since(&self, told: &Told) -> News {
        let changed: BTreeSet<&InstanceId> = told.since.values().collect();
        let (mut instances, mut gone) = (Vec::new(), Vec::new());
        for instance in changed {
            match self.instances.get(instance) {
                Some(known) => instances.push(known.report.clone()),
                None => gone.push(instance.clone()),
            }
        }
        News { since: Some(told.generation), instances, gone }
    }

    /// Those above have the report of this generation.
    pub fn heard(&mut self, generation: u64) {
        if let Some(told) = self.told.as_mut().filter(|told| told.generation <= generation) {
            told.heard = true;
            told.generation = generation;
            told.since = told.since.split_off(&(generation + 1));
        }
    }

    /// Nobody above is taken to know anything: the next report tells everything.
    pub fn unheard(&mut self) {
        self.told = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::boot_phase::BootPhase,
        messages::report::{NodeReport, Reading},
    };
    use proptest::prelude::*;

    fn known(number: u8, phase: BootPhase) -> Known {
        let report = InstanceReport {
            instance: format!("i-{number:017x}").parse().unwrap(),
            owner: "123456789012".parse().unwrap(),
            revision: 1,
            phase,
            reason: None,
            impairment: None,
            held: Resources { vcpus: number.into(), ..Resources::NONE },
        };
        Known { owner: report.owner.clone(), interfaces: Vec::new(), actor: None, report }
    }

    fn report(generation: u64, news: News) -> NodeReport {
        NodeReport {
            node: "n1".parse().unwrap(),
            generation,
            made_at: crate::domain::time::Timestamp(0),
            total: Resources::NONE,
            since: news.since,
            instances: news.instances,
            gone: news.gone,
            foreign: Vec::new(),
            hypervisor: String::new(),
        }
    }

    #[derive(Debug, Clone)]
    enum Event {
        Insert(u8),
        Change(u8),
        Remove(u8),
        Report,
        /// The nth report under way arrives.
        Arrive(usize),
        /// It is lost, and the node knows that, or not.
        Lose(usize, bool),
        /// Whoever hears forgets everything.
        Restart,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            3 => (0..6u8).prop_map(Event::Insert),
            3 => (0..6u8).prop_map(Event::Change),
            3 => (0..6u8).prop_map(Event::Remove),
            3 => Just(Event::Report),
            3 => (0..4usize).prop_map(Event::Arrive),
            3 => (0..4usize, any::<bool>()).prop_map(|(n, known)| Event::Lose(n, known)),
            1 => Just(Event::Restart),
        ]
    }

    proptest! {
        /// Reports may be lost, overtake each other and come to one who remembers nothing: who hears
        /// never has another picture than the node had at the generation of the last report taken.
        #[test]
        fn whoever_hears_reports_has_what_the_node_had(events in prop::collection::vec(event(), 0..80)) {
            let mut node = Inventory::new(1 << 32);
            let mut under_way: Vec<NodeReport> = Vec::new();
            let mut above: Option<(u64, BTreeMap<InstanceId, InstanceReport>)> = None;
            let mut pictures: BTreeMap<u64, Vec<InstanceReport>> = BTreeMap::new();
            let end = [Event::Report, Event::Arrive(0), Event::Report, Event::Arrive(0)];
            // In the end everything arrives, though it took a second time.
            let flush = std::iter::repeat_n(Event::Arrive(0), 80).chain(end);
            for event in events.into_iter().chain(flush) {
                match event {
                    Event::Insert(n) => node.insert(known(n, BootPhase::Accepted)),
                    Event::Change(n) => {
                        let id = known(n, BootPhase::Running).report.instance;
                        node.change(&id, |known| known.report.revision += 1);
                    }
                    Event::Remove(n) => node.remove(&known(n, BootPhase::Ended).report.instance),
                    Event::Report => {
                        node.touch();
                        let news = node.news();
                        pictures.insert(node.generation(), node.everything().instances);
                        under_way.push(report(node.generation(), news));
                    }
                    Event::Arrive(n) if n < under_way.len() => {
                        let report = under_way.remove(n);
                        let at = above.as_ref().map(|(at, _)| *at);
                        match report.after(at) {
                            Reading::Late => node.heard(report.generation),
                            Reading::Gap => node.unheard(),
                            Reading::News => {
                                let mut had = above.take().map(|(_, had)| had).unwrap_or_default();
                                report.apply(&mut had);
                                above = Some((report.generation, had));
                                node.heard(report.generation);
                            }
                        }
                    }
                    Event::Lose(n, noticed) if n < under_way.len() => {
                        under_way.remove(n);
                        if noticed {
                            node.unheard();
                        }
                    }
                    Event::Arrive(_) | Event::Lose(..) => {}
                    Event::Restart => above = None,
                }
                if let Some((at, had)) = &above {
                    let had: Vec<_> = had.values().cloned().collect();
                    prop_assert_eq!(&had, &pictures[at]);
                }
                let held: Resources = node.iter().map(|known| known.report.held).sum();
                prop_assert_eq!(held, node.held());
            }
            let (at, _) = above.expect("the last reports arrived");
            prop_assert_eq!(at, node.generation());
        }
    }
}
