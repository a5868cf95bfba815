//! A `[[node]]`: a host that runs guests, and how.

use crate::domain::id::{GroupName, NodeName};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeSection {
    pub name: NodeName,
    pub group: GroupName,
    pub hypervisor: HypervisorChoice,
    /// `None`: chosen from what the host has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub libvirt_uri: Option<String>,
    /// How many vcpus guests may be given for each core of the host: they share the cores.
    pub vcpus_per_core: u32,
    /// What guests may have of the host; `None` is all there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_gib: Option<u64>,
    pub image_cache_gib: u64,
    /// What guests are told to resolve names with; `None` is what the host uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Vec<Ipv4Addr>>,
    pub simulated: SimulatedSection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HypervisorChoice {
    /// KVM where it was measured to work, TCG elsewhere.
    #[default]
    Auto,
    Kvm,
    Tcg,
    /// No guests at all: the cloud's books without its machines.
    Simulated,
}

/// How simulated guests behave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimulatedSection {
    /// The same seed, the same delays and failures.
    pub seed: u64,
    /// A start takes a time between these two.
    pub start_delay_ms: [u64; 2],
    /// The share of starts that fail, from 0 to 1.
    pub failure_rate: f64,
}

impl Default for NodeSection {
    fn default() -> NodeSection {
        NodeSection {
            name: "laptop".parse().expect("this is a well-formed node's name"),
            group: "laptop".parse().expect("this is a well-formed group's name"),
            hypervisor: HypervisorChoice::Auto,
            libvirt_uri: None,
            vcpus_per_core: 4,
            vcpus: None,
            memory_mib: None,
            disk_gib: None,
            image_cache_gib: 20,
            dns: None,
            simulated: SimulatedSection::default(),
        }
    }
}

impl Default for SimulatedSection {
    fn default() -> SimulatedSection {
        SimulatedSection { seed: 0, start_delay_ms: [50, 200], failure_rate: 0.0 }
    }
}

impl NodeSection {
    /// The name servers to tell guests of, given the host's `resolv.conf`.
    pub fn dns(&self, resolv_conf: &str) -> Vec<Ipv4Addr> {
        self.dns.clone().unwrap_or_else(|| nameservers(resolv_conf))
    }
}

/// The IPv4 name servers of a `resolv.conf` that a guest could reach too, so none on loopback:
/// those are the host's own (systemd-resolved, dnsmasq) and answer nobody else.
pub fn nameservers(resolv_conf: &str) -> Vec<Ipv4Addr> {
    let addresses = resolv_conf.lines().filter_map(|line| {
        let address = line.trim_start().strip_prefix("nameserver")?;
        address.split_whitespace().next()?.parse::<Ipv4Addr>().ok()
    });
    addresses.filter(|address| !address.is_loopback() && !address.is_unspecified()).collect()
}
