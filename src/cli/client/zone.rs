//! Zones, and the room in them that an administrator sees.
//!
//! With `verbose`, DescribeAvailabilityZones adds rows that are no zones, in the form Eucalyptus
//! gave them: after a zone, `|- <type>` with `<free> / <max> <cpu> <ram> <disk>` as its state.

use super::{Client, ClientFault, Items, Request};
use serde::{Deserialize, Serialize};

/// A zone, and what was said under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ZoneAnswer {
    pub name: String,
    pub state: String,
    /// How many instances of each type fit.
    pub room: Vec<RoomAnswer>,
    /// Rows about other things than room, e.g. the hypervisor.
    pub remarks: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoomAnswer {
    pub instance_type: String,
    pub free: u64,
    pub max: u64,
    pub vcpus: u64,
    pub memory_mib: u64,
    pub disk_gib: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    #[serde(default)]
    availability_zone_info: Items<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    zone_name: String,
    #[serde(default)]
    zone_state: String,
}

impl Client {
    pub fn describe_zones_with_room(&self) -> Result<Vec<ZoneAnswer>, ClientFault> {
        let request = Request::new("DescribeAvailabilityZones").with("ZoneName.1", "verbose");
        let described: Described = self.call(&request)?;
        Ok(gather(described))
    }
}

fn gather(described: Described) -> Vec<ZoneAnswer> {
    let mut zones: Vec<ZoneAnswer> = Vec::new();
    for Row { zone_name, zone_state } in described.availability_zone_info.item {
        let Some(subject) = zone_name.strip_prefix("|-") else {
            let (room, remarks) = (Vec::new(), Vec::new());
            zones.push(ZoneAnswer { name: zone_name, state: zone_state, room, remarks });
            continue;
        };
        let subject = subject.trim();
        // Rows before any zone belong to none, and the heading of the columns to nobody.
        let Some(zone) = zones.last_mut().filter(|_| subject != "vm types") else { continue };
        match room(subject, &zone_state) {
            Some(room) => zone.room.push(room),
            None => zone.remarks.push((subject.to_owned(), zone_state)),
        }
    }
    zones
}

fn room(instance_type: &str, state: &str) -> Option<RoomAnswer> {
    let words = state.split_whitespace().filter(|word| *word != "/");
    let numbers: Vec<u64> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let [free, max, vcpus, memory_mib, disk_gib] = numbers[..] else { return None };
    let instance_type = instance_type.to_owned();
    Some(RoomAnswer { instance_type, free, max, vcpus, memory_mib, disk_gib })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::read_answer;

    #[test]
    fn rows_of_capacity_belong_to_the_zone_before_them() {
        let row = |name: &str, state: &str| {
            format!("<item><zoneName>{name}</zoneName><zoneState>{state}</zoneState></item>")
        };
        let rows = [
            row("us-east-1a", "available"),
            row("|- vm types", "free / max   cpu   ram  disk"),
            row("|- m1.small", "0014 / 0016   1    128     2"),
            row("|- guests of laptop", "libvirt 9.0.0 (embedded), QEMU 7.2.22, TCG: as configured"),
            row("us-east-1b", "unavailable"),
        ]
        .concat();
        let xml = format!("<R><availabilityZoneInfo>{rows}</availabilityZoneInfo></R>");
        let zones = gather(read_answer("DescribeAvailabilityZones", &xml).unwrap());
        assert_eq!(zones.len(), 2);
        assert_eq!(
            zones[0].room,
            [RoomAnswer {
                instance_type: "m1.small".into(),
                free: 14,
                max: 16,
                vcpus: 1,
                memory_mib: 128,
                disk_gib: 2
            }]
        );
        assert_eq!(zones[0].remarks[0].0, "guests of laptop");
        assert_eq!((zones[1].state.as_str(), zones[1].room.len()), ("unavailable", 0));
    }
}
