//! A cloud of many hosts on one: a cloud manager, a group's and sixty-four nodes', each a process of
//! its own, over the links that they would have between hosts. Guests are simulated.

#![allow(dead_code, reason = "the stories' harness has more than a bench needs")]

#[path = "../../tests/scenarios/client.rs"]
mod client;
#[path = "../../tests/scenarios/cloud.rs"]
mod cloud;
#[path = "../../tests/scenarios/hosts.rs"]
mod hosts;
#[path = "../../tests/scenarios/parts.rs"]
mod parts;

use client::{Client, Document};
use cloud::{Cloud, section};
use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

const NODES: usize = 64;
const INSTANCES: usize = 200;
const KILLED: usize = 5;
const CALLS: usize = 300;
/// Silence is noticed after a minute.
const PATIENCE: Duration = Duration::from_secs(240);

fn main() {
    // What `cargo test --benches` asks for is that it compiles.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let room = "vcpus = 8\nmemory_mib = 65536\ndisk_gib = 1000";
    let one = {
        let all = format!("vcpus = {}\nmemory_mib = 4194304\ndisk_gib = 64000", 8 * NODES);
        let mut cloud = Cloud::configured("local", "warn", &section("laptop", &all));
        cloud.begin();
        fill(&mut cloud);
        p95(&cloud.client())
    };

    let sections: String = (1..=NODES).map(|n| section(&name(n), room)).collect();
    let group = "[[group]]\nname = \"laptop\"\nplacement = \"spread\"\n";
    let mut cloud =
        Cloud::configured("cloud | group | node", "warn", &format!("{group}{sections}"));
    let begun = Instant::now();
    cloud.begin();
    let joined = begun.elapsed();
    let began_to_launch = Instant::now();
    fill(&mut cloud);
    let launched = began_to_launch.elapsed();
    let client = cloud.client();
    let many = p95(&client);
    let memory: Vec<u64> = (0..2 + NODES).map(|index| memory_kib(&cloud, index)).collect();

    let lost: BTreeSet<String> = (1..=KILLED).flat_map(|n| on(&cloud, &name(n))).collect();
    for number in 1..=KILLED {
        cloud.kill_process(1 + number);
    }
    let killed = Instant::now();
    let during = p95(&client);
    cloud.wait_within(PATIENCE, |_| (impaired(&client) == lost).then_some(())).expect("noticed");
    let noticed = killed.elapsed();
    for number in 1..=KILLED {
        cloud.start_process(1 + number);
    }
    let restarted = Instant::now();
    cloud.wait_within(PATIENCE, |_| impaired(&client).is_empty().then_some(())).expect("back");
    let back = restarted.elapsed();

    let nodes = &memory[2..];
    println!("{NODES} nodes in processes of their own, {INSTANCES} instances:");
    println!("  64 joins, starts and first reports, one after the other   {joined:.1?}");
    println!("  {INSTANCES} instances running after                                {launched:.1?}");
    println!(
        "  DescribeInstances p95                                     {many:.1?}, {:.2} of the same \
         in one process",
        many.as_secs_f64() / one.as_secs_f64()
    );
    println!(
        "  … with {KILLED} nodes just killed                                {during:.1?}, {:.2}",
        during.as_secs_f64() / one.as_secs_f64()
    );
    println!(
        "  {} instances of them impaired after                      {noticed:.1?}",
        lost.len()
    );
    println!("  all well after the nodes' restart within                  {back:.1?}");
    println!(
        "  memory of the cloud manager {} MiB, the group manager {} MiB, a node {} MiB (of {} to {})",
        memory[0] >> 10,
        memory[1] >> 10,
        nodes.iter().sum::<u64>() / nodes.len() as u64 >> 10,
        nodes.iter().min().expect("there are nodes") >> 10,
        nodes.iter().max().expect("there are nodes") >> 10
    );
}

fn memory_kib(cloud: &Cloud, index: usize) -> u64 {
    let resident = |pid: &i32| -> u64 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).expect("a figure")
    };
    cloud.programs(index).iter().map(resident).sum()
}

fn name(number: usize) -> String {
    format!("n{number}")
}

fn fill(cloud: &mut Cloud) {
    let client = cloud.client();
    let image = client.ask("DescribeImages", &[]).first("imageId").expect("there is an image");
    let count = (INSTANCES / 10).to_string();
    for _ in 0..10 {
        let launch = [("ImageId", image.as_str()), ("MinCount", &count), ("MaxCount", &count)];
        client.ask("RunInstances", &launch);
    }
    let running = |document: &Document| {
        document.all("instanceState").iter().filter(|state| state.contains("running")).count()
    };
    cloud
        .wait_within(PATIENCE, |_| {
            (running(&client.ask("DescribeInstances", &[])) == INSTANCES).then_some(())
        })
        .expect("they run");
}

fn p95(client: &Client) -> Duration {
    let mut taken: Vec<Duration> = (0..CALLS)
        .map(|_| {
            let begun = Instant::now();
            client.ask("DescribeInstances", &[]);
            begun.elapsed()
        })
        .collect();
    taken.sort();
    taken[CALLS * 95 / 100]
}

fn on(cloud: &Cloud, node: &str) -> Vec<String> {
    cloud::kept_in(&cloud.node_named(node).join("domains"))
}

fn impaired(client: &Client) -> BTreeSet<String> {
    let bad = [("Filter.1.Name", "instance-status.status"), ("Filter.1.Value.1", "impaired")];
    client.ask("DescribeInstanceStatus", &bad).all("instanceId").into_iter().collect()
}
