//! A data plane that carries no packets: a table of ports with the promises of the real one.
//!
//! Given a directory it keeps one symbolic link per port there, as a kernel keeps taps: made in one
//! step, named after the interface and leading to the instance's id. They outlive a killed process,
//! so that tests can count what was leaked.

use super::{Datapath, NetworkFault, Port};
use crate::domain::{
    id::{InstanceId, InterfaceId, PrefixedId, SecurityGroupId},
    interface::{InterfaceSpec, Wire},
    port_filter::{GroupMembers, Packet, PortFilter},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::OsStr,
    fs, io,
    net::Ipv4Addr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Mutex, MutexGuard, PoisonError},
};

#[derive(Debug, Default)]
pub struct SimulatedDatapath {
    directory: Option<PathBuf>,
    table: Mutex<Table>,
    /// Of security groups. A process that begins is told anew.
    members: Mutex<BTreeMap<SecurityGroupId, BTreeSet<Ipv4Addr>>>,
}

#[derive(Debug, Default)]
struct Table {
    ports: BTreeMap<InterfaceId, SimulatedPort>,
    /// Who has an address of the public wire.
    public: HashMap<Ipv4Addr, InterfaceId>,
}

#[derive(Debug, Clone)]
struct SimulatedPort {
    instance: InstanceId,
    /// What is attached; nothing for a port found in the directory until it is attached again.
    attached: Option<InterfaceSpec>,
}

impl Table {
    fn attached(&self, interface: &InterfaceId) -> Result<&InterfaceSpec, NetworkFault> {
        let port = self.ports.get(interface).and_then(|port| port.attached.as_ref());
        port.ok_or_else(|| NetworkFault::NotAttached(interface.clone()))
    }

    fn attach(&mut self, instance: &InstanceId, interface: &InterfaceSpec) {
        self.detach(&interface.id);
        if interface.wire == Wire::Public {
            self.public.insert(interface.address, interface.id.clone());
        }
        let port = SimulatedPort { instance: instance.clone(), attached: Some(interface.clone()) };
        self.ports.insert(interface.id.clone(), port);
    }

    fn detach(&mut self, interface: &InterfaceId) {
        let Some(port) = self.ports.remove(interface) else { return };
        if let Some(spec) = port.attached.filter(|spec| spec.wire == Wire::Public) {
            self.public.remove(&spec.address);
        }
    }
}

impl SimulatedDatapath {
    pub fn new() -> SimulatedDatapath {
        SimulatedDatapath::default()
    }

    /// Finds the ports that an earlier process left in the directory.
    pub fn in_directory(directory: PathBuf) -> Result<SimulatedDatapath, NetworkFault> {
        fs::create_dir_all(&directory).map_err(kernel)?;
        let mut table = Table::default();
        for entry in fs::read_dir(&directory).map_err(kernel)? {
            let entry = entry.map_err(kernel)?;
            let interface = parsed(&entry.file_name())?;
            let path = entry.path();
            let stranger = |e| kernel(format!("`{}` is no port of ours: {e}", path.display()));
            let instance = parsed(fs::read_link(&path).map_err(stranger)?.as_os_str())?;
            table.ports.insert(interface, SimulatedPort { instance, attached: None });
        }
        let directory = Some(directory);
        Ok(SimulatedDatapath { directory, table: Mutex::new(table), members: Mutex::default() })
    }

    /// What the interface's filter would do with the first packet of a flow.
    pub fn admits(&self, interface: &InterfaceId, packet: Packet) -> Result<bool, NetworkFault> {
        let table = self.table();
        let members = self.members();
        let is_member = |group: &SecurityGroupId, address| {
            members.get(group).is_some_and(|members| members.contains(&address))
        };
        Ok(table.attached(interface)?.filter.admits(packet, is_member))
    }

    /// What an attached interface's port admits now.
    pub fn filter(&self, interface: &InterfaceId) -> Option<PortFilter> {
        Some(self.table().attached(interface).ok()?.filter.clone())
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic elsewhere, between two changes, leaves no half of one.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<SecurityGroupId, BTreeSet<Ipv4Addr>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, interface: &InterfaceId, instance: &InstanceId) -> Result<(), NetworkFault> {
        let Some(directory) = &self.directory else { return Ok(()) };
        match symlink(instance.as_str(), file(directory, interface)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(kernel(error)),
            _ => Ok(()),
        }
    }

    fn forget(&self, interface: &InterfaceId) -> Result<(), NetworkFault> {
        let Some(directory) = &self.directory else { return Ok(()) };
        match fs::remove_file(file(directory, interface)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(kernel(error)),
            _ => Ok(()),
        }
    }

    fn remove_where(&self, unwanted: impl Fn(&SimulatedPort) -> bool) -> Result<(), NetworkFault> {
        let mut table = self.table();
        let gone = table.ports.iter().filter(|(_, port)| unwanted(port));
        let gone: Vec<InterfaceId> = gone.map(|(id, _)| id.clone()).collect();
        for interface in gone {
            self.forget(&interface)?;
            table.detach(&interface);
        }
        Ok(())
    }
}

impl Datapath for SimulatedDatapath {
    fn attach(
        &self,
        instance: &InstanceId,
        interface: &InterfaceSpec,
    ) -> Result<Port, NetworkFault> {
        let mut table = self.table();
        let holder = table.public.get(&interface.address);
        let holder = holder.filter(|holder| **holder != interface.id);
        if let (Wire::Public, Some(holder)) = (&interface.wire, holder) {
            let holder = holder.clone();
            return Err(NetworkFault::AddressTaken { address: interface.address, holder });
        }
        self.keep(&interface.id, instance)?;
        table.attach(instance, interface);
        Ok(described(&interface.id, instance))
    }

    fn set_filter(&self, interface: &InterfaceId, filter: &PortFilter) -> Result<(), NetworkFault> {
        let mut table = self.table();
        table.attached(interface)?;
        let attached = table.ports.get_mut(interface).and_then(|port| port.attached.as_mut());
        attached.expect("it is attached, as was just seen").filter = filter.clone();
        Ok(())
    }

    fn set_members(&self, members: &GroupMembers) -> Result<(), NetworkFault> {
        let GroupMembers { group, addresses } = members.clone();
        let mut known = self.members();
        match addresses.is_empty() {
            true => known.remove(&group),
            false => known.insert(group, addresses),
        };
        Ok(())
    }

    fn detach(&self, interface: &InterfaceId) -> Result<(), NetworkFault> {
        let mut table = self.table();
        self.forget(interface)?;
        table.detach(interface);
        Ok(())
    }

    fn ports(&self) -> Result<Vec<Port>, NetworkFault> {
        let table = self.table();
        Ok(table.ports.iter().map(|(id, port)| described(id, &port.instance)).collect())
    }

    fn sweep(&self) -> Result<(), NetworkFault> {
        self.remove_where(|port| port.attached.is_none())
    }

    fn purge(&self) -> Result<(), NetworkFault> {
        self.remove_where(|_| true)?;
        match self.directory.as_deref().map(fs::remove_dir) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(kernel(error)),
            _ => Ok(()),
        }
    }
}

fn described(interface: &InterfaceId, instance: &InstanceId) -> Port {
    Port {
        interface: interface.clone(),
        instance: instance.clone(),
        tap: format!("sim-{interface}"),
    }
}

fn parsed<T: FromStr>(name: &OsStr) -> Result<T, NetworkFault> {
    let stranger = || kernel(format!("`{}` is no port of ours", name.display()));
    name.to_str().and_then(|name| name.parse().ok()).ok_or_else(stranger)
}

fn file(directory: &Path, interface: &InterfaceId) -> PathBuf {
    directory.join(interface.as_str())
}

fn kernel(error: impl std::fmt::Display) -> NetworkFault {
    NetworkFault::Kernel(error.to_string())
}
