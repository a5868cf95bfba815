//! `kill -9` at random moments under a stream of launches and terminates.
//!
//! Afterwards every instance that was acknowledged is accounted for, the guests are exactly the
//! instances that run, the figures of the PRS are the sum of what they hold, and nothing is left.

use crate::{
    client::Client,
    cloud::{Cloud, kept_in, names_in, states},
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

const KILLS: usize = 50;
const RUNS: u64 = 10;
const KILLS_OF_A_RUN: usize = 6;

/// What the clients were told.
#[derive(Default)]
struct Told {
    launched: BTreeSet<String>,
    terminated: BTreeSet<String>,
}

#[test]
fn fifty_kills_lose_no_acknowledged_instance_and_leak_nothing() {
    let mut cloud = Cloud::start_with(
        "local",
        "vcpus = 200\nsimulated = { seed = 1, start_delay_ms = [0, 30] }",
    );
    let stream = Stream::begin(&cloud, 100);
    let mut chance = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..KILLS {
        // The moment is random; the stream goes on meanwhile.
        thread::park_timeout(Duration::from_millis(u64::from(chance.next_u32() % 250)));
        cloud.kill();
        cloud.begin();
    }
    let told = stream.end();
    assert!(told.launched.len() > KILLS, "the stream was a trickle: {}", told.launched.len());
    check_books(&mut cloud, &told);
    terminate_everything(&mut cloud);
}

/// Each role of a cloud of three processes is killed, in no order, while clients go on.
#[test]
fn kills_of_any_role_at_random_lose_no_acknowledged_instance_and_leak_nothing() {
    for seed in 0..RUNS {
        let mut cloud = Cloud::start_with(
            "cloud | group | node",
            "vcpus = 200\nsimulated = { seed = 1, start_delay_ms = [0, 30] }",
        );
        let stream = Stream::begin(&cloud, 1000 * (seed + 1));
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..KILLS_OF_A_RUN {
            // The moment is random; the stream goes on meanwhile.
            thread::park_timeout(Duration::from_millis(u64::from(chance.next_u32() % 400)));
            let role = chance.next_u32() as usize % 3;
            cloud.kill_process(role);
            cloud.start_process(role);
        }
        cloud.wait_until_it_answers();
        let told = stream.end();
        check_books(&mut cloud, &told);
        terminate_everything(&mut cloud);
    }
}

/// Four clients that launch and terminate.
struct Stream {
    told: Arc<Mutex<Told>>,
    done: Arc<AtomicBool>,
    clients: Vec<thread::JoinHandle<()>>,
}

impl Stream {
    fn begin(cloud: &Cloud, seed: u64) -> Stream {
        let image = cloud.client().ask("DescribeImages", &[]).first("imageId").unwrap();
        let told = Arc::new(Mutex::new(Told::default()));
        let done = Arc::new(AtomicBool::new(false));
        let clients = (0..4)
            .map(|number| {
                let (client, image) = (cloud.client(), image.clone());
                let (told, done) = (told.clone(), done.clone());
                let seed = seed + number;
                thread::spawn(move || launch_and_terminate(seed, &client, &image, &told, &done))
            })
            .collect();
        Stream { told, done, clients }
    }

    fn end(self) -> Told {
        self.done.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.join().unwrap();
        }
        let mut told = self.told.lock().unwrap();
        std::mem::take(&mut *told)
    }
}

fn launch_and_terminate(
    seed: u64,
    client: &Client,
    image: &str,
    told: &Mutex<Told>,
    done: &AtomicBool,
) {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut mine: Vec<String> = Vec::new();
    let mut number = 0;
    while !done.load(Ordering::SeqCst) {
        if mine.len() < 8 && chance.next_u32() % 3 != 0 {
            number += 1;
            let token = format!("{seed}-{number}");
            let launch = [
                ("ImageId", image),
                ("MinCount", "1"),
                ("MaxCount", "2"),
                ("ClientToken", token.as_str()),
            ];
            if let Ok(Ok(document)) = client.call("RunInstances", &launch) {
                let ids = document.all("instanceId");
                told.lock().unwrap().launched.extend(ids.clone());
                mine.extend(ids);
            }
        } else if !mine.is_empty() {
            let id = mine[chance.next_u32() as usize % mine.len()].clone();
            if let Ok(Ok(_)) = client.call("TerminateInstances", &[("InstanceId.1", &id)]) {
                told.lock().unwrap().terminated.insert(id.clone());
                mine.retain(|known| *known != id);
            }
        }
    }
}

fn check_books(cloud: &mut Cloud, told: &Told) {
    assert!(!told.launched.is_empty(), "nothing was launched");
    let client = cloud.client();
    let settled = cloud.wait("everything comes to rest", |_| {
        let described = states(&client.ask("DescribeInstances", &[]));
        let resting = |state: &str| state == "running" || state == "terminated";
        described.iter().all(|(_, state)| resting(state)).then_some(described)
    });
    let in_state = |wanted: &str| -> BTreeSet<String> {
        settled.iter().filter(|(_, state)| state == wanted).map(|(id, _)| id.clone()).collect()
    };
    let (running, terminated) = (in_state("running"), in_state("terminated"));
    for id in &told.launched {
        assert!(running.contains(id) || terminated.contains(id), "{id} was acknowledged and lost");
    }
    for id in &told.terminated {
        assert!(terminated.contains(id), "{id} was terminated and is not");
    }
    for id in told.launched.difference(&told.terminated) {
        // A terminate whose answer was lost may have been done; nothing else ends an instance.
        assert!(running.contains(id) || terminated.contains(id));
    }
    let node = cloud.node();
    cloud.wait("the node has the running instances and no others", |_| {
        let instances: BTreeSet<_> = names_in(&node.join("instances")).into_iter().collect();
        let domains = kept_in(&node.join("domains")).len();
        let ports = kept_in(&node.join("ports")).len();
        (instances == running && domains == running.len() && ports == 2 * running.len())
            .then_some(())
    });
    let free = 200 - running.len();
    cloud.wait("the figures are what the instances hold", |_| {
        (free_of_default_type(&client) == free).then_some(())
    });
}

/// From the administrator's zone rows: `0190 / 0200   1 …`.
fn free_of_default_type(client: &Client) -> usize {
    let zones = client.ask("DescribeAvailabilityZones", &[("ZoneName.1", "verbose")]);
    let rows = zones.all("item");
    let row = rows.iter().find(|row| row.contains("m1.small")).expect("a row for the type");
    let (free, _) = row.split_once(" / ").expect("free and total");
    let digits: String = free
        .chars()
        .rev()
        .take_while(char::is_ascii_digit)
        .collect::<Vec<_>>()
        .iter()
        .rev()
        .collect();
    digits.parse().unwrap()
}

fn terminate_everything(cloud: &mut Cloud) {
    let client = cloud.client();
    let all: Vec<String> = states(&client.ask("DescribeInstances", &[]))
        .into_iter()
        .filter(|(_, state)| state == "running")
        .map(|(id, _)| id)
        .collect();
    for id in &all {
        client.ask("TerminateInstances", &[("InstanceId.1", id)]);
    }
    let node = cloud.node();
    cloud.wait("nothing is left", |_| {
        let kept = ["domains", "ports"].iter().all(|part| kept_in(&node.join(part)).is_empty());
        (kept && names_in(&node.join("instances")).is_empty()).then_some(())
    });
    cloud.wait("all room is given back", |_| (free_of_default_type(&client) == 200).then_some(()));
}
