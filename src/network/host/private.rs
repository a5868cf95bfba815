//! The private wire: guests' ports of this process's switch.
//!
//! Root's guests have taps. The switch hears them, and speaks to them, by a packet socket; the tap is
//! a port of a bridge only so that nothing it says goes up into the host, and what the bridge hears
//! is dropped. Where there are to be no taps, guest and switch have a pair of sockets.

use super::{HostDatapath, Nics, fault, identity::Identity, ports::KnownPort};
use crate::{
    domain::{
        id::{InstanceId, InterfaceId},
        interface::{InterfaceSpec, NicBackend},
        port_filter::{GroupMembers, PortFilter},
    },
    network::{
        NetworkFault, Port, host::permits::Rules, overlay::Overlay, port::Attachment,
        switch::PortSpec,
    },
};
use std::{error::Error, iter};

impl HostDatapath {
    pub(super) fn attach_private(
        &self,
        instance: &InstanceId,
        interface: &InterfaceSpec,
    ) -> Result<Port, NetworkFault> {
        let spec = self.port_spec(instance, interface)?;
        let overlay = self.overlay()?;
        let (backend, attachment) = match self.options.nics {
            Nics::Taps => {
                let device = self.private_tap(instance, interface)?;
                (NicBackend::Tap(device.clone()), Attachment::Packet { device })
            }
            Nics::Sockets => {
                let added = self.sockets.add(&interface.id, instance);
                match added.map_err(fault("make room for sockets"))? {
                    NicBackend::Socket { ours, guests } => (
                        NicBackend::Socket { ours: ours.clone(), guests: guests.clone() },
                        Attachment::Socket { ours, guests },
                    ),
                    backend @ NicBackend::Tap(_) => unreachable!("{backend:?} is no socket"),
                }
            }
        };
        overlay.attach(spec, attachment).map_err(|fault| {
            let source = fault.source().map(ToString::to_string).unwrap_or_default();
            NetworkFault::Kernel(format!("{fault}: {source}"))
        })?;
        Ok(Port { interface: interface.id.clone(), instance: instance.clone(), backend })
    }

    /// A tap that nobody but the switch hears.
    fn private_tap(
        &self,
        instance: &InstanceId,
        interface: &InterfaceSpec,
    ) -> Result<String, NetworkFault> {
        let kernel = &mut *self.kernel();
        let identity = Identity::new(instance, interface);
        let name = self.names.tap(&interface.id);
        let tap = self.ensure_tap(kernel, &name, &identity)?;
        let rules = kernel.shared(Rules::of(&PortFilter::default()));
        let port =
            KnownPort { identity: identity.clone(), device: tap.index, rules: Some(rules.clone()) };
        kernel.ports.insert(interface.id.clone(), port);
        let bridge = self.names.private_bridge();
        let bridge = self.ensure_bridge(kernel, &bridge, PRIVATE)?;
        // In force before the tap is on the bridge, and the bridge closed to neighbours before it is
        // up.
        let admitted = self.firewall.admit(&name, &identity, rules);
        self.firewall.wait(admitted).map_err(fault("close a private port to the host"))?;
        let refused = fault("plug a tap in");
        if tap.bridge != Some(bridge) {
            kernel.netlink.set_bridge(tap.index, bridge).map_err(&refused)?;
        }
        kernel.netlink.isolate_port(tap.index).map_err(&refused)?;
        kernel.netlink.set_up(tap.index).map_err(&refused)?;
        Ok(name)
    }

    /// Out of the switch, and, if it was a socket's, off the disk.
    pub(super) fn detach_private(&self, interface: &InterfaceId) -> Result<(), NetworkFault> {
        if let Some(overlay) = &self.overlay {
            overlay.detach(interface);
        }
        self.sockets.remove(interface).map_err(fault("remove sockets"))
    }

    pub(super) fn set_private_filter(
        &self,
        interface: &InterfaceId,
        filter: &PortFilter,
    ) -> Result<(), NetworkFault> {
        match self.overlay()?.set_filter(interface, filter.clone()) {
            true => Ok(()),
            false => Err(NetworkFault::NotAttached(interface.clone())),
        }
    }

    pub(super) fn has_private(&self, interface: &InterfaceId) -> bool {
        self.overlay.as_ref().is_some_and(|overlay| overlay.has(interface))
    }

    pub(super) fn set_private_members(&self, members: &GroupMembers) {
        if let Some(overlay) = &self.overlay {
            overlay.set_members(members);
        }
    }

    /// Removes what belongs to no port of the switch.
    pub(super) fn sweep_sockets(&self) -> Result<(), NetworkFault> {
        for (interface, _) in self.sockets.found().map_err(fault("list sockets"))? {
            if !self.overlay.as_ref().is_some_and(|overlay| overlay.has(&interface)) {
                self.detach_private(&interface)?;
            }
        }
        Ok(())
    }

    fn port_spec(
        &self,
        instance: &InstanceId,
        interface: &InterfaceSpec,
    ) -> Result<PortSpec, NetworkFault> {
        let network = interface.network.ok_or_else(|| {
            let reason = format!("interface `{}` is of a network without a number", interface.id);
            NetworkFault::NotPermitted(reason)
        })?;
        let first = interface.subnet.nth(1).unwrap_or(interface.subnet.address());
        Ok(PortSpec {
            interface: interface.id.clone(),
            instance: instance.clone(),
            network,
            mac: interface.mac,
            addresses: iter::once(interface.address).chain(interface.secondary.clone()).collect(),
            subnet: interface.subnet,
            dhcp_server: Some(first),
            mtu: self.options.guest_mtu,
            filter: interface.filter.clone(),
            checks_source: interface.checks_source,
        })
    }

    fn overlay(&self) -> Result<&Overlay, NetworkFault> {
        self.overlay.as_ref().ok_or_else(|| {
            NetworkFault::NotPermitted("this process has no switch for private networks".into())
        })
    }
}

/// What is written on the bridge.
const PRIVATE: &str = "private interfaces, kept from the host";
