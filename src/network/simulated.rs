//! A data plane that carries no packets: a table of ports with the promises of the real one.
//!
//! Given a directory it keeps one file per port there, as a kernel keeps taps: they outlive a killed
//! process, so that tests can count what was leaked.

use super::{Datapath, NetworkFault, Port};
use crate::domain::{
    id::{InstanceId, InterfaceId, PrefixedId, SecurityGroupId},
    interface::{InterfaceSpec, Wire},
    port_filter::{GroupMembers, Packet, PortFilter},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The extension of a file that is being written.
const UNFINISHED: &str = "unfinished";

#[derive(Debug, Default)]
pub struct SimulatedDatapath {
    directory: Option<PathBuf>,
    ports: Mutex<BTreeMap<InterfaceId, SimulatedPort>>,
    /// Of security groups. A process that begins is told anew.
    members: Mutex<BTreeMap<SecurityGroupId, BTreeSet<Ipv4Addr>>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct SimulatedPort {
    instance: InstanceId,
    interface: InterfaceSpec,
    /// False for a port found in the directory until it is attached again.
    #[serde(skip)]
    attached: bool,
}

impl SimulatedDatapath {
    pub fn new() -> SimulatedDatapath {
        SimulatedDatapath::default()
    }

    /// Finds the ports that an earlier process left in the directory.
    pub fn in_directory(directory: PathBuf) -> Result<SimulatedDatapath, NetworkFault> {
        fs::create_dir_all(&directory).map_err(kernel)?;
        let mut ports = BTreeMap::new();
        for entry in fs::read_dir(&directory).map_err(kernel)? {
            let path = entry.map_err(kernel)?.path();
            if path.extension().is_some_and(|extension| extension == UNFINISHED) {
                fs::remove_file(&path).map_err(kernel)?;
                continue;
            }
            let bytes = fs::read(&path).map_err(kernel)?;
            let port: SimulatedPort = serde_json::from_slice(&bytes).map_err(kernel)?;
            ports.insert(port.interface.id.clone(), port);
        }
        Ok(SimulatedDatapath {
            directory: Some(directory),
            ports: Mutex::new(ports),
            ..Self::new()
        })
    }

    /// What the interface's filter would do with the first packet of a flow.
    pub fn admits(&self, interface: &InterfaceId, packet: Packet) -> Result<bool, NetworkFault> {
        match self.table().get(interface) {
            Some(port) if port.attached => {
                let members = self.members();
                let is_member = |group: &SecurityGroupId, address| {
                    members.get(group).is_some_and(|members| members.contains(&address))
                };
                Ok(port.interface.filter.admits(packet, is_member))
            }
            _ => Err(NetworkFault::NotAttached(interface.clone())),
        }
    }

    /// What an attached interface's port admits now.
    pub fn filter(&self, interface: &InterfaceId) -> Option<PortFilter> {
        let table = self.table();
        let port = table.get(interface).filter(|port| port.attached)?;
        Some(port.interface.filter.clone())
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<InterfaceId, SimulatedPort>> {
        // Every change is one insertion or removal, so a panic elsewhere leaves no half of one.
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<SecurityGroupId, BTreeSet<Ipv4Addr>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, port: &SimulatedPort) -> Result<(), NetworkFault> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let bytes = serde_json::to_vec(port).map_err(kernel)?;
        // A kernel has a tap or has none; so a killed process must not leave half a file.
        let whole = file(directory, &port.interface.id);
        let unfinished = whole.with_extension(UNFINISHED);
        fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, &whole)).map_err(kernel)
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
        let gone: Vec<InterfaceId> =
            table.iter().filter(|(_, port)| unwanted(port)).map(|(id, _)| id.clone()).collect();
        for interface in gone {
            self.forget(&interface)?;
            table.remove(&interface);
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
        let taken = table.values().find(|port| {
            port.attached
                && port.interface.id != interface.id
                && port.interface.wire == Wire::Public
                && interface.wire == Wire::Public
                && port.interface.address == interface.address
        });
        if let Some(holder) = taken {
            return Err(NetworkFault::AddressTaken {
                address: interface.address,
                holder: holder.interface.id.clone(),
            });
        }
        let port = SimulatedPort {
            instance: instance.clone(),
            interface: interface.clone(),
            attached: true,
        };
        self.keep(&port)?;
        let answer = described(&port);
        table.insert(interface.id.clone(), port);
        Ok(answer)
    }

    fn set_filter(&self, interface: &InterfaceId, filter: &PortFilter) -> Result<(), NetworkFault> {
        match self.table().get_mut(interface) {
            Some(port) if port.attached => {
                port.interface.filter = filter.clone();
                self.keep(port)
            }
            _ => Err(NetworkFault::NotAttached(interface.clone())),
        }
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
        self.remove_where(|port| port.interface.id == *interface)
    }

    fn ports(&self) -> Result<Vec<Port>, NetworkFault> {
        Ok(self.table().values().map(described).collect())
    }

    fn sweep(&self) -> Result<(), NetworkFault> {
        self.remove_where(|port| !port.attached)
    }

    fn purge(&self) -> Result<(), NetworkFault> {
        self.remove_where(|_| true)?;
        match self.directory.as_deref().map(fs::remove_dir) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(kernel(error)),
            _ => Ok(()),
        }
    }
}

fn described(port: &SimulatedPort) -> Port {
    Port {
        interface: port.interface.id.clone(),
        instance: port.instance.clone(),
        tap: format!("sim-{}", port.interface.id),
    }
}

fn file(directory: &Path, interface: &InterfaceId) -> PathBuf {
    directory.join(interface.as_str())
}

fn kernel(error: impl std::fmt::Display) -> NetworkFault {
    NetworkFault::Kernel(error.to_string())
}
