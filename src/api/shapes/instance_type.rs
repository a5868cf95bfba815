//! An instance type as EC2 describes one (`InstanceTypeInfo`), made of its name and its amounts.
//!
//! Complete in the fields that Terraform and Karpenter read without asking whether they are there.
//! What EC2 says of its own hardware and ours cannot promise (bandwidths, clock speeds) is left
//! out, which EC2 allows.

use crate::{
    api::response::Set,
    domain::{
        filter::Described,
        interface::{ADDRESSES_MAX, INTERFACES_MAX},
        resources::Resources,
    },
};
use schemars::JsonSchema;
use serde::Serialize;
use std::borrow::Cow;

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstanceTypeInfo {
    pub instance_type: String,
    current_generation: bool,
    free_tier_eligible: bool,
    supported_usage_classes: Set<&'static str>,
    supported_root_device_types: Set<&'static str>,
    supported_virtualization_types: Set<&'static str>,
    bare_metal: bool,
    hypervisor: &'static str,
    processor_info: ProcessorInfo,
    #[serde(rename = "vCpuInfo")]
    vcpu_info: VcpuInfo,
    memory_info: MemoryInfo,
    instance_storage_supported: bool,
    ebs_info: EbsInfo,
    network_info: NetworkInfo,
    placement_group_info: PlacementGroupInfo,
    hibernation_supported: bool,
    burstable_performance_supported: bool,
    dedicated_hosts_supported: bool,
    auto_recovery_supported: bool,
    supported_boot_modes: Set<&'static str>,
    nitro_enclaves_support: &'static str,
    nitro_tpm_support: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ProcessorInfo {
    supported_architectures: Set<&'static str>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct VcpuInfo {
    #[serde(rename = "defaultVCpus")]
    default_vcpus: u32,
    default_cores: u32,
    default_threads_per_core: u32,
    valid_cores: Set<u32>,
    valid_threads_per_core: Set<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MemoryInfo {
    #[serde(rename = "sizeInMiB")]
    size_in_mib: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EbsInfo {
    ebs_optimized_support: &'static str,
    encryption_support: &'static str,
    nvme_support: &'static str,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct NetworkInfo {
    network_performance: &'static str,
    maximum_network_interfaces: u32,
    maximum_network_cards: u32,
    default_network_card_index: u32,
    network_cards: Set<NetworkCard>,
    ipv4_addresses_per_interface: u32,
    ipv6_addresses_per_interface: u32,
    ipv6_supported: bool,
    ena_support: &'static str,
    efa_supported: bool,
    encryption_in_transit_supported: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct NetworkCard {
    network_card_index: u32,
    network_performance: &'static str,
    maximum_network_interfaces: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PlacementGroupInfo {
    supported_strategies: Set<&'static str>,
}

const UNSUPPORTED: &str = "unsupported";
const NETWORK_PERFORMANCE: &str = "Best effort";

impl InstanceTypeInfo {
    pub fn new(name: &str, amounts: Resources) -> InstanceTypeInfo {
        let family = name.split('.').next().unwrap_or(name);
        InstanceTypeInfo {
            instance_type: name.to_owned(),
            current_generation: is_current(family),
            // Scripts choose a type by this; nothing costs anything here, but they want a small one.
            free_tier_eligible: matches!(name, "t2.micro" | "t3.micro"),
            supported_usage_classes: vec!["on-demand"].into(),
            supported_root_device_types: vec!["ebs"].into(),
            supported_virtualization_types: vec!["hvm"].into(),
            bare_metal: false,
            // EC2 knows two words; Nitro is the one that is KVM.
            hypervisor: "nitro",
            processor_info: ProcessorInfo { supported_architectures: vec!["x86_64"].into() },
            vcpu_info: VcpuInfo {
                default_vcpus: amounts.vcpus,
                default_cores: amounts.vcpus,
                default_threads_per_core: 1,
                valid_cores: vec![amounts.vcpus].into(),
                valid_threads_per_core: vec![1].into(),
            },
            memory_info: MemoryInfo { size_in_mib: amounts.memory_mib },
            instance_storage_supported: false,
            ebs_info: EbsInfo {
                ebs_optimized_support: UNSUPPORTED,
                encryption_support: UNSUPPORTED,
                nvme_support: UNSUPPORTED,
            },
            network_info: network_info(),
            placement_group_info: PlacementGroupInfo { supported_strategies: Set::default() },
            hibernation_supported: false,
            burstable_performance_supported: is_burstable(family),
            dedicated_hosts_supported: false,
            auto_recovery_supported: false,
            supported_boot_modes: vec!["legacy-bios"].into(),
            nitro_enclaves_support: UNSUPPORTED,
            nitro_tpm_support: UNSUPPORTED,
        }
    }
}

fn network_info() -> NetworkInfo {
    let card = NetworkCard {
        network_card_index: 0,
        network_performance: NETWORK_PERFORMANCE,
        maximum_network_interfaces: INTERFACES_MAX,
    };
    NetworkInfo {
        network_performance: NETWORK_PERFORMANCE,
        maximum_network_interfaces: INTERFACES_MAX,
        maximum_network_cards: 1,
        default_network_card_index: 0,
        network_cards: vec![card].into(),
        ipv4_addresses_per_interface: ADDRESSES_MAX as u32,
        ipv6_addresses_per_interface: 0,
        ipv6_supported: false,
        // Guests have virtio.
        ena_support: UNSUPPORTED,
        efa_supported: false,
        encryption_in_transit_supported: false,
    }
}

/// The families that AWS lists as previous generations. Names of the operator's own are current.
fn is_current(family: &str) -> bool {
    const PREVIOUS: [&str; 14] =
        ["t1", "m1", "m2", "m3", "c1", "c3", "cc1", "cc2", "cr1", "g2", "hi1", "hs1", "i2", "r3"];
    !PREVIOUS.contains(&family)
}

/// Clients ask a burstable instance for its credits.
fn is_burstable(family: &str) -> bool {
    let generation = family.strip_prefix('t').unwrap_or_default();
    generation.starts_with(|digit: char| digit.is_ascii_digit())
}

impl Described for InstanceTypeInfo {
    const FILTERS: &'static [&'static str] = &[
        "auto-recovery-supported",
        "bare-metal",
        "burstable-performance-supported",
        "current-generation",
        "dedicated-hosts-supported",
        "ebs-info.ebs-optimized-support",
        "ebs-info.encryption-support",
        "ebs-info.nvme-support",
        "free-tier-eligible",
        "hibernation-supported",
        "hypervisor",
        "instance-storage-info.disk.count",
        "instance-storage-info.disk.size-in-gb",
        "instance-storage-info.disk.type",
        "instance-storage-info.encryption-support",
        "instance-storage-info.nvme-support",
        "instance-storage-info.total-size-in-gb",
        "instance-storage-supported",
        "instance-type",
        "memory-info.size-in-mib",
        "network-info.efa-info.maximum-efa-interfaces",
        "network-info.efa-supported",
        "network-info.ena-support",
        "network-info.encryption-in-transit-supported",
        "network-info.ipv4-addresses-per-interface",
        "network-info.ipv6-addresses-per-interface",
        "network-info.ipv6-supported",
        "network-info.maximum-network-cards",
        "network-info.maximum-network-interfaces",
        "network-info.network-performance",
        "nitro-enclaves-support",
        "nitro-tpm-support",
        "nitro-tpm-info.supported-versions",
        "processor-info.supported-architecture",
        "processor-info.supported-features",
        "processor-info.sustained-clock-speed-in-ghz",
        "supported-boot-mode",
        "supported-root-device-type",
        "supported-usage-class",
        "supported-virtualization-type",
        "vcpu-info.default-cores",
        "vcpu-info.default-threads-per-core",
        "vcpu-info.default-vcpus",
        "vcpu-info.valid-cores",
        "vcpu-info.valid-threads-per-core",
    ];

    fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let words = |set: &Set<&'static str>| set.item.iter().map(|word| (*word).into()).collect();
        let numbers = |set: &Set<u32>| set.item.iter().map(|n| n.to_string().into()).collect();
        let network = &self.network_info;
        let vcpu = &self.vcpu_info;
        Some(match name {
            "auto-recovery-supported" => truth(self.auto_recovery_supported),
            "bare-metal" => truth(self.bare_metal),
            "burstable-performance-supported" => truth(self.burstable_performance_supported),
            "current-generation" => truth(self.current_generation),
            "dedicated-hosts-supported" => truth(self.dedicated_hosts_supported),
            "ebs-info.ebs-optimized-support" => word(self.ebs_info.ebs_optimized_support),
            "ebs-info.encryption-support" => word(self.ebs_info.encryption_support),
            "ebs-info.nvme-support" => word(self.ebs_info.nvme_support),
            "free-tier-eligible" => truth(self.free_tier_eligible),
            "hibernation-supported" => truth(self.hibernation_supported),
            "hypervisor" => word(self.hypervisor),
            "instance-storage-supported" => truth(self.instance_storage_supported),
            "instance-type" => vec![Cow::Borrowed(&self.instance_type)],
            "memory-info.size-in-mib" => number(self.memory_info.size_in_mib),
            "network-info.efa-supported" => truth(network.efa_supported),
            "network-info.ena-support" => word(network.ena_support),
            "network-info.encryption-in-transit-supported" => {
                truth(network.encryption_in_transit_supported)
            }
            "network-info.ipv4-addresses-per-interface" => {
                number(network.ipv4_addresses_per_interface)
            }
            "network-info.ipv6-addresses-per-interface" => {
                number(network.ipv6_addresses_per_interface)
            }
            "network-info.ipv6-supported" => truth(network.ipv6_supported),
            "network-info.maximum-network-cards" => number(network.maximum_network_cards),
            "network-info.maximum-network-interfaces" => number(network.maximum_network_interfaces),
            "network-info.network-performance" => word(network.network_performance),
            "nitro-enclaves-support" => word(self.nitro_enclaves_support),
            "nitro-tpm-support" => word(self.nitro_tpm_support),
            "processor-info.supported-architecture" => {
                words(&self.processor_info.supported_architectures)
            }
            "supported-boot-mode" => words(&self.supported_boot_modes),
            "supported-root-device-type" => words(&self.supported_root_device_types),
            "supported-usage-class" => words(&self.supported_usage_classes),
            "supported-virtualization-type" => words(&self.supported_virtualization_types),
            "vcpu-info.default-cores" => number(vcpu.default_cores),
            "vcpu-info.default-threads-per-core" => number(vcpu.default_threads_per_core),
            "vcpu-info.default-vcpus" => number(vcpu.default_vcpus),
            "vcpu-info.valid-cores" => numbers(&vcpu.valid_cores),
            "vcpu-info.valid-threads-per-core" => numbers(&vcpu.valid_threads_per_core),
            // What our types have nothing of.
            "instance-storage-info.disk.count"
            | "instance-storage-info.disk.size-in-gb"
            | "instance-storage-info.disk.type"
            | "instance-storage-info.encryption-support"
            | "instance-storage-info.nvme-support"
            | "instance-storage-info.total-size-in-gb"
            | "network-info.efa-info.maximum-efa-interfaces"
            | "nitro-tpm-info.supported-versions"
            | "processor-info.supported-features"
            | "processor-info.sustained-clock-speed-in-ghz" => Vec::new(),
            _ => return None,
        })
    }
}

fn truth(fact: bool) -> Vec<Cow<'static, str>> {
    word(if fact { "true" } else { "false" })
}

fn word(fact: &'static str) -> Vec<Cow<'static, str>> {
    vec![Cow::Borrowed(fact)]
}

fn number(fact: impl Into<u64>) -> Vec<Cow<'static, str>> {
    vec![Cow::Owned(fact.into().to_string())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> InstanceTypeInfo {
        InstanceTypeInfo::new(name, Resources { vcpus: 2, memory_mib: 1024, disk_gib: 8 })
    }

    #[test]
    fn every_filter_listed_is_known() {
        let info = named("t3.micro");
        for name in InstanceTypeInfo::FILTERS {
            assert!(info.facts(name).is_some(), "{name}");
        }
        assert_eq!(info.facts("colour"), None);
    }

    #[test]
    fn a_name_tells_whether_a_type_is_burstable_and_whether_it_is_current() {
        let check = |name: &str, burstable, current| {
            let info = named(name);
            assert_eq!(info.burstable_performance_supported, burstable, "{name}");
            assert_eq!(info.current_generation, current, "{name}");
        };
        check("t3.micro", true, true);
        check("t1.micro", true, false);
        check("trn1.2xlarge", false, true);
        check("m1.small", false, false);
        check("m5.large", false, true);
        check("tiny", false, true);
    }
}
