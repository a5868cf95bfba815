//! Links that fail between hosts: cut, one way, lossy, slow or silent, at every step of a launch and
//! of a terminate. Hosts are network namespaces, managers are processes, guests are simulated.
//!
//! The only stories that need root: `ip` and `nft` make the hosts and their faults, in namespaces of
//! their own.

mod faults;

use crate::{
    client::Client,
    cloud::{Cloud, kept_in, names_in, section, states},
};
use faults::Fault;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};
use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

const CASES: u64 = 16;
const VCPUS: usize = 40;
/// Longer than it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

#[test]
fn whatever_link_fails_at_whatever_step_all_agree_when_it_is_healed() {
    let node = format!("vcpus = {VCPUS}\nsimulated = {{ seed = 3, start_delay_ms = [200, 400] }}");
    let mut cloud = Cloud::on_hosts("info", &section("laptop", &node));
    cloud.begin();
    let client = cloud.client();
    let image = client.ask("DescribeImages", &[]).first("imageId").unwrap();
    let mut running: Vec<String> = Vec::new();
    let mut slowest = Duration::ZERO;
    for seed in 0..CASES {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let fault = Fault::at_random(&mut chance);
        let launches = running.is_empty() || chance.next_u32() % 2 == 0;
        if launches {
            let token = format!("case-{seed}");
            let launch = [
                ("ImageId", image.as_str()),
                ("MinCount", "1"),
                ("MaxCount", "3"),
                ("ClientToken", &token),
            ];
            running.extend(client.ask("RunInstances", &launch).all("instanceId"));
        } else {
            let ended: Vec<String> = running.drain(..running.len().div_ceil(2)).collect();
            for id in &ended {
                client.ask("TerminateInstances", &[("InstanceId.1", id)]);
            }
        }
        // The step that it is at by now is the chance's choice, and so is how long it lasts.
        thread::park_timeout(Duration::from_millis(u64::from(chance.next_u32() % 500)));
        let held = [300, 1500, 6000][chance.next_u32() as usize % 3];
        {
            let _failing = fault.begin(&cloud);
            thread::park_timeout(Duration::from_millis(held));
        }
        let healed = Instant::now();
        check(&mut cloud, &client, &running);
        let took = healed.elapsed();
        slowest = slowest.max(took);
        println!("case {seed}: {fault} for {held} ms, all agreed {took:.1?} after it was healed");
    }
    println!("the slowest: {slowest:.1?}");
    for id in &running {
        client.ask("TerminateInstances", &[("InstanceId.1", id)]);
    }
    check(&mut cloud, &client, &[]);
}

/// The records, the node and the figures say the same: these run, and nothing else.
fn check(cloud: &mut Cloud, client: &Client, running: &[String]) {
    let expected: BTreeSet<String> = running.iter().cloned().collect();
    let node = cloud.node();
    let mut seen = String::new();
    let outcome = cloud.wait_within(PATIENCE, |_| {
        let described = states(&client.ask("DescribeInstances", &[]));
        let in_rest =
            described.iter().all(|(_, state)| ["running", "terminated"].contains(&state.as_str()));
        let there: BTreeSet<String> = kept_in(&node.join("domains")).into_iter().collect();
        let files: BTreeSet<String> = names_in(&node.join("instances")).into_iter().collect();
        let free = free(client);
        seen = format!(
            "described {described:?}\nguests {there:?}\nfiles {files:?}\nfree {free}\nexpected {expected:?}"
        );
        let described: BTreeSet<String> = described
            .into_iter()
            .filter(|(_, state)| state == "running")
            .map(|(id, _)| id)
            .collect();
        let agreed = in_rest && described == expected && there == expected && files == expected;
        (agreed && free == VCPUS - running.len()).then_some(())
    });
    assert!(outcome.is_some(), "they never agreed:\n{seen}\n{}", cloud.log());
}

/// How many of the default type there is room for.
fn free(client: &Client) -> usize {
    let zones = client.ask("DescribeAvailabilityZones", &[("ZoneName.1", "verbose")]);
    let rows = zones.all("item");
    let row = rows.iter().find(|row| row.contains("m1.small")).expect("a row for the type");
    let (before, _) = row.split_once(" / ").expect("free and total");
    before[before.len() - 4..].parse().unwrap()
}
