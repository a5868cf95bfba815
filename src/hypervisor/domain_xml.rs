//! What libvirt is told about a guest: a pure function from a `DomainSpec` to domain XML.
//!
//! Serialized from the structs below, whose field order is the order of the elements; nothing is
//! pasted together from strings. The choices that are not obvious are explained beside their
//! fields. Deliberately absent: graphics, USB, sound, a guest agent.

use super::{Boot, DomainSpec, accelerator::Accelerator};
use crate::domain::id::InstanceId;
use ring::digest;
use serde::Serialize;
use std::path::{Path, PathBuf};

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
    definition(spec, accelerator, options).serialize(serializer)?;
    Ok(xml)
}

fn definition<'a>(
    spec: &'a DomainSpec,
    accelerator: Accelerator,
    options: &'a DomainOptions,
) -> DomainXml<'a> {
    let uuid = domain_uuid(&options.name_prefix, &spec.instance);
    let tcg = accelerator == Accelerator::Tcg;
    DomainXml {
        kind: if tcg { "qemu" } else { "kvm" },
        name: domain_name(&options.name_prefix, &spec.instance),
        metadata: Metadata {
            instance: Instance { ns: METADATA_URI, id: spec.instance.to_string() },
        },
        memory: Memory { unit: "MiB", size: spec.memory_mib },
        vcpu: spec.vcpus,
        sysinfo: Sysinfo {
            kind: "smbios",
            system: System {
                entries: [
                    Entry { name: "manufacturer", value: "Mallee".to_owned() },
                    Entry { name: "product", value: "Mallee EC2".to_owned() },
                    Entry { name: "serial", value: uuid.clone() },
                    Entry { name: "uuid", value: uuid.clone() },
                ],
            },
        },
        uuid,
        os: Os::new(spec, options),
        features: Features {
            acpi: Empty,
            tcg: tcg.then(|| Tcg {
                tb_cache: Memory { unit: "MiB", size: options.translation_cache_mib.into() },
            }),
        },
        cpu: Cpu::new(accelerator, options.cpu_model.as_deref()),
        clock: Clock { offset: "utc" },
        on_poweroff: "destroy",
        on_reboot: "restart",
        on_crash: "destroy",
        devices: Devices {
            emulator: options.emulator.as_deref(),
            disk: Disk::new(&spec.root_disk, options.disk_cache),
            interface: spec
                .nics
                .iter()
                .map(|nic| Interface::new(nic.mac.to_string(), &nic.tap))
                .collect(),
            serial: Serial {
                kind: "unix",
                source: SocketSource { mode: "bind", path: &spec.console_socket },
                log: LogFile { file: &spec.console_log, append: "on" },
                target: Target { port: 0 },
            },
            controller: Controller { kind: "usb", model: "none" },
            memballoon: Balloon { model: "virtio", stats: Stats { period_seconds: 10 } },
            rng: Rng {
                model: "virtio",
                backend: Backend { model: "random", path: "/dev/urandom" },
            },
        },
    }
}

#[derive(Serialize)]
#[serde(rename = "domain")]
struct DomainXml<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    name: String,
    uuid: String,
    metadata: Metadata,
    memory: Memory,
    vcpu: u32,
    sysinfo: Sysinfo,
    os: Os<'a>,
    features: Features,
    cpu: Cpu<'a>,
    clock: Clock,
    /// A guest that powers itself off stays defined until it is removed.
    on_poweroff: &'static str,
    /// A guest's own `reboot` keeps the domain and is not reported as off.
    on_reboot: &'static str,
    on_crash: &'static str,
    devices: Devices<'a>,
}

#[derive(Serialize)]
struct Metadata {
    #[serde(rename = "mallee:instance")]
    instance: Instance,
}

#[derive(Serialize)]
struct Instance {
    #[serde(rename = "@xmlns:mallee")]
    ns: &'static str,
    #[serde(rename = "@id")]
    id: String,
}

#[derive(Serialize)]
struct Memory {
    #[serde(rename = "@unit")]
    unit: &'static str,
    #[serde(rename = "$text")]
    size: u64,
}

#[derive(Serialize)]
struct Sysinfo {
    #[serde(rename = "@type")]
    kind: &'static str,
    system: System,
}

#[derive(Serialize)]
struct System {
    #[serde(rename = "entry")]
    entries: [Entry; 4],
}

#[derive(Serialize)]
struct Entry {
    #[serde(rename = "@name")]
    name: &'static str,
    #[serde(rename = "$text")]
    value: String,
}

#[derive(Serialize)]
struct Os<'a> {
    #[serde(rename = "type")]
    kind: OsType<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    initrd: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cmdline: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boot: Option<BootDevice>,
    smbios: Smbios,
}

impl<'a> Os<'a> {
    fn new(spec: &'a DomainSpec, options: &'a DomainOptions) -> Os<'a> {
        let kind = OsType { arch: std::env::consts::ARCH, machine: &options.machine, os: "hvm" };
        let smbios = Smbios { mode: "sysinfo" };
        match &spec.boot {
            Boot::Disk => Os {
                kind,
                kernel: None,
                initrd: None,
                cmdline: None,
                boot: Some(BootDevice { dev: "hd" }),
                smbios,
            },
            Boot::Kernel { kernel, ramdisk, command_line } => Os {
                kind,
                kernel: Some(kernel),
                initrd: ramdisk.as_deref(),
                cmdline: Some(command_line),
                boot: None,
                smbios,
            },
        }
    }
}

#[derive(Serialize)]
struct OsType<'a> {
    #[serde(rename = "@arch")]
    arch: &'static str,
    #[serde(rename = "@machine")]
    machine: &'a str,
    #[serde(rename = "$text")]
    os: &'static str,
}

#[derive(Serialize)]
struct BootDevice {
    #[serde(rename = "@dev")]
    dev: &'static str,
}

#[derive(Serialize)]
struct Smbios {
    #[serde(rename = "@mode")]
    mode: &'static str,
}

#[derive(Serialize)]
struct Empty;

#[derive(Serialize)]
struct Features {
    /// Without it there is no power button.
    acpi: Empty,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcg: Option<Tcg>,
}

#[derive(Serialize)]
struct Tcg {
    #[serde(rename = "tb-cache")]
    tb_cache: Memory,
}

#[derive(Serialize)]
struct Cpu<'a> {
    #[serde(rename = "@mode")]
    mode: &'static str,
    #[serde(rename = "@match", skip_serializing_if = "Option::is_none")]
    matching: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
}

impl<'a> Cpu<'a> {
    fn new(accelerator: Accelerator, model: Option<&'a str>) -> Cpu<'a> {
        match (model, accelerator) {
            // `exact`: a host that cannot offer the model refuses the guest, so that uniform means
            // uniform.
            (Some(model), _) => Cpu { mode: "custom", matching: Some("exact"), model: Some(model) },
            (None, Accelerator::Kvm) => {
                Cpu { mode: "host-passthrough", matching: None, model: None }
            }
            (None, Accelerator::Tcg) => Cpu { mode: "maximum", matching: None, model: None },
        }
    }
}

#[derive(Serialize)]
struct Clock {
    #[serde(rename = "@offset")]
    offset: &'static str,
}

#[derive(Serialize)]
struct Devices<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    emulator: Option<&'a Path>,
    disk: Disk<'a>,
    interface: Vec<Interface<'a>>,
    serial: Serial<'a>,
    controller: Controller,
    memballoon: Balloon,
    /// A guest without a source of randomness stalls for half a minute while booting.
    rng: Rng,
}

#[derive(Serialize)]
struct Disk<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@device")]
    device: &'static str,
    driver: DiskDriver,
    source: FileSource<'a>,
    target: DiskTarget,
}

impl<'a> Disk<'a> {
    fn new(file: &'a Path, cache: DiskCache) -> Disk<'a> {
        let cache = match cache {
            DiskCache::Writeback => "writeback",
            DiskCache::None => "none",
            DiskCache::Writethrough => "writethrough",
        };
        Disk {
            kind: "file",
            device: "disk",
            // With `discard` what a guest deletes and trims is given back to the host.
            driver: DiskDriver { name: "qemu", kind: "qcow2", cache, discard: "unmap" },
            source: FileSource { file },
            // The guest's name for it; `/dev/sda1` is only what EC2's API calls a root device.
            target: DiskTarget { dev: "vda", bus: "virtio" },
        }
    }
}

#[derive(Serialize)]
struct DiskDriver {
    #[serde(rename = "@name")]
    name: &'static str,
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@cache")]
    cache: &'static str,
    #[serde(rename = "@discard")]
    discard: &'static str,
}

#[derive(Serialize)]
struct FileSource<'a> {
    #[serde(rename = "@file")]
    file: &'a Path,
}

#[derive(Serialize)]
struct DiskTarget {
    #[serde(rename = "@dev")]
    dev: &'static str,
    #[serde(rename = "@bus")]
    bus: &'static str,
}

#[derive(Serialize)]
struct Interface<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    mac: Mac,
    target: Tap<'a>,
    model: Model,
}

impl<'a> Interface<'a> {
    fn new(address: String, tap: &'a str) -> Interface<'a> {
        Interface {
            kind: "ethernet",
            mac: Mac { address },
            // Not managed: the tap exists already, and what it is connected to is our business.
            target: Tap { dev: tap, managed: "no" },
            model: Model { kind: "virtio" },
        }
    }
}

#[derive(Serialize)]
struct Mac {
    #[serde(rename = "@address")]
    address: String,
}

#[derive(Serialize)]
struct Tap<'a> {
    #[serde(rename = "@dev")]
    dev: &'a str,
    #[serde(rename = "@managed")]
    managed: &'static str,
}

#[derive(Serialize)]
struct Model {
    #[serde(rename = "@type")]
    kind: &'static str,
}

/// One port: a socket for whoever wants to type, and a log that is written in any case.
#[derive(Serialize)]
struct Serial<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    source: SocketSource<'a>,
    log: LogFile<'a>,
    target: Target,
}

#[derive(Serialize)]
struct SocketSource<'a> {
    #[serde(rename = "@mode")]
    mode: &'static str,
    #[serde(rename = "@path")]
    path: &'a Path,
}

#[derive(Serialize)]
struct LogFile<'a> {
    #[serde(rename = "@file")]
    file: &'a Path,
    #[serde(rename = "@append")]
    append: &'static str,
}

#[derive(Serialize)]
struct Target {
    #[serde(rename = "@port")]
    port: u32,
}

#[derive(Serialize)]
struct Controller {
    #[serde(rename = "@type")]
    kind: &'static str,
    #[serde(rename = "@model")]
    model: &'static str,
}

#[derive(Serialize)]
struct Balloon {
    #[serde(rename = "@model")]
    model: &'static str,
    stats: Stats,
}

#[derive(Serialize)]
struct Stats {
    #[serde(rename = "@period")]
    period_seconds: u32,
}

#[derive(Serialize)]
struct Rng {
    #[serde(rename = "@model")]
    model: &'static str,
    backend: Backend,
}

#[derive(Serialize)]
struct Backend {
    #[serde(rename = "@model")]
    model: &'static str,
    #[serde(rename = "$text")]
    path: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::Nic;

    fn spec() -> DomainSpec {
        let directory = Path::new("/var/lib/mallee/i-0123456789abcdef0");
        DomainSpec {
            instance: "i-0123456789abcdef0".parse().unwrap(),
            vcpus: 2,
            memory_mib: 256,
            boot: Boot::Disk,
            root_disk: directory.join("root.qcow2"),
            nics: vec![Nic { mac: "d0:0d:0a:00:00:05".parse().unwrap(), tap: "mtap5".into() }],
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
