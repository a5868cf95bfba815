//! A node taken out of the configuration, and put back.

use crate::cloud::{Cloud, NODES_CONFIGURED, section};

#[test]
fn a_node_taken_out_of_the_configuration_is_named_and_its_instances_wait_for_it() {
    for topology in NODES_CONFIGURED {
        let (first, second) = (section("first", "vcpus = 1"), section("second", "vcpus = 1"));
        let both = format!("{first}{second}");
        let mut cloud = Cloud::configured(topology, "info", &both);
        cloud.begin();
        let client = cloud.client();
        let image = client.ask("DescribeImages", &[]).first("imageId").unwrap();
        let launch = [
            ("ImageId", image.as_str()),
            ("InstanceType", "m1.small"),
            ("MinCount", "1"),
            ("MaxCount", "1"),
        ];
        let instances = [&launch, &launch]
            .map(|launch| client.ask("RunInstances", launch).first("instanceId").unwrap());
        cloud.wait_for(&client, &instances, "running");
        let lost = instances[1].clone();

        cloud.stop();
        cloud.configure(&first);
        cloud.begin();
        assert!(cloud.whole_log().contains("node `second` is not in the configuration"));
        assert!(cloud.whole_log().contains(&format!("(`{lost}`)")));
        cloud.wait("it is impaired", |_| {
            let status = client.ask("DescribeInstanceStatus", &[("InstanceId.1", &lost)]);
            (status.first("status")? == "impaired").then_some(())
        });
        cloud.wait_for(&client, &instances, "running");
        let refused = client.call("TerminateInstances", &[("InstanceId.1", &lost)]).unwrap();
        let refusal = refused.unwrap_err();
        assert_eq!(refusal.code, "IncorrectInstanceState", "{topology}: {}", refusal.message);
        assert!(refusal.message.contains("'second'"), "{topology}: {}", refusal.message);
        let full = client.call("RunInstances", &launch).unwrap().unwrap_err();
        assert_eq!(full.code, "InsufficientInstanceCapacity", "{topology}: {}", full.message);

        cloud.stop();
        cloud.configure(&both);
        cloud.begin();
        client.ask("TerminateInstances", &[("InstanceId.1", &lost)]);
        cloud.wait_for(&client, &[lost], "terminated");
    }
}
