//! One request followed by its id through the log of a real process.

use crate::cloud::{Cloud, TOPOLOGIES};

/// Tiers in the order in which a launch comes through them, and what their lines have in them.
const LAUNCH: [&str; 12] = [
    "api; request_id=",
    "action=RunInstances",
    "cloud; request_id=",
    "cloud.launch_reservation",
    "recorded, and wanted of its group",
    "group; request_id=",
    "group.place_instances",
    "placement; request_id=",
    "node; request_id=",
    "node.boot_instance",
    "step; request_id=",
    "guest started",
];

#[test]
fn a_launch_can_be_followed_by_its_request_id_from_the_api_to_the_guest() {
    for topology in TOPOLOGIES {
        let mut cloud = Cloud::start_logging(topology, "mallee=debug");
        let client = cloud.client();
        let image = client.ask("DescribeImages", &[]).first("imageId").unwrap();
        let launch = [("ImageId", image.as_str()), ("MinCount", "1"), ("MaxCount", "1")];
        let launched = client.ask("RunInstances", &launch);
        let request = launched.first("requestId").unwrap();
        let instance = launched.first("instanceId").unwrap();
        let lines = cloud.wait("the guest's start in the log", |cloud| {
            let log = cloud.whole_log();
            let of_request = |line: &&str| line.contains(&request);
            let lines: Vec<String> = log.lines().filter(of_request).map(str::to_owned).collect();
            lines.iter().any(|line| line.contains("guest started")).then_some(lines)
        });
        let mut from = 0;
        for part in LAUNCH {
            let found = lines[from..].iter().position(|line| line.contains(part));
            from += found.unwrap_or_else(|| panic!("{topology}: no `{part}` in {lines:#?}"));
        }
        for of_instance in ["wanted of its group", "placement;", "node;", "step;", "guest started"]
        {
            let line = lines.iter().find(|line| line.contains(of_instance)).unwrap();
            assert!(line.contains(&instance), "{topology}: {line}");
        }
    }
}

#[test]
fn what_is_logged_as_usual_is_not_every_request() {
    let mut cloud = Cloud::start_logging("local", "info");
    let client = cloud.client();
    let image = client.ask("DescribeImages", &[]).first("imageId").unwrap();
    let launch = [("ImageId", image.as_str()), ("MinCount", "1"), ("MaxCount", "1")];
    let launched = client.ask("RunInstances", &launch);
    cloud.wait_for(&client, &launched.all("instanceId"), "running");
    assert!(!cloud.whole_log().contains(&launched.first("requestId").unwrap()));
}
