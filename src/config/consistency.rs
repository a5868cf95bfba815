//! What no single key shows: that the parts of a configuration go together.
//!
//! Pure. A fault names the path of the key it is about, for whoever knows the text.

use super::{
    Configuration, GroupSection, NodeSection, RegionChoice, Role, cloud::Range, instance_types,
    position::Step,
};
use crate::domain::{id::RegionName, port_filter::Cidr};
use std::net::{Ipv4Addr, SocketAddr};

type Fault = (Vec<Step>, String);

/// Zones are named by letters.
const GROUPS_MAX: usize = 16;
/// As long as the names of taps and bridges have room for.
const PREFIX_MAX: usize = 6;
/// As long as a part of a name in a certificate may be.
const NAME_MAX: usize = 63;

pub fn faults(configuration: &Configuration) -> Vec<Fault> {
    let mut faults = Vec::new();
    check_regions(configuration, &mut faults);
    check_groups(&configuration.groups, &mut faults);
    check_elastic_addresses(configuration, &mut faults);
    check_meta_zones(configuration, &mut faults);
    check_nodes(configuration, &mut faults);
    check_instance_types(configuration, &mut faults);
    check_network(configuration, &mut faults);
    check_overlay(configuration, &mut faults);
    check_policies(configuration, &mut faults);
    check_topology(configuration, &mut faults);
    if configuration.limits.max_in_flight == 0 {
        let message = "`max_in_flight` must be at least 1, or no request is ever answered";
        faults.push((path(["limits", "max_in_flight"]), message.to_owned()));
    }
    faults
}

fn check_regions(configuration: &Configuration, faults: &mut Vec<Fault>) {
    let cloud = &configuration.cloud;
    let RegionChoice::Named(names) = &cloud.region else { return };
    if names.is_empty() {
        let message = "the list of regions is empty: name one, or write `region = \"any\"`";
        faults.push((path(["cloud", "region"]), message.to_owned()));
    }
    if let Some(name) = repeated(names.iter()) {
        faults.push((path(["cloud", "region"]), format!("the region `{name}` is named twice")));
    }
    if let Some(default) = cloud.default_region.as_ref().filter(|name| !names.contains(name)) {
        let message = format!("the default region `{default}` is none of those in `region`");
        faults.push((path(["cloud", "default_region"]), message));
    }
}

fn check_groups(groups: &[GroupSection], faults: &mut Vec<Fault>) {
    if groups.is_empty() {
        faults.push((path(["group"]), "there must be at least one group".to_owned()));
    }
    if groups.len() > GROUPS_MAX {
        let message = format!("there are {} groups; at most {GROUPS_MAX} may be", groups.len());
        faults.push((path(["group"]), message));
    }
    for (index, group) in groups.iter().enumerate() {
        let earlier = &groups[..index];
        let mut fault = |key: &str, message: String| {
            faults.push((element("group", index, key), message));
        };
        if earlier.iter().any(|other| other.name == group.name) {
            fault("name", format!("there are two groups named `{}`", group.name));
        }
        let range = group.public_addresses;
        if !(8..=29).contains(&range.prefix_length()) {
            fault("public_addresses", format!("`{range}` must have a length from /8 to /29"));
        } else if let Some(why) = wrong_gateway(group) {
            fault("gateway", why);
        }
        for (reserved, purpose) in reserved() {
            if range.overlaps(reserved) {
                fault("public_addresses", format!("`{range}` overlaps `{reserved}`, {purpose}"));
            }
        }
        for other in earlier.iter().filter(|other| other.public_addresses.overlaps(range)) {
            let message = format!(
                "`{range}` overlaps `{}` of the group `{}`",
                other.public_addresses, other.name
            );
            fault("public_addresses", message);
        }
    }
}

/// In one group's range or outside of all: half of it would be known to the hosts only.
fn check_elastic_addresses(configuration: &Configuration, faults: &mut Vec<Fault>) {
    let Some(Range(range)) = configuration.cloud.elastic_addresses else { return };
    let mut fault = |message: String| {
        faults.push((path(["cloud", "elastic_addresses"]), message));
    };
    if !(16..=32).contains(&range.prefix_length()) {
        fault(format!("`{range}` must have a length from /16 to /32"));
    }
    for (reserved, purpose) in reserved() {
        if range.overlaps(reserved) {
            fault(format!("`{range}` overlaps `{reserved}`, {purpose}"));
        }
    }
    for group in &configuration.groups {
        let public = group.public_addresses;
        if public.overlaps(range) && public.prefix_length() > range.prefix_length() {
            fault(format!(
                "`{range}` is partly in `{public}` of the group `{}`: it must be in that range or \
                 outside of it",
                group.name
            ));
        } else if public == range {
            fault(format!(
                "`{range}` leaves the instances of the group `{}` no addresses of their own",
                group.name
            ));
        }
    }
}

fn wrong_gateway(group: &GroupSection) -> Option<String> {
    let (gateway, range) = (group.gateway, group.public_addresses);
    let last = range.nth(range.size() - 1);
    if !range.contains(gateway) {
        return Some(format!("the gateway `{gateway}` is not in `{range}`"));
    }
    (gateway == range.address() || Some(gateway) == last)
        .then(|| format!("the gateway `{gateway}` is the first or last address of `{range}`"))
}

/// Ranges with a meaning of their own.
fn reserved() -> [(Cidr, &'static str); 3] {
    let range = |a, b, length| {
        Cidr::new(Ipv4Addr::new(a, b, 0, 0), length).expect("the lengths below are at most 32")
    };
    [
        (range(172, 31, 16), "the private addresses of the default VPC"),
        (range(169, 254, 16), "link-local addresses, where the metadata service is"),
        (range(224, 0, 3), "which is for multicast and experiments"),
    ]
}

fn check_meta_zones(configuration: &Configuration, faults: &mut Vec<Fault>) {
    let groups = &configuration.groups;
    let meta_zones = &configuration.meta_zones;
    for (index, meta) in meta_zones.iter().enumerate() {
        let mut fault = |key: &str, message: String| {
            faults.push((element("meta_zone", index, key), message));
        };
        let name = meta.name.as_str();
        if meta_zones[..index].iter().any(|other| other.name == meta.name) {
            fault("name", format!("there are two meta-zones named `{name}`"));
        }
        // Policies name groups and meta-zones alike.
        if groups.iter().any(|group| group.name.as_str() == name) {
            fault("name", format!("a group is named `{name}` as well"));
        }
        if let Some(region) = region_with_zone(configuration, name) {
            fault("name", format!("`{name}` is a zone of the region `{region}`"));
        }
        let Some(listed) = &meta.groups else { continue };
        if listed.is_empty() {
            fault("groups", format!("the meta-zone `{name}` has no groups"));
        }
        if let Some(twice) = repeated(listed.iter()) {
            fault("groups", format!("the group `{twice}` is named twice"));
        }
        for unknown in listed.iter().filter(|name| !groups.iter().any(|g| g.name == **name)) {
            fault("groups", format!("there is no group `{unknown}`"));
        }
    }
}

/// Of the regions that are named; with any region, a zone's name goes before a meta-zone's there.
fn region_with_zone<'a>(configuration: &'a Configuration, name: &str) -> Option<&'a RegionName> {
    let RegionChoice::Named(regions) = &configuration.cloud.region else { return None };
    let letters = || ('a'..='z').take(configuration.groups.len());
    regions.iter().find(|region| letters().any(|letter| format!("{region}{letter}") == name))
}

fn check_nodes(configuration: &Configuration, faults: &mut Vec<Fault>) {
    let nodes = &configuration.nodes;
    for (index, node) in nodes.iter().enumerate() {
        let mut fault = |key: &str, message: String| {
            faults.push((element("node", index, key), message));
        };
        if nodes[..index].iter().any(|other| other.name == node.name) {
            fault("name", format!("there are two nodes named `{}`", node.name));
        }
        if !configuration.groups.iter().any(|group| group.name == node.group) {
            let names = configuration.groups.iter().map(|group| format!("`{}`", group.name));
            let names = names.collect::<Vec<_>>().join(", ");
            fault("group", format!("there is no group `{}`, only {names}", node.group));
        }
        for (key, message) in wrong_amounts(node) {
            fault(key, message);
        }
    }
}

fn wrong_amounts(node: &NodeSection) -> Vec<(&'static str, String)> {
    let zeros = [
        ("vcpus_per_core", node.vcpus_per_core == 0),
        ("vcpus", node.vcpus == Some(0)),
        ("memory_mib", node.memory_mib == Some(0)),
        ("disk_gib", node.disk_gib == Some(0)),
        ("image_cache_gib", node.image_cache_gib == 0),
    ];
    let mut wrong: Vec<_> = zeros
        .into_iter()
        .filter(|(_, is_zero)| *is_zero)
        .map(|(key, _)| (key, format!("`{key}` must be at least 1")))
        .collect();
    let [shortest, longest] = node.simulated.start_delay_ms;
    if shortest > longest {
        let message = format!("the shortest delay, {shortest}, is over the longest, {longest}");
        wrong.push(("simulated", message));
    }
    if !(0.0..=1.0).contains(&node.simulated.failure_rate) {
        let message = format!("the rate {} is not from 0 to 1", node.simulated.failure_rate);
        wrong.push(("simulated", message));
    }
    wrong
}

fn check_policies(configuration: &Configuration, faults: &mut Vec<Fault>) {
    for (index, section) in configuration.policies.iter().enumerate() {
        for (key, message) in section.faults() {
            faults.push((element("sla", index, key), message));
        }
        for (key, name) in [("from", &section.from), ("to", &section.to)] {
            let Some(name) = name else { continue };
            let is_group = configuration.groups.iter().any(|g| g.name.as_str() == name.as_str());
            if !is_group && !configuration.meta_zones.iter().any(|meta| meta.name == *name) {
                let message = format!("there is no group or meta-zone `{name}`");
                faults.push((element("sla", index, key), message));
            }
        }
    }
}

/// That whoever runs elsewhere can be reached, and that somebody runs what is here.
fn check_topology(configuration: &Configuration, faults: &mut Vec<Fault>) {
    let topology = &configuration.topology;
    let mut fault = |path: Vec<Step>, message: &str| faults.push((path, message.to_owned()));
    if topology.roles.as_ref().is_some_and(Vec::is_empty) {
        fault(path(["topology", "roles"]), "name at least one role, or leave `roles` out");
    }
    let cloud = &configuration.cloud;
    let here: Vec<&GroupSection> = configuration.groups_here().collect();
    if topology.runs(Role::Cloud) {
        if here.len() < configuration.groups.len() && cloud.links.is_none() {
            let message = "groups run elsewhere, so `links` must say where they reach the cloud";
            fault(path(["cloud", "links"]), message);
        }
    } else if configuration.groups.len() > 1 {
        fault(path(["group"]), "without the cloud manager a process runs one group");
    }
    for (index, group) in configuration.groups.iter().enumerate() {
        // A host that joined as a group may be told by the cloud where to listen.
        let is_here = topology.runs(Role::Cloud) && here.contains(&group);
        if is_here && !topology.runs(Role::Node) && group.links.is_none() {
            let message = "nodes run elsewhere, so `links` must say where they reach the group";
            fault(element("group", index, "links"), message);
        }
        if group.elsewhere && topology.roles.is_some() && !topology.runs(Role::Group) {
            let message = "no group runs in this process anyway: leave `elsewhere` out";
            fault(element("group", index, "elsewhere"), message);
        }
    }
    let elsewhere = |node: &&NodeSection| !here.iter().any(|group| group.name == node.group);
    if configuration.nodes_here().iter().filter(elsewhere).count() > 1 {
        fault(path(["node"]), "a process runs one node of a group that is elsewhere");
    }
    if cloud.name.is_empty()
        || cloud.name.len() > NAME_MAX
        || !cloud.name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    {
        let message = format!(
            "`{}` must be 1 to {NAME_MAX} letters, digits, dots, hyphens and underscores",
            cloud.name
        );
        faults.push((path(["cloud", "name"]), message));
    }
}

fn check_instance_types(configuration: &Configuration, faults: &mut Vec<Fault>) {
    let stocked = instance_types::stocked();
    for (name, section) in &configuration.own_instance_types {
        let place = path(["instance_types", name]);
        if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            faults.push((place.clone(), format!("`{name}` is no name for an instance type")));
        }
        let is_new = !stocked.contains_key(name);
        let absent =
            [("vcpus", section.vcpus.is_none()), ("memory_mib", section.memory_mib.is_none())];
        for (key, is_absent) in absent {
            if is_new && is_absent {
                let message = format!("the type `{name}` is new, so it needs `{key}`");
                faults.push((place.clone(), message));
            }
        }
        if section.vcpus == Some(0) || section.memory_mib == Some(0) || section.disk_gib == Some(0)
        {
            faults.push((place, format!("no amount of the type `{name}` may be 0")));
        }
    }
}

fn check_network(configuration: &Configuration, faults: &mut Vec<Fault>) {
    let prefix = &configuration.network.prefix;
    let proper = (1..=PREFIX_MAX).contains(&prefix.len())
        && prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && prefix.starts_with(|c: char| c.is_ascii_lowercase());
    if !proper {
        let message = format!(
            "the prefix `{prefix}` must be 1 to {PREFIX_MAX} lower-case letters and digits, the \
             first a letter"
        );
        faults.push((path(["network", "prefix"]), message));
    }
    let port = configuration.network.metadata_port;
    if port == 0 || port == configuration.cloud.listen.port() {
        let message = format!("port {port} cannot be the metadata service's own");
        faults.push((path(["network", "metadata_port"]), message));
    }
}

/// Every IPv4 host takes packets of 576 bytes (RFC 791); a jumbo frame has 9000.
const MTUS: std::ops::RangeInclusive<u16> = 576..=9000;

fn check_overlay(configuration: &Configuration, faults: &mut Vec<Fault>) {
    let overlay = &configuration.overlay;
    if !MTUS.contains(&overlay.guest_mtu) {
        let (least, most) = (MTUS.start(), MTUS.end());
        let message = format!("an MTU of {} is not from {least} to {most}", overlay.guest_mtu);
        faults.push((path(["overlay", "guest_mtu"]), message));
    }
    let unusable = |address: &&SocketAddr| address.ip().is_unspecified() || address.port() == 0;
    if let Some(address) = overlay.addresses.iter().find(unusable) {
        let message = format!("nobody can find a switch at `{address}`");
        faults.push((path(["overlay", "addresses"]), message));
    }
}

fn repeated<'a, T: PartialEq>(mut items: impl Iterator<Item = &'a T> + Clone) -> Option<&'a T> {
    loop {
        let item = items.next()?;
        if items.clone().any(|other| other == item) {
            return Some(item);
        }
    }
}

fn path<const N: usize>(keys: [&str; N]) -> Vec<Step> {
    keys.map(|key| Step::Key(key.to_owned())).into()
}

fn element(list: &str, index: usize, key: &str) -> Vec<Step> {
    vec![Step::Key(list.to_owned()), Step::Index(index), Step::Key(key.to_owned())]
}
