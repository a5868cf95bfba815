//! One instance's life, and what is left of it.

use crate::cloud::{Cloud, TOPOLOGIES, describe, kept_in, names_in, states};

fn image(cloud: &Cloud) -> String {
    cloud.client().ask("DescribeImages", &[]).first("imageId").unwrap()
}

#[test]
fn an_instance_is_launched_stopped_started_rebooted_and_terminated() {
    for topology in TOPOLOGIES {
        let mut cloud = Cloud::start(topology);
        let client = cloud.client();
        let image = image(&cloud);
        let launched = client
            .ask("RunInstances", &[("ImageId", &image), ("MinCount", "2"), ("MaxCount", "2")]);
        let instances = launched.all("instanceId");
        assert_eq!(instances.len(), 2, "{topology}");
        assert!(states(&launched).iter().all(|(_, state)| state == "pending"));
        cloud.wait_for(&client, &instances, "running");
        assert_eq!(names_in(&cloud.node().join("instances")).len(), 2);

        let [first, second] = [&instances[0], &instances[1]];
        client.ask("StopInstances", &[("InstanceId.1", first)]);
        cloud.wait_for(&client, &instances[..1], "stopped");
        client.ask("StartInstances", &[("InstanceId.1", first)]);
        cloud.wait_for(&client, &instances[..1], "running");
        client.ask("RebootInstances", &[("InstanceId.1", first), ("InstanceId.2", second)]);
        cloud.wait_for(&client, &instances, "running");

        client.ask("TerminateInstances", &[("InstanceId.1", first), ("InstanceId.2", second)]);
        cloud.wait_for(&client, &instances, "terminated");
        let node = cloud.node();
        cloud.wait("nothing is left on the node", |_| {
            let kept = ["domains", "ports"].iter().all(|part| kept_in(&node.join(part)).is_empty());
            (kept && names_in(&node.join("instances")).is_empty()).then_some(())
        });
    }
}

#[test]
fn a_restart_finds_everything_as_it_was() {
    for topology in TOPOLOGIES {
        let mut cloud = Cloud::start(topology);
        let client = cloud.client();
        let image = image(&cloud);
        let launch = [("ImageId", image.as_str()), ("MinCount", "3"), ("MaxCount", "3")];
        let instances = client.ask("RunInstances", &launch).all("instanceId");
        cloud.wait_for(&client, &instances, "running");
        client.ask("StopInstances", &[("InstanceId.1", &instances[0])]);
        cloud.wait_for(&client, &instances[..1], "stopped");
        let before = describe(&client, &instances);

        cloud.stop();
        cloud.begin();
        let steady = |text: &str| {
            let (_, body) = text.split_once("</requestId>").unwrap();
            body.to_owned()
        };
        assert_eq!(steady(&describe(&client, &instances).0), steady(&before.0), "{topology}");

        client.ask("StartInstances", &[("InstanceId.1", &instances[0])]);
        cloud.wait_for(&client, &instances, "running");
    }
}

#[test]
fn regions_do_not_see_one_another_and_share_public_images() {
    let mut cloud = Cloud::start("local");
    let image = image(&cloud);
    let (here, there) = (cloud.client(), cloud.client_in("us-west-2"));
    assert_eq!(there.ask("DescribeImages", &[]).first("imageId"), Some(image.clone()));
    let launch = [("ImageId", image.as_str()), ("MinCount", "1"), ("MaxCount", "1")];
    let instances = here.ask("RunInstances", &launch).all("instanceId");
    cloud.wait_for(&here, &instances, "running");
    assert_eq!(here.ask("DescribeInstances", &[]).all("instanceId"), instances);
    assert_eq!(there.ask("DescribeInstances", &[]).all("instanceId"), [] as [&str; 0]);
    let refused = there.refusal("TerminateInstances", &[("InstanceId.1", &instances[0])]);
    assert_eq!(refused.code, "InvalidInstanceID.NotFound");
    let zones = there.ask("DescribeAvailabilityZones", &[]).all("zoneName");
    assert_eq!(zones, ["us-west-2a"]);
}
