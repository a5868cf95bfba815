//! A data plane that carries no packets: a table of ports with the promises of the real one.
//!
//! Given a file it keeps its ports there (a `Ledger`: interface and instance), as a kernel keeps
//! taps. They outlive a killed process, so that tests can count what was leaked.

use super::{Datapath, NetworkFault, Port, elastic::Holders};
use crate::{
    domain::{
        elastic_address::ElasticAssignment,
        id::{InstanceId, InterfaceId, SecurityGroupId},
        interface::{InterfaceSpec, NicBackend, Wire},
        port_filter::{GroupMembers, Packet, PortFilter},
    },
    ledger::Ledger,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::Ipv4Addr,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

#[derive(Debug, Default)]
pub struct SimulatedDatapath {
    table: Mutex<Table>,
    /// Of security groups. A process that begins is told anew.
    members: Mutex<BTreeMap<SecurityGroupId, BTreeSet<Ipv4Addr>>>,
}

#[derive(Debug, Default)]
struct Table {
    /// Every port, those of an earlier process included until they are attached again.
    ports: Ledger<InterfaceId, InstanceId>,
    attached: BTreeMap<InterfaceId, InterfaceSpec>,
    /// Who has an address of the public wire.
    public: HashMap<Ipv4Addr, InterfaceId>,
    elastic: Holders,
}

impl Table {
    fn attached(&mut self, interface: &InterfaceId) -> Result<&mut InterfaceSpec, NetworkFault> {
        let attached = self.attached.get_mut(interface);
        attached.ok_or_else(|| NetworkFault::NotAttached(interface.clone()))
    }

    fn attach(
        &mut self,
        instance: &InstanceId,
        interface: &InterfaceSpec,
    ) -> Result<(), NetworkFault> {
        if self.ports.get(&interface.id) != Some(instance) {
            self.ports.insert(interface.id.clone(), instance.clone()).map_err(kernel)?;
        }
        self.forget(&interface.id);
        if interface.wire == Wire::Public {
            self.public.insert(interface.address, interface.id.clone());
        }
        self.attached.insert(interface.id.clone(), interface.clone());
        if interface.wire == Wire::Public {
            self.elastic.assign(&interface.id, &interface.elastic);
        }
        Ok(())
    }

    fn detach(&mut self, interface: &InterfaceId) -> Result<(), NetworkFault> {
        self.ports.remove(interface).map_err(kernel)?;
        self.forget(interface);
        Ok(())
    }

    fn forget(&mut self, interface: &InterfaceId) {
        self.elastic.withdraw(interface);
        let earlier = self.attached.remove(interface);
        if let Some(earlier) = earlier.filter(|earlier| earlier.wire == Wire::Public) {
            self.public.remove(&earlier.address);
        }
    }
}

impl SimulatedDatapath {
    pub fn new() -> SimulatedDatapath {
        SimulatedDatapath::default()
    }

    /// Finds the ports that an earlier process left in the file.
    pub fn kept_in(file: &Path) -> Result<SimulatedDatapath, NetworkFault> {
        let table = Table { ports: Ledger::open(file).map_err(kernel)?, ..Table::default() };
        Ok(SimulatedDatapath { table: Mutex::new(table), members: Mutex::default() })
    }

    /// What the end of a process is to the wires: the ports are there, and nobody has attached them
    /// or knows who is in a security group.
    pub fn reopen(&self) {
        let mut table = self.table();
        table.attached.clear();
        table.public.clear();
        table.elastic.clear();
        self.members().clear();
    }

    /// The interfaces that are attached, and whose they are.
    pub fn attached(&self) -> Vec<(InstanceId, InterfaceSpec)> {
        let table = self.table();
        let owner = |interface: &InterfaceSpec| table.ports.get(&interface.id).cloned();
        let attached = table.attached.values();
        attached.filter_map(|interface| Some((owner(interface)?, interface.clone()))).collect()
    }

    /// What the interface's filter would do with the first packet of a flow.
    pub fn admits(&self, interface: &InterfaceId, packet: Packet) -> Result<bool, NetworkFault> {
        let mut table = self.table();
        let members = self.members();
        let is_member = |group: &SecurityGroupId, address| {
            members.get(group).is_some_and(|members| members.contains(&address))
        };
        Ok(table.attached(interface)?.filter.admits(packet, is_member))
    }

    /// The attached interface that the world finds at an elastic address.
    pub fn behind(&self, elastic: Ipv4Addr) -> Option<InterfaceId> {
        self.table().elastic.holder(elastic).cloned()
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
        table.attach(instance, interface)?;
        Ok(described(&interface.id, instance))
    }

    fn set_filter(&self, interface: &InterfaceId, filter: &PortFilter) -> Result<(), NetworkFault> {
        self.table().attached(interface)?.filter = filter.clone();
        Ok(())
    }

    fn set_elastic(
        &self,
        interface: &InterfaceId,
        assignment: &ElasticAssignment,
    ) -> Result<(), NetworkFault> {
        let mut table = self.table();
        let attached = table.attached(interface)?;
        if attached.wire == Wire::Public {
            attached.elastic = *assignment;
            table.elastic.assign(interface, assignment);
        }
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
        self.table().detach(interface)
    }

    fn ports(&self) -> Result<Vec<Port>, NetworkFault> {
        Ok(self.table().ports.iter().map(|(id, instance)| described(id, instance)).collect())
    }

    fn sweep(&self) -> Result<(), NetworkFault> {
        let mut table = self.table();
        let left = table.ports.iter().map(|(interface, _)| interface);
        let left: Vec<_> = left.filter(|id| !table.attached.contains_key(*id)).cloned().collect();
        left.iter().try_for_each(|interface| table.detach(interface))
    }

    fn purge(&self) -> Result<(), NetworkFault> {
        let mut table = self.table();
        table.attached.clear();
        table.public.clear();
        table.elastic.clear();
        table.ports.purge().map_err(kernel)
    }
}

fn described(interface: &InterfaceId, instance: &InstanceId) -> Port {
    Port {
        interface: interface.clone(),
        instance: instance.clone(),
        backend: NicBackend::Tap(format!("sim-{interface}")),
    }
}

fn kernel(error: impl std::fmt::Display) -> NetworkFault {
    NetworkFault::Kernel(error.to_string())
}
