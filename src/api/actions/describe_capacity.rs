//! DescribeCapacity: what zones and their nodes have free, and how far these figures can be trusted,
//! for an administrator.
//!
//! Mallee's own: EC2 has no such action, and what `verbose` zones say of it is text for people.
//! The figures are the cloud's: a node's last word, less what is held or reserved. Of the latest
//! starts, those are `contradicted` for which there was no room after all, which did not come to
//! run, or of which nobody could say.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code, echo},
        response::Set,
        shapes::zone::{self, Zone},
        time::DateTime,
    },
    domain::{
        capacity::{NodeCapacity, Quality, SILENCE_MAX},
        id::{NodeName, ZoneName},
        resources::Resources,
        time::Timestamp,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeCapacity {
    /// None: all of them.
    #[serde(default)]
    zone_name: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    zone_set: Set<ZoneItem>,
    meta_zone_set: Set<MetaZoneItem>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ZoneItem {
    zone_name: String,
    group_name: String,
    /// Nothing was heard of any of its nodes for longer than they may be silent.
    stale: bool,
    capacity: Figures,
    node_set: Set<NodeItem>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct NodeItem {
    node_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hypervisor: Option<String>,
    silent: bool,
    capacity: Figures,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Figures {
    /// Of a zone, the newest of its nodes'.
    #[serde(skip_serializing_if = "Option::is_none")]
    reported_at: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<u64>,
    total: Amounts,
    /// Held by guests that are not the cloud's.
    foreign: Amounts,
    held: Amounts,
    free: Amounts,
    outstanding: Outstanding,
    starts: Starts,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Amounts {
    vcpus: u32,
    memory_mib: u64,
    disk_gib: u64,
}

/// Reservations, which are part of what is held.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Outstanding {
    count: u64,
    vcpus: u32,
    memory_mib: u64,
    disk_gib: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Starts {
    observed: u64,
    contradicted: u64,
    no_room: u64,
    failed: u64,
    unanswered: u64,
    /// Not where nothing was observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_percent: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MetaZoneItem {
    zone_name: String,
    policy: &'static str,
    member_set: Set<Member>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Member {
    zone_name: String,
}

impl Action for DescribeCapacity {
    const NAME: &'static str = "DescribeCapacity";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        if !exchange.caller.is_administrator() {
            return Err(ApiError::unauthorized());
        }
        let zones = zone::zones(exchange);
        for name in &self.zone_name {
            if !zones.iter().any(|zone| zone.name.as_str() == name) {
                let message = format!("Invalid availability zone: [{}]", echo(name));
                return Err(ApiError::new(Code::InvalidParameterValue, message));
            }
        }
        let wanted = |zone: &&Zone| {
            let mut names = self.zone_name.iter();
            self.zone_name.is_empty() || names.any(|name| name == zone.name.as_str())
        };
        let zone_set = zones.iter().filter(wanted).map(|zone| ZoneItem::of(zone, exchange));
        let meta_zones = zone::meta_zones(exchange).into_iter();
        let meta_zones = meta_zones.filter(|_| self.zone_name.is_empty()).map(MetaZoneItem::from);
        Ok(Response { zone_set: zone_set.collect(), meta_zone_set: meta_zones.collect() })
    }
}

impl ZoneItem {
    fn of(zone: &Zone, exchange: &Exchange) -> ZoneItem {
        let (capacity, now) = (&exchange.state.capacity, exchange.ambient.now());
        let quality = capacity.quality(&zone.group);
        let mut sum = Sum::default();
        let nodes = capacity.nodes_of(&zone.group).map(|(name, node)| {
            sum.add(node);
            let silent = capacity.silence(Some(&node.quality), now) > SILENCE_MAX;
            NodeItem::of(name, node, silent, now)
        });
        let node_set = nodes.collect();
        ZoneItem {
            zone_name: zone.name.to_string(),
            group_name: zone.group.to_string(),
            stale: capacity.silence(quality, now) > SILENCE_MAX,
            capacity: sum.figures(quality.unwrap_or(&Quality::default()), now),
            node_set,
        }
    }
}

impl NodeItem {
    fn of(name: &NodeName, node: &NodeCapacity, silent: bool, now: Timestamp) -> NodeItem {
        let mut sum = Sum::default();
        sum.add(node);
        NodeItem {
            node_name: name.to_string(),
            hypervisor: node.hypervisor.clone(),
            silent,
            capacity: sum.figures(&node.quality, now),
        }
    }
}

impl From<zone::MetaZone> for MetaZoneItem {
    fn from(meta: zone::MetaZone) -> MetaZoneItem {
        let member = |zone: ZoneName| Member { zone_name: zone.to_string() };
        MetaZoneItem {
            zone_name: meta.name.to_string(),
            policy: meta.policy.as_str(),
            member_set: meta.zones.into_iter().map(member).collect(),
        }
    }
}

/// What nodes have, together.
#[derive(Debug, Default)]
struct Sum {
    total: Resources,
    foreign: Resources,
    held: Resources,
    /// Not what follows from the others: one node's foreign guests may hold more than it declares.
    free: Resources,
}

impl Sum {
    fn add(&mut self, node: &NodeCapacity) {
        self.total += node.total;
        self.foreign += node.foreign;
        self.held += node.held;
        self.free += node.free();
    }

    fn figures(self, quality: &Quality, now: Timestamp) -> Figures {
        let record = quality.observed.record(now);
        let Resources { vcpus, memory_mib, disk_gib } = quality.outstanding.resources;
        Figures {
            reported_at: quality.reported_at.map(DateTime::from),
            age_seconds: quality.reported_at.map(|at| now.since(at).as_secs()),
            total: self.total.into(),
            foreign: self.foreign.into(),
            held: self.held.into(),
            free: self.free.into(),
            outstanding: Outstanding {
                count: quality.outstanding.count,
                vcpus,
                memory_mib,
                disk_gib,
            },
            starts: Starts {
                observed: record.in_all(),
                contradicted: record.contradicted(),
                no_room: record.no_room,
                failed: record.failed,
                unanswered: record.unanswered,
                error_percent: record.error_percent(),
            },
        }
    }
}

impl From<Resources> for Amounts {
    fn from(resources: Resources) -> Amounts {
        let Resources { vcpus, memory_mib, disk_gib } = resources;
        Amounts { vcpus, memory_mib, disk_gib }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestCloud;
    use std::time::Duration;

    const ACTION: &str = "DescribeCapacity";

    #[actix_web::test]
    async fn an_administrator_sees_every_figure_with_its_quality() {
        let cloud = TestCloud::start().await;
        cloud.launch(1).await;
        cloud.settle().await;
        cloud.launch(1).await;
        cloud.advance(Duration::from_secs(3));
        let figures = |held, starts: &str, outstanding: &str| {
            format!(
                "<capacity><reportedAt>2026-01-02T03:04:05.000Z</reportedAt>\
                 <ageSeconds>3</ageSeconds>\
                 <total><vcpus>64</vcpus><memoryMib>65536</memoryMib><diskGib>1000</diskGib>\
                 </total>\
                 <foreign><vcpus>0</vcpus><memoryMib>0</memoryMib><diskGib>0</diskGib></foreign>\
                 <held><vcpus>{held}</vcpus><memoryMib>{}</memoryMib><diskGib>{}</diskGib></held>\
                 <free><vcpus>{}</vcpus><memoryMib>{}</memoryMib><diskGib>{}</diskGib></free>\
                 <outstanding>{outstanding}</outstanding><starts>{starts}</starts></capacity>",
                256 * held,
                2 * held,
                64 - held,
                65536 - 256 * held,
                1000 - 2 * held,
            )
        };
        let first = figures(
            1,
            "<observed>1</observed><contradicted>0</contradicted><noRoom>0</noRoom>\
             <failed>0</failed><unanswered>0</unanswered><errorPercent>0</errorPercent>",
            "<count>0</count><vcpus>0</vcpus><memoryMib>0</memoryMib><diskGib>0</diskGib>",
        );
        // The second launch went to the emptier zone, and no node has spoken of it.
        let second = figures(
            1,
            "<observed>0</observed><contradicted>0</contradicted><noRoom>0</noRoom>\
             <failed>0</failed><unanswered>0</unanswered>",
            "<count>1</count><vcpus>1</vcpus><memoryMib>256</memoryMib><diskGib>2</diskGib>",
        );
        let zone = |zone, group, node, figures: &str| {
            format!(
                "<item><zoneName>{zone}</zoneName><groupName>{group}</groupName>\
                 <stale>false</stale>{figures}<nodeSet><item><nodeName>{node}</nodeName>\
                 <hypervisor>none</hypervisor><silent>false</silent>{figures}</item></nodeSet>\
                 </item>"
            )
        };
        let zones = [
            zone("us-east-1a", "zone-one", "node-one", &first),
            zone("us-east-1b", "zone-two", "node-two", &second),
        ];
        let meta = |name, policy| {
            format!(
                "<item><zoneName>{name}</zoneName><policy>{policy}</policy><memberSet>\
                 <item><zoneName>us-east-1a</zoneName></item>\
                 <item><zoneName>us-east-1b</zoneName></item></memberSet></item>"
            )
        };
        let meta_zones = [meta("any", "emptiest-first"), meta("whole", "one-zone")].concat();
        let answer =
            format!("<zoneSet>{}</zoneSet><metaZoneSet>{meta_zones}</metaZoneSet>", zones.concat());
        let root = cloud.administrator();
        root.check(ACTION, "", &answer).await;
        let answer = format!("<zoneSet>{}</zoneSet><metaZoneSet/>", zones[1]);
        root.check(ACTION, "ZoneName.1=us-east-1b", &answer).await;
    }

    #[actix_web::test]
    async fn figures_of_whom_nothing_is_heard_are_marked() {
        let cloud = TestCloud::start().await.administrator();
        cloud.advance(Duration::from_secs(61));
        assert_eq!(cloud.values(ACTION, "", "stale").await, ["true", "true"]);
        assert_eq!(cloud.values(ACTION, "", "silent").await, ["true", "true"]);
        cloud.settle().await;
        assert_eq!(cloud.values(ACTION, "", "stale").await, ["false", "false"]);
    }

    #[actix_web::test]
    async fn nobody_else_sees_them() {
        let cloud = TestCloud::start().await;
        cloud.check_refused(ACTION, "", "UnauthorizedOperation", "").await;
        let root = cloud.administrator();
        let code = "InvalidParameterValue";
        root.check_refused(ACTION, "ZoneName.1=any", code, "[any]").await;
        root.check_refused(ACTION, "DryRun=true", "DryRunOperation", "").await;
    }
}
