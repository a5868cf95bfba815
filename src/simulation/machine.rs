//! A simulated host: its guests, wires, disks and records, all of which outlive the node manager's
//! process and end with the machine.

use super::{dice::Dice, disk::Disk};
use crate::{
    actors::node::{
        Happened, NodeManager, NodeParts, RestoreFault, RestoredNode,
        host::Host,
        threads::{Pace, Threads},
    },
    ambient::Ambient,
    blobs::disks::SimulatedDisks,
    domain::{
        id::{AccountId, GroupName, InstanceId, NodeName},
        resources::Resources,
    },
    hypervisor::{
        DomainState, EventSink, Hypervisor, Ownership,
        simulated::{SimulatedHypervisor, SimulatedOptions},
    },
    metadata::registry::MetadataRegistry,
    network::{Datapath, simulated::SimulatedDatapath},
    store::{Store, journal::Journal},
};
use actix::Addr;
use std::{
    collections::BTreeMap,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How a machine behaves.
#[derive(Debug, Clone)]
pub struct MachineOptions {
    pub seed: u64,
    pub total: Resources,
    /// Blocking work takes up to this, before it is done and again until it is known.
    pub work_max: Duration,
    pub commit_max: Duration,
    /// How long guests take to answer their power button.
    pub shutdown: Duration,
    /// The share of starts that fail.
    pub failure_rate: f64,
}

#[derive(Debug)]
pub struct Machine {
    pub name: NodeName,
    pub group: GroupName,
    pub total: Resources,
    pub disk: Arc<Disk>,
    hypervisor: Arc<SimulatedHypervisor>,
    datapath: Arc<SimulatedDatapath>,
    instances: PathBuf,
    threads: Threads,
    /// By how much everything takes longer.
    slowness: Arc<Mutex<u32>>,
    /// The manager that hears of the guests, if one is there.
    listener: Arc<Mutex<Option<Addr<NodeManager>>>>,
}

impl Machine {
    /// To be called among the tasks of the simulation itself: they outlive processes.
    pub fn new(
        name: NodeName,
        group: GroupName,
        instances: PathBuf,
        options: MachineOptions,
    ) -> io::Result<Machine> {
        let MachineOptions { seed, total, work_max, commit_max, shutdown, failure_rate } = options;
        fs::create_dir_all(&instances)?;
        let listener: Arc<Mutex<Option<Addr<NodeManager>>>> = Arc::default();
        let told = listener.clone();
        let sink: EventSink = Arc::new(move |event| {
            if let Some(node) = &*unpoisoned(&told) {
                node.do_send(Happened(event));
            }
        });
        let mut dice = Dice::new(seed, &format!("hypervisor of {name}"));
        let simulated = SimulatedOptions {
            seed: dice.below(usize::MAX) as u64,
            shutdown,
            failure_rate,
            resources: total,
            ..SimulatedOptions::default()
        };
        let hypervisor = Arc::new(SimulatedHypervisor::open_in_virtual_time(simulated, sink)?);
        let slowness = Arc::new(Mutex::new(1));
        let (by, dice) =
            (slowness.clone(), Mutex::new(Dice::new(seed, &format!("work of {name}"))));
        let threads = Threads::Simulated(Arc::new(move || {
            let (mut dice, longest) = (unpoisoned(&dice), work_max * *unpoisoned(&by));
            let mut time = || dice.between(Duration::ZERO, longest);
            Pace { before: time(), after: time() }
        }));
        let disk = Arc::new(Disk::new(seed, name.as_str(), commit_max));
        let datapath = Arc::default();
        let of = Machine {
            name,
            group,
            total,
            disk,
            hypervisor,
            datapath,
            instances,
            threads,
            slowness,
            listener,
        };
        Ok(of)
    }

    /// A manager for this machine, restored from its disk; among the tasks of its process.
    pub fn restore(
        &self,
        root: &AccountId,
        ambient: &Ambient,
    ) -> Result<RestoredNode, RestoreFault> {
        self.disk.reopen();
        self.datapath.reopen();
        let store: Arc<dyn Store> = self.disk.clone();
        let journal = Journal::start(store.clone()).expect("no thread is to be had for it");
        let host = Host {
            hypervisor: self.hypervisor.clone(),
            datapath: self.datapath.clone(),
            disks: Arc::new(SimulatedDisks),
            metadata: Arc::<MetadataRegistry>::default(),
            journal,
            threads: self.threads.clone(),
            ambient: ambient.clone(),
            instances: self.instances.clone(),
        };
        NodeManager::restore(NodeParts {
            name: self.name.clone(),
            root: root.clone(),
            host: Arc::new(host),
            total: self.total,
            store,
            hypervisor: "simulated".to_owned(),
        })
    }

    /// Whom the hypervisor tells of its guests.
    pub fn listen(&self, node: Option<Addr<NodeManager>>) {
        *unpoisoned(&self.listener) = node;
    }

    /// Everything takes so many times as long from now on.
    pub fn slow_down(&self, times: u32) {
        *unpoisoned(&self.slowness) = times;
    }

    /// A guest's emulator ends.
    pub fn crash(&self, guest: &InstanceId) -> bool {
        self.hypervisor.kill_from_outside(guest)
    }

    /// A guest powers itself off.
    pub fn power_itself_off(&self, guest: &InstanceId) -> bool {
        self.hypervisor.shut_down(guest).is_ok()
    }

    /// For tests of what is looked at: a guest that nobody asked for here.
    #[cfg(test)]
    pub fn raise(&self, guest: &InstanceId) {
        use crate::hypervisor::{Boot, DomainSpec};
        let file = |name: &str| self.instances.join(name);
        let domain = DomainSpec {
            instance: guest.clone(),
            vcpus: 1,
            memory_mib: 1,
            boot: Boot::Disk,
            root_disk: file("root"),
            nics: Vec::new(),
            console_log: file("console.log"),
            console_socket: file("console.sock"),
        };
        // Where it is already it stays.
        let _ = self.hypervisor.start(&domain);
    }

    /// Our domains, and whether each runs.
    pub fn domains(&self) -> BTreeMap<InstanceId, bool> {
        let domains = self.hypervisor.domains().expect("a simulated hypervisor always answers");
        domains
            .into_iter()
            .filter_map(|domain| match domain.ownership {
                Ownership::Ours(id) => Some((id, domain.state == DomainState::Running)),
                Ownership::Foreign { .. } => None,
            })
            .collect()
    }

    /// What the guests that run take together: processors and memory.
    pub fn in_use(&self) -> Resources {
        let domains = self.hypervisor.domains().expect("a simulated hypervisor always answers");
        let mut sum = Resources::NONE;
        for domain in domains.iter().filter(|domain| domain.state == DomainState::Running) {
            let Resources { vcpus, memory_mib, .. } = &mut sum;
            *vcpus += domain.vcpus;
            *memory_mib += domain.memory_mib;
        }
        sum
    }

    pub fn datapath(&self) -> &SimulatedDatapath {
        &self.datapath
    }

    /// Names of what there is of instances: directories, domains, ports, records.
    pub fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.instances).into_iter().flatten().flatten() {
            found.push(format!("{}: directory {}", self.name, entry.file_name().display()));
        }
        found.extend(self.domains().keys().map(|id| format!("{}: domain {id}", self.name)));
        for port in self.datapath.ports().into_iter().flatten() {
            found.push(format!("{}: port {} of {}", self.name, port.interface, port.instance));
        }
        for (key, _) in self.disk.scan("node-instance").into_iter().flatten() {
            found.push(format!("{}: record {}", self.name, key.escape_ascii()));
        }
        found.sort();
        found
    }
}

fn unpoisoned<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
