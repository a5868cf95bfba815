//! DescribeInstances: the caller's instances under their reservations, terminated ones for a while
//! after their end.
//!
//! Instances come in the order of their ids, which is stable and lets a page begin where the last
//! one ended without looking at what came before. `MaxResults` counts instances, so a reservation
//! may go on in the next page.

use crate::{
    api::{
        action::{Action, Exchange},
        describe::{Asked, ids_in, select},
        error::ApiError,
        fault,
        filters::{FilterParameter, read_filters},
        pagination::{PageRequest, RESULTS},
        response::Set,
        shapes::{
            instance::InstanceElement,
            reservation::{Reservation, by_reservation},
        },
    },
    domain::{
        cloud_state::ScopeState,
        fault::CloudFault,
        filter::Filters,
        id::InstanceId,
        instance::Instance,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{ops::Bound, sync::Arc};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeInstances {
    #[serde(default)]
    instance_id: Vec<String>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
    max_results: Option<u32>,
    next_token: Option<String>,
    /// No service of ours manages instances of its own.
    #[serde(default, rename = "IncludeManagedResources")]
    _include_managed_resources: Option<bool>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    reservation_set: Set<Reservation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

impl Action for DescribeInstances {
    const NAME: &'static str = "DescribeInstances";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        let filters = read_filters::<InstanceElement>(&self.filter)?;
        let asked = Asked::read(&self.instance_id, &exchange.caller)?;
        if self.max_results.is_some() && !asked.all() {
            return Err(ApiError::invalid_combination(
                "The parameter instancesSet cannot be used with the parameter maxResults",
            ));
        }
        let page = PageRequest::new(self.max_results, self.next_token.as_deref(), RESULTS)?;
        let found = find(&asked, &filters, page.after(), exchange)?;
        let element = |instance: Arc<Instance>| {
            let key = instance.id.clone();
            let reach = exchange.settings.reach;
            (key, InstanceElement { instance, state: exchange.state.clone(), reach })
        };
        let page = select(found.map(element), &filters, &page)?;
        Ok(Response {
            reservation_set: by_reservation(page.results),
            next_token: page.next_token,
        })
    }
}

type Found<'a> = Box<dyn Iterator<Item = Arc<Instance>> + 'a>;

/// What might be shown, in the order of ids. Those named are all there, or it is a refusal.
pub fn find<'a>(
    asked: &Asked<InstanceId>,
    filters: &Filters,
    after: Option<&'a InstanceId>,
    exchange: &'a Exchange,
) -> Result<Found<'a>, ApiError> {
    let visible = |id: &InstanceId| {
        let instance = exchange.state.instance(id)?;
        let scope = &instance.scope;
        let reachable = match asked.everybodys {
            true => scope.region == exchange.scope.region,
            false => *scope == exchange.scope,
        };
        reachable.then(|| instance.clone())
    };
    if !asked.all() {
        let found: Vec<_> = asked.ids.iter().filter_map(visible).collect();
        let missing = || asked.ids.iter().filter(|id| visible(id).is_none()).cloned().collect();
        return match found.len() == asked.ids.len() {
            true => Ok(Box::new(found.into_iter())),
            false => Err(fault::api_error(CloudFault::InstancesNotFound(missing()))),
        };
    }
    if let Some(ids) = ids_in::<InstanceId>(filters, "instance-id") {
        let found: Vec<_> = ids.iter().filter_map(visible).collect();
        return Ok(Box::new(found.into_iter()));
    }
    if !asked.everybodys {
        let own = exchange.state.scope(&exchange.scope);
        return Ok(Box::new(own.into_iter().flat_map(move |own| from(own, after))));
    }
    let region = &exchange.scope.region;
    let mut all: Vec<_> = exchange
        .state
        .scopes
        .iter()
        .filter(|(scope, _)| scope.region == *region)
        .flat_map(|(_, scope)| from(scope, after))
        .collect();
    all.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(Box::new(all.into_iter()))
}

fn from<'a>(
    scope: &'a ScopeState,
    after: Option<&'a InstanceId>,
) -> impl Iterator<Item = Arc<Instance>> + 'a {
    let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
    scope.instances.range((begin, Bound::Unbounded)).map(|(_, instance)| instance.clone())
}

#[cfg(test)]
mod tests {
    use crate::api::actions::testing::{BOB, TestCloud, a_launch};
    use crate::api::effort;
    use crate::messages::cloud::LaunchReservation;

    async fn ids(cloud: &TestCloud, query: &str) -> Vec<String> {
        let mut ids = cloud.values("DescribeInstances", query, "instanceId").await;
        ids.sort();
        ids
    }

    /// Two reservations of Alice's, `i-1` and `i-2` running in the first, `i-3` stopped; `i-4` is
    /// Bob's.
    async fn some_instances() -> TestCloud {
        let cloud = TestCloud::start().await;
        let tags = [("Name".to_owned(), "front".to_owned())].into();
        cloud
            .launch_as(LaunchReservation { instance_tags: tags, ..a_launch() })
            .await;
        cloud.call("DescribeInstances", "").await.unwrap();
        cloud.launch(1).await;
        cloud.of(BOB).launch(1).await;
        cloud.settle().await;
        cloud
    }

    #[actix_web::test]
    async fn the_whole_element_of_a_running_instance() {
        let cloud = some_instances().await;
        let answer = cloud.call("DescribeInstances", "InstanceId.1=i-1").await.unwrap();
        let golden = include_str!("describe_instances/running.xml");
        let golden: String = golden.lines().map(str::trim_start).collect();
        // The addresses are drawn from the seed.
        assert_eq!(answer, golden);
    }

    #[actix_web::test]
    async fn a_terminated_instance_is_shown_for_a_while_without_addresses_or_devices() {
        let cloud = some_instances().await;
        cloud.call("TerminateInstances", "InstanceId.1=i-1").await.unwrap();
        cloud.settle().await;
        let answer = cloud.call("DescribeInstances", "InstanceId.1=i-1").await.unwrap();
        for shown in [
            "<instanceState><code>48</code><name>terminated</name></instanceState>",
            "<privateDnsName/><dnsName/><reason>User initiated (2026-01-02 03:04:05 GMT)</reason>",
            "<blockDeviceMapping/>",
            "<networkInterfaceSet/>",
            "<groupSet/><stateReason><code>Client.UserInitiatedShutdown</code>",
        ] {
            assert!(answer.contains(shown), "no {shown} in {answer}");
        }
        for hidden in ["<ipAddress>", "<privateIpAddress>", "<subnetId>", "<vpcId>"] {
            assert!(!answer.contains(hidden), "{hidden} in {answer}");
        }
    }

    #[actix_web::test]
    async fn everybody_sees_their_own_and_an_administrator_everybodys_who_asks() {
        let cloud = some_instances().await;
        assert_eq!(ids(&cloud, "").await.len(), 2);
        assert_eq!(ids(&cloud.of(BOB), "").await.len(), 1);
        assert_eq!(ids(&cloud.administrator(), "").await.len(), 0);
        assert_eq!(ids(&cloud.administrator(), "InstanceId.1=verbose").await.len(), 3);
        assert_eq!(ids(&cloud.in_region("eu-west-1"), "").await.len(), 0);
        let malformed = "InvalidInstanceID.Malformed";
        cloud.check_refused("DescribeInstances", "InstanceId.1=verbose", malformed, "").await;
        let not_found = "InvalidInstanceID.NotFound";
        let bob = cloud.of(BOB);
        bob.check_refused("DescribeInstances", "InstanceId.1=i-1", not_found, "'i-1'").await;
        let two = "InstanceId.1=i-00000000&InstanceId.2=i-00000001&InstanceId.3=i-1";
        let part = "'i-00000000, i-00000001' do not exist";
        cloud.check_refused("DescribeInstances", two, not_found, part).await;
    }

    #[actix_web::test]
    async fn filters_are_ec2s() {
        let cloud = some_instances().await;
        let front = cloud.state().instances().find(|i| i.id.to_string() == {
            // The first one told of is `i-1`.
            ids_by_tag(&cloud)
        })
        .unwrap()
        .clone();
        let public = front.public_interface().unwrap();
        let private = front.private_interface().unwrap();
        for (name, value) in [
            ("instance-id", front.id.to_string()),
            ("tag:Name", "fr*".into()),
            ("tag-key", "Name".into()),
            ("ip-address", public.address.to_string()),
            ("dns-name", public.address.to_string()),
            ("private-ip-address", private.address.to_string()),
            ("network-interface.mac-address", public.mac.to_string()),
            ("network-interface.network-interface-id", private.id.to_string()),
            ("network-interface.association.public-ip", public.address.to_string()),
            ("block-device-mapping.volume-id", front.root_volume.to_string()),
            ("reservation-id", front.reservation.to_string()),
        ] {
            let query = format!("Filter.1.Name={name}&Filter.1.Value.1={value}");
            assert_eq!(ids(&cloud, &query).await, ["i-1"], "{query}");
        }
        for (name, value) in [
            ("instance-state-name", "running"),
            ("instance-state-code", "16"),
            ("image-id", "ami-0000000a"),
            ("instance-type", "m1.small"),
            ("availability-zone", "us-east-1?"),
            ("owner-id", "111111111111"),
            ("group-name", "default"),
            ("instance.group-name", "default"),
            ("network-interface.group-name", "default"),
            ("launch-index", "0"),
            ("launch-time", "2026-01-02T*"),
            ("architecture", "x86_64"),
            ("root-device-type", "ebs"),
            ("root-device-name", "/dev/sda1"),
            ("virtualization-type", "hvm"),
            ("monitoring-state", "disabled"),
            ("metadata-options.http-tokens", "optional"),
        ] {
            let query = format!("Filter.1.Name={name}&Filter.1.Value.1={value}");
            assert_eq!(ids(&cloud, &query).await.len(), 2, "{query}");
        }
        for (name, value) in [
            ("instance-state-name", "stopped"),
            ("instance-id", "nonsense"),
            ("key-name", "*"),
            ("iam-instance-profile.arn", "*"),
            ("client-token", "*"),
        ] {
            let query = format!("Filter.1.Name={name}&Filter.1.Value.1={value}");
            assert_eq!(ids(&cloud, &query).await.len(), 0, "{query}");
        }
        let query = "Filter.1.Name=colour&Filter.1.Value.1=red";
        cloud.check_refused("DescribeInstances", query, "InvalidParameterValue", "colour").await;
    }

    fn ids_by_tag(cloud: &TestCloud) -> String {
        let state = cloud.state();
        let own = state.scope(&cloud.scope()).unwrap();
        let front = |id: &&String| own.tags_of(id).is_some_and(|tags| tags.contains_key("Name"));
        own.tags.keys().find(front).unwrap().clone()
    }

    #[actix_web::test]
    async fn every_filter_that_is_listed_is_answered() {
        use super::InstanceElement;
        use crate::domain::{filter::Described, settings::Reach};
        let cloud = some_instances().await;
        let state = cloud.state();
        let instance = state.instances().next().unwrap().clone();
        let element = InstanceElement { instance, state, reach: Reach::Routed };
        for name in InstanceElement::FILTERS {
            let name = name.replace("tag:", "tag:Name");
            assert!(element.facts(&name).is_some(), "{name}");
        }
        assert!(element.facts("network-interface.colour").is_none());
    }

    #[actix_web::test]
    async fn pages_count_instances_and_follow_each_other() {
        let cloud = TestCloud::start().await;
        cloud.launch(12).await;
        let mut seen = Vec::new();
        let mut query = "MaxResults=5".to_owned();
        for count in [5, 5, 2] {
            let page = cloud.values("DescribeInstances", &query, "instanceId").await;
            // Each id stands in its instance's element alone.
            assert_eq!(page.len(), count);
            seen.extend(page);
            if count == 5 {
                let token = cloud.value("DescribeInstances", &query, "nextToken").await;
                query = format!("MaxResults=5&NextToken={token}");
            }
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 12);
        for (query, code) in [
            ("MaxResults=4", "InvalidParameterValue"),
            ("MaxResults=1001", "InvalidParameterValue"),
            ("MaxResults=5&InstanceId.1=i-1", "InvalidParameterCombination"),
            ("NextToken=nonsense", "InvalidNextToken"),
        ] {
            cloud.check_refused("DescribeInstances", query, code, "").await;
        }
    }

    #[actix_web::test]
    async fn instances_of_one_launch_stand_in_its_order_under_their_reservation() {
        let cloud = TestCloud::start().await;
        cloud.launch(4).await;
        cloud.launch(1).await;
        let reservations = cloud.values("DescribeInstances", "", "reservationId").await;
        assert_eq!(reservations.len(), 2);
        let indices = cloud.values("DescribeInstances", "", "amiLaunchIndex").await;
        let mut of_two = [vec!["0", "1", "2", "3", "0"], vec!["0", "0", "1", "2", "3"]].into_iter();
        assert!(of_two.any(|order| order == indices), "{indices:?}");
    }

    #[actix_web::test]
    async fn an_answer_costs_in_proportion_to_the_instances_in_it() {
        use super::{InstanceElement, by_reservation};
        let cloud = some_instances().await;
        let state = cloud.state();
        let instance = state.instances().next().unwrap().clone();
        let cost = |count: usize| {
            effort::of(|| {
                let element = InstanceElement {
                    instance: instance.clone(),
                    state: state.clone(),
                    reach: crate::domain::settings::Reach::Routed,
                };
                let set = by_reservation(vec![element; count]);
                let answer = super::Response { reservation_set: set, next_token: None };
                let text = crate::api::response::render("X", "", "r", &answer).unwrap();
                assert!(text.len() > 2000 * count);
            })
        };
        effort::assert_proportional(cost(125), cost(2000));
    }
}
