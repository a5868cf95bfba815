//! Elastic addresses of this host's guests: translated, and led to the guests.
//!
//! ```text
//!   world ──► uplink ──────────────translated──► bridge ──► guest
//!   guest ──► bridge ──► e0 ══► e1 ──translated──► bridge ──► guest
//! ```
//!
//! A guest's own packets to elastic addresses are not translated on the bridge but are received once
//! more, by the other end of a cable. Where bridged frames pass the host's packet filter, as they do
//! on every host with containers, a packet translated on the bridge would be sent back to it past the
//! routing, to ports that are isolated. The cable is there while there are elastic addresses.

use super::{HostDatapath, conntrack, fault, forwarding, ports::Kernel};
use crate::{
    domain::{
        elastic_address::{Elastic, ElasticAssignment},
        id::InterfaceId,
        interface::Wire,
    },
    network::NetworkFault,
};
use std::{io, net::Ipv4Addr};

impl HostDatapath {
    /// Whoever else had the address has none in the same moment.
    pub(super) fn assign(
        &self,
        kernel: &mut Kernel,
        interface: &InterfaceId,
        assignment: &ElasticAssignment,
    ) -> Result<(), NetworkFault> {
        let port = kernel.ports.get(interface).filter(|port| port.rules.is_some());
        let port = port.ok_or_else(|| NetworkFault::NotAttached(interface.clone()))?;
        if port.identity.wire != Wire::Public {
            return Ok(());
        }
        let own = port.identity.address;
        // What an earlier process set may be another than this one knows of.
        let before = self.firewall.elastic(own);
        let has = kernel.elastic.assign(interface, assignment).has;
        if let Some(Elastic { address, .. }) = has {
            self.lead_here(kernel, address)?;
        }
        if before == has {
            return Ok(());
        }
        self.firewall.translate(own, has).map_err(fault("translate an elastic address"))?;
        if let Some(Elastic { address, .. }) = has {
            forget_flows(address, Some(own));
        }
        let has = has.map(|elastic| elastic.address);
        let lost = before.map(|elastic| elastic.address);
        self.lose(kernel, lost.filter(|lost| Some(*lost) != has))
    }

    /// After a port is out of force: what it had is nobody's.
    pub(super) fn unassign(
        &self,
        kernel: &mut Kernel,
        interface: &InterfaceId,
        before: Option<Elastic>,
    ) -> Result<(), NetworkFault> {
        kernel.elastic.withdraw(interface);
        self.lose(kernel, before.map(|elastic| elastic.address))
    }

    /// Takes away what no port needs: a process that was interrupted left it.
    pub(super) fn sweep_elastic(&self, kernel: &mut Kernel) -> Result<(), NetworkFault> {
        let [near, _] = self.names.detour();
        let found = kernel.netlink.link(&near).map_err(fault("look for the detour"))?;
        let Some(near) = found else { return Ok(()) };
        let routes = kernel.netlink.routes(near.index).map_err(fault("list routes"))?;
        let stale = routes.into_iter().filter(|to| kernel.elastic.holder(*to).is_none());
        for address in stale.collect::<Vec<_>>() {
            self.lead_nowhere(kernel, near.index, address)?;
        }
        Ok(())
    }

    /// An address that a port had, and perhaps another has now.
    fn lose(&self, kernel: &mut Kernel, lost: Option<Ipv4Addr>) -> Result<(), NetworkFault> {
        let Some(address) = lost.filter(|lost| kernel.elastic.holder(*lost).is_none()) else {
            return Ok(());
        };
        forget_flows(address, None);
        let [near, _] = self.names.detour();
        match kernel.netlink.link(&near).map_err(fault("look for the detour"))? {
            Some(near) => self.lead_nowhere(kernel, near.index, address),
            None => Ok(()),
        }
    }

    fn lead_here(&self, kernel: &mut Kernel, address: Ipv4Addr) -> Result<(), NetworkFault> {
        let near = self.ensure_detour(kernel).map_err(fault("make a detour"))?;
        let routed = kernel.netlink.add_route(near, address, self.options.gateway);
        routed.map_err(fault("route an elastic address"))
    }

    /// The detour goes with the last address.
    fn lead_nowhere(
        &self,
        kernel: &mut Kernel,
        near: u32,
        address: Ipv4Addr,
    ) -> Result<(), NetworkFault> {
        let gone = kernel.netlink.remove_route(near, address);
        gone.map_err(fault("take an elastic address's route away"))?;
        if self.firewall.translates() {
            return Ok(());
        }
        kernel.netlink.delete(near).map_err(fault("remove the detour"))
    }

    /// The cable there is, or a new one. What an interruption left undone is done.
    fn ensure_detour(&self, kernel: &mut Kernel) -> io::Result<u32> {
        let ends = self.names.detour();
        let mac = self.names.detour_mac();
        let netlink = &mut kernel.netlink;
        if netlink.link(&ends[0])?.is_none() {
            netlink.create_cable(&ends, mac.0)?;
        }
        let found = [netlink.link(&ends[0])?, netlink.link(&ends[1])?];
        let [Some(near), Some(far)] = found else { return Err(io::ErrorKind::NotFound.into()) };
        if [&near, &far].iter().any(|end| end.kind != "veth" || end.mac != Some(mac)) {
            return Err(io::Error::other(format!("device `{}` is not ours", near.name)));
        }
        for end in [&near, &far] {
            forwarding::disable_ipv6(&end.name)?;
            netlink.set_up(end.index)?;
        }
        netlink.add_host_address(far.index, DUMMY)?;
        forwarding::route_by_detour(&self.names.public_bridge(), &far.name)?;
        Ok(near.index)
    }
}

/// Anybody may use it who needs one (RFC 7600): the kernel believes no source by a device that has no
/// address, however little it checks them.
const DUMMY: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// What is not forgotten is dropped, so nothing goes astray: it only begins anew later.
fn forget_flows(address: Ipv4Addr, own: Option<Ipv4Addr>) {
    if let Err(error) = conntrack::forget(address, own) {
        log::warn!("flows by `{address}` of before may take a while to begin anew: {error}");
    }
}
