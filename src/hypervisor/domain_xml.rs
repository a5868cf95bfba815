//! What libvirt is told about a guest: a pure function from a `DomainSpec` to domain XML.
//!
//! Here are the names and the options; `elements` has the XML itself, serialized from structs and
//! never pasted together from strings. Deliberately absent: graphics, USB, sound, a guest agent.

mod elements;

use super::{DomainSpec, accelerator::Accelerator};
use crate::domain::id::InstanceId;
use ring::digest;
use serde::Serialize;
use std::path::PathBuf;

/// The namespace of our element in a domain's `<metadata>`.
pub const METADATA_URI: &str = "urn:mallee:domain:1";

/// What is the same for all guests of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainOptions {
    /// Domains are named `<prefix>-<instance id>`.
    pub name_prefix: String,
    /// QEMU, e.g. `/usr/bin/qemu-system-x86_64`; libvirt's own choice if absent.
    pub emulator: Option<PathBuf>,
    /// QEMU's machine type. `pc` boots a little sooner than `q35`, and disks and NICs can be
    /// plugged in later without root ports having been set aside for them.
    pub machine: String,
    /// A fixed CPU model, for groups of unlike hosts whose guests should all see the same CPU;
    /// without one guests get all the host (KVM) or QEMU (TCG) can offer.
    pub cpu_model: Option<String>,
    pub disk_cache: DiskCache,
    /// TCG's buffer of translated code; QEMU's own default costs 45 MB more per guest.
    pub translation_cache_mib: u32,
}

impl Default for DomainOptions {
    fn default() -> DomainOptions {
        DomainOptions {
            name_prefix: "mallee".to_owned(),
            emulator: None,
            machine: if cfg!(target_arch = "aarch64") { "virt" } else { "pc" }.to_owned(),
            cpu_model: None,
            disk_cache: DiskCache::Writeback,
            translation_cache_mib: 32,
        }
    }
}

/// How a guest's writes reach the disk. `unsafe` is not offered: it ignores the guest's flushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskCache {
    /// Through the host's page cache; durable when the guest flushes.
    Writeback,
    /// Past the host's page cache, where the file system can do that.
    None,
    /// Every write is durable at once.
    Writethrough,
}

/// `<prefix>-<instance id>`.
pub fn domain_name(prefix: &str, instance: &InstanceId) -> String {
    format!("{prefix}-{instance}")
}

/// The instance a domain of this name would belong to, if it is one of ours.
pub fn instance_of(prefix: &str, domain_name: &str) -> Option<InstanceId> {
    domain_name.strip_prefix(prefix)?.strip_prefix('-')?.parse().ok()
}

/// A domain's UUID: the same for the same name, different for different ones, and starting with
/// `ec2`, which is how cloud-init's `ds-identify` recognizes an EC2 guest.
pub fn domain_uuid(prefix: &str, instance: &InstanceId) -> String {
    let name = domain_name(prefix, instance);
    let hash = digest::digest(&digest::SHA256, name.as_bytes());
    let mut hex: Vec<u8> = hash.as_ref()[..16]
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| b"0123456789abcdef"[usize::from(digit)])
        .collect();
    hex[..3].copy_from_slice(b"ec2");
    hex[12] = b'8'; // RFC 9562: a UUID made in a way of our own,
    hex[16] = b'8'; // in that RFC's variant.
    let text: String = hex.into_iter().map(char::from).collect();
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

/// The whole definition.
pub fn domain_xml(
    spec: &DomainSpec,
    accelerator: Accelerator,
    options: &DomainOptions,
) -> Result<String, quick_xml::SeError> {
    let mut xml = String::new();
    let mut serializer = quick_xml::se::Serializer::new(&mut xml);
    serializer.indent(' ', 2);
    elements::definition(spec, accelerator, options).serialize(serializer)?;
    Ok(xml)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::interface::NicBackend,
        hypervisor::{Boot, Nic},
    };
    use std::path::Path;

    fn spec() -> DomainSpec {
        let directory = Path::new("/var/lib/mallee/i-0123456789abcdef0");
        DomainSpec {
            instance: "i-0123456789abcdef0".parse().unwrap(),
            vcpus: 2,
            memory_mib: 256,
            boot: Boot::Disk,
            root_disk: directory.join("root.qcow2"),
            nics: vec![Nic {
                mac: "d0:0d:0a:00:00:05".parse().unwrap(),
                backend: NicBackend::Tap("mtap5".into()),
            }],
            console_log: directory.join("console.log"),
            console_socket: directory.join("console.sock"),
        }
    }

    fn check(spec: &DomainSpec, accelerator: Accelerator, options: &DomainOptions, golden: &str) {
        let xml = domain_xml(spec, accelerator, options).unwrap();
        assert_eq!(xml.trim(), golden.trim(), "got:\n{xml}");
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_guest_that_boots_from_its_disk_under_tcg() {
        let golden = include_str!("domain_xml/disk_tcg.xml");
        check(&spec(), Accelerator::Tcg, &DomainOptions::default(), golden);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_guest_that_boots_from_a_kernel_under_kvm_with_a_fixed_cpu() {
        let spec = DomainSpec {
            boot: Boot::Kernel {
                kernel: "/cache/vmlinuz".into(),
                ramdisk: Some("/cache/initrd.gz".into()),
                command_line: "console=ttyS0 root=/dev/vda text=\"<a & b>\"".into(),
            },
            nics: vec![],
            ..spec()
        };
        let options = DomainOptions {
            name_prefix: "other".into(),
            emulator: Some("/usr/bin/qemu-system-x86_64".into()),
            machine: "q35".into(),
            cpu_model: Some("Haswell-noTSX".into()),
            disk_cache: DiskCache::None,
            ..DomainOptions::default()
        };
        check(&spec, Accelerator::Kvm, &options, include_str!("domain_xml/kernel_kvm.xml"));
    }

    #[test]
    fn a_nic_of_sockets_comes_after_those_of_taps_and_needs_no_device_of_the_host() {
        let mut spec = spec();
        let nic = |path: &str| Nic {
            mac: "0a:01:0a:d5:00:05".parse().unwrap(),
            backend: NicBackend::Socket {
                ours: format!("/run/{path}.ours").into(),
                guests: format!("/run/{path},x.guests").into(),
            },
        };
        spec.nics.push(nic("a"));
        spec.nics.push(nic("b"));
        let xml = domain_xml(&spec, Accelerator::Tcg, &DomainOptions::default()).unwrap();
        let arguments: Vec<&str> = xml
            .lines()
            .filter_map(|line| line.trim().strip_prefix("<qemu:arg value=\"")?.strip_suffix("\"/>"))
            .collect();
        assert_eq!(
            arguments,
            [
                "-netdev",
                "dgram,id=mallee0,local.type=unix,local.path=/run/a,,x.guests,remote.type=unix,\
                 remote.path=/run/a.ours",
                "-device",
                "virtio-net-pci,netdev=mallee0,mac=0a:01:0a:d5:00:05,bus=pci.0,addr=0x10",
                "-netdev",
                "dgram,id=mallee1,local.type=unix,local.path=/run/b,,x.guests,remote.type=unix,\
                 remote.path=/run/b.ours",
                "-device",
                "virtio-net-pci,netdev=mallee1,mac=0a:01:0a:d5:00:05,bus=pci.0,addr=0x11",
            ]
        );
        assert!(xml.contains("xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\""));
        assert_eq!(xml.matches("<interface ").count(), 1);
    }

    #[test]
    fn a_uuid_is_stable_and_marks_an_ec2_guest() {
        let spec = spec();
        let uuid = domain_uuid("mallee", &spec.instance);
        assert!(uuid.starts_with("ec2") && uuid.len() == 36, "{uuid}");
        assert_eq!(uuid, domain_uuid("mallee", &spec.instance));
        assert_ne!(uuid, domain_uuid("other", &spec.instance));
        assert_ne!(uuid, domain_uuid("mallee", &"i-0123456789abcdef1".parse().unwrap()));
    }

    #[test]
    fn only_names_with_our_prefix_and_an_instance_id_are_ours() {
        let id: InstanceId = "i-12345678".parse().unwrap();
        assert_eq!(instance_of("mallee", &domain_name("mallee", &id)), Some(id));
        for foreign in
            ["i-12345678", "mallee", "mallee-", "mallee-web", "malleei-12345678", "x-i-12345678"]
        {
            assert_eq!(instance_of("mallee", foreign), None, "{foreign}");
        }
    }
}
