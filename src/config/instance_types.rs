//! Instance types: those every cloud is stocked with, and the file's own over them.
//!
//! Familiar names with the sizes AWS documents, except that root disks are small, and that the
//! first generation has the sizes it had in Eucalyptus: it is what the default type comes from,
//! and a laptop holds many of them.

use crate::domain::resources::Resources;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A type of the file's own, or a change of a stocked one; what it leaves out stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InstanceTypeSection {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_gib: Option<u64>,
}

/// What a new type has before its section is applied. Processors and memory must be given.
pub const BARE: Resources = Resources { vcpus: 0, memory_mib: 0, disk_gib: 8 };

/// Name, virtual processors, memory in MiB.
type Size = (&'static str, u32, u64);

/// The sizes that general-purpose families share from `large` on.
const LARGE: [Size; 3] = [("large", 2, 8192), ("xlarge", 4, 16384), ("2xlarge", 8, 32768)];
const FAMILIES: [(&str, &[Size]); 8] = [
    ("t2", &[("nano", 1, 512), ("micro", 1, 1024), ("small", 1, 2048), ("medium", 2, 4096)]),
    ("t3", &[("nano", 2, 512), ("micro", 2, 1024), ("small", 2, 2048), ("medium", 2, 4096)]),
    ("t3a", &[("nano", 2, 512), ("micro", 2, 1024), ("small", 2, 2048), ("medium", 2, 4096)]),
    ("m4", &[]),
    ("m5", &[]),
    ("c4", &[("large", 2, 3840), ("xlarge", 4, 7680), ("2xlarge", 8, 15360)]),
    ("c5", &[("large", 2, 4096), ("xlarge", 4, 8192), ("2xlarge", 8, 16384)]),
    ("r5", &[("large", 2, 16384), ("xlarge", 4, 32768), ("2xlarge", 8, 65536)]),
];
const SINGLE: [(&str, Resources); 7] = [
    ("c1.medium", Resources { vcpus: 2, memory_mib: 128, disk_gib: 10 }),
    ("c1.xlarge", Resources { vcpus: 4, memory_mib: 2048, disk_gib: 10 }),
    ("m1.large", Resources { vcpus: 2, memory_mib: 512, disk_gib: 10 }),
    ("m1.small", Resources { vcpus: 1, memory_mib: 128, disk_gib: 2 }),
    ("m1.xlarge", Resources { vcpus: 2, memory_mib: 1024, disk_gib: 10 }),
    ("mallee.tiny", Resources { vcpus: 1, memory_mib: 96, disk_gib: 1 }),
    ("t1.micro", Resources { vcpus: 1, memory_mib: 627, disk_gib: 8 }),
];

pub fn stocked() -> BTreeMap<String, Resources> {
    let mut types: BTreeMap<String, Resources> =
        SINGLE.map(|(name, resources)| (name.to_owned(), resources)).into();
    for (family, sizes) in FAMILIES {
        let sizes_of_all =
            if sizes.iter().any(|size| size.0 == "large") { &[][..] } else { &LARGE };
        for &(size, vcpus, memory_mib) in sizes.iter().chain(sizes_of_all) {
            types.insert(format!("{family}.{size}"), Resources { vcpus, memory_mib, ..BARE });
        }
    }
    types
}

#[cfg(test)]
mod tests {
    use super::stocked;

    #[test]
    fn familiar_names_have_familiar_sizes() {
        let types = stocked();
        let size = |name: &str| (types[name].vcpus, types[name].memory_mib, types[name].disk_gib);
        assert_eq!(size("t3.micro"), (2, 1024, 8));
        assert_eq!(size("t2.xlarge"), (4, 16384, 8));
        assert_eq!(size("m5.2xlarge"), (8, 32768, 8));
        assert_eq!(size("c4.large"), (2, 3840, 8));
        assert_eq!(size("m1.small"), (1, 128, 2));
        assert!(!types.contains_key("m5.nano"));
        assert_eq!(types.len(), 7 + 3 * 7 + 5 * 3);
    }
}
