//! What a node works with: its hypervisor, its wires, its disks, its records.
//!
//! Everything here blocks except the records, and is called on threads made for blocking.

use crate::{
    actors::node::{record::InstanceRecord, threads::Threads},
    ambient::Ambient,
    blobs::disks::{BootFiles, Disks, Fetched},
    domain::id::InstanceId,
    hypervisor::{Boot, DomainSpec, Hypervisor, Nic, console_tail::ConsoleTail},
    metadata::registry::MetadataRegistry,
    network::Datapath,
    store::{Batch, StoreFault, journal::Journal},
};
use std::{
    fs,
    future::Future,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

#[derive(Debug)]
pub struct Host {
    pub hypervisor: Arc<dyn Hypervisor>,
    pub datapath: Arc<dyn Datapath>,
    pub disks: Arc<dyn Disks>,
    pub metadata: Arc<MetadataRegistry>,
    pub journal: Journal,
    pub threads: Threads,
    pub ambient: Ambient,
    /// A directory an instance.
    pub instances: PathBuf,
}

/// The kernel command line of guests that boot straight into a kernel.
const COMMAND_LINE: &str = "root=/dev/vda console=ttyS0 panic=-1";

impl Host {
    pub fn directory(&self, instance: &InstanceId) -> PathBuf {
        self.instances.join(instance.to_string())
    }

    pub fn console_log(&self, instance: &InstanceId) -> PathBuf {
        self.directory(instance).join("console.log")
    }

    /// Handed to the journal at once: records land in the order of the calls, whoever awaits first.
    pub fn record(
        self: &Arc<Self>,
        record: &InstanceRecord,
    ) -> impl Future<Output = Result<(), StoreFault>> + use<> {
        let mut batch = Batch::default();
        batch.put_record(record);
        self.commit(batch)
    }

    /// Records of different instances do not depend on one another, so one that failed stops none
    /// of those after it.
    pub fn commit(
        self: &Arc<Self>,
        batch: Batch,
    ) -> impl Future<Output = Result<(), StoreFault>> + use<> {
        let host = self.clone();
        let commit = self.journal.commit(batch);
        async move {
            let outcome = commit.await;
            if outcome.is_err() {
                host.journal.resume();
            }
            outcome
        }
    }

    pub fn fetch_image(&self, record: &InstanceRecord) -> Result<Fetched, String> {
        self.disks.fetch(&record.spec.boot).map_err(|fault| fault.to_string())
    }

    pub fn prepare_disk(&self, record: &InstanceRecord) -> Result<BootFiles, String> {
        let directory = self.directory(&record.spec.instance);
        fs::create_dir_all(&directory)
            .map_err(|e| format!("`{}` cannot be made: {e}", directory.display()))?;
        let size = record.spec.resources.disk_gib;
        let files = self.disks.prepare(&record.spec.boot, size, &directory);
        files.map_err(|fault| fault.to_string())
    }

    /// Makes the ports, and says what the guest's NICs are plugged into.
    pub fn attach_network(&self, record: &InstanceRecord) -> Result<Vec<Nic>, String> {
        let spec = &record.spec;
        let mut nics = Vec::new();
        for interface in &spec.interfaces {
            let port = self.datapath.attach(&spec.instance, interface);
            let port = port.map_err(|fault| fault.to_string())?;
            nics.push(Nic { mac: interface.mac, backend: port.backend });
        }
        self.metadata.insert(&spec.metadata);
        Ok(nics)
    }

    pub fn start_domain(
        &self,
        record: &InstanceRecord,
        files: &BootFiles,
        nics: Vec<Nic>,
    ) -> Result<(), String> {
        let spec = &record.spec;
        let directory = self.directory(&spec.instance);
        let boot = match &files.kernel {
            None => Boot::Disk,
            Some((kernel, ramdisk)) => Boot::Kernel {
                kernel: kernel.clone(),
                ramdisk: ramdisk.clone(),
                command_line: COMMAND_LINE.to_owned(),
            },
        };
        let domain = DomainSpec {
            instance: spec.instance.clone(),
            vcpus: spec.resources.vcpus,
            memory_mib: spec.resources.memory_mib,
            boot,
            root_disk: files.root_disk.clone(),
            nics,
            console_log: directory.join("console.log"),
            console_socket: directory.join("console.sock"),
        };
        self.hypervisor.start(&domain).map_err(|fault| fault.to_string())
    }

    /// Power and wires away; the disk stays.
    pub fn switch_off(&self, record: &InstanceRecord) -> Result<(), String> {
        let spec = &record.spec;
        self.hypervisor.remove(&spec.instance).map_err(|fault| fault.to_string())?;
        self.metadata.remove(&spec.metadata);
        for interface in &spec.interfaces {
            self.datapath.detach(&interface.id).map_err(|fault| fault.to_string())?;
        }
        Ok(())
    }

    /// Nothing is left.
    pub fn tear_down(&self, record: &InstanceRecord) -> Result<(), String> {
        self.switch_off(record)?;
        remove_directory(&self.directory(&record.spec.instance))
    }

    pub fn console(&self, instance: &InstanceId, limit: usize) -> io::Result<ConsoleTail> {
        self.hypervisor.console(instance, &self.console_log(instance), limit)
    }

    /// Ports that belong to no attached interface: what a crash left.
    pub fn sweep_network(&self) {
        if let Err(fault) = self.datapath.sweep() {
            log::error!("what a crash left of the network cannot be removed: {fault}");
        }
    }

    /// Directories of instances nobody has a record of: what a crash left.
    pub fn sweep_directories(&self, known: impl Fn(&InstanceId) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.instances)? {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if id.is_some_and(|id| !known(&id)) {
                log::info!("removing `{}`, left by a crash", entry.path().display());
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

fn remove_directory(directory: &Path) -> Result<(), String> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(format!("`{}` cannot be removed: {error}", directory.display()))
        }
        _ => Ok(()),
    }
}
