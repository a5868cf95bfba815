//! The switches of a cloud's processes: whom each has a cable to, over restarts and evictions.

use crate::cloud::{Cloud, section};
use serde_json::Value;
use std::collections::BTreeMap;

/// Each cable of a process by the name of its far end, and whether it is up.
fn cables(cloud: &Cloud, index: usize) -> BTreeMap<String, bool> {
    let shown = cloud.overlay(index);
    let Some(cables) = shown["cables"].as_array() else { return BTreeMap::new() };
    let cable = |cable: &Value| {
        (cable["name"].as_str().unwrap().to_owned(), cable["is_up"].as_bool().unwrap())
    };
    cables.iter().map(cable).collect()
}

/// Waits until every process has exactly these neighbours, all of them reached.
fn wait_for_cables(cloud: &mut Cloud, names: &[&str], processes: &[usize]) {
    for (&own, &index) in names.iter().zip(processes) {
        let others: BTreeMap<String, bool> = names
            .iter()
            .filter(|name| **name != own)
            .map(|&name| (name.to_owned(), true))
            .collect();
        cloud.wait(&format!("`{own}` has a cable to every other"), |cloud| {
            (cables(cloud, index) == others).then_some(())
        });
    }
}

fn number(cloud: &Cloud, index: usize) -> u64 {
    cloud.overlay(index)["switch"]["switch"].as_u64().unwrap()
}

#[test]
fn every_process_has_a_sealed_cable_to_every_other_and_has_it_again_after_any_restart() {
    let nodes = section("n1", "") + &section("n2", "");
    for (topology, names) in [
        ("cloud | group | node", &["cloud", "laptop", "laptop/n1", "laptop/n2"][..]),
        ("cloud group | node", &["cloud", "laptop/n1", "laptop/n2"]),
        ("cloud | group node", &["cloud", "laptop"]),
    ] {
        let mut cloud = Cloud::configured(topology, "info", &nodes);
        cloud.begin();
        let all: Vec<usize> = (0..names.len()).collect();
        wait_for_cables(&mut cloud, names, &all);
        let numbers: Vec<u64> = all.iter().map(|&index| number(&cloud, index)).collect();
        for index in all.iter().copied() {
            cloud.kill_process(index);
            cloud.start_process(index);
            wait_for_cables(&mut cloud, names, &all);
            let again: Vec<u64> = all.iter().map(|&index| number(&cloud, index)).collect();
            assert_eq!(again, numbers, "{topology}: a switch keeps its number");
        }
    }
}

#[test]
fn a_node_beside_the_cloud_and_below_a_group_elsewhere_has_the_cloud_s_switch() {
    let mut cloud = Cloud::configured("cloud | group | node", "info", &section("n1", ""));
    cloud.begin_without("n1");
    wait_for_cables(&mut cloud, &["cloud", "laptop"], &[0, 1]);
    let own = number(&cloud, 0);
    cloud.join_beside_the_cloud("laptop", "beside");
    cloud.wait_until_nodes_report();
    // What a node that comes later has been told, the other would have been told by then.
    cloud.start_process(2);
    wait_for_cables(&mut cloud, &["cloud", "laptop", "laptop/n1"], &[0, 1, 2]);
    assert_eq!(number(&cloud, 0), own, "nobody has told it that it is another");
}

#[test]
fn a_process_of_simulated_guests_that_nobody_may_join_has_no_switch() {
    let cloud = Cloud::start("local");
    assert_eq!(cloud.overlay(0), Value::Null);
}

#[test]
fn an_evicted_node_s_switch_is_nobody_s_neighbour_any_more() {
    let nodes = section("n1", "") + &section("n2", "");
    let mut cloud = Cloud::configured("cloud | group | node", "info", &nodes);
    cloud.begin();
    wait_for_cables(&mut cloud, &["cloud", "laptop", "laptop/n1", "laptop/n2"], &[0, 1, 2, 3]);
    cloud.client().ask("EvictNode", &[("GroupName", "laptop"), ("NodeName", "n1")]);
    wait_for_cables(&mut cloud, &["cloud", "laptop", "laptop/n2"], &[0, 1, 3]);
    // It is out, and hears so of everybody.
    cloud.wait("the evicted one has no cable", |cloud| {
        cables(cloud, 2).values().all(|is_up| !is_up).then_some(())
    });
}
