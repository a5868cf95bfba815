//! DescribeInstanceStatus: whether running instances are known to be well.
//!
//! What is known comes from their nodes' reports. An instance is `ok` while its node reports,
//! `impaired` when the node has been silent for longer than it may, says itself that something is
//! wrong (what that is stands in the node's log: EC2 has no place for it) or was taken out of the
//! configuration, and `initializing` until the node has spoken of it again after it began to run.
//! `impairedSince` tells its age. There are no scheduled events.

use crate::{
    api::{
        action::{Action, Exchange},
        describe::{Asked, select},
        error::ApiError,
        filters::{FilterParameter, read_filters},
        pagination::{PageRequest, RESULTS},
        response::Set,
        shapes::state_change::StateElement,
        time::DateTime,
    },
    domain::{
        capacity::SILENCE_MAX,
        cloud_state::CloudState,
        filter::Described,
        id::InstanceId,
        instance::{Instance, InstanceState},
        time::Timestamp,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

use super::describe_instances::find;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeInstanceStatus {
    #[serde(default)]
    instance_id: Vec<String>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
    max_results: Option<u32>,
    next_token: Option<String>,
    include_all_instances: Option<bool>,
    /// No service of ours manages instances of its own.
    #[serde(default, rename = "IncludeManagedResources")]
    _include_managed_resources: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    instance_status_set: Set<InstanceStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct InstanceStatus {
    instance_id: String,
    availability_zone: String,
    instance_state: StateElement,
    events_set: Set<()>,
    system_status: Summary,
    instance_status: Summary,
    attached_ebs_status: Summary,
    #[serde(skip)]
    health: Health,
    #[serde(skip)]
    state: InstanceState,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Summary {
    status: &'static str,
    details: Set<Detail>,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Detail {
    name: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    impaired_since: Option<DateTime>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    NotApplicable,
    /// The cloud was started not long ago and has not heard of the node since.
    Unknown,
    Initializing,
    Ok,
    Impaired { since: Timestamp },
}

impl Health {
    fn of(instance: &Instance, state: &CloudState, now: Timestamp) -> Health {
        if instance.state != InstanceState::Running {
            return Health::NotApplicable;
        }
        if let Some(impairment) = state.impairments.get(&instance.id) {
            return Health::Impaired { since: impairment.since };
        }
        if let Some(since) = state.out_of_reach_since(instance) {
            return Health::Impaired { since };
        }
        let capacity = &state.capacity;
        let node = instance.node.as_ref().and_then(|node| capacity.node(&instance.group, node));
        let quality = node.map(|node| &node.quality);
        if capacity.silence(quality, now) > SILENCE_MAX {
            return Health::Impaired { since: capacity.last_heard(quality) + SILENCE_MAX };
        }
        match quality.and_then(|quality| quality.reported_at) {
            None => Health::Unknown,
            Some(reported) if reported <= instance.state_since => Health::Initializing,
            Some(_) => Health::Ok,
        }
    }

    fn status(self) -> &'static str {
        match self {
            Health::NotApplicable => "not-applicable",
            Health::Unknown => "insufficient-data",
            Health::Initializing => "initializing",
            Health::Ok => "ok",
            Health::Impaired { .. } => "impaired",
        }
    }

    fn reachability(self) -> Option<&'static str> {
        match self {
            Health::NotApplicable => None,
            Health::Unknown => Some("insufficient-data"),
            Health::Initializing => Some("initializing"),
            Health::Ok => Some("passed"),
            Health::Impaired { .. } => Some("failed"),
        }
    }

    fn summary(self) -> Summary {
        let impaired_since = match self {
            Health::Impaired { since } => Some(since.into()),
            _ => None,
        };
        let detail = |status| Detail { name: "reachability", status, impaired_since };
        let details = self.reachability().map(detail).into_iter().collect();
        Summary { status: self.status(), details }
    }
}

impl InstanceStatus {
    fn of(instance: &Instance, state: &CloudState, now: Timestamp) -> InstanceStatus {
        let health = Health::of(instance, state, now);
        InstanceStatus {
            instance_id: instance.id.to_string(),
            availability_zone: instance.zone.to_string(),
            instance_state: instance.state.into(),
            events_set: Set::default(),
            system_status: health.summary(),
            instance_status: health.summary(),
            attached_ebs_status: health.summary(),
            health,
            state: instance.state,
        }
    }
}

impl Described for InstanceStatus {
    const FILTERS: &'static [&'static str] = &[
        "attached-ebs-status.status",
        "availability-zone",
        "event.code",
        "event.description",
        "event.instance-event-id",
        "event.not-after",
        "event.not-before",
        "event.not-before-deadline",
        "instance-state-code",
        "instance-state-name",
        "instance-status.reachability",
        "instance-status.status",
        "system-status.reachability",
        "system-status.status",
    ];

    fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let fact: Option<Cow<'_, str>> = match name {
            "attached-ebs-status.status" | "instance-status.status" | "system-status.status" => {
                Some(self.health.status().into())
            }
            "availability-zone" => Some(Cow::Borrowed(&self.availability_zone)),
            "instance-state-code" => Some(self.state.code().to_string().into()),
            "instance-state-name" => Some(self.state.as_str().into()),
            "instance-status.reachability" | "system-status.reachability" => {
                self.health.reachability().map(Cow::Borrowed)
            }
            _ if name.starts_with("event.") => None,
            _ => return None,
        };
        Some(fact.into_iter().collect())
    }
}

impl Action for DescribeInstanceStatus {
    const NAME: &'static str = "DescribeInstanceStatus";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let filters = read_filters::<InstanceStatus>(&self.filter)?;
        let asked = Asked::<InstanceId>::read(&self.instance_id, &exchange.caller)?;
        if self.max_results.is_some() && !asked.all() {
            return Err(ApiError::invalid_combination(
                "The parameter instancesSet cannot be used with the parameter maxResults",
            ));
        }
        let page = PageRequest::new(self.max_results, self.next_token.as_deref(), RESULTS)?;
        let all = self.include_all_instances == Some(true);
        let now = exchange.ambient.now();
        let statuses = find(&asked, &filters, page.after(), exchange)?
            .filter(|instance| all || instance.state == InstanceState::Running)
            .map(|instance| {
                let status = InstanceStatus::of(&instance, &exchange.state, now);
                (instance.id.clone(), status)
            });
        let page = select(statuses, &filters, &page)?;
        Ok(Response {
            instance_status_set: page.results.into(),
            next_token: page.next_token,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Health;
    use crate::{
        api::actions::testing::TestCloud,
        domain::{
            capacity::{Capacity, SILENCE_MAX},
            cloud_state::{Change, CloudState, Entry},
        },
    };
    use std::time::Duration;

    async fn statuses(cloud: &TestCloud, query: &str) -> Vec<String> {
        cloud.values("DescribeInstanceStatus", query, "status").await
    }

    #[actix_web::test]
    async fn an_instance_is_well_while_its_node_reports_it() {
        let cloud = TestCloud::start().await;
        cloud.launch(1).await;
        cloud.settle().await;
        assert_eq!(statuses(&cloud, "").await[0], "initializing");
        cloud.advance(Duration::from_secs(5));
        cloud.settle().await;
        cloud
            .check(
                "DescribeInstanceStatus",
                "",
                "<instanceStatusSet><item><instanceId>i-1</instanceId>\
                 <availabilityZone>us-east-1a</availabilityZone>\
                 <instanceState><code>16</code><name>running</name></instanceState><eventsSet/>\
                 <systemStatus><status>ok</status><details><item><name>reachability</name>\
                 <status>passed</status></item></details></systemStatus>\
                 <instanceStatus><status>ok</status><details><item><name>reachability</name>\
                 <status>passed</status></item></details></instanceStatus>\
                 <attachedEbsStatus><status>ok</status><details><item><name>reachability</name>\
                 <status>passed</status></item></details></attachedEbsStatus>\
                 </item></instanceStatusSet>",
            )
            .await;
    }

    #[actix_web::test]
    async fn an_instance_is_impaired_since_its_node_has_been_silent_for_a_minute() {
        let cloud = TestCloud::start().await;
        cloud.launch(1).await;
        cloud.settle().await;
        cloud.advance(Duration::from_secs(60));
        assert_eq!(statuses(&cloud, "").await[0], "initializing");
        cloud.advance(Duration::from_secs(1));
        assert_eq!(statuses(&cloud, "").await[..2], ["impaired", "failed"]);
        let since = cloud.value("DescribeInstanceStatus", "", "impairedSince").await;
        assert_eq!(since, "2026-01-02T03:05:05.000Z");
        let impaired = "Filter.1.Name=system-status.status&Filter.1.Value.1=impaired";
        assert_eq!(statuses(&cloud, impaired).await.len(), 6);
        cloud.settle().await;
        assert_eq!(statuses(&cloud, "").await[..2], ["ok", "passed"]);
        assert!(statuses(&cloud, impaired).await.is_empty());
    }

    #[actix_web::test]
    async fn a_node_that_never_spoke_to_a_restarted_cloud_is_silent_since_the_restart() {
        let cloud = TestCloud::start().await;
        let id = cloud.launch(1).await.remove(0);
        cloud.settle().await;
        let instance = cloud.state().instance(&id).unwrap().clone();
        let begun = instance.state_since + Duration::from_secs(3600);
        let mut state = CloudState { capacity: Capacity::default(), ..(*cloud.state()).clone() };
        state.capacity.listen_from(begun);
        state.apply(&Change::Put(Entry::Instance(instance.clone())));
        assert_eq!(Health::of(&instance, &state, begun + SILENCE_MAX), Health::Unknown);
        let later = begun + SILENCE_MAX + Duration::from_secs(1);
        let impaired = Health::Impaired { since: begun + SILENCE_MAX };
        assert_eq!(Health::of(&instance, &state, later), impaired);
    }

    #[actix_web::test]
    async fn an_instance_is_impaired_while_its_node_is_not_configured() {
        let cloud = TestCloud::start().await;
        cloud.launch(1).await;
        cloud.settle().await;
        cloud.say_absent(&["node-one", "node-two"]).await;
        assert_eq!(statuses(&cloud, "").await[..2], ["impaired", "failed"]);
        let part = "its node 'node-one' is not in the cloud's configuration any more";
        for action in ["TerminateInstances", "StopInstances", "StartInstances", "RebootInstances"] {
            let query = "InstanceId.1=i-1";
            cloud.check_refused(action, query, "IncorrectInstanceState", part).await;
        }
        cloud.say_absent(&[]).await;
        assert_eq!(statuses(&cloud, "").await[0], "initializing");
    }

    #[actix_web::test]
    async fn an_instance_is_impaired_while_its_node_says_so() {
        let cloud = TestCloud::start().await;
        cloud.launch(1).await;
        cloud.settle().await;
        cloud.impair(Some("it has no network"));
        for _ in 0..2 {
            cloud.advance(Duration::from_secs(5));
            cloud.settle().await;
            assert_eq!(statuses(&cloud, "").await[..2], ["impaired", "failed"]);
        }
        let since = cloud.value("DescribeInstanceStatus", "", "impairedSince").await;
        assert_eq!(since, "2026-01-02T03:04:10.000Z");
        cloud.impair(None);
        cloud.settle().await;
        assert_eq!(statuses(&cloud, "").await[..2], ["ok", "passed"]);
    }

    #[actix_web::test]
    async fn instances_that_do_not_run_are_shown_only_when_asked_for() {
        let cloud = TestCloud::start().await;
        cloud.launch(1).await;
        assert!(statuses(&cloud, "").await.is_empty());
        assert_eq!(statuses(&cloud, "IncludeAllInstances=true").await, ["not-applicable"; 3]);
        cloud
            .check_refused("DescribeInstanceStatus", "InstanceId.1=i-00000000",
                "InvalidInstanceID.NotFound", "")
            .await;
        let both = "MaxResults=5&InstanceId.1=i-00000000";
        cloud
            .check_refused("DescribeInstanceStatus", both, "InvalidParameterCombination", "")
            .await;
    }
}
