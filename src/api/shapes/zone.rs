//! Availability zones as answers name them: by a name (`eu-west-1a`) and by an id (`euw1-az1`).

use crate::{
    api::action::Exchange,
    domain::{
        allocation::AllocationName,
        id::{GroupName, RegionName, ZoneName},
    },
};

/// A zone of the region asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    pub name: ZoneName,
    pub id: String,
    /// The group of nodes that stands for it.
    pub group: GroupName,
}

/// The zones of the exchange's region, in the order of their names.
pub fn zones(exchange: &Exchange) -> Vec<Zone> {
    let region = &exchange.scope.region;
    let zones = exchange.settings.zones(region).enumerate();
    zones
        .map(|(index, (name, group))| Zone {
            id: zone_id(region, index),
            name,
            group: group.name.clone(),
        })
        .collect()
}

/// A meta-zone, as the exchange's region knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaZone {
    pub name: ZoneName,
    pub id: String,
    pub policy: AllocationName,
    /// In the order that counts for the policy.
    pub zones: Vec<ZoneName>,
}

/// The meta-zones of the exchange's region, in the order of the configuration.
pub fn meta_zones(exchange: &Exchange) -> Vec<MetaZone> {
    let region = &exchange.scope.region;
    let zones = zones(exchange);
    let named =
        |group: &GroupName| zones.iter().find(|zone| zone.group == *group).map(|z| z.name.clone());
    let prefix = abbreviated(region.as_str()).unwrap_or_else(|| region.to_string());
    let meta_zones = exchange.settings.meta_zones(region);
    meta_zones
        .map(|meta| MetaZone {
            name: meta.name.clone(),
            id: format!("{prefix}-{}", meta.name),
            policy: meta.policy,
            zones: meta.groups.iter().filter_map(named).collect(),
        })
        .collect()
}

/// The id of a zone of the region by its name.
pub fn zone_id_of(exchange: &Exchange, name: &ZoneName) -> Option<String> {
    zones(exchange).into_iter().find(|zone| zone.name == *name).map(|zone| zone.id)
}

/// `use1-az1` for the first zone of `us-east-1`; a region whose name is not made of AWS' words is
/// not shortened, so that the ids of two regions differ.
fn zone_id(region: &RegionName, index: usize) -> String {
    let number = index + 1;
    match abbreviated(region.as_str()) {
        Some(short) => format!("{short}-az{number}"),
        None => format!("{region}-az{number}"),
    }
}

fn abbreviated(region: &str) -> Option<String> {
    let words: Vec<&str> = region.split('-').collect();
    let [area, middle @ .., direction, number] = words.as_slice() else { return None };
    let middle = match middle {
        [] => "",
        ["gov"] => "g",
        _ => return None,
    };
    let direction = match *direction {
        "north" => "n",
        "northeast" => "ne",
        "east" => "e",
        "southeast" => "se",
        "south" => "s",
        "southwest" => "sw",
        "west" => "w",
        "northwest" => "nw",
        "central" => "c",
        _ => return None,
    };
    let shaped = area.len() == 2
        && area.bytes().all(|byte| byte.is_ascii_lowercase())
        && number.bytes().all(|byte| byte.is_ascii_digit());
    shaped.then(|| format!("{area}{middle}{direction}{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_id_is_shaped_as_aws_shapes_it() {
        let check = |region: &str, index, id| {
            assert_eq!(zone_id(&region.parse().unwrap(), index), id);
        };
        check("us-east-1", 0, "use1-az1");
        check("eu-west-3", 1, "euw3-az2");
        check("ap-southeast-2", 2, "apse2-az3");
        check("ap-south-1", 0, "aps1-az1");
        check("us-gov-west-1", 0, "usgw1-az1");
        check("eucalyptus", 0, "eucalyptus-az1");
        check("us-elsewhere-1", 0, "us-elsewhere-1-az1");
        check("my-own-east-1", 0, "my-own-east-1-az1");
    }
}
