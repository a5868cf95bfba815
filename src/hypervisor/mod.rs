//! Running guests: one trait, two drivers, one conformance suite.
//!
//! Calls block and belong on threads made for blocking. Guests outlive the process that started
//! them. Domains that are not ours are listed, and never touched.

pub mod accelerator;
#[cfg(test)]
mod conformance;
pub mod console_tail;
pub mod domain_xml;
pub mod libvirt;
pub mod reaper;
pub mod simulated;

use crate::domain::{
    id::InstanceId,
    interface::{MacAddress, NicBackend},
    resources::Resources,
};
use console_tail::ConsoleTail;
use std::{
    fmt::Debug,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// How a guest starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// From the root disk's own boot sector.
    Disk,
    /// Straight into a kernel (`eki`), with a ramdisk (`eri`) if there is one.
    Kernel { kernel: PathBuf, ramdisk: Option<PathBuf>, command_line: String },
}

/// A NIC whose place on the host already exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    pub mac: MacAddress,
    pub backend: NicBackend,
}

/// Everything a driver needs to start a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainSpec {
    pub instance: InstanceId,
    pub vcpus: u32,
    pub memory_mib: u64,
    pub boot: Boot,
    /// A qcow2 file.
    pub root_disk: PathBuf,
    /// In the order the guest sees them.
    pub nics: Vec<Nic>,
    /// The serial port's output is appended here.
    pub console_log: PathBuf,
    /// A socket on which the serial port can be read and written, for `mallee console`.
    pub console_socket: PathBuf,
}

/// What a domain is doing, in libvirt's words reduced to those a cloud acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainState {
    Running,
    /// Exists and executes nothing, e.g. paused on an I/O error.
    Paused,
    Off,
}

/// Whose domain it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    Ours(InstanceId),
    /// Started outside this cloud: counted, reported, never touched.
    Foreign {
        name: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    pub ownership: Ownership,
    pub state: DomainState,
    pub vcpus: u32,
    pub memory_mib: u64,
}

/// Why a guest went off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffReason {
    /// The guest switched itself off (ACPI, `poweroff`).
    Shutdown,
    /// Somebody destroyed it, or its process was killed.
    Destroyed,
    Crashed,
    /// The emulator could not go on.
    Failed,
}

/// Something that happened to a domain of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainEvent {
    Started(InstanceId),
    Off(InstanceId, OffReason),
    /// The connection to the hypervisor ended; what is running is unknown until it is back.
    Disconnected,
    Reconnected,
}

/// Called from a driver's own thread; must not block.
pub type EventSink = Arc<dyn Fn(DomainEvent) + Send + Sync>;

/// What the host offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// Cores and memory of the host; the disk figure is the caller's business.
    pub resources: Resources,
    /// e.g. `libvirt 9.0.0 (embedded), QEMU 7.2.22, TCG: as configured`.
    pub description: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HypervisorFault {
    #[error("no domain of instance `{0}`")]
    NoSuchDomain(InstanceId),
    #[error("instance `{0}` has a domain already")]
    AlreadyExists(InstanceId),
    #[error("the domain of instance `{0}` is not running")]
    NotRunning(InstanceId),
    #[error("the hypervisor refused: {0}")]
    Refused(String),
    #[error("the hypervisor cannot be reached: {0}")]
    Unreachable(String),
}

/// A hypervisor that runs one host's guests. A domain exists from `start` until `remove`, running
/// or off.
pub trait Hypervisor: Debug + Send + Sync {
    fn host(&self) -> Result<HostFacts, HypervisorFault>;

    /// Defines and starts the guest. Succeeds only when it executes.
    fn start(&self, domain: &DomainSpec) -> Result<(), HypervisorFault>;

    /// Asks the guest to power off (ACPI) and returns at once; an `Off` event tells when it did.
    fn shut_down(&self, instance: &InstanceId) -> Result<(), HypervisorFault>;

    /// Takes the power away. A domain that is off already is no error.
    fn power_off(&self, instance: &InstanceId) -> Result<(), HypervisorFault>;

    /// Restarts the guest within the same domain: asks it first (ACPI is not answered by every
    /// guest), resets it if it does not.
    fn reboot(&self, instance: &InstanceId) -> Result<(), HypervisorFault>;

    /// Forgets a domain, taking its power away first. One that is gone already is no error.
    fn remove(&self, instance: &InstanceId) -> Result<(), HypervisorFault>;

    /// Every domain on the host, ours and foreign.
    fn domains(&self) -> Result<Vec<Domain>, HypervisorFault>;

    /// The end of what the guest has printed, whose log is where its `DomainSpec` said.
    fn console(&self, _: &InstanceId, log: &Path, limit: usize) -> io::Result<ConsoleTail> {
        ConsoleTail::read(log, limit)
    }
}
