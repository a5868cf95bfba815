//! What an administrator's policies do to launches, as users see it.

use crate::cloud::{Cloud, describe, section};

fn under(policy: &str, topology: &str) -> Cloud {
    let configuration = format!("{}\n[[sla]]\n{policy}\n", section("laptop", ""));
    let mut cloud = Cloud::configured(topology, "info", &configuration);
    cloud.begin();
    cloud
}

#[test]
fn a_time_that_was_granted_ends_though_the_cloud_was_killed_in_between_and_its_user_is_told_why() {
    let mut cloud = under("policy = \"lifetime\"\nseconds = 8", "local");
    let client = cloud.client();
    let image = client.ask("DescribeImages", &[]).first("imageId").unwrap();
    let launch = [
        ("ImageId", image.as_str()),
        ("MinCount", "1"),
        ("MaxCount", "1"),
        ("DisableApiTermination", "true"),
    ];
    let instances = client.ask("RunInstances", &launch).all("instanceId");
    cloud.wait_for(&client, &instances, "running");
    cloud.kill();
    cloud.begin();
    cloud.wait_for(&client, &instances, "terminated");
    let why = describe(&client, &instances).first("stateReason").unwrap();
    assert!(why.contains("Server.ScheduledStop"), "{why}");
    assert!(why.contains("the 8 seconds that this cloud grants an instance are over"), "{why}");
}

#[test]
fn an_account_that_holds_its_quota_is_refused_with_ec2_s_code_until_something_ends() {
    let mut cloud = under("policy = \"quota\"\ninstances = 2", "local");
    let client = cloud.client();
    let image = client.ask("DescribeImages", &[]).first("imageId").unwrap();
    let launch = |count| [("ImageId", image.as_str()), ("MinCount", count), ("MaxCount", count)];
    let instances = client.ask("RunInstances", &launch("2")).all("instanceId");
    let refused = cloud.client_in("us-west-1").refusal("RunInstances", &launch("1"));
    assert_eq!(refused.code, "InstanceLimitExceeded", "it is over all regions");
    client.ask("TerminateInstances", &[("InstanceId.1", &instances[0])]);
    cloud.wait_for(&client, &instances[..1], "terminated");
    client.ask("RunInstances", &launch("1"));
}
