//! The data plane of an enclosure: the host's, and the way in to what it attaches.

use crate::{
    domain::{
        elastic_address::ElasticAssignment,
        id::{InstanceId, InterfaceId},
        interface::{InterfaceSpec, Wire},
        port_filter::{GroupMembers, PortFilter},
    },
    enclosure::forward::{Ended, Forwarder},
    network::{Datapath, NetworkFault, Port, elastic::Holders},
};
use std::{
    collections::HashMap,
    iter,
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
    public: Mutex<Public>,
}

/// What is on the public wire.
#[derive(Debug, Default)]
struct Public {
    /// Each interface's own address, and what it admits.
    ports: HashMap<InterfaceId, (Ipv4Addr, PortFilter)>,
    elastic: Holders,
}

impl<D: Datapath> EnclosedDatapath<D> {
    pub fn new(inner: D, forwarder: Forwarder, gateway: Ipv4Addr) -> EnclosedDatapath<D> {
        EnclosedDatapath { inner, forwarder, gateway, public: Mutex::default() }
    }

    fn public(&self) -> MutexGuard<'_, Public> {
        // Every change is one insertion or removal, so a panic elsewhere leaves no half of one.
        self.public.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn withdraw(&self, public: &mut Public, interface: &InterfaceId) -> Result<(), NetworkFault> {
        let own = public.ports.remove(interface).map(|(address, _)| address);
        let addresses = [own, public.elastic.withdraw(interface)];
        let mut addresses = addresses.into_iter().flatten();
        addresses.try_for_each(|address| self.forwarder.withdraw(address)).map_err(fault)
    }

    /// Offers an interface's ports at each address that it has.
    fn offer(&self, public: &Public, interface: &InterfaceId) -> Result<(), NetworkFault> {
        let Some((own, filter)) = public.ports.get(interface) else { return Ok(()) };
        let elastic = public.elastic.of(interface).map(|elastic| elastic.address);
        let mut addresses = iter::once(*own).chain(elastic);
        let offered = addresses.try_for_each(|at| self.forwarder.offer(at, filter, self.gateway));
        offered.map_err(fault)
    }

    /// Connections by an address that has moved were to somebody else.
    fn assign(
        &self,
        public: &mut Public,
        interface: &InterfaceId,
        assignment: &ElasticAssignment,
    ) -> Result<(), NetworkFault> {
        let moved = public.elastic.assign(interface, assignment);
        let taken = moved.from.and(moved.has).map(|elastic| elastic.address);
        let mut cut = moved.lost.into_iter().chain(taken);
        cut.try_for_each(|address| self.forwarder.withdraw(address)).map_err(fault)
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
            let InterfaceSpec { id, address, filter, elastic, .. } = interface;
            let earlier = public.ports.insert(id.clone(), (*address, filter.clone()));
            if let Some((earlier, _)) = earlier.filter(|(earlier, _)| earlier != address) {
                self.forwarder.withdraw(earlier).map_err(fault)?;
            }
            self.assign(&mut public, id, elastic)?;
            self.offer(&public, id)?;
        }
        Ok(port)
    }

    fn set_filter(&self, interface: &InterfaceId, filter: &PortFilter) -> Result<(), NetworkFault> {
        // Held throughout, so that of two changes the same one is the later in both places.
        let mut public = self.public();
        self.inner.set_filter(interface, filter)?;
        if let Some((_, known)) = public.ports.get_mut(interface) {
            *known = filter.clone();
        }
        self.offer(&public, interface)
    }

    fn set_elastic(
        &self,
        interface: &InterfaceId,
        assignment: &ElasticAssignment,
    ) -> Result<(), NetworkFault> {
        let mut public = self.public();
        self.inner.set_elastic(interface, assignment)?;
        if public.ports.contains_key(interface) {
            self.assign(&mut public, interface, assignment)?;
        }
        self.offer(&public, interface)
    }

    /// The host, whose connections are forwarded, is no member of a group.
    fn set_members(&self, members: &GroupMembers) -> Result<(), NetworkFault> {
        self.inner.set_members(members)
    }

    fn detach(&self, interface: &InterfaceId) -> Result<(), NetworkFault> {
        self.withdraw(&mut self.public(), interface)?;
        self.inner.detach(interface)
    }

    fn ports(&self) -> Result<Vec<Port>, NetworkFault> {
        self.inner.ports()
    }

    fn sweep(&self) -> Result<(), NetworkFault> {
        self.inner.sweep()
    }

    fn purge(&self) -> Result<(), NetworkFault> {
        let mut public = self.public();
        let attached: Vec<InterfaceId> = public.ports.keys().cloned().collect();
        attached.iter().try_for_each(|interface| self.withdraw(&mut public, interface))?;
        drop(public);
        self.inner.purge()
    }
}

fn fault(ended: Ended) -> NetworkFault {
    NetworkFault::Kernel(ended.to_string())
}
