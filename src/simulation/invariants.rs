//! What must hold after every step of a history, whatever went wrong, and what must hold again once
//! nothing does any more.

use super::{chronicle::Chronicle, cloud::SimulatedCloud, users::Dealings};
use crate::{
    actors::group::placements::Placement,
    domain::{
        cloud_state::CloudState,
        id::{GroupName, InstanceId, NodeName},
        instance::{Instance, InstanceState},
        interface::Wire,
        resources::Resources,
    },
    messages::{group::DescribeResources, node::DescribeNode},
    store::{Store, record::load_all},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

/// What is remembered between two looks.
#[derive(Debug, Default)]
pub struct Watch {
    states: BTreeMap<InstanceId, InstanceState>,
    guests: BTreeMap<NodeName, BTreeMap<InstanceId, bool>>,
    /// Described as terminated once.
    ended: BTreeSet<InstanceId>,
}

impl Watch {
    /// Notes what changed, and says what is wrong.
    pub fn look(
        &mut self,
        cloud: &SimulatedCloud,
        dealings: &Dealings,
        chronicle: &Chronicle,
    ) -> Result<(), String> {
        let state = cloud.state();
        self.note_states(&state, chronicle);
        self.note_guests(cloud, chronicle);
        managers_live(cloud)?;
        guests_are_on_one_machine(cloud)?;
        addresses_are_held_once(cloud, &state)?;
        machines_bear_what_they_run(cloud)?;
        books_add_up(&state)?;
        self.promises_are_kept(&state, dealings)?;
        self.only_statements_end(&state, dealings)
    }

    fn note_states(&mut self, state: &CloudState, chronicle: &Chronicle) {
        let mut now = BTreeMap::new();
        for instance in state.instances() {
            let before = self.states.get(&instance.id);
            if before != Some(&instance.state) {
                let node = instance.node.as_ref().map_or("nowhere", NodeName::as_str);
                let why = instance.state_reason.as_ref().map_or("", |reason| &reason.message);
                chronicle.note(format_args!(
                    "{} is {} (revision {}, {node}; {why})",
                    instance.id,
                    instance.state.as_str(),
                    instance.revision
                ));
            }
            now.insert(instance.id.clone(), instance.state);
        }
        self.states = now;
    }

    fn note_guests(&mut self, cloud: &SimulatedCloud, chronicle: &Chronicle) {
        for machine in cloud.living() {
            let now = machine.domains();
            let before = self.guests.entry(machine.name.clone()).or_default();
            for (id, runs) in &now {
                if before.get(id) != Some(runs) {
                    let what = if *runs { "runs" } else { "is off" };
                    chronicle.note(format_args!("guest {id} on {} {what}", machine.name));
                }
            }
            for id in before.keys().filter(|id| !now.contains_key(id)) {
                chronicle.note(format_args!("guest {id} on {} is gone", machine.name));
            }
            *before = now;
        }
    }

    fn promises_are_kept(&mut self, state: &CloudState, dealings: &Dealings) -> Result<(), String> {
        for id in dealings.launched.keys() {
            match state.instance(id) {
                Some(instance) if !instance.state.exists() => _ = self.ended.insert(id.clone()),
                Some(_) if self.ended.contains(id) => {
                    return Err(format!("{id} was terminated, and exists again"));
                }
                Some(_) => {}
                // Described as terminated for a while, and then not any more.
                None if self.ended.contains(id) => {}
                None => return Err(format!("{id} was acknowledged, and is not described")),
            }
        }
        Ok(())
    }

    /// A launch may fail and a guest may switch itself off; else only a user ends an instance.
    fn only_statements_end(&self, state: &CloudState, dealings: &Dealings) -> Result<(), String> {
        let ended = state.instances().filter(|instance| !instance.state.exists());
        for instance in ended.filter(|i| !dealings.to_be_terminated.contains(&i.id)) {
            let why = instance.state_reason.as_ref().map_or("", |reason| &reason.message);
            let stated = ["no node has room", "Instance initiated shutdown", "failed:"];
            let refused = "could not record it";
            if !stated.iter().any(|reason| why.contains(reason)) && !why.contains(refused) {
                return Err(format!("{} ended though nobody said so: {why}", instance.id));
            }
        }
        Ok(())
    }
}

fn managers_live(cloud: &SimulatedCloud) -> Result<(), String> {
    match cloud.died().first() {
        Some(place) => Err(format!("the manager of {place} panicked")),
        None => Ok(()),
    }
}

fn guests_are_on_one_machine(cloud: &SimulatedCloud) -> Result<(), String> {
    let mut seen: BTreeMap<InstanceId, &NodeName> = BTreeMap::new();
    // Those of a machine that was lost do not run any more.
    for machine in cloud.living() {
        for id in machine.domains().into_keys() {
            if let Some(other) = seen.insert(id.clone(), &machine.name) {
                return Err(format!("{id} is on {other} and on {}", machine.name));
            }
        }
    }
    Ok(())
}

fn addresses_are_held_once(cloud: &SimulatedCloud, state: &CloudState) -> Result<(), String> {
    let mut held: BTreeMap<(GroupName, Ipv4Addr), (InstanceId, &NodeName)> = BTreeMap::new();
    for machine in cloud.living() {
        let domains = machine.domains();
        for (instance, interface) in machine.datapath().attached() {
            let running = domains.get(&instance) == Some(&true);
            if interface.wire != Wire::Public || !running {
                continue;
            }
            let key = (machine.group.clone(), interface.address);
            if let Some((other, at)) = held.insert(key, (instance.clone(), &machine.name)) {
                return Err(format!(
                    "{} is held by {other} on {at} and by {instance} on {}",
                    interface.address, machine.name
                ));
            }
        }
    }
    let mut recorded: BTreeMap<Ipv4Addr, &InstanceId> = BTreeMap::new();
    for instance in state.instances().filter(|instance| instance.state.exists()) {
        if let Some(public) = instance.public_interface()
            && let Some(other) = recorded.insert(public.address, &instance.id)
        {
            return Err(format!("{} is given to {other} and to {}", public.address, instance.id));
        }
    }
    Ok(())
}

fn machines_bear_what_they_run(cloud: &SimulatedCloud) -> Result<(), String> {
    for machine in cloud.living() {
        let (used, total) = (machine.in_use(), machine.total);
        if !used.fits_in(total) {
            return Err(format!("{} runs {used:?} and has {total:?}", machine.name));
        }
    }
    Ok(())
}

/// What the cloud counts as held is what its records hold.
fn books_add_up(state: &CloudState) -> Result<(), String> {
    let mut holding: BTreeMap<(GroupName, NodeName), Resources> = BTreeMap::new();
    for instance in state.instances() {
        let held = state.capacity.holding(&instance.id);
        let wanted = instance.holding().filter(|_| held.is_some() || instance.node.is_some());
        if held.map(|held| held.resources) != wanted {
            return Err(format!(
                "{} is {} and holds {held:?}",
                instance.id,
                instance.state.as_str()
            ));
        }
        if let Some(held) = held {
            *holding.entry((held.group.clone(), held.node.clone())).or_default() += held.resources;
        }
    }
    let groups: BTreeSet<_> = holding.keys().map(|(group, _)| group.clone()).collect();
    for group in groups {
        for (node, capacity) in state.capacity.nodes_of(&group) {
            let sum = holding.remove(&(group.clone(), node.clone())).unwrap_or_default();
            if sum != capacity.held {
                return Err(format!(
                    "{node} is said to hold {:?}, its instances hold {sum:?}",
                    capacity.held
                ));
            }
        }
    }
    Ok(())
}

/// Where what is described is not what there is: nothing, soon after everything has healed.
pub fn disagreements(cloud: &SimulatedCloud) -> Vec<String> {
    let state = cloud.state();
    let mut found = Vec::new();
    for machine in cloud.living() {
        let domains = machine.domains();
        for (id, runs) in &domains {
            match state.instance(id) {
                Some(instance) if instance.state.exists() => {
                    found.extend(disagreement(instance, &machine.name, *runs));
                }
                Some(_) => found.push(format!("{id} is terminated, and is on {}", machine.name)),
                None => found.push(format!("nobody knows {id} on {}", machine.name)),
            }
        }
        for instance in state.placed_on(&machine.group, &machine.name) {
            if instance.state == InstanceState::Running && !domains.contains_key(&instance.id) {
                found.push(format!("{} runs, and is not on {}", instance.id, machine.name));
            }
        }
    }
    found
}

fn disagreement(instance: &Instance, node: &NodeName, runs: bool) -> Option<String> {
    let agrees = match instance.state {
        InstanceState::Running => runs,
        InstanceState::Pending | InstanceState::Stopped => !runs,
        InstanceState::Stopping | InstanceState::ShuttingDown => true,
        InstanceState::Terminated => false,
    };
    if agrees && instance.node.as_ref().is_none_or(|known| known == node) {
        return None;
    }
    let at = instance.node.as_ref().map_or("nowhere", NodeName::as_str);
    let state = instance.state.as_str();
    Some(format!("{} is {state} at {at}; on {node} it runs: {runs}", instance.id))
}

/// What is still on its way, other than what waits for a machine that is lost.
pub fn unfinished(cloud: &SimulatedCloud) -> Vec<String> {
    let state = cloud.state();
    let placed = placed_on_lost_machines(cloud);
    let waits = |instance: &Instance| {
        let lost = instance.node.as_ref().is_some_and(|node| cloud.lost.contains(node));
        instance.state.is_transient() && !lost && !placed.contains(&instance.id)
    };
    let waiting = state.instances().filter(|instance| waits(instance));
    waiting.map(|i| format!("{} is still {}", i.id, i.state.as_str())).collect()
}

/// By the groups' records: those of the cloud may not say yet where an instance is.
fn placed_on_lost_machines(cloud: &SimulatedCloud) -> BTreeSet<InstanceId> {
    let groups = cloud.group_names();
    let placements = groups.iter().flat_map(|name| {
        load_all::<Placement>(cloud.group_disk(name)).expect("the records are ours")
    });
    placements
        .filter(|placement| cloud.lost.contains(&placement.node))
        .map(|placement| placement.instance)
        .collect()
}

/// Everything has been terminated: what is left all the same, other than on lost machines.
pub async fn leftovers(cloud: &SimulatedCloud) -> Vec<String> {
    let state = cloud.state();
    let mut found = unfinished(cloud);
    for machine in cloud.living() {
        found.extend(machine.leftovers());
        if let Some(answer) = cloud.ask_node(&machine.name, DescribeNode).await {
            let stated = answer.map(|report| report.instances.len());
            if stated != Ok(0) {
                found.push(format!("{} states {stated:?} instances", machine.name));
            }
        }
        // What it keeps for instances that wait for a lost machine is accounted for.
        let placed = state.placed_on(&machine.group, &machine.name).filter(|i| i.node.is_some());
        found.extend(placed.map(|i| format!("the cloud keeps room for {}", i.id)));
    }
    for name in cloud.group_names() {
        let has_lost = cloud
            .machines
            .values()
            .any(|machine| machine.group == name && cloud.lost.contains(&machine.name));
        if has_lost {
            continue;
        }
        for (key, _) in cloud.group_disk(&name).scan("placement").into_iter().flatten() {
            found.push(format!("{name} has {} on record", key.escape_ascii()));
        }
        let each = Resources { vcpus: 1, ..Resources::NONE };
        let answer = cloud.ask_group(&name, DescribeResources { types: vec![each] }).await;
        if let Some(Ok(counts)) = answer {
            let (free, total) = counts.counts[0];
            if free != total {
                found.push(format!("{name} says that {free} of {total} processors are free"));
            }
        }
    }
    found
}
