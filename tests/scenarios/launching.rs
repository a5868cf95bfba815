//! What a launch may and may not do to the cloud's capacity.

use crate::cloud::{Cloud, TOPOLOGIES, kept_in, names_in, section};
use std::thread;

fn image(cloud: &Cloud) -> String {
    cloud.client().ask("DescribeImages", &[]).first("imageId").unwrap()
}

/// Room for ten of the default type, and for no more.
const TEN: &str = "vcpus = 10";

#[test]
fn twenty_launches_at_once_on_room_for_ten_make_ten_instances() {
    for topology in TOPOLOGIES {
        let mut cloud = Cloud::start_with(topology, TEN);
        let image = image(&cloud);
        let attempts: Vec<_> = (0..20)
            .map(|_| {
                let (client, image) = (cloud.client(), image.clone());
                thread::spawn(move || {
                    let launch =
                        [("ImageId", image.as_str()), ("MinCount", "1"), ("MaxCount", "1")];
                    client.call("RunInstances", &launch).unwrap()
                })
            })
            .collect();
        let mut instances = Vec::new();
        let mut refused = 0;
        for attempt in attempts {
            match attempt.join().unwrap() {
                Ok(document) => instances.extend(document.all("instanceId")),
                Err(refusal) => {
                    assert_eq!(refusal.code, "InsufficientInstanceCapacity");
                    refused += 1;
                }
            }
        }
        assert_eq!((instances.len(), refused), (10, 10), "{topology}");
        let client = cloud.client();
        cloud.wait_for(&client, &instances, "running");
        assert_eq!(kept_in(&cloud.node().join("domains")).len(), 10);

        client.ask("TerminateInstances", &[("InstanceId.1", &instances[0])]);
        cloud.wait_for(&client, &instances[..1], "terminated");
        let launch = [("ImageId", image.as_str()), ("MinCount", "1"), ("MaxCount", "1")];
        cloud.wait("room is given back", |_| client.call("RunInstances", &launch).unwrap().ok());
    }
}

#[test]
fn the_placement_configured_for_a_group_decides_which_nodes_get_instances() {
    const NODES: [(&str, u32); 3] = [("n1", 4), ("n2", 4), ("n3", 8)];
    let nodes = NODES.map(|(name, vcpus)| {
        section(name, &format!("vcpus = {vcpus}\nmemory_mib = 65536\ndisk_gib = 1000"))
    });
    for topology in ["local", "linked", "cloud | group | node"] {
        for (placement, expected) in [
            ("first-fit", [4, 1, 0]),
            ("round-robin", [2, 2, 1]),
            ("spread", [2, 1, 2]),
            ("pack", [4, 1, 0]),
        ] {
            let group = format!("[[group]]\nname = \"laptop\"\nplacement = \"{placement}\"\n");
            let mut cloud = Cloud::configured(topology, "info", &(group + &nodes.concat()));
            cloud.begin();
            let client = cloud.client();
            let image = image(&cloud);
            let mut instances = Vec::new();
            for count in ["3", "2"] {
                let launch =
                    [("ImageId", image.as_str()), ("MinCount", count), ("MaxCount", count)];
                instances.extend(client.ask("RunInstances", &launch).all("instanceId"));
                cloud.wait_for(&client, &instances, "running");
            }
            let on = |(node, _)| kept_in(&cloud.node_named(node).join("domains"));
            assert_eq!(NODES.map(on).map(|kept| kept.len()), expected, "{topology}, {placement}");
        }
    }
}

#[test]
fn a_launch_gets_as_many_as_fit_between_its_least_and_its_most() {
    let mut cloud = Cloud::start_with("local", TEN);
    let image = image(&cloud);
    let client = cloud.client();
    let refused = client
        .refusal("RunInstances", &[("ImageId", &image), ("MinCount", "11"), ("MaxCount", "20")]);
    assert_eq!((refused.status, refused.code.as_str()), (500, "InsufficientInstanceCapacity"));
    let launched = client
        .ask("RunInstances", &[("ImageId", &image), ("MinCount", "2"), ("MaxCount", "20")])
        .all("instanceId");
    assert_eq!(launched.len(), 10);
    cloud.wait_for(&client, &launched, "running");
}

#[test]
fn a_failed_start_ends_the_instance_with_a_reason_and_gives_its_room_back() {
    let mut cloud = Cloud::start_with(
        "local",
        "vcpus = 10\nsimulated = { seed = 7, failure_rate = 1.0, start_delay_ms = [1, 2] }",
    );
    let image = image(&cloud);
    let client = cloud.client();
    let launch = [("ImageId", image.as_str()), ("MinCount", "10"), ("MaxCount", "10")];
    for _ in 0..3 {
        let instances = client.ask("RunInstances", &launch).all("instanceId");
        cloud.wait_for(&client, &instances, "terminated");
        let ended = crate::cloud::describe(&client, &instances);
        for reason in ended.all("stateReason") {
            assert!(reason.contains("Server.InternalError"), "{reason}");
        }
        let node = cloud.node();
        cloud.wait("nothing is left", |_| {
            names_in(&node.join("instances")).is_empty().then_some(())
        });
    }
}

#[test]
fn a_client_token_makes_a_repeated_launch_the_same_launch() {
    let cloud = Cloud::start("local");
    let image = image(&cloud);
    let client = cloud.client();
    let launch = |count: &str| {
        let parameters = [
            ("ImageId", image.as_str()),
            ("MinCount", count),
            ("MaxCount", count),
            ("ClientToken", "once"),
        ];
        client.call("RunInstances", &parameters).unwrap()
    };
    let first = launch("2").unwrap();
    let again = launch("2").unwrap();
    assert_eq!(first.first("reservationId"), again.first("reservationId"));
    assert_eq!(first.all("instanceId"), again.all("instanceId"));
    assert_eq!(launch("3").unwrap_err().code, "IdempotentParameterMismatch");
    assert_eq!(client.ask("DescribeInstances", &[]).all("instanceId").len(), 2);
}

#[test]
fn a_dry_run_changes_nothing() {
    let cloud = Cloud::start("local");
    let image = image(&cloud);
    let client = cloud.client();
    let refused = client.refusal(
        "RunInstances",
        &[("ImageId", &image), ("MinCount", "1"), ("MaxCount", "1"), ("DryRun", "true")],
    );
    assert_eq!((refused.status, refused.code.as_str()), (412, "DryRunOperation"));
    assert_eq!(client.ask("DescribeInstances", &[]).all("instanceId"), [] as [&str; 0]);
}
