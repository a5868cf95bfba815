//! DescribeAvailabilityZones: the zones of the region asked for; to an administrator who asks for
//! `verbose`, what there is in each.
//!
//! The rows of `verbose` follow each zone as if they were zones, as Eucalyptus wrote them and its
//! tools print them: `|- m1.small` with `0002 / 0005   1    256     2` (free, of how many, vcpus,
//! MiB of memory, GiB of disk). Ours end with two rows a node. Who is no administrator gets the
//! ordinary answer, so that nobody learns from an error that there is another.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code, echo},
        filters::{FilterParameter, read_filters},
        response::Set,
        shapes::zone::{self, Zone},
    },
    domain::{
        capacity::NodeCapacity,
        filter::Described,
        id::{GroupName, NodeName},
        resources::Resources,
        time::Timestamp,
    },
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeAvailabilityZones {
    #[serde(default)]
    zone_name: Vec<String>,
    #[serde(default)]
    zone_id: Vec<String>,
    /// Every zone is opted in; asking for the others too changes nothing.
    #[serde(default, rename = "AllAvailabilityZones")]
    _all_availability_zones: Option<bool>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    availability_zone_info: Set<Row>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Row {
    Zone(Item),
    Verbose(Verbose),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    zone_name: String,
    zone_state: &'static str,
    region_name: String,
    zone_id: String,
    zone_type: &'static str,
    opt_in_status: &'static str,
    group_name: String,
    network_border_group: String,
    message_set: Set<String>,
}

/// A line of text in two columns, in the shape of a zone.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verbose {
    zone_name: String,
    zone_state: String,
    region_name: String,
    message_set: Set<String>,
}

impl Described for Item {
    const FILTERS: &'static [&'static str] = &[
        "group-long-name",
        "group-name",
        "message",
        "opt-in-status",
        "parent-zone-id",
        "parent-zone-name",
        "region-name",
        "state",
        "zone-id",
        "zone-name",
        "zone-type",
    ];

    fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let fact = match name {
            "group-name" => &self.group_name,
            "opt-in-status" => self.opt_in_status,
            "region-name" => &self.region_name,
            "state" => self.zone_state,
            "zone-id" => &self.zone_id,
            "zone-name" => &self.zone_name,
            "zone-type" => self.zone_type,
            // Our zones have no messages, no parents and no longer names.
            "group-long-name" | "message" | "parent-zone-id" | "parent-zone-name" => {
                return Some(Vec::new());
            }
            _ => return None,
        };
        Some(vec![Cow::Borrowed(fact)])
    }
}

impl Action for DescribeAvailabilityZones {
    const NAME: &'static str = "DescribeAvailabilityZones";
    type Response = Response;

    async fn perform(mut self, exchange: &Exchange) -> Result<Response, ApiError> {
        let filters = read_filters::<Item>(&self.filter)?;
        let verbose = self.take_verbose() && exchange.caller.is_administrator();
        let zones = zone::zones(exchange);
        self.check_known(&zones)?;
        let mut rows = Set::default();
        for zone in &zones {
            let item = item(zone, exchange);
            if self.names(zone) && filters.admit(&item)? {
                rows.item.push(Row::Zone(item));
                if verbose {
                    rows.item.extend(verbose_rows(&zone.group, exchange).map(Row::Verbose));
                }
            }
        }
        Ok(Response { availability_zone_info: rows })
    }
}

impl DescribeAvailabilityZones {
    fn take_verbose(&mut self) -> bool {
        let asked = self.zone_name.len();
        self.zone_name.retain(|name| name != "verbose");
        self.zone_name.len() < asked
    }

    fn check_known(&self, zones: &[Zone]) -> Result<(), ApiError> {
        let unknown = |what: &str, which: &str| {
            let message = format!("Invalid {what}: [{}]", echo(which));
            Err(ApiError::new(Code::InvalidParameterValue, message))
        };
        for name in &self.zone_name {
            if !zones.iter().any(|zone| zone.name.as_str() == name) {
                return unknown("availability zone", name);
            }
        }
        for id in &self.zone_id {
            if !zones.iter().any(|zone| zone.id == *id) {
                return unknown("availability zone-id", id);
            }
        }
        Ok(())
    }

    fn names(&self, zone: &Zone) -> bool {
        self.zone_name.is_empty() && self.zone_id.is_empty()
            || self.zone_name.iter().any(|name| name == zone.name.as_str())
            || self.zone_id.contains(&zone.id)
    }
}

fn item(zone: &Zone, exchange: &Exchange) -> Item {
    let region = exchange.scope.region.to_string();
    Item {
        zone_name: zone.name.to_string(),
        zone_state: "available",
        zone_id: zone.id.clone(),
        zone_type: "availability-zone",
        opt_in_status: "opt-in-not-required",
        group_name: format!("{region}-zg-1"),
        network_border_group: region.clone(),
        region_name: region,
        message_set: Set::default(),
    }
}

fn verbose_rows<'a>(
    group: &'a GroupName,
    exchange: &'a Exchange,
) -> impl Iterator<Item = Verbose> + 'a {
    let capacity = &exchange.state.capacity;
    let header = ("vm types".to_owned(), "free / max   cpu   ram  disk".to_owned());
    let types = exchange.settings.instance_types.0.iter().map(|(name, each)| {
        let free = capacity.free_count(group, *each);
        let max = capacity.total_count(group, *each);
        (name.clone(), counts(free, max, *each))
    });
    let now = exchange.ambient.now();
    let nodes = capacity.nodes_of(group).flat_map(move |(name, node)| node_rows(name, node, now));
    std::iter::once(header).chain(types).chain(nodes).map(|(name, text)| Verbose {
        zone_name: format!("|- {name}"),
        zone_state: text,
        region_name: exchange.scope.region.to_string(),
        message_set: Set::default(),
    })
}

fn counts(free: u64, max: u64, each: Resources) -> String {
    let Resources { vcpus, memory_mib, disk_gib } = each;
    format!("{free:04} / {max:04}  {vcpus:2}   {memory_mib:4}  {disk_gib:4}")
}

fn node_rows(name: &NodeName, node: &NodeCapacity, now: Timestamp) -> Vec<(String, String)> {
    let mut rows = vec![(format!("node {name}"), report(node, now))];
    if let Some(hypervisor) = &node.hypervisor {
        rows.push((format!("guests of {name}"), hypervisor.clone()));
    }
    rows
}

fn report(node: &NodeCapacity, now: Timestamp) -> String {
    let Resources { vcpus, memory_mib, disk_gib } = node.foreign;
    let foreign = format!("foreign guests hold {vcpus} vcpus, {memory_mib} MiB, {disk_gib} GiB");
    match node.reported_at {
        Some(at) => format!("reported {} s ago, {foreign}", now.since(at).as_secs()),
        None => "not reported yet".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;
    use std::time::Duration;

    const ACTION: &str = "DescribeAvailabilityZones";

    async fn check_zones(cloud: &TestCloud, query: &str, zones: &[&str]) {
        assert_eq!(cloud.values(ACTION, query, "zoneName").await, zones, "{query}");
    }

    #[actix_web::test]
    async fn a_zone_is_described_in_full() {
        let cloud = TestCloud::start().await.in_region("eu-west-1");
        cloud
            .check(
                ACTION,
                "ZoneName.1=eu-west-1b",
                "<availabilityZoneInfo><item><zoneName>eu-west-1b</zoneName>\
                 <zoneState>available</zoneState><regionName>eu-west-1</regionName>\
                 <zoneId>euw1-az2</zoneId><zoneType>availability-zone</zoneType>\
                 <optInStatus>opt-in-not-required</optInStatus>\
                 <groupName>eu-west-1-zg-1</groupName>\
                 <networkBorderGroup>eu-west-1</networkBorderGroup><messageSet/></item>\
                 </availabilityZoneInfo>",
            )
            .await;
    }

    #[actix_web::test]
    async fn zones_are_chosen_by_name_id_and_filter() {
        let cloud = TestCloud::start().await;
        check_zones(&cloud, "", &["us-east-1a", "us-east-1b"]).await;
        check_zones(&cloud, "AllAvailabilityZones=true", &["us-east-1a", "us-east-1b"]).await;
        check_zones(&cloud, "ZoneId.1=use1-az2", &["us-east-1b"]).await;
        check_zones(&cloud, "ZoneId.1=use1-az2&ZoneName.1=us-east-1a", &["us-east-1a", "us-east-1b"])
            .await;
        check_zones(&cloud, "Filter.1.Name=zone-id&Filter.1.Value.1=*az1", &["us-east-1a"]).await;
        check_zones(&cloud, "Filter.1.Name=state&Filter.1.Value.1=impaired", &[]).await;
        check_zones(&cloud, "Filter.1.Name=message&Filter.1.Value.1=*", &[]).await;
    }

    #[actix_web::test]
    async fn a_zone_that_is_not_there_is_refused() {
        let cloud = TestCloud::start().await;
        let code = "InvalidParameterValue";
        let text = "Invalid availability zone: [eu-west-1a]";
        cloud.check_refused(ACTION, "ZoneName.1=eu-west-1a", code, text).await;
        let text = "Invalid availability zone-id: [use1-az3]";
        cloud.check_refused(ACTION, "ZoneId.1=use1-az3", code, text).await;
        cloud.check_refused(ACTION, "Filter.1.Name=x&Filter.1.Value.1=x", code, "'x'").await;
        cloud.check_refused(ACTION, "DryRun=true", "DryRunOperation", "").await;
    }

    #[actix_web::test]
    async fn an_administrator_sees_free_and_whole_capacity_with_verbose() {
        let cloud = TestCloud::start().await;
        cloud.launch(1).await;
        cloud.settle().await;
        cloud.advance(Duration::from_secs(3));
        let query = "ZoneName=verbose&Filter.1.Name=zone-name&Filter.1.Value.1=us-east-1a";
        let rows = cloud.administrator();
        check_zones(
            &rows,
            query,
            &["us-east-1a", "|- vm types", "|- m1.small", "|- m5.large", "|- t3.micro",
              "|- node node-one", "|- guests of node-one"],
        )
        .await;
        assert_eq!(
            rows.values(ACTION, query, "zoneState").await,
            [
                "available",
                "free / max   cpu   ram  disk",
                "0063 / 0064   1    256     2",
                "0007 / 0008   2   8192     2",
                "0031 / 0032   2   1024     2",
                "reported 3 s ago, foreign guests hold 0 vcpus, 0 MiB, 0 GiB",
                "none",
            ]
        );
    }

    #[actix_web::test]
    async fn who_is_no_administrator_gets_the_ordinary_answer() {
        let cloud = TestCloud::start().await;
        check_zones(&cloud, "ZoneName=verbose", &["us-east-1a", "us-east-1b"]).await;
    }
}
