//! What an administrator writes: one TOML file, typed, every key with a default.
//!
//! `check` turns a file's text into a [`Configuration`] or into all that is wrong with it, each
//! fault with its line and, where a name is unknown, the nearest one that is known. No file at all
//! means a cloud on this one machine; `config/laptop.toml` says the same in words.
//!
//! Beside the file: the administrator's credentials, and where everything is kept. Not here: reading
//! the environment, and what the host can do (the node finds out).

mod consistency;
mod fault;
mod position;

mod cloud;
mod events;
mod group;
mod instance_types;
mod joined;
mod meta_zone;
mod metrics;
mod node;
mod overlay;
mod sla;
mod topology;

pub mod credentials;
pub mod state_directory;

pub use cloud::{CloudSection, RegionChoice};
pub use events::EventsSection;
pub use fault::ConfigFault;
pub use group::GroupSection;
pub use joined::JoinedFault;
pub use meta_zone::MetaZoneSection;
pub use metrics::MetricsSection;
pub use node::{HypervisorChoice, NodeSection, SimulatedSection, nameservers};
pub use overlay::{NicsChoice, OverlaySection};
pub use sla::SlaSection;
pub use topology::{Role, Topology, TopologySection};

use crate::domain::{
    instance_type::InstanceTypes,
    port_filter::Cidr,
    resources::Resources,
    settings::{CloudSettings, Reach},
};
use instance_types::InstanceTypeSection;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// The whole configuration. One from `check` is consistent: every node's group exists, no ranges
/// overlap, and so on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Configuration {
    pub cloud: CloudSection,
    /// In the order of their zones' letters.
    #[serde(rename = "group")]
    pub groups: Vec<GroupSection>,
    /// With `any`, which is added where the file does not have it.
    #[serde(rename = "meta_zone")]
    pub meta_zones: Vec<MetaZoneSection>,
    /// Without any, there is one in the first group.
    #[serde(rename = "node", default = "Vec::new")]
    pub nodes: Vec<NodeSection>,
    pub network: NetworkSection,
    pub overlay: OverlaySection,
    pub topology: TopologySection,
    pub limits: LimitsSection,
    pub events: EventsSection,
    pub metrics: MetricsSection,
    /// Asked in this order.
    #[serde(rename = "sla", default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<SlaSection>,
    /// Added to those that every cloud is stocked with; see `instance_types`.
    #[serde(rename = "instance_types", skip_serializing_if = "BTreeMap::is_empty")]
    own_instance_types: BTreeMap<String, InstanceTypeSection>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSection {
    /// Begins the name of every bridge, tap and table made on a host.
    pub prefix: String,
    /// Where a host's metadata service listens; guests reach it as 169.254.169.254:80.
    pub metadata_port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSection {
    /// Requests worked on at once; more are told to try again (`RequestLimitExceeded`).
    pub max_in_flight: usize,
}

impl Default for Configuration {
    fn default() -> Configuration {
        Configuration {
            cloud: CloudSection::default(),
            groups: vec![GroupSection::default()],
            meta_zones: vec![MetaZoneSection::any()],
            nodes: vec![NodeSection::default()],
            network: NetworkSection::default(),
            overlay: OverlaySection::default(),
            topology: TopologySection::default(),
            limits: LimitsSection::default(),
            events: EventsSection::default(),
            metrics: MetricsSection::default(),
            policies: Vec::new(),
            own_instance_types: BTreeMap::new(),
        }
    }
}

impl Default for NetworkSection {
    fn default() -> NetworkSection {
        NetworkSection { prefix: "mallee".to_owned(), metadata_port: 8775 }
    }
}

impl Default for LimitsSection {
    fn default() -> LimitsSection {
        LimitsSection { max_in_flight: 256 }
    }
}

/// Reads a configuration. `file` only names it in faults.
pub fn check(text: &str, file: &str) -> Result<Configuration, Vec<ConfigFault>> {
    let mut configuration: Configuration =
        toml::from_str(text).map_err(|error| vec![ConfigFault::of_toml(file, text, &error)])?;
    if let ([], [first, ..]) = (&configuration.nodes[..], &configuration.groups[..]) {
        let group = first.name.clone();
        configuration.nodes.push(NodeSection { group, ..NodeSection::default() });
    }
    let any = MetaZoneSection::any();
    if configuration.meta_zones.iter().all(|meta| meta.name != any.name) {
        configuration.meta_zones.push(any);
    }
    let faults = consistency::faults(&configuration);
    if faults.is_empty() {
        return Ok(configuration);
    }
    let place = |(path, message): (Vec<position::Step>, String)| ConfigFault {
        file: file.to_owned(),
        line: position::line_of(text, &path),
        message,
        nearest: None,
    };
    Err(faults.into_iter().map(place).collect())
}

impl Configuration {
    /// The stocked types, with the file's own over them.
    pub fn instance_types(&self) -> InstanceTypes {
        let mut types = instance_types::stocked();
        for (name, section) in &self.own_instance_types {
            let base = types.get(name).copied();
            let default = base.unwrap_or(instance_types::BARE);
            types.insert(
                name.clone(),
                Resources {
                    vcpus: section.vcpus.unwrap_or(default.vcpus),
                    memory_mib: section.memory_mib.unwrap_or(default.memory_mib),
                    disk_gib: section.disk_gib.unwrap_or(default.disk_gib),
                },
            );
        }
        InstanceTypes(types)
    }

    /// Every range that guests are reached in from outside.
    pub fn guests_ranges(&self) -> Vec<Cidr> {
        let own = self.groups.iter().map(|group| group.public_addresses);
        own.chain(self.cloud.elastic(&self.groups).range).collect()
    }

    /// The groups whose managers run in this process.
    pub fn groups_here(&self) -> impl Iterator<Item = &GroupSection> {
        let here = self.topology.runs(Role::Group);
        self.groups.iter().filter(move |group| here && !group.elsewhere)
    }

    /// The nodes whose managers run in this process.
    pub fn nodes_here(&self) -> &[NodeSection] {
        if self.topology.runs(Role::Node) { &self.nodes } else { &[] }
    }

    /// What the cloud manager is given.
    pub fn cloud_settings(&self) -> CloudSettings {
        CloudSettings {
            regions: self.cloud.regions(),
            groups: self.groups.iter().map(GroupSection::settings).collect(),
            meta_zones: self.meta_zones.iter().map(|meta| meta.settings(&self.groups)).collect(),
            meta_zones_listed: self.cloud.meta_zones_listed,
            instance_types: self.instance_types(),
            image_id_family: self.cloud.image_id_family,
            terminated_shown: Duration::from_secs(self.cloud.terminated_shown_seconds),
            reach: Reach::default(),
            elastic: self.cloud.elastic(&self.groups),
            sla: self.policies.iter().map(|section| section.policy(&self.groups)).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
