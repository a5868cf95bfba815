//! What there is in every zone and on every node, and how far the figures can be trusted.

use super::{Client, ClientFault, Items, Request};
use serde::{Deserialize, Serialize};

/// Told to programs under the names they have here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CapacityAnswer {
    pub zones: Vec<ZoneCapacity>,
    pub meta_zones: Vec<MetaZone>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ZoneCapacity {
    pub name: String,
    pub group: String,
    /// None of its nodes was heard of for too long.
    pub stale: bool,
    pub capacity: Figures,
    pub nodes: Vec<NodeCapacity>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeCapacity {
    pub name: String,
    pub hypervisor: Option<String>,
    pub silent: bool,
    pub capacity: Figures,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase"))]
pub struct Figures {
    #[serde(default)]
    pub reported_at: Option<String>,
    #[serde(default)]
    pub age_seconds: Option<u64>,
    pub total: Amounts,
    pub foreign: Amounts,
    pub held: Amounts,
    pub free: Amounts,
    pub outstanding: Outstanding,
    pub starts: Starts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase"))]
pub struct Amounts {
    pub vcpus: u64,
    pub memory_mib: u64,
    pub disk_gib: u64,
}

/// Reservations that no node has confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase"))]
pub struct Outstanding {
    pub count: u64,
    pub vcpus: u64,
    pub memory_mib: u64,
    pub disk_gib: u64,
}

/// The latest of them, and those that contradicted the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase"))]
pub struct Starts {
    pub observed: u64,
    pub contradicted: u64,
    pub no_room: u64,
    pub failed: u64,
    pub unanswered: u64,
    #[serde(default)]
    pub error_percent: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MetaZone {
    pub name: String,
    pub policy: String,
    pub zones: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    #[serde(default)]
    zone_set: Items<ZoneItem>,
    #[serde(default)]
    meta_zone_set: Items<MetaZoneItem>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ZoneItem {
    zone_name: String,
    group_name: String,
    stale: bool,
    capacity: Figures,
    #[serde(default)]
    node_set: Items<NodeItem>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeItem {
    node_name: String,
    #[serde(default)]
    hypervisor: Option<String>,
    silent: bool,
    capacity: Figures,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetaZoneItem {
    zone_name: String,
    policy: String,
    #[serde(default)]
    member_set: Items<Member>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    zone_name: String,
}

impl Client {
    pub fn describe_capacity(&self) -> Result<CapacityAnswer, ClientFault> {
        Ok(gather(self.call(&Request::new("DescribeCapacity"))?))
    }
}

fn gather(described: Described) -> CapacityAnswer {
    let node = |item: NodeItem| NodeCapacity {
        name: item.node_name,
        hypervisor: item.hypervisor,
        silent: item.silent,
        capacity: item.capacity,
    };
    let zone = |item: ZoneItem| ZoneCapacity {
        name: item.zone_name,
        group: item.group_name,
        stale: item.stale,
        capacity: item.capacity,
        nodes: item.node_set.item.into_iter().map(node).collect(),
    };
    let meta_zone = |item: MetaZoneItem| MetaZone {
        name: item.zone_name,
        policy: item.policy,
        zones: item.member_set.item.into_iter().map(|member| member.zone_name).collect(),
    };
    CapacityAnswer {
        zones: described.zone_set.item.into_iter().map(zone).collect(),
        meta_zones: described.meta_zone_set.item.into_iter().map(meta_zone).collect(),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::cli::client::read_answer;

    /// One zone of a node that was heard of and one that never was, and a meta-zone.
    pub fn described() -> CapacityAnswer {
        let amounts = |vcpus, memory_mib, disk_gib| {
            format!(
                "<vcpus>{vcpus}</vcpus><memoryMib>{memory_mib}</memoryMib>\
                 <diskGib>{disk_gib}</diskGib>"
            )
        };
        let figures = |age: &str, starts: &str| {
            format!(
                "<capacity>{age}<total>{}</total><foreign>{none}</foreign><held>{}</held>\
                 <free>{}</free><outstanding><count>1</count>{}</outstanding>\
                 <starts>{starts}</starts></capacity>",
                amounts(8, 4096, 50),
                amounts(3, 768, 6),
                amounts(5, 3328, 44),
                amounts(1, 256, 2),
                none = amounts(0, 0, 0),
            )
        };
        let heard = figures(
            "<reportedAt>2026-01-02T03:04:05.000Z</reportedAt><ageSeconds>4</ageSeconds>",
            "<observed>8</observed><contradicted>2</contradicted><noRoom>1</noRoom>\
             <failed>1</failed><unanswered>0</unanswered><errorPercent>25</errorPercent>",
        );
        let never = figures(
            "",
            "<observed>0</observed><contradicted>0</contradicted><noRoom>0</noRoom>\
             <failed>0</failed><unanswered>0</unanswered>",
        );
        let xml = format!(
            "<R><zoneSet><item><zoneName>us-east-1a</zoneName><groupName>rack</groupName>\
             <stale>false</stale>{heard}<nodeSet>\
             <item><nodeName>n1</nodeName><hypervisor>QEMU</hypervisor><silent>false</silent>\
             {heard}</item>\
             <item><nodeName>n2</nodeName><silent>true</silent>{never}</item></nodeSet></item>\
             </zoneSet><metaZoneSet><item><zoneName>any</zoneName><policy>emptiest-first</policy>\
             <memberSet><item><zoneName>us-east-1a</zoneName></item></memberSet></item>\
             </metaZoneSet></R>"
        );
        gather(read_answer("DescribeCapacity", &xml).unwrap())
    }

    #[test]
    fn figures_that_are_not_there_are_told_from_those_that_are_zero() {
        let zone = &described().zones[0];
        let [first, second] = &zone.nodes[..] else { panic!("{:?}", zone.nodes) };
        assert_eq!((first.capacity.age_seconds, second.capacity.age_seconds), (Some(4), None));
        let rates = (first.capacity.starts.error_percent, second.capacity.starts.error_percent);
        assert_eq!(rates, (Some(25), None));
        assert_eq!((zone.capacity.free.vcpus, second.silent), (5, true));
        assert_eq!((first.hypervisor.as_deref(), &second.hypervisor), (Some("QEMU"), &None));
    }
}
