//! A node that an administrator says is gone: what becomes of its instances, and of the node.

use crate::cloud::{Cloud, describe, kept_in, section, states};

const TWO_NODES: &str = "vcpus = 4\nmemory_mib = 65536\ndisk_gib = 1000";
const SPLIT: [&str; 2] = ["cloud | group | node", "cloud group | node"];

/// Two instances on `n1`, the second of which is to outlive its node.
fn two_on_the_first(cloud: &mut Cloud) -> Vec<String> {
    let client = cloud.client();
    let image = client.ask("DescribeImages", &[]).first("imageId").unwrap();
    let launch = [("ImageId", image.as_str()), ("MinCount", "2"), ("MaxCount", "2")];
    let instances = client.ask("RunInstances", &launch).all("instanceId");
    cloud.wait_for(&client, &instances, "running");
    assert_eq!(kept_in(&cloud.node_named("n1").join("domains")).len(), 2);
    let tag = [
        ("ResourceId.1", instances[1].as_str()),
        ("Tag.1.Key", "mallee:restart-elsewhere"),
        ("Tag.1.Value", "true"),
    ];
    client.ask("CreateTags", &tag);
    instances
}

/// What is told of evictions: by whom, and which step of it, in order.
fn evictions(cloud: &Cloud) -> Vec<String> {
    let told = cloud.events(&["--output", "json"]);
    let mut told: Vec<serde_json::Value> =
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    told.retain(|event| event["event"] == "eviction" && event["node"] == "n1");
    told.sort_by_key(|event| event["at"].as_str().unwrap().to_owned());
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    told.iter().map(|event| text(&event["role"]) + " " + &text(&event["outcome"])).collect()
}

fn addresses(cloud: &Cloud, instance: &str) -> Vec<String> {
    let described = describe(&cloud.client(), &[instance.to_owned()]);
    [described.all("ipAddress"), described.all("privateIpAddress")].concat()
}

#[test]
fn an_evicted_node_s_instances_end_or_run_elsewhere_as_they_asked_and_never_twice() {
    for topology in SPLIT {
        let nodes = section("n1", TWO_NODES) + &section("n2", TWO_NODES);
        let mut cloud = Cloud::configured(topology, "info", &nodes);
        cloud.begin();
        let instances = two_on_the_first(&mut cloud);
        let client = cloud.client();
        let before = addresses(&cloud, &instances[1]);

        // The node is cut off, its guests run on, and silence ends nothing.
        cloud.freeze("n1");
        let evict = [("GroupName", "laptop"), ("NodeName", "n1")];
        let evicted = client.ask("EvictNode", &evict);
        assert_eq!(evicted.all("item"), [&instances[0], &instances[1]].map(String::clone));
        cloud.wait_for(&client, &instances[..1], "terminated");
        cloud.wait("it runs on the other node", |cloud| {
            let there = kept_in(&cloud.node_named("n2").join("domains"));
            (there == instances[1..]).then_some(())
        });
        cloud.wait_for(&client, &instances[1..], "running");
        assert_eq!(addresses(&cloud, &instances[1]), before, "{topology}");

        let begun = ["cloud begun", "group taken", "cloud settled"];
        cloud.wait("it is told", |cloud| (evictions(cloud) == begun).then_some(()));

        // When the node comes back it is told that it is none any more, and ends its guests.
        cloud.thaw("n1");
        cloud.wait("the evicted node has ended its guests", |cloud| {
            kept_in(&cloud.node_named("n1").join("domains")).is_empty().then_some(())
        });
        cloud.wait("it is told", |cloud| {
            evictions(cloud).contains(&"node fenced".to_owned()).then_some(())
        });
        let described = states(&describe(&client, &instances));
        let expected = [(&instances[0], "terminated"), (&instances[1], "running")];
        for (instance, state) in expected {
            assert!(described.contains(&(instance.clone(), state.to_owned())), "{described:?}");
        }
        // Nor is its room counted: four of the other node are left, one of them taken.
        let vacant = |count: &str| {
            let zones = client.ask("DescribeAvailabilityZones", &[("ZoneName.1", "verbose")]);
            zones.all("item").iter().any(|row| row.contains("m1.small") && row.contains(count))
        };
        assert!(vacant("0003 / 0004"), "{topology}");
        // Its host may join anew, under the same name, and is a node like any other.
        cloud.rejoin("n1");
        cloud.wait("the host is a node again", |_| vacant("0007 / 0008").then_some(()));
        let image = client.ask("DescribeImages", &[]).first("imageId").unwrap();
        let launch = [("ImageId", image.as_str()), ("MinCount", "1"), ("MaxCount", "9")];
        let launched = client.ask("RunInstances", &launch).all("instanceId");
        assert_eq!(launched.len(), 7, "{topology}");
        cloud.wait_for(&client, &launched, "running");
    }
}

#[test]
fn an_eviction_outlives_a_kill_of_every_process() {
    let nodes = section("n1", TWO_NODES) + &section("n2", TWO_NODES);
    let mut cloud = Cloud::configured("cloud | group | node", "info", &nodes);
    cloud.begin();
    let instances = two_on_the_first(&mut cloud);
    let client = cloud.client();
    cloud.freeze("n1");
    client.ask("EvictNode", &[("GroupName", "laptop"), ("NodeName", "n1")]);
    cloud.kill();
    cloud.begin_without("n1");
    cloud.wait("it runs on the other node", |cloud| {
        let there = kept_in(&cloud.node_named("n2").join("domains"));
        (there == instances[1..]).then_some(())
    });
    cloud.wait_for(&client, &instances[..1], "terminated");
    cloud.wait_for(&client, &instances[1..], "running");
}

#[test]
fn a_node_of_the_cloud_s_own_process_is_not_evicted_but_taken_out_of_the_configuration() {
    let cloud = Cloud::start("local");
    let evict = [("GroupName", "laptop"), ("NodeName", "laptop")];
    let refused = cloud.client().refusal("EvictNode", &evict);
    assert_eq!(refused.code, "InvalidParameterValue");
    assert!(refused.message.contains("take it out of the configuration"), "{}", refused.message);
}
