//! Instances, as DescribeInstances tells of them.

use super::{Client, ClientFault, Items, Request, TagAnswer};
use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceAnswer {
    pub instance_id: String,
    pub image_id: String,
    pub instance_state: State,
    pub instance_type: String,
    #[serde(default)]
    pub key_name: Option<String>,
    #[serde(default)]
    pub private_ip_address: Option<String>,
    #[serde(default)]
    pub ip_address: Option<String>,
    #[serde(default)]
    pub launch_time: String,
    #[serde(default)]
    pub placement: Placement,
    #[serde(default)]
    pub state_reason: Option<StateReason>,
    #[serde(default)]
    pub tag_set: Items<TagAnswer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct State {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Placement {
    pub availability_zone: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StateReason {
    pub message: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    #[serde(default)]
    reservation_set: Items<Reservation>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reservation {
    #[serde(default)]
    instances_set: Items<InstanceAnswer>,
}

impl InstanceAnswer {
    pub fn name(&self) -> Option<&str> {
        let tag = self.tag_set.item.iter().find(|tag| tag.key == "Name")?;
        Some(&tag.value)
    }

    pub fn state(&self) -> &str {
        &self.instance_state.name
    }

    pub fn is_running(&self) -> bool {
        self.state() == "running"
    }

    /// Whether it is over with it, or soon will be.
    pub fn is_ending(&self) -> bool {
        matches!(self.state(), "shutting-down" | "terminated")
    }

    pub fn address(&self) -> Option<&str> {
        self.ip_address.as_deref().filter(|address| !address.is_empty())
    }
}

impl Client {
    pub fn describe_instances(&self, ids: &[String]) -> Result<Vec<InstanceAnswer>, ClientFault> {
        let request = Request::new("DescribeInstances").with_list("InstanceId", ids);
        Ok(flatten(self.call(&request)?))
    }

    /// Those of every account; for administrators.
    pub fn describe_all_instances(&self) -> Result<Vec<InstanceAnswer>, ClientFault> {
        let request = Request::new("DescribeInstances").with("InstanceId.1", "verbose");
        Ok(flatten(self.call(&request)?))
    }

    pub fn run_instances(&self, request: &Request) -> Result<Vec<InstanceAnswer>, ClientFault> {
        let reservation: Reservation = self.call(request)?;
        Ok(reservation.instances_set.item)
    }

    pub fn terminate_instances(&self, ids: &[String]) -> Result<(), ClientFault> {
        let request = Request::new("TerminateInstances").with_list("InstanceId", ids);
        self.call::<super::Done>(&request).map(|_| ())
    }
}

fn flatten(described: Described) -> Vec<InstanceAnswer> {
    let reservations = described.reservation_set.item.into_iter();
    reservations.flat_map(|reservation| reservation.instances_set.item).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::cli::client::read_answer;

    /// Two instances in two reservations, one with all that is optional and one with none of it.
    pub const DESCRIBED: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <requestId>9d1f</requestId>
  <reservationSet>
    <item>
      <reservationId>r-1</reservationId><ownerId>123456789012</ownerId><groupSet/>
      <instancesSet><item>
        <instanceId>i-11111111</instanceId><imageId>ami-1</imageId>
        <instanceState><code>16</code><name>running</name></instanceState>
        <privateDnsName>ip-172-31-0-4.ec2.internal</privateDnsName>
        <keyName>mallee-me</keyName><instanceType>m1.small</instanceType>
        <launchTime>2026-01-02T03:04:05.000Z</launchTime>
        <placement><availabilityZone>us-east-1a</availabilityZone><tenancy>default</tenancy></placement>
        <privateIpAddress>172.31.0.4</privateIpAddress><ipAddress>10.213.0.4</ipAddress>
        <tagSet><item><key>Name</key><value>web &amp; db</value></item></tagSet>
      </item></instancesSet>
    </item>
    <item>
      <reservationId>r-2</reservationId>
      <instancesSet><item>
        <instanceId>i-22222222</instanceId><imageId>ami-1</imageId>
        <instanceState><code>48</code><name>terminated</name></instanceState>
        <stateReason><code>Server.InternalError</code><message>no room</message></stateReason>
        <instanceType>t3.micro</instanceType><tagSet/>
      </item></instancesSet>
    </item>
  </reservationSet>
</DescribeInstancesResponse>"#;

    pub fn described() -> Vec<InstanceAnswer> {
        flatten(read_answer("DescribeInstances", DESCRIBED).unwrap())
    }

    #[test]
    fn instances_are_read_over_all_reservations() {
        let [first, second] = &described()[..] else { panic!("there are two") };
        assert_eq!(first.name(), Some("web & db"));
        assert!(first.is_running() && !first.is_ending());
        assert_eq!(first.address(), Some("10.213.0.4"));
        assert_eq!(first.placement.availability_zone, "us-east-1a");
        assert_eq!((second.name(), second.address()), (None, None));
        assert!(second.is_ending());
        assert_eq!(second.state_reason.as_ref().unwrap().message, "no room");
    }

    #[test]
    fn no_instances_are_an_empty_list() {
        for xml in ["<R><reservationSet/></R>", "<R><reservationSet></reservationSet></R>"] {
            let described: Described = read_answer("DescribeInstances", xml).unwrap();
            assert_eq!(flatten(described), []);
        }
    }
}
