//! Guests through libvirt: QEMU with KVM or TCG.
//!
//! A guest is a persistent domain named `<prefix>-<instance id>`, defined and started in one go
//! and undefined when it is removed, so that it survives our end, is found again by name, and
//! leaves nothing behind. A domain counts as ours if its name, the UUID derived from the name, and
//! the element in its metadata all say so; every other is listed as foreign and never touched.
//!
//! **Reboot.** libvirt presses the power button; a guest that answers by powering off is reset by
//! libvirt instead of ended. One that has not done so within `reboot_patience` is reset by us:
//! EC2 promises a hard reboot after four minutes. The waiting is done by a thread of this process:
//! if we end meanwhile, a guest without ACPI keeps running unrebooted. A guest that reboots itself
//! stays on throughout.

mod events;
mod half_started;
mod link;
pub mod loader;
pub mod mode;

use super::{
    Domain, DomainSpec, DomainState, EventSink, HostFacts, Hypervisor, HypervisorFault, Ownership,
    accelerator::{Accelerator, Choice},
    domain_xml::{self, DomainOptions, METADATA_URI},
};
use crate::domain::{id::InstanceId, resources::Resources};
use events::Watch;
use link::Link;
use mode::Mode;
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};
use virt::{domain::Domain as VirtDomain, error::ErrorNumber, sys};

/// How long a domain whose destruction libvirt could not finish may take to be gone.
const DESTROY_LIMIT: Duration = Duration::from_secs(10);
const DESTROY_LOOK: Duration = Duration::from_millis(20);

/// What is the same for all guests of one driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibvirtOptions {
    pub accelerator: Choice,
    pub domain: DomainOptions,
    /// How long a guest may take to answer the power button before a reboot becomes a reset.
    pub reboot_patience: Duration,
}

impl LibvirtOptions {
    pub fn new(accelerator: Choice) -> LibvirtOptions {
        LibvirtOptions {
            accelerator,
            domain: DomainOptions::default(),
            reboot_patience: Duration::from_secs(240),
        }
    }
}

/// Lets libvirt write its own log to a file and not on stderr, where it chats while it opens.
///
/// libvirt takes this from the environment only, and the environment must not be changed beside
/// other threads: call this in `main`, before any is started. A setting of the operator's is
/// left alone.
pub fn send_log_to(file: &Path) -> Result<(), HypervisorFault> {
    const OUTPUTS: &str = "LIBVIRT_LOG_OUTPUTS";
    if std::env::var_os(OUTPUTS).is_some() {
        return Ok(());
    }
    if !super::reaper::single_threaded() {
        let text = "libvirt's log can be redirected only before threads are started";
        return Err(HypervisorFault::Refused(text.to_owned()));
    }
    // 3: warnings and worse.
    let outputs = format!("3:file:{}", file.display());
    // SAFETY: there is no other thread that could be reading the environment.
    unsafe { std::env::set_var(OUTPUTS, outputs) };
    Ok(())
}

#[derive(Debug)]
pub struct LibvirtHypervisor {
    options: LibvirtOptions,
    link: Arc<Link>,
    watch: Arc<Watch>,
    /// Where an embedded libvirt keeps a log for every domain. A daemon's are the host's affair.
    domain_logs: Option<PathBuf>,
    /// Instances whose `start` is under way: defining twice would redefine, not refuse.
    starting: Mutex<BTreeSet<InstanceId>>,
}

impl LibvirtHypervisor {
    /// Opens the first of the modes that works (see `mode::candidates`).
    pub fn open(
        modes: &[Mode],
        options: LibvirtOptions,
        sink: EventSink,
    ) -> Result<LibvirtHypervisor, HypervisorFault> {
        events::start().map_err(HypervisorFault::Unreachable)?;
        let mut failures = Vec::new();
        for mode in modes {
            match Self::open_one(mode, options.clone(), Arc::clone(&sink)) {
                Ok(hypervisor) => {
                    for failure in failures {
                        log::warn!("using `{mode}`, because {failure}");
                    }
                    return Ok(hypervisor);
                }
                Err(failure) => failures.push(failure.to_string()),
            }
        }
        Err(HypervisorFault::Unreachable(failures.join("; ")))
    }

    fn open_one(
        mode: &Mode,
        options: LibvirtOptions,
        sink: EventSink,
    ) -> Result<LibvirtHypervisor, HypervisorFault> {
        let mut domain_logs = None;
        if let Mode::Embed { root } = mode {
            let unusable = |error: io::Error| {
                HypervisorFault::Unreachable(format!("`{}`: {error}", root.display()))
            };
            mode::prepare_embed(root).map_err(unusable)?;
            for domain in half_started::end(&root.join("run/qemu")).map_err(unusable)? {
                log::info!("`{domain}` was being started when this cloud was killed: it is ended");
            }
            domain_logs = Some(root.join("log/qemu"));
        }
        let (closed, told) = mpsc::channel();
        let watch = Arc::new(Watch {
            name_prefix: options.domain.name_prefix.clone(),
            sink,
            reboots: Mutex::default(),
            closed,
        });
        let link = Link::open(mode.clone(), Arc::clone(&watch), told)?;
        let starting = Mutex::default();
        let hypervisor = LibvirtHypervisor { options, link, watch, domain_logs, starting };
        hypervisor.learn_capabilities()?;
        Ok(hypervisor)
    }

    /// Makes libvirt examine QEMU now (a second or so the first time) and not at the first guest,
    /// and finds out here if QEMU is missing or lacks the machine type.
    fn learn_capabilities(&self) -> Result<(), HypervisorFault> {
        let options = &self.options.domain;
        let kind = match self.options.accelerator.accelerator {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "qemu",
        };
        let emulator = options.emulator.as_ref().map(|path| path.to_string_lossy());
        let machine = Some(options.machine.as_str());
        self.link
            .connect()?
            .get_domain_capabilities(
                emulator.as_deref(),
                Some(std::env::consts::ARCH),
                machine,
                Some(kind),
                0,
            )
            .map(drop)
            .map_err(refused)
    }

    /// The domain of an instance, or nothing. A domain that only bears its name is refused.
    fn find(&self, instance: &InstanceId) -> Result<Option<VirtDomain>, HypervisorFault> {
        let connect = self.link.connect()?;
        let prefix = &self.options.domain.name_prefix;
        let name = domain_xml::domain_name(prefix, instance);
        let domain = match VirtDomain::lookup_by_name(&connect, &name) {
            Ok(domain) => domain,
            Err(error) if error.code() == ErrorNumber::NoDomain => return Ok(None),
            Err(error) => return Err(refused(error)),
        };
        if domain.get_uuid_string().map_err(refused)? != domain_xml::domain_uuid(prefix, instance) {
            let text = format!("a domain `{name}` exists that this cloud did not make");
            return Err(HypervisorFault::Refused(text));
        }
        Ok(Some(domain))
    }

    fn existing(&self, instance: &InstanceId) -> Result<VirtDomain, HypervisorFault> {
        self.find(instance)?.ok_or_else(|| HypervisorFault::NoSuchDomain(instance.clone()))
    }

    fn running(&self, instance: &InstanceId) -> Result<VirtDomain, HypervisorFault> {
        let domain = self.existing(instance)?;
        match domain.is_active().map_err(refused)? {
            true => Ok(domain),
            false => Err(HypervisorFault::NotRunning(instance.clone())),
        }
    }

    fn start_alone(&self, spec: &DomainSpec) -> Result<(), HypervisorFault> {
        if self.find(&spec.instance)?.is_some() {
            return Err(HypervisorFault::AlreadyExists(spec.instance.clone()));
        }
        let LibvirtOptions { accelerator, domain, .. } = &self.options;
        let xml = domain_xml::domain_xml(spec, accelerator.accelerator, domain)
            .map_err(|error| HypervisorFault::Refused(format!("no domain XML: {error}")))?;
        if xml.contains('\0') {
            return Err(HypervisorFault::Refused("a zero byte in the domain XML".to_owned()));
        }
        let connect = self.link.connect()?;
        let domain = VirtDomain::define_xml(&connect, &xml).map_err(refused)?;
        // What QEMU printed before it died is part of libvirt's message.
        domain.create().map(drop).map_err(|error| {
            let fault = refused(error);
            if let Err(left) = erase(&domain) {
                log::error!("a domain that did not start is left defined: {left}");
            }
            fault
        })
    }

    /// Resets the guest if it has neither restarted nor gone off when patience ends.
    fn reset_unless_restarted(&self, instance: &InstanceId) -> Result<(), HypervisorFault> {
        let (restarted, patience_ends) = mpsc::channel::<()>();
        let mut reboots = self.watch.reboots.lock().unwrap_or_else(PoisonError::into_inner);
        if reboots.contains_key(instance) {
            return Ok(()); // Asked twice; the first thread is still waiting.
        }
        let (link, watch) = (Arc::downgrade(&self.link), Arc::downgrade(&self.watch));
        let (patience, id) = (self.options.reboot_patience, instance.clone());
        let name = domain_xml::domain_name(&self.options.domain.name_prefix, instance);
        let wait = move || {
            if patience_ends.recv_timeout(patience) != Err(mpsc::RecvTimeoutError::Timeout) {
                return;
            }
            let (Some(link), Some(watch)) = (link.upgrade(), watch.upgrade()) else { return };
            watch.reboots.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            let reset = link.connect().and_then(|connect| {
                VirtDomain::lookup_by_name(&connect, &name)
                    .and_then(|domain| domain.reset())
                    .map_err(refused)
            });
            match reset {
                Ok(_) => log::info!("`{name}` did not answer its power button and was reset"),
                Err(error) => log::warn!("`{name}` could not be reset: {error}"),
            }
        };
        thread::Builder::new()
            .name("libvirt-reboot".into())
            .spawn(wait)
            .map_err(|error| HypervisorFault::Refused(format!("cannot start a thread: {error}")))?;
        reboots.insert(instance.clone(), restarted);
        Ok(())
    }

    /// libvirt itself never removes a log, and no instance comes again.
    fn remove_log(&self, instance: &InstanceId) -> Result<(), HypervisorFault> {
        let Some(directory) = &self.domain_logs else { return Ok(()) };
        let name = domain_xml::domain_name(&self.options.domain.name_prefix, instance);
        let path = directory.join(format!("{name}.log"));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let text = format!("`{}` cannot be removed: {error}", path.display());
                Err(HypervisorFault::Refused(text))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn describe(&self, domain: &VirtDomain) -> Result<Domain, virt::error::Error> {
        let info = domain.get_info()?;
        Ok(Domain {
            ownership: self.ownership(domain)?,
            state: state(info.state),
            vcpus: info.nr_virt_cpu,
            memory_mib: info.max_mem / 1024,
        })
    }

    fn ownership(&self, domain: &VirtDomain) -> Result<Ownership, virt::error::Error> {
        let name = domain.get_name()?;
        let prefix = &self.options.domain.name_prefix;
        let Some(instance) = domain_xml::instance_of(prefix, &name) else {
            return Ok(Ownership::Foreign { name });
        };
        let element = sys::VIR_DOMAIN_METADATA_ELEMENT as i32;
        match domain.get_metadata(element, Some(METADATA_URI), 0) {
            Ok(_) if domain.get_uuid_string()? == domain_xml::domain_uuid(prefix, &instance) => {
                Ok(Ownership::Ours(instance))
            }
            Ok(_) => Ok(Ownership::Foreign { name }),
            Err(error) if error.code() == ErrorNumber::NoDomainMetadata => {
                Ok(Ownership::Foreign { name })
            }
            Err(error) => Err(error),
        }
    }
}

impl Hypervisor for LibvirtHypervisor {
    fn host(&self) -> Result<HostFacts, HypervisorFault> {
        let connect = self.link.connect()?;
        let node = connect.get_node_info().map_err(refused)?;
        let libvirt = version(connect.get_lib_version().map_err(refused)?);
        let qemu = version(connect.get_hyp_version().map_err(refused)?);
        Ok(HostFacts {
            resources: Resources { vcpus: node.cpus, memory_mib: memory_mib(), disk_gib: 0 },
            description: format!(
                "libvirt {libvirt} ({}), QEMU {qemu}, {}",
                self.link.mode().in_words(),
                self.options.accelerator
            ),
        })
    }

    fn start(&self, spec: &DomainSpec) -> Result<(), HypervisorFault> {
        let starting = || self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if !starting().insert(spec.instance.clone()) {
            return Err(HypervisorFault::AlreadyExists(spec.instance.clone()));
        }
        let result = self.start_alone(spec);
        starting().remove(&spec.instance);
        result
    }

    fn shut_down(&self, instance: &InstanceId) -> Result<(), HypervisorFault> {
        let button = sys::VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN;
        self.running(instance)?.shutdown_flags(button).map(drop).map_err(refused)
    }

    fn power_off(&self, instance: &InstanceId) -> Result<(), HypervisorFault> {
        take_power(&self.existing(instance)?)
    }

    fn reboot(&self, instance: &InstanceId) -> Result<(), HypervisorFault> {
        let domain = self.running(instance)?;
        self.reset_unless_restarted(instance)?;
        domain.reboot(sys::VIR_DOMAIN_REBOOT_ACPI_POWER_BTN).map_err(|error| {
            self.watch.forget_reboot(instance);
            refused(error)
        })
    }

    fn remove(&self, instance: &InstanceId) -> Result<(), HypervisorFault> {
        if let Some(domain) = self.find(instance)? {
            erase(&domain)?;
        }
        self.remove_log(instance)
    }

    fn domains(&self) -> Result<Vec<Domain>, HypervisorFault> {
        let mut found = Vec::new();
        for domain in self.link.connect()?.list_all_domains(0).map_err(refused)? {
            match self.describe(&domain) {
                Ok(domain) => found.push(domain),
                // Removed since it was listed.
                Err(error) if error.code() == ErrorNumber::NoDomain => {}
                Err(error) => return Err(refused(error)),
            }
        }
        Ok(found)
    }
}

/// Takes the power away and waits until it is gone.
///
/// libvirt answers "not running" both for a domain that is off and, shortly after it has been
/// started and is taking stock, for one whose process it has just killed. Only its state tells.
fn take_power(domain: &VirtDomain) -> Result<(), HypervisorFault> {
    let begun = Instant::now();
    loop {
        match domain.destroy() {
            Ok(()) => return Ok(()),
            Err(error) if error.code() == ErrorNumber::NoDomain => return Ok(()),
            Err(error) if error.code() == ErrorNumber::OperationInvalid => {
                if !domain.is_active().map_err(refused)? {
                    return Ok(());
                }
                if begun.elapsed() > DESTROY_LIMIT {
                    return Err(refused(error));
                }
                thread::sleep(DESTROY_LOOK);
            }
            Err(error) => return Err(refused(error)),
        }
    }
}

/// Takes a domain's power away, and its definition with all that hangs on it.
fn erase(domain: &VirtDomain) -> Result<(), HypervisorFault> {
    take_power(domain)?;
    let everything = sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        | sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        | sys::VIR_DOMAIN_UNDEFINE_NVRAM;
    match domain.undefine_flags(everything) {
        Err(error) if error.code() != ErrorNumber::NoDomain => Err(refused(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn state(state: sys::virDomainState) -> DomainState {
    match state {
        // Shutting down still executes, and a reboot passes through it.
        sys::VIR_DOMAIN_RUNNING | sys::VIR_DOMAIN_BLOCKED | sys::VIR_DOMAIN_SHUTDOWN => {
            DomainState::Running
        }
        sys::VIR_DOMAIN_SHUTOFF | sys::VIR_DOMAIN_CRASHED => DomainState::Off,
        // Paused, suspended, or something a later libvirt invented: it is there, no more is known.
        _ => DomainState::Paused,
    }
}

fn refused(error: virt::error::Error) -> HypervisorFault {
    let text = error.message().trim().to_owned();
    match error.code() {
        ErrorNumber::NoConnect | ErrorNumber::InvalidConn | ErrorNumber::Rpc => {
            HypervisorFault::Unreachable(text)
        }
        _ => HypervisorFault::Refused(text),
    }
}

/// The memory of the host, on which our guests are in every mode. libvirt's own figure adds up
/// NUMA nodes, which was seen to miss half of the memory of a virtual machine.
fn memory_mib() -> u64 {
    // SAFETY: `sysconf` only answers; it does so for both names on Linux.
    let (pages, bytes_each) =
        unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    (pages.max(0) as u64).saturating_mul(bytes_each.max(0) as u64) >> 20
}

/// libvirt writes versions as one number, three digits to a part.
fn version(number: u32) -> String {
    format!("{}.{}.{}", number / 1_000_000, number / 1_000 % 1_000, number % 1_000)
}
