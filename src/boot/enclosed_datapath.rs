//! The data plane of an enclosure: the host's, and the way in to what it attaches.

use crate::{
    domain::{
        id::{InstanceId, InterfaceId},
        interface::{InterfaceSpec, Wire},
        port_filter::{GroupMembers, PortFilter},
    },
    enclosure::forward::{Ended, Forwarder},
    network::{Datapath, NetworkFault, Port},
};
use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Offers the ports of what is on the public wire to the host, and changes nothing else.
#[derive(Debug)]
pub struct EnclosedDatapath<D> {
    inner: D,
    forwarder: Forwarder,
    /// Who connections come from, as guests see it.
    gateway: Ipv4Addr,
    public: Mutex<HashMap<InterfaceId, Ipv4Addr>>,
}

impl<D: Datapath> EnclosedDatapath<D> {
    pub fn new(inner: D, forwarder: Forwarder, gateway: Ipv4Addr) -> EnclosedDatapath<D> {
        EnclosedDatapath { inner, forwarder, gateway, public: Mutex::default() }
    }

    fn public(&self) -> MutexGuard<'_, HashMap<InterfaceId, Ipv4Addr>> {
        // Every change is one insertion or removal, so a panic elsewhere leaves no half of one.
        self.public.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn withdraw(&self, interface: &InterfaceId) -> Result<(), NetworkFault> {
        match self.public().remove(interface) {
            Some(address) => self.forwarder.withdraw(address).map_err(fault),
            None => Ok(()),
        }
    }
}

impl<D: Datapath> Datapath for EnclosedDatapath<D> {
    fn attach(
        &self,
        instance: &InstanceId,
        interface: &InterfaceSpec,
    ) -> Result<Port, NetworkFault> {
        let mut public = self.public();
        let port = self.inner.attach(instance, interface)?;
        if interface.wire == Wire::Public {
            let InterfaceSpec { id, address, filter, .. } = interface;
            if let Some(earlier) = public.insert(id.clone(), *address).filter(|e| e != address) {
                self.forwarder.withdraw(earlier).map_err(fault)?;
            }
            self.forwarder.offer(*address, filter, self.gateway).map_err(fault)?;
        }
        Ok(port)
    }

    fn set_filter(&self, interface: &InterfaceId, filter: &PortFilter) -> Result<(), NetworkFault> {
        // Held throughout, so that of two changes the same one is the later in both places.
        let public = self.public();
        self.inner.set_filter(interface, filter)?;
        match public.get(interface) {
            Some(address) => self.forwarder.offer(*address, filter, self.gateway).map_err(fault),
            None => Ok(()),
        }
    }

    /// The host, whose connections are forwarded, is no member of a group.
    fn set_members(&self, members: &GroupMembers) -> Result<(), NetworkFault> {
        self.inner.set_members(members)
    }

    fn detach(&self, interface: &InterfaceId) -> Result<(), NetworkFault> {
        self.withdraw(interface)?;
        self.inner.detach(interface)
    }

    fn ports(&self) -> Result<Vec<Port>, NetworkFault> {
        self.inner.ports()
    }

    fn sweep(&self) -> Result<(), NetworkFault> {
        self.inner.sweep()
    }

    fn purge(&self) -> Result<(), NetworkFault> {
        let attached: Vec<InterfaceId> = self.public().keys().cloned().collect();
        attached.iter().try_for_each(|interface| self.withdraw(interface))?;
        self.inner.purge()
    }
}

fn fault(ended: Ended) -> NetworkFault {
    NetworkFault::Kernel(ended.to_string())
}
