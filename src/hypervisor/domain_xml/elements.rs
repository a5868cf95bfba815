//! A domain definition as structs whose field order is the order of the elements.
//!
//! The choices that are not obvious are explained beside their fields.

use super::{DiskCache, DomainOptions, METADATA_URI, domain_name, domain_uuid};
use crate::{
    domain::interface::NicBackend,
    hypervisor::{Boot, DomainSpec, Nic, accelerator::Accelerator},
};
use serde::Serialize;
use std::path::Path;

/// The definition of one guest.
pub fn definition<'a>(
    spec: &'a DomainSpec,
    accelerator: Accelerator,
    options: &'a DomainOptions,
) -> DomainXml<'a> {
    let uuid = domain_uuid(&options.name_prefix, &spec.instance);
    let tcg = accelerator == Accelerator::Tcg;
    DomainXml {
        kind: if tcg { "qemu" } else { "kvm" },
        qemu: spec.nics.iter().any(is_of_sockets).then_some(QEMU_URI),
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
            interface: spec.nics.iter().filter_map(Interface::of).collect(),
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
        commandline: CommandLine::of(spec, options),
    }
}

#[derive(Serialize)]
#[serde(rename = "domain")]
pub struct DomainXml<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    /// Declared where it is used: libvirt marks a domain that has it.
    #[serde(rename = "@xmlns:qemu", skip_serializing_if = "Option::is_none")]
    qemu: Option<&'static str>,
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
    #[serde(rename = "qemu:commandline", skip_serializing_if = "Option::is_none")]
    commandline: Option<CommandLine>,
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
    fn of(nic: &'a Nic) -> Option<Interface<'a>> {
        let NicBackend::Tap(tap) = &nic.backend else { return None };
        Some(Interface {
            kind: "ethernet",
            mac: Mac { address: nic.mac.to_string() },
            // Not managed: the tap exists already, and what it is connected to is our business.
            target: Tap { dev: tap, managed: "no" },
            model: Model { kind: "virtio" },
        })
    }
}

fn is_of_sockets(nic: &Nic) -> bool {
    matches!(nic.backend, NicBackend::Socket { .. })
}

const QEMU_URI: &str = "http://libvirt.org/schemas/domain/qemu/1.0";

/// What libvirt 9 has no element for: NICs of datagram sockets.
#[derive(Serialize)]
struct CommandLine {
    #[serde(rename = "qemu:arg")]
    arguments: Vec<Argument>,
}

#[derive(Serialize)]
struct Argument {
    #[serde(rename = "@value")]
    value: String,
}

/// Beyond what libvirt gives to its own devices, which it counts from the bottom: so that they come
/// after those in the guest, too.
const FIRST_SLOT: usize = 0x10;

impl CommandLine {
    fn of(spec: &DomainSpec, options: &DomainOptions) -> Option<CommandLine> {
        let bus = if options.machine == "pc" { "pci.0" } else { "pcie.0" };
        let mut arguments = Vec::new();
        for (index, nic) in spec.nics.iter().filter(|nic| is_of_sockets(nic)).enumerate() {
            let NicBackend::Socket { ours, guests } = &nic.backend else { continue };
            let (ours, guests) = (escaped(ours), escaped(guests));
            arguments.push("-netdev".to_owned());
            arguments.push(format!(
                "dgram,id=mallee{index},local.type=unix,local.path={guests},remote.type=unix,\
                 remote.path={ours}"
            ));
            let (mac, slot) = (nic.mac, FIRST_SLOT + index);
            arguments.push("-device".to_owned());
            arguments.push(format!(
                "virtio-net-pci,netdev=mallee{index},mac={mac},bus={bus},addr={slot:#x}"
            ));
        }
        let arguments = arguments.into_iter().map(|value| Argument { value }).collect::<Vec<_>>();
        (!arguments.is_empty()).then_some(CommandLine { arguments })
    }
}

/// QEMU takes a comma for the next option unless it is said twice.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
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
