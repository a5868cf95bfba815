//! DescribeAvailabilityZones: the zones of the region asked for; to an administrator who asks for
//! `verbose`, what there is in each.
//!
//! The rows of `verbose` follow each zone as if they were zones, as Eucalyptus wrote them and its
//! tools print them: `|- m1.small` with `0002 / 0005   1    256     2` (free, of how many, vcpus,
//! MiB of memory, GiB of disk). Ours end with a row on how far the figures can be trusted, and two
//! rows a node. Who is no administrator gets the ordinary answer, so that nobody learns from an
//! error that there is another.
//!
//! Meta-zones follow the zones, and only where they are asked for: by name or id, or with
//! `AllAvailabilityZones`, by which EC2 lists zones that are not opted in. Many clients take every
//! zone of the plain answer and make a subnet in each, which no meta-zone can have. A setting lists
//! them always.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code, echo},
        filters::{FilterParameter, read_filters},
        response::Set,
        shapes::zone::{self, MetaZone, Zone},
    },
    domain::{
        capacity::{NodeCapacity, Quality, SILENCE_MAX},
        filter::Described,
        id::{GroupName, NodeName, ZoneName},
        resources::Resources,
        settings::MetaZoneListing,
        time::Timestamp,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeAvailabilityZones {
    #[serde(default)]
    zone_name: Vec<String>,
    #[serde(default)]
    zone_id: Vec<String>,
    /// Meta-zones too. Every zone is opted in.
    #[serde(default)]
    all_availability_zones: Option<bool>,
    #[serde(default)]
    filter: Vec<FilterParameter>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    availability_zone_info: Set<Row>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Row {
    Zone(Item),
    Verbose(Verbose),
}

#[derive(Debug, Serialize, JsonSchema)]
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
    message_set: Set<Message>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Message {
    message: String,
}

/// A line of text in two columns, in the shape of a zone.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Verbose {
    zone_name: String,
    zone_state: String,
    region_name: String,
    message_set: Set<Message>,
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
            "message" => {
                let messages = self.message_set.item.iter();
                return Some(messages.map(|item| Cow::Borrowed(&*item.message)).collect());
            }
            // Our zones have no parents and no longer names.
            "group-long-name" | "parent-zone-id" | "parent-zone-name" => {
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
        let (zones, meta_zones) = (zone::zones(exchange), zone::meta_zones(exchange));
        self.check_known(&zones, &meta_zones)?;
        let mut rows = Set::default();
        for zone in &zones {
            let item = item(zone, exchange);
            if self.wants(zone) && filters.admit(&item)? {
                rows.item.push(Row::Zone(item));
                if verbose {
                    rows.item.extend(verbose_rows(&zone.group, exchange).map(Row::Verbose));
                }
            }
        }
        for meta in &meta_zones {
            let item = meta_item(meta, exchange);
            if self.wants_meta(meta, exchange) && filters.admit(&item)? {
                rows.item.push(Row::Zone(item));
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

    fn check_known(&self, zones: &[Zone], meta_zones: &[MetaZone]) -> Result<(), ApiError> {
        let unknown = |what: &str, which: &str| {
            let message = format!("Invalid {what}: [{}]", echo(which));
            Err(ApiError::new(Code::InvalidParameterValue, message))
        };
        let names = zones.iter().map(|zone| &zone.name).chain(meta_zones.iter().map(|m| &m.name));
        for name in &self.zone_name {
            if !names.clone().any(|known| known.as_str() == name) {
                return unknown("availability zone", name);
            }
        }
        let ids = zones.iter().map(|zone| &zone.id).chain(meta_zones.iter().map(|meta| &meta.id));
        for id in &self.zone_id {
            if !ids.clone().any(|known| known == id) {
                return unknown("availability zone-id", id);
            }
        }
        Ok(())
    }

    fn wants(&self, zone: &Zone) -> bool {
        self.names_none() || self.names(&zone.name, &zone.id)
    }

    fn wants_meta(&self, meta: &MetaZone, exchange: &Exchange) -> bool {
        let listed = self.all_availability_zones == Some(true)
            || exchange.settings.meta_zones_listed == MetaZoneListing::Always;
        self.names_none() && listed || self.names(&meta.name, &meta.id)
    }

    fn names_none(&self) -> bool {
        self.zone_name.is_empty() && self.zone_id.is_empty()
    }

    fn names(&self, name: &ZoneName, id: &String) -> bool {
        self.zone_name.iter().any(|named| named == name.as_str()) || self.zone_id.contains(id)
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

/// Instances can be launched in it at once; that it is not opted in says what it says of EC2's own
/// zones, that it is not among those that are always listed.
fn meta_item(meta: &MetaZone, exchange: &Exchange) -> Item {
    let region = exchange.scope.region.to_string();
    let zones: Vec<&str> = meta.zones.iter().map(ZoneName::as_str).collect();
    let (policy, promise) = (meta.policy.as_str(), meta.policy.policy().promise());
    let message = format!("{policy} of {}: {promise}", zones.join(", "));
    Item {
        zone_name: meta.name.to_string(),
        zone_state: "available",
        zone_id: meta.id.clone(),
        zone_type: "meta-zone",
        opt_in_status: "not-opted-in",
        group_name: format!("{region}-meta"),
        network_border_group: region.clone(),
        region_name: region,
        message_set: Set { item: vec![Message { message }] },
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
    let trust = ("figures".to_owned(), figures(group, exchange));
    let nodes = capacity.nodes_of(group).flat_map(move |(name, node)| node_rows(name, node, now));
    std::iter::once(header).chain(types).chain([trust]).chain(nodes).map(|(name, text)| Verbose {
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
    match node.quality.reported_at {
        Some(at) => {
            let (seconds, trust) = (now.since(at).as_secs(), trust(&node.quality, now));
            format!("reported {seconds} s ago, {foreign}, {trust}")
        }
        None => "not reported yet".to_owned(),
    }
}

/// Of all nodes of a group together.
fn figures(group: &GroupName, exchange: &Exchange) -> String {
    let (capacity, now) = (&exchange.state.capacity, exchange.ambient.now());
    let quality = capacity.quality(group);
    let silence = capacity.silence(quality, now);
    let stale = if silence > SILENCE_MAX { "stale, " } else { "" };
    let Some(quality) = quality else { return format!("{stale}never heard of") };
    let heard = match quality.reported_at {
        Some(_) => format!("heard of {} s ago", silence.as_secs()),
        None => "never heard of".to_owned(),
    };
    format!("{stale}{heard}, {}", trust(quality, now))
}

fn trust(quality: &Quality, now: Timestamp) -> String {
    let Resources { vcpus, memory_mib, disk_gib } = quality.outstanding.resources;
    let outstanding = match quality.outstanding.count {
        0 => "nothing outstanding".to_owned(),
        count => {
            let amount = format!("{vcpus} vcpus, {memory_mib} MiB, {disk_gib} GiB");
            format!("{count} reserved and outstanding ({amount})")
        }
    };
    let record = quality.observed.record(now);
    match record.in_all() {
        0 => format!("{outstanding}, no starts lately"),
        starts => {
            format!("{outstanding}, {} of the last {starts} starts failed", record.contradicted())
        }
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
              "|- figures", "|- node node-one", "|- guests of node-one"],
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
                "heard of 3 s ago, nothing outstanding, 0 of the last 1 starts failed",
                "reported 3 s ago, foreign guests hold 0 vcpus, 0 MiB, 0 GiB, nothing outstanding, \
                 0 of the last 1 starts failed",
                "none",
            ]
        );
    }

    #[actix_web::test]
    async fn a_reservation_is_outstanding_until_a_node_says_that_the_instance_runs() {
        let cloud = TestCloud::start().await;
        let figures = || async {
            let rows = cloud.administrator().values(ACTION, "ZoneName=verbose", "zoneState").await;
            rows.into_iter().find(|row| row.starts_with("heard of")).unwrap()
        };
        cloud.launch(2).await;
        let outstanding = "2 reserved and outstanding (2 vcpus, 512 MiB, 4 GiB), no starts lately";
        assert!(figures().await.contains(outstanding), "{}", figures().await);
        cloud.settle().await;
        let none = "nothing outstanding, 0 of the last 2 starts failed";
        assert!(figures().await.contains(none), "{}", figures().await);
    }

    #[actix_web::test]
    async fn a_zone_whose_nodes_are_all_silent_is_marked_stale_with_its_age() {
        let cloud = TestCloud::start().await.administrator();
        let query = "ZoneName=verbose&Filter.1.Name=zone-name&Filter.1.Value.1=us-east-1b";
        let is_stale = || async {
            let rows = cloud.values(ACTION, query, "zoneState").await;
            rows.iter().any(|row| row.starts_with("stale, heard of 61 s ago"))
        };
        assert!(!is_stale().await);
        cloud.advance(Duration::from_secs(61));
        assert!(is_stale().await);
        assert_eq!(cloud.values(ACTION, query, "zoneState").await[0], "available");
        cloud.settle().await;
        assert!(!is_stale().await);
    }

    #[actix_web::test]
    async fn a_meta_zone_is_told_from_a_zone_and_says_what_it_stands_for() {
        let cloud = TestCloud::start().await.in_region("eu-west-1");
        cloud
            .check(
                ACTION,
                "ZoneName.1=any",
                "<availabilityZoneInfo><item><zoneName>any</zoneName>\
                 <zoneState>available</zoneState><regionName>eu-west-1</regionName>\
                 <zoneId>euw1-any</zoneId><zoneType>meta-zone</zoneType>\
                 <optInStatus>not-opted-in</optInStatus><groupName>eu-west-1-meta</groupName>\
                 <networkBorderGroup>eu-west-1</networkBorderGroup><messageSet><item><message>\
                 emptiest-first of eu-west-1a, eu-west-1b: the emptiest zone first, and the next \
                 when it is full</message></item></messageSet></item></availabilityZoneInfo>",
            )
            .await;
    }

    #[actix_web::test]
    async fn meta_zones_follow_the_zones_where_they_are_asked_for_and_nowhere_else() {
        let cloud = TestCloud::start().await;
        let all = ["us-east-1a", "us-east-1b", "any", "whole"];
        check_zones(&cloud, "AllAvailabilityZones=true", &all).await;
        check_zones(&cloud, "AllAvailabilityZones=false", &all[..2]).await;
        check_zones(&cloud, "ZoneId.1=use1-whole", &["whole"]).await;
        check_zones(&cloud, "AllAvailabilityZones=true&ZoneName.1=any", &["any"]).await;
        let of_type = "Filter.1.Name=zone-type&Filter.1.Value.1=meta-zone";
        check_zones(&cloud, of_type, &[]).await;
        check_zones(&cloud, &format!("AllAvailabilityZones=true&{of_type}"), &all[2..]).await;
        let of_message = "Filter.1.Name=message&Filter.1.Value.1=one-zone*";
        check_zones(&cloud, &format!("AllAvailabilityZones=true&{of_message}"), &["whole"]).await;
        let always = cloud.listing_meta_zones();
        check_zones(&always, "", &all).await;
        check_zones(&always, "ZoneName.1=us-east-1b", &["us-east-1b"]).await;
    }

    #[actix_web::test]
    async fn who_is_no_administrator_gets_the_ordinary_answer() {
        let cloud = TestCloud::start().await;
        check_zones(&cloud, "ZoneName=verbose", &["us-east-1a", "us-east-1b"]).await;
    }
}
