//! Random histories of a small cloud: whatever is asked, lost, repeated or killed, the books are
//! right after every step, and in the end records and nodes agree and nothing is left.

use super::testing::{Cloud, Fate, GROUP, Node, Weather, a_launch, wait};
use crate::{
    domain::{
        id::InstanceId,
        instance::{Instance, InstanceState},
        resources::Resources,
    },
    messages::{
        cloud::{
            LaunchReservation, RebootInstances, StartInstances, StopInstances, TerminateInstances,
        },
        group::DescribeInstances,
    },
};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const STEPS: usize = 40;

/// Loses or doubles three of ten questions, until it is calm.
fn storm(seed: u64, calm: &Arc<AtomicBool>) -> Weather {
    let (chance, calm) = (Mutex::new(ChaCha8Rng::seed_from_u64(seed)), calm.clone());
    Arc::new(move |_| match chance.lock().unwrap().next_u32() % 10 {
        _ if calm.load(Ordering::SeqCst) => Fate::Deliver,
        0 => Fate::LoseQuestion,
        1 => Fate::LoseAnswer,
        2 => Fate::Twice,
        _ => Fate::Deliver,
    })
}

fn instances(cloud: &Cloud) -> Vec<Arc<Instance>> {
    cloud.published.load().instances().cloned().collect()
}

/// What a user, an operator or misfortune does next. A refusal is an answer like any other.
async fn step(cloud: &mut Cloud, chance: &mut ChaCha8Rng, weather: &Weather) {
    let known: Vec<InstanceId> =
        instances(cloud).iter().filter(|i| i.state.exists()).map(|i| i.id.clone()).collect();
    let drawn = chance.next_u32() as usize;
    let instances: Vec<InstanceId> =
        known.get(drawn % known.len().max(1)).cloned().into_iter().collect();
    let node = drawn % cloud.group.nodes.len();
    match chance.next_u32() % 12 {
        0..=3 => {
            let launch = LaunchReservation { max_count: 2, ..a_launch() };
            _ = cloud.command(launch).await;
        }
        4 => _ = cloud.command(TerminateInstances { instances }).await,
        5 | 6 => {
            _ = cloud.command(StopInstances { instances, force: drawn.is_multiple_of(2) }).await
        }
        7 | 8 => _ = cloud.command(StartInstances { instances }).await,
        9 => _ = cloud.command(RebootInstances { instances }).await,
        10 => {
            for instance in &instances {
                cloud.group.nodes[node].hypervisor().kill_from_outside(instance);
            }
        }
        _ => {
            cloud.group.nodes[node].restart();
            cloud.group.meet(&cloud.group.nodes[node], weather).await;
        }
    }
}

fn check(cloud: &Cloud, seed: u64) {
    let state = cloud.published.load();
    let group = GROUP.parse().unwrap();
    let held: Resources = state.capacity.nodes_of(&group).map(|(_, node)| node.held).sum();
    let holdings: Resources = state.instances().filter_map(|i| i.holding()).sum();
    assert_eq!(held, holdings, "seed {seed}: capacity is what the instances hold");
    let mut addresses = BTreeSet::new();
    for instance in state.instances() {
        let on = cloud.group.nodes.iter().filter(|node| node.runs(&instance.id)).count();
        assert!(on <= 1, "seed {seed}: `{}` runs on {on} nodes", instance.id);
        if instance.state.exists() {
            let address = instance.public_interface().unwrap().address;
            assert!(addresses.insert(address), "seed {seed}: `{address}` is given twice");
        }
    }
}

/// Every record is what its node does.
async fn agree(cloud: &Cloud, seed: u64) {
    let agrees = |instance: &Arc<Instance>| {
        let runs = cloud.group.nodes.iter().any(|node| node.runs(&instance.id));
        match instance.state {
            InstanceState::Running => runs,
            InstanceState::Stopped | InstanceState::Terminated => !runs,
            InstanceState::Pending | InstanceState::Stopping | InstanceState::ShuttingDown => false,
        }
    };
    wait(&format!("seed {seed}: records and nodes agree"), || async {
        cloud.clock.advance(Duration::from_millis(20));
        instances(cloud).iter().all(agrees).then_some(())
    })
    .await;
}

async fn live_through(seed: u64) {
    let calm = Arc::new(AtomicBool::new(false));
    let nodes = vec![Node::start("n1", 3), Node::start("n2", 3)];
    let mut cloud = Cloud::start_in(storm(seed, &calm), nodes).await;
    let weather = storm(seed + 1000, &calm);
    cloud.group.introduce(&weather).await;
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..STEPS {
        step(&mut cloud, &mut chance, &weather).await;
        cloud.clock.advance(Duration::from_millis(500));
        // Some of the consequences happen before the next step, and some after.
        for _ in 0..chance.next_u32() % 30 {
            cloud.group.ask(DescribeInstances).await.unwrap();
        }
        check(&cloud, seed);
    }
    calm.store(true, Ordering::SeqCst);
    agree(&cloud, seed).await;
    check(&cloud, seed);
    let instances: Vec<InstanceId> = instances(&cloud).iter().map(|i| i.id.clone()).collect();
    assert!(instances.len() > 3, "seed {seed}: a dull history");
    cloud.command(TerminateInstances { instances }).await.unwrap();
    agree(&cloud, seed).await;
    wait(&format!("seed {seed}: nothing is left"), || async {
        cloud.group.nodes.iter().all(|node| node.leftovers().is_empty()).then_some(())
    })
    .await;
    wait(&format!("seed {seed}: the group has all its room"), || async {
        (cloud.group.free_vcpus().await == 6).then_some(())
    })
    .await;
    check(&cloud, seed);
}

#[actix_rt::test]
async fn random_histories_lose_nothing_and_leave_nothing() {
    for seed in 1..=4 {
        live_through(seed).await;
    }
}
