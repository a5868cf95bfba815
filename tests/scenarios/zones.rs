//! Zones and meta-zones, and that what is there is never given twice.

use crate::{
    client::{Client, Document},
    cloud::{Cloud, TOPOLOGIES, kept_in},
};
use std::{
    path::PathBuf,
    sync::mpsc::{self, TryRecvError},
    thread,
};

/// Two groups with room for so many of the default type, each on a node of the group's name.
fn two_groups(first: u32, second: u32) -> String {
    let group = |name: &str, net: u32, vcpus: u32| {
        format!(
            "[[group]]\nname = \"{name}\"\npublic_addresses = \"10.{net}.0.0/16\"\n\
             gateway = \"10.{net}.0.1\"\n[[node]]\nname = \"{name}\"\ngroup = \"{name}\"\n\
             hypervisor = \"simulated\"\nvcpus = {vcpus}\nmemory_mib = 65536\ndisk_gib = 1000\n"
        )
    };
    group("first", 213, first) + &group("second", 214, second)
}

fn begin(topology: &str, configuration: &str) -> Cloud {
    let mut cloud = Cloud::configured(topology, "info", configuration);
    cloud.begin();
    cloud
}

fn capacity(client: &Client) -> Document {
    client.ask("DescribeCapacity", &[])
}

/// What is held, free and outstanding in each zone and on each node.
fn amounts(client: &Client) -> Vec<Vec<String>> {
    let capacity = capacity(client);
    ["held", "free", "outstanding"].map(|name| capacity.all(name)).into()
}

fn vcpus(amounts: &[String]) -> Vec<u32> {
    let vcpus = |amount: &String| Document(amount.clone()).first("vcpus").unwrap();
    amounts.iter().map(|amount| vcpus(amount).parse().unwrap()).collect()
}

fn image(client: &Client) -> String {
    client.ask("DescribeImages", &[]).first("imageId").unwrap()
}

fn launch<'a>(image: &'a str, zone: &'a str, count: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("ImageId", image),
        ("Placement.AvailabilityZone", zone),
        ("MinCount", count),
        ("MaxCount", count),
    ]
}

#[test]
fn any_takes_the_emptiest_zone_first_overflows_to_the_other_and_is_all_or_nothing() {
    for topology in TOPOLOGIES {
        let mut cloud = begin(topology, &two_groups(3, 4));
        let client = cloud.client();
        let image = image(&client);
        let before = amounts(&client);

        let refused = client.refusal("RunInstances", &launch(&image, "any", "8"));
        assert_eq!(refused.code, "InsufficientInstanceCapacity", "{topology}");
        assert!(refused.message.contains("(any): 8 wanted, 7 available"), "{}", refused.message);
        assert_eq!(amounts(&client), before, "{topology}: nothing leaks");
        assert_eq!(client.ask("DescribeInstances", &[]).all("instanceId"), [] as [&str; 0]);

        let launched = client.ask("RunInstances", &launch(&image, "any", "6"));
        assert_eq!(launched.all("reservationId").len(), 1);
        let instances = launched.all("instanceId");
        cloud.wait_for(&client, &instances, "running");
        let described = client.ask("DescribeInstances", &[]);
        assert_eq!(described.all("reservationId").len(), 1, "{topology}: one reservation");
        let zones = described.all("availabilityZone");
        let in_zone = |zone| zones.iter().filter(|name| *name == zone).count();
        assert_eq!((in_zone("eu-west-1a"), in_zone("eu-west-1b")), (2, 4), "{topology}");
        let kept = |node| kept_in(&cloud.node_named(node).join("domains")).len();
        assert_eq!((kept("first"), kept("second")), (2, 4), "{topology}");

        client.refusal("RunInstances", &launch(&image, "eu-west-1b", "1"));
        let names: Vec<String> = (1..=6).map(|n| format!("InstanceId.{n}")).collect();
        let all: Vec<_> = names.iter().zip(&instances).map(|(n, id)| (&**n, &**id)).collect();
        client.ask("TerminateInstances", &all);
        cloud.wait_for(&client, &instances, "terminated");
        assert_eq!(amounts(&client), before, "{topology}: everything is given back");
    }
}

#[test]
fn twenty_launches_at_once_on_room_for_ten_in_two_zones_are_never_more_than_ten() {
    for topology in TOPOLOGIES {
        let mut cloud = begin(topology, &two_groups(4, 6));
        let client = cloud.client();
        let image = image(&client);
        let domains = ["first", "second"].map(|node| cloud.node_named(node).join("domains"));
        let (launched, refused, samples) = thread::scope(|scope| {
            // Dropped also when an assertion fails.
            let (running, over) = mpsc::channel::<()>();
            let (domains, client) = (&domains, &client);
            let sampler = scope.spawn(move || {
                let mut samples = 0;
                while over.try_recv() == Err(TryRecvError::Empty) {
                    check_never_over_committed(domains, client);
                    samples += 1;
                }
                samples
            });
            let attempts: Vec<_> = (0..20)
                .map(|_| {
                    let image = &image;
                    scope.spawn(move || client.call("RunInstances", &launch(image, "any", "1")))
                })
                .collect();
            let mut launched = Vec::new();
            let mut refused = 0;
            for attempt in attempts {
                match attempt.join().unwrap().unwrap() {
                    Ok(document) => launched.extend(document.all("instanceId")),
                    Err(refusal) => {
                        assert_eq!(refusal.code, "InsufficientInstanceCapacity");
                        refused += 1;
                    }
                }
            }
            cloud.wait_for(client, &launched, "running");
            drop(running);
            (launched, refused, sampler.join().unwrap())
        });
        assert_eq!((launched.len(), refused), (10, 10), "{topology}");
        assert!(samples > 1, "{topology}: sampled {samples} times");
        let held = capacity(&client).all("held");
        assert_eq!(vcpus(&held), [4, 4, 6, 6], "{topology}: each zone and its node");
    }
}

/// Neither by the cloud's figures, nor by what users see, nor by what the hypervisors have.
fn check_never_over_committed(domains: &[PathBuf; 2], client: &Client) {
    let sample = capacity(client);
    let (held, free) = (vcpus(&sample.all("held")), vcpus(&sample.all("free")));
    let total = vcpus(&sample.all("total"));
    let sums: Vec<u32> = held.iter().zip(&free).map(|(held, free)| held + free).collect();
    assert_eq!(sums, total, "what is held and what is free is what there is");
    let exist = client.ask("DescribeInstances", &[]).all("instanceState").len();
    assert!(exist <= 10, "{exist} instances");
    for (domains, room) in domains.iter().zip([4, 6]) {
        let runs = kept_in(domains).len();
        assert!(runs <= room, "{runs} guests in `{}`", domains.display());
    }
}

#[test]
fn a_meta_zone_of_the_administrator_s_is_listed_when_asked_for_and_followed() {
    let meta = "[[meta_zone]]\nname = \"even\"\npolicy = \"balanced\"\n";
    let rewrite = "[[sla]]\npolicy = \"zone-rewrite\"\nto = \"even\"\n";
    for topology in TOPOLOGIES {
        let mut cloud = begin(topology, &format!("{}{meta}{rewrite}", two_groups(9, 3)));
        let client = cloud.client();
        let plain = client.ask("DescribeAvailabilityZones", &[]);
        assert_eq!(plain.all("zoneName"), ["eu-west-1a", "eu-west-1b"]);
        let all = client.ask("DescribeAvailabilityZones", &[("AllAvailabilityZones", "true")]);
        assert_eq!(all.all("zoneName"), ["eu-west-1a", "eu-west-1b", "even", "any"]);
        assert_eq!(all.all("zoneType")[2..], ["meta-zone", "meta-zone"]);
        assert!(all.first("message").unwrap().starts_with("balanced of eu-west-1a, eu-west-1b"));

        let image = image(&client);
        let unplaced = [("ImageId", image.as_str()), ("MinCount", "4"), ("MaxCount", "4")];
        for (zones, parameters) in [
            (["eu-west-1a", "eu-west-1a", "eu-west-1b", "eu-west-1b"], &unplaced[..]),
            // One is left in the second zone.
            (
                ["eu-west-1a", "eu-west-1a", "eu-west-1a", "eu-west-1b"],
                &launch(&image, "even", "4")[..],
            ),
        ] {
            let launched = client.ask("RunInstances", parameters);
            let mut shown = launched.all("availabilityZone");
            shown.sort();
            assert_eq!(shown, zones, "{topology}");
            cloud.wait_for(&client, &launched.all("instanceId"), "running");
        }
        let unknown = client.refusal("RunInstances", &launch(&image, "odd", "1"));
        assert_eq!(unknown.code, "InvalidParameterValue");
    }
}

/// A group's own process with its nodes, and a node's alone.
const SPLIT: [&str; 2] = ["cloud | group node", "cloud group | node"];

#[test]
fn a_zone_that_stands_still_keeps_its_instances_and_gets_none_until_it_is_heard_of_again() {
    // Nodes speak every five seconds.
    let policy = "[[sla]]\npolicy = \"stale-capacity\"\nseconds = 8\n";
    for topology in SPLIT {
        let mut cloud = begin(topology, &(two_groups(3, 4) + policy));
        let client = cloud.client();
        let image = image(&client);
        let instances = client.ask("RunInstances", &launch(&image, "eu-west-1a", "1"));
        let instances = instances.all("instanceId");
        cloud.wait_for(&client, &instances, "running");

        cloud.freeze("first");
        let rehearse = |zone: &str| {
            let mut rehearsal = launch(&image, zone, "1").to_vec();
            rehearsal.push(("DryRun", "true"));
            client.refusal("RunInstances", &rehearsal)
        };
        let refused = cloud.wait("nothing is granted there", |_| {
            Some(rehearse("eu-west-1a")).filter(|refusal| refusal.code != "DryRunOperation")
        });
        assert_eq!(refused.code, "InsufficientInstanceCapacity", "{topology}");
        assert!(refused.message.contains("for more than 8 seconds"), "{}", refused.message);
        let age = capacity(&client).first("ageSeconds").unwrap();
        assert!(age.parse::<u64>().unwrap() >= 8, "{topology}: {age} s");
        let up_to_nine = [
            ("ImageId", image.as_str()),
            ("Placement.AvailabilityZone", "any"),
            ("MinCount", "1"),
            ("MaxCount", "9"),
        ];
        let launched = client.ask("RunInstances", &up_to_nine);
        assert_eq!(launched.all("availabilityZone"), ["eu-west-1b"; 4], "{topology}");
        cloud.wait_for(&client, &instances, "running");

        cloud.thaw("first");
        cloud.wait("it is granted again", |_| {
            (rehearse("eu-west-1a").code == "DryRunOperation").then_some(())
        });
        cloud.wait_for(&client, &instances, "running");
    }
}
