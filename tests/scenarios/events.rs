//! What researchers read: a launch, its life and its end in the log of events of every process.

use crate::cloud::{Cloud, TOPOLOGIES};
use serde_json::Value;

/// The end of a trace that is a client's own.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// In the order of their times, which is that of each process, and between processes as good as one
/// host's clock.
fn events(cloud: &Cloud) -> Vec<Value> {
    let told = cloud.events(&["--output", "json"]);
    let mut events: Vec<Value> =
        told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    events.sort_by_key(|event| event["at"].as_str().unwrap().to_owned());
    events
}

fn of_request(events: &[Value], request: &str) -> Vec<Value> {
    events.iter().filter(|event| event["request_id"] == request).cloned().collect()
}

/// `role event outcome` or `role event from>to`, in order.
fn outline(events: &[Value], role: &str, event: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let those = events.iter().filter(|told| told["role"] == role && told["event"] == event);
    those
        .map(|told| match event {
            "transition" => format!("{}>{}", text(&told["from"]), text(&told["to"])),
            _ => text(&told["outcome"]),
        })
        .collect()
}

#[test]
fn a_launch_its_transitions_and_its_end_are_told_with_one_id_from_the_api_to_the_node() {
    for topology in TOPOLOGIES {
        let mut cloud = Cloud::start(topology);
        let client = cloud.client();
        let image = client.ask("DescribeImages", &[]).first("imageId").unwrap();
        let launch = [("ImageId", image.as_str()), ("MinCount", "1"), ("MaxCount", "1")];
        let traced = client.traced(&format!("00-{TRACE}-b7ad6b7169203331-01"));
        let launched = traced.ask("RunInstances", &launch);
        let launch = launched.first("requestId").unwrap();
        let instance = launched.first("instanceId").unwrap();
        cloud.wait_for(&client, std::slice::from_ref(&instance), "running");
        let ended = client.ask("TerminateInstances", &[("InstanceId.1", &instance)]);
        let end = ended.first("requestId").unwrap();
        cloud.wait_for(&client, std::slice::from_ref(&instance), "terminated");
        let told = cloud.wait("the end is told", |cloud| {
            let events = events(cloud);
            let ended = outline(&of_request(&events, &end), "cloud", "transition");
            ended.contains(&"shutting-down>terminated".to_owned()).then_some(events)
        });

        let begun = of_request(&told, &launch);
        let request = begun.iter().find(|event| event["event"] == "request").unwrap();
        assert_eq!(request["action"], "RunInstances", "{topology}");
        assert_eq!(request["status"], 200, "{topology}");
        assert_eq!(request["region"], "eu-west-1", "{topology}");
        assert_eq!(request["parent_span_id"], "b7ad6b7169203331", "{topology}");
        assert!(request["duration_us"].as_u64().unwrap() > 0 && request["code"].is_null());
        assert!(begun.iter().all(|event| event["trace_id"] == TRACE), "{topology}: {begun:#?}");
        let rest = begun.iter().filter(|event| event["event"] != "request");
        assert!(rest.into_iter().all(|event| event["instance"] == instance.as_str()));
        let cloud_s = |event| outline(&begun, "cloud", event);
        assert_eq!(cloud_s("reservation"), ["made", "confirmed"], "{topology}");
        assert_eq!(cloud_s("transition"), ["->pending", "pending>running"], "{topology}");
        let placed = outline(&begun, "group", "placement");
        assert_eq!(placed, ["chosen", "accepted"], "{topology}");
        let chosen = begun.iter().find(|event| event["outcome"] == "chosen").unwrap();
        assert_eq!((&chosen["node"], &chosen["policy"]), (&"laptop".into(), &"first-fit".into()));
        let steps = outline(&begun, "node", "transition");
        let expected = [
            "accepted>fetching-image",
            "fetching-image>preparing-disk",
            "preparing-disk>attaching-network",
            "attaching-network>starting-domain",
            "starting-domain>running",
        ];
        assert_eq!(steps, expected, "{topology}");

        let ending = of_request(&told, &end);
        let expected = ["running>shutting-down", "shutting-down>terminated"];
        assert_eq!(outline(&ending, "cloud", "transition"), expected, "{topology}");
        assert_eq!(outline(&ending, "cloud", "reservation"), ["released"], "{topology}");
        assert_eq!(outline(&ending, "node", "transition").last().unwrap(), "ending>ended");
        let terminated = ending.iter().find(|event| event["to"] == "terminated").unwrap();
        assert_eq!(terminated["reason_code"], "Client.UserInitiatedShutdown", "{topology}");
        // No trace was said of this one, so it began one of its own.
        assert_eq!(ending[0]["trace_id"], end.replace('-', ""), "{topology}");
    }
}

#[test]
fn a_refusal_is_told_with_its_code_and_the_policy_s_reason() {
    let policy = "[[sla]]\npolicy = \"quota\"\ninstances = 1\n";
    let mut cloud =
        Cloud::configured("local", "info", &(crate::cloud::section("laptop", "") + policy));
    cloud.begin();
    let client = cloud.client();
    let image = client.ask("DescribeImages", &[]).first("imageId").unwrap();
    let launch = |most| [("ImageId", image.as_str()), ("MinCount", most), ("MaxCount", "2")];
    let refused = client.refusal("RunInstances", &launch("2"));
    assert_eq!(refused.code, "InstanceLimitExceeded");
    client.ask("RunInstances", &launch("1"));
    client.refusal("NoSuchAction", &[]);
    let told = cloud.wait("all is told", |cloud| {
        let events = events(cloud);
        events.iter().any(|event| event["action"] == "NoSuchAction").then_some(events)
    });
    let of = |kind: &str| -> Vec<&Value> {
        told.iter().filter(|event| event["event"] == kind).collect()
    };
    let [rejected, rewrote] = of("policy")[..] else { panic!("{told:#?}") };
    assert_eq!((&rejected["policy"], &rejected["outcome"]), (&"quota".into(), &"rejected".into()));
    assert_eq!(rewrote["outcome"], "rewrote");
    assert_eq!(rewrote["why"], "1 to 2 instances became 1 to 1");
    let requests = of("request");
    let refusal = requests.iter().find(|event| event["code"] == "InstanceLimitExceeded").unwrap();
    assert_eq!(refusal["request_id"], rejected["request_id"]);
    assert_eq!(refusal["status"], 400);
    assert!(requests.iter().any(|event| event["code"] == "InvalidAction"));
    // Nothing came of what was refused.
    assert_eq!(outline(&told, "cloud", "reservation")[..1], ["made"]);
    assert_eq!(of_request(&told, refusal["request_id"].as_str().unwrap()).len(), 2);
}

#[test]
fn the_log_is_followed_over_a_restart_and_keeps_no_more_than_it_may() {
    let mut cloud = Cloud::configured(
        "local",
        "info",
        &(crate::cloud::section("laptop", "") + "[events]\nkeep_mib = 1\n"),
    );
    cloud.begin();
    let mut follower = cloud.follow_events();
    let client = cloud.client();
    let kept = |cloud: &Cloud| -> u64 {
        let files = std::fs::read_dir(cloud.events_directory()).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
    };
    // More than is kept: by then the first file is gone.
    let first = cloud.events_directory().join("0000000001.jsonl");
    let mut asked = 0;
    cloud.wait("the oldest events are gone", |_| {
        for _ in 0..50 {
            client.ask("DescribeRegions", &[]);
            asked += 1;
        }
        (!first.exists()).then_some(())
    });
    assert!(kept(&cloud) <= 1 << 20);
    cloud.stop();
    cloud.begin();
    let client = cloud.client();
    client.refusal("TheLast", &[]);
    let followed = follower.until("TheLast");
    let described = followed.iter().filter(|line| line.contains("\"DescribeRegions\"")).count();
    assert!(described >= asked, "{described} of {asked}");
    let of = |word: &str| {
        let word = format!("\"event\":\"{word}\"");
        followed.iter().filter(|line| line.contains(&word)).count()
    };
    assert_eq!((of("started"), of("stopping"), of("dropped")), (2, 1, 0));

    cloud.stop();
    cloud.configure(&(crate::cloud::section("laptop", "") + "[events]\nkeep_mib = 0\n"));
    cloud.begin();
    cloud.client().refusal("NotTold", &[]);
    assert!(!cloud.events(&[]).contains("NotTold"));
}
