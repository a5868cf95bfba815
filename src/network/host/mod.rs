//! The data plane of a Linux host: taps, bridges, nftables, DHCP.
//!
//! ```text
//!   guest i-1                     guest i-2
//!   NIC 0      NIC 1              NIC 0      NIC 1
//!     │ tap      │ tap              │ tap      │ tap
//!   ══╪══════════│══════════════════╪══════════│═══  <prefix>-pub, 10.213.0.1/16: ports isolated,
//!     │          │                  │          │     routed, filtered and masqueraded by the host
//!                └──────────────────┴──────────┘     this process's switch (`private`)
//! ```
//!
//! Everything of ours is named with the prefix. What we know about a port is written on its tap
//! (`identity`), so a process that starts anew finds it in the kernel; the only file kept says which
//! of the host's switches were off (`forwarding`). Several clouds may share a host if their prefixes
//! and their ranges differ, which is made sure of before anything is changed (`occupancy`).
//!
//! Needs root or `CAP_NET_ADMIN` and `CAP_NET_RAW`, and the `nft` program. IPv6 is not offered.

mod capability;
mod changes;
mod conntrack;
mod dhcp_server;
mod elastic;
mod firewall;
mod forwarding;
mod guard;
mod identity;
mod name;
mod netlink;
mod news;
mod nft;
mod occupancy;
mod permits;
mod ports;
mod private;
mod sockets;
mod tap;
mod translation;

use super::{Datapath, NetworkFault, Port, dhcp::Lease, elastic::Holders, overlay::Overlay};
use crate::domain::{
    elastic_address::ElasticAssignment,
    id::{InstanceId, InterfaceId},
    interface::{InterfaceSpec, NicBackend, Wire},
    port_filter::{Cidr, GroupMembers, PortFilter},
};
use dhcp_server::DhcpServer;
use firewall::Firewall;
use forwarding::Forwarding;
use guard::Guard;
use identity::Identity;
use name::Names;
use netlink::Netlink;
use news::{Listener, Topic};
use nft::Nft;
use permits::Rules;
use ports::{Kernel, KnownPort};
use sockets::Sockets;
use std::{
    io,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostOptions {
    /// 1 to 6 small letters and digits: what our devices and tables are named with.
    pub prefix: String,
    /// The public wire's addresses, and the host's own among them.
    pub subnet: Cidr,
    pub gateway: Ipv4Addr,
    /// Offered on the public wire.
    pub dns: Vec<Ipv4Addr>,
    /// A directory that survives this process.
    pub state_dir: PathBuf,
    /// Where on the gateway's address the metadata service listens.
    pub metadata_port: u16,
    /// What private NICs are plugged into,
    pub nics: Nics,
    /// and which MTU they are told.
    pub guest_mtu: u16,
}

/// What guests' private NICs are plugged into. The public ones have taps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nics {
    Taps,
    /// Nothing of the host's is needed.
    Sockets,
}

const MTU: u16 = 1500;

#[derive(Debug)]
pub struct HostDatapath {
    options: HostOptions,
    names: Names,
    firewall: Arc<Firewall>,
    forwarding: Arc<Forwarding>,
    nft: Arc<Nft>,
    /// While the host is prepared.
    listeners: Mutex<Vec<Listener>>,
    dhcp: DhcpServer,
    kernel: Arc<Mutex<Kernel>>,
    /// None: nothing can be attached to a private wire.
    overlay: Option<Overlay>,
    sockets: Sockets,
}

impl HostDatapath {
    /// Prepares the host, or finds it prepared by an earlier process, whose guests notice nothing.
    pub fn open(options: HostOptions, overlay: Overlay) -> Result<HostDatapath, NetworkFault> {
        if !options.subnet.contains(options.gateway) {
            let HostOptions { gateway, subnet, .. } = &options;
            let reason = format!("the gateway `{gateway}` is not in the subnet `{subnet}`");
            return Err(NetworkFault::NotPermitted(reason));
        }
        let datapath = HostDatapath { overlay: Some(overlay), ..HostDatapath::find(options)? };
        datapath.prepare()?;
        Ok(datapath)
    }

    /// What there is on the host, without preparing anything: to `purge` it.
    pub fn find(options: HostOptions) -> Result<HostDatapath, NetworkFault> {
        let names = Names::new(&options.prefix)?;
        std::fs::create_dir_all(&options.state_dir).map_err(fault("make the state directory"))?;
        let nft = Nft::open(&options.state_dir).map_err(fault("lock the state directory"))?;
        let nft = Arc::new(nft);
        let mut netlink = Netlink::open().map_err(fault("speak to the kernel"))?;
        let links = netlink.links().map_err(fault("list devices"))?;
        occupancy::check_prefix(&links, &names, &options)?;
        Ok(HostDatapath {
            firewall: Arc::new(Firewall::new(names.clone(), Arc::clone(&nft))),
            forwarding: Arc::new(Forwarding::new(&options.state_dir, Arc::clone(&nft))),
            nft,
            listeners: Mutex::default(),
            dhcp: DhcpServer::start().map_err(fault("listen for DHCP"))?,
            kernel: Arc::new(Mutex::new(Kernel {
                netlink,
                ports: ports::among(&links, &names),
                elastic: Holders::default(),
            })),
            overlay: None,
            sockets: Sockets::kept_in(options.state_dir.join("private")),
            names,
            options,
        })
    }

    /// What on this host may keep guests from being reached and is not ours to change, in words
    /// for its administrator.
    pub fn obstacles(&self) -> Result<Vec<String>, NetworkFault> {
        self.firewall.obstacles().map_err(fault("list the host's chains"))
    }

    fn prepare(&self) -> Result<(), NetworkFault> {
        // Before the tables are made, so that nothing happens to them unheard; and before the kernel
        // is held, for which it may wait when it is to end.
        let mut guard = Guard::new(self);
        let guarded = Listener::start(Topic::PacketFilter, move |told| guard.hear(told));
        let guarded = guarded.map_err(fault("hear of the packet filter"))?;
        let mut kernel = self.kernel();
        let links = kernel.netlink.links().map_err(fault("list devices"))?;
        let addresses = kernel.netlink.addresses().map_err(fault("list addresses"))?;
        occupancy::check_range(&links, &addresses, &self.names, &self.options)?;
        let (name, owner) = (self.names.public_bridge(), occupancy::alias(&self.options));
        // First of all, because it says that the prefix is ours; it is of no use yet.
        let bridge = self.ensure_bridge(&mut kernel, &name, &owner)?;
        let group = kernel.netlink.set_group(bridge, netlink::PUBLIC_BRIDGES);
        group.map_err(fault("tell the bridge from other devices"))?;
        let forward = fault("let uplinks forward");
        let needed = self.forwarding.needed().map_err(&forward)?;
        // Before the bridge has its address: a guest's packet never meets a host without filters.
        self.firewall.install(&self.options, &needed).map_err(fault("install the firewall"))?;
        needed.iter().try_for_each(|uplink| self.forwarding.settle(uplink)).map_err(&forward)?;
        let (gateway, length) = (self.options.gateway, self.options.subnet.prefix_length());
        kernel
            .netlink
            .add_address(bridge, gateway, length)
            .map_err(fault("give the bridge its address"))?;
        forwarding::route_between_ports(&name).map_err(fault("let the bridge forward"))?;
        let (forwarding, table) = (Arc::clone(&self.forwarding), self.names.table().to_owned());
        let routed = Listener::start(Topic::Routes, move |_| {
            if let Err(error) = forwarding.follow(&table) {
                log::warn!("guests may not reach the world by the host's new uplink: {error}");
            }
            None
        });
        *self.listeners() = vec![guarded, routed.map_err(fault("hear of its routes"))?];
        Ok(())
    }

    fn listeners(&self) -> MutexGuard<'_, Vec<Listener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kernel(&self) -> MutexGuard<'_, Kernel> {
        ports::held(&self.kernel)
    }

    /// The bridge there is, or a new one. What an interruption left undone is done: a bridge that
    /// has our MAC and says nothing yet was being made.
    fn ensure_bridge(
        &self,
        kernel: &mut Kernel,
        name: &str,
        alias: &str,
    ) -> Result<u32, NetworkFault> {
        let refused = fault("make a bridge");
        let mac = self.names.bridge_mac(name);
        let mut found = kernel.netlink.link(name).map_err(&refused)?;
        if found.is_none() {
            kernel.netlink.create_bridge(name, mac.0).map_err(&refused)?;
            found = kernel.netlink.link(name).map_err(&refused)?;
        }
        let link = found.ok_or_else(|| refused(io::ErrorKind::NotFound.into()))?;
        // Whose the public bridge was is settled already.
        let is_settled = name == self.names.public_bridge();
        let is_for_us = is_settled || link.alias.is_empty() || link.alias == alias;
        if link.kind != "bridge" || link.mac != Some(mac) || !is_for_us {
            return Err(NetworkFault::Kernel(format!("device `{name}` is not ours")));
        }
        forwarding::disable_ipv6(name).map_err(&refused)?;
        if link.alias != alias {
            kernel.netlink.set_alias(link.index, alias).map_err(&refused)?;
        }
        kernel.netlink.set_up(link.index).map_err(&refused)?;
        Ok(link.index)
    }

    fn lease(&self, interface: &InterfaceSpec) -> Lease {
        Lease {
            mac: interface.mac,
            address: interface.address,
            subnet: interface.subnet,
            router: Some(interface.gateway.unwrap_or(self.options.gateway)),
            dns: self.options.dns.clone(),
            server: self.options.gateway,
            server_mac: self.names.bridge_mac(&self.names.public_bridge()),
            mtu: MTU,
        }
    }

    /// Makes room for an interface: its address must be nobody else's on the public wire. A port
    /// of an earlier process that nobody has claimed gives way.
    fn claim_address(
        &self,
        kernel: &mut Kernel,
        interface: &InterfaceSpec,
    ) -> Result<(), NetworkFault> {
        let holder = kernel.ports.values().find(|port| {
            port.identity.interface != interface.id
                && port.identity.wire == Wire::Public
                && port.identity.address == interface.address
        });
        match holder.cloned() {
            None => Ok(()),
            Some(holder) if holder.rules.is_some() => Err(NetworkFault::AddressTaken {
                address: interface.address,
                holder: holder.identity.interface,
            }),
            Some(stale) => self.remove_port(kernel, &stale),
        }
    }

    /// The interface's tap: the one there is, or a new one.
    fn ensure_tap(
        &self,
        kernel: &mut Kernel,
        tap: &str,
        identity: &Identity,
    ) -> Result<netlink::Link, NetworkFault> {
        let refused = fault("make a tap");
        match kernel.netlink.link(tap).map_err(&refused)? {
            Some(link) => {
                let earlier = link.alias.parse::<Identity>().ok();
                let ours = link.kind == "tun"
                    && earlier.as_ref().is_none_or(|port| port.interface == identity.interface);
                if !ours {
                    return Err(NetworkFault::Kernel(format!("device `{tap}` is not ours")));
                }
                if earlier.as_ref() != Some(identity) {
                    if let Some(earlier) = &earlier {
                        self.firewall.withdraw(tap, earlier).map_err(fault("remove a filter"))?;
                    }
                    let alias = identity.to_string();
                    kernel.netlink.set_alias(link.index, &alias).map_err(&refused)?;
                }
                // Once more: an interruption may have come before it.
                forwarding::disable_ipv6(tap).map_err(&refused)?;
                Ok(link)
            }
            None => {
                tap::create(tap).map_err(&refused)?;
                let link = kernel.netlink.link(tap).map_err(&refused)?;
                let link = link.ok_or_else(|| refused(io::ErrorKind::NotFound.into()))?;
                kernel.netlink.set_alias(link.index, &identity.to_string()).map_err(&refused)?;
                forwarding::disable_ipv6(tap).map_err(&refused)?;
                Ok(link)
            }
        }
    }

    /// First out of force, then out of existence: what an interruption leaves is a tap whose alias
    /// tells `sweep` the rest.
    fn remove_port(&self, kernel: &mut Kernel, port: &KnownPort) -> Result<(), NetworkFault> {
        let identity = &port.identity;
        let tap = self.names.tap(&identity.interface);
        if identity.wire == Wire::Public {
            self.dhcp.withdraw(port.device);
        } else {
            self.detach_private(&identity.interface)?;
        }
        let elastic = self.firewall.elastic(identity.address);
        self.firewall.withdraw(&tap, identity).map_err(fault("remove a filter"))?;
        if identity.wire == Wire::Public {
            self.unassign(kernel, &identity.interface, elastic)?;
        }
        kernel.netlink.delete(port.device).map_err(fault("remove a tap"))?;
        kernel.ports.remove(&identity.interface);
        if let Wire::Private(_) = &identity.wire {
            let is_private = |port: &KnownPort| port.identity.wire != Wire::Public;
            let alone = !kernel.ports.values().any(is_private);
            let bridge = self.names.private_bridge();
            let link = kernel.netlink.link(&bridge).map_err(fault("look for a bridge"))?;
            if let Some(link) = link.filter(|_| alone) {
                kernel.netlink.delete(link.index).map_err(fault("remove a bridge"))?;
            }
        }
        Ok(())
    }
}

impl Datapath for HostDatapath {
    fn attach(
        &self,
        instance: &InstanceId,
        interface: &InterfaceSpec,
    ) -> Result<Port, NetworkFault> {
        if interface.wire != Wire::Public {
            return self.attach_private(instance, interface);
        }
        let kernel = &mut *self.kernel();
        let identity = Identity::new(instance, interface);
        let name = self.names.tap(&interface.id);
        self.claim_address(kernel, interface)?;
        let tap = self.ensure_tap(kernel, &name, &identity)?;
        let rules = kernel.shared(Rules::of(&interface.filter));
        let port = KnownPort {
            identity: identity.clone(),
            device: tap.index,
            rules: Some(Arc::clone(&rules)),
        };
        kernel.ports.insert(interface.id.clone(), port);

        let (bridge, alias) = (self.names.public_bridge(), occupancy::alias(&self.options));
        let bridge = self.ensure_bridge(kernel, &bridge, &alias)?;
        // In force before the tap is on the wire, and the wire closed to neighbours before it is up.
        let admitted = self.firewall.admit(&name, &identity, rules);
        self.firewall.wait(admitted).map_err(fault("install a filter"))?;
        self.dhcp.offer(tap.index, self.lease(interface));
        let refused = fault("plug a tap in");
        if tap.bridge != Some(bridge) {
            kernel.netlink.set_bridge(tap.index, bridge).map_err(&refused)?;
        }
        kernel.netlink.isolate_port(tap.index).map_err(&refused)?;
        self.assign(kernel, &interface.id, &interface.elastic)?;
        kernel.netlink.set_up(tap.index).map_err(&refused)?;
        Ok(described(&identity, name))
    }

    fn set_filter(&self, interface: &InterfaceId, filter: &PortFilter) -> Result<(), NetworkFault> {
        // A long filter takes a while to be put into words.
        let rules = Rules::of(filter);
        let mut kernel = self.kernel();
        let rules = kernel.shared(rules);
        let is_public = |port: &&mut KnownPort| port.identity.wire == Wire::Public;
        let port = kernel.ports.get_mut(interface).filter(is_public);
        // Of private ports the switch knows.
        let Some(port) = port else { return self.set_private_filter(interface, filter) };
        if port.rules.is_none() {
            return Err(NetworkFault::NotAttached(interface.clone()));
        }
        port.rules = Some(Arc::clone(&rules));
        let pending = self.firewall.admit(&self.names.tap(interface), &port.identity, rules);
        // It has its place before any later change of the port; waiting, it may take others along.
        drop(kernel);
        self.firewall.wait(pending).map_err(fault("replace a filter"))
    }

    fn set_elastic(
        &self,
        interface: &InterfaceId,
        assignment: &ElasticAssignment,
    ) -> Result<(), NetworkFault> {
        let kernel = &mut *self.kernel();
        if !kernel.ports.contains_key(interface) && self.has_private(interface) {
            return Ok(());
        }
        self.assign(kernel, interface, assignment)
    }

    fn set_members(&self, members: &GroupMembers) -> Result<(), NetworkFault> {
        self.firewall.set_members(members).map_err(fault("tell of a group's members"))?;
        self.set_private_members(members);
        Ok(())
    }

    fn detach(&self, interface: &InterfaceId) -> Result<(), NetworkFault> {
        let kernel = &mut *self.kernel();
        match kernel.ports.get(interface).cloned() {
            Some(port) => self.remove_port(kernel, &port),
            None => self.detach_private(interface),
        }
    }

    fn ports(&self) -> Result<Vec<Port>, NetworkFault> {
        let kernel = &mut *self.kernel();
        let links = kernel.netlink.links().map_err(fault("list devices"))?;
        let found = ports::among(&links, &self.names);
        let described =
            |port: &KnownPort| described(&port.identity, self.names.tap(&port.identity.interface));
        let mut ports: Vec<Port> = found.values().map(described).collect();
        let sockets = self.sockets.found().map_err(fault("list sockets"))?;
        ports.extend(sockets.into_iter().map(|(interface, instance)| Port {
            backend: self.sockets.backend(&interface),
            interface,
            instance,
        }));
        Ok(ports)
    }

    fn sweep(&self) -> Result<(), NetworkFault> {
        let kernel = &mut *self.kernel();
        let stale: Vec<KnownPort> =
            kernel.ports.values().filter(|port| port.rules.is_none()).cloned().collect();
        for port in stale {
            self.remove_port(kernel, &port)?;
        }
        self.sweep_sockets()?;
        // What is left over is what an interruption left half made.
        let links = kernel.netlink.links().map_err(fault("list devices"))?;
        for link in &links {
            let wanted = match link.kind.as_str() {
                "tun" if self.names.is_tap(&link.name) => {
                    kernel.ports.values().any(|port| port.device == link.index)
                }
                "bridge" if self.names.is_bridge(&link.name) => {
                    link.name == self.names.public_bridge()
                        || links.iter().any(|port| port.bridge == Some(link.index))
                }
                _ => true,
            };
            if !wanted {
                kernel.netlink.delete(link.index).map_err(fault("remove a device"))?;
            }
        }
        let attached = kernel.ports.values().map(|port| &port.identity);
        let kept: Vec<_> = attached.map(|port| (self.names.tap(&port.interface), port)).collect();
        self.firewall.sweep(&kept).map_err(fault("remove what is left of old ports"))?;
        self.sweep_elastic(kernel)
    }

    /// Afterwards nothing can be attached until the host is prepared by `open` again.
    fn purge(&self) -> Result<(), NetworkFault> {
        // They would switch on again what is switched off below, and put back what is taken away.
        self.listeners().clear();
        let kernel = &mut *self.kernel();
        for port in kernel.ports.values() {
            self.dhcp.withdraw(port.device);
        }
        let taps = kernel.ports.keys().cloned().collect::<Vec<_>>();
        kernel.ports.clear();
        kernel.elastic.clear();
        let sockets = self.sockets.found().map_err(fault("list sockets"))?;
        for interface in taps.iter().chain(sockets.iter().map(|(interface, _)| interface)) {
            self.detach_private(interface)?;
        }
        // The public bridge last, since it says that the prefix is ours.
        let public = self.names.public_bridge();
        let mut links = kernel.netlink.links().map_err(fault("list devices"))?;
        links.sort_by_key(|link| link.name == public);
        for link in links {
            let ours = (link.kind == "tun" && self.names.is_tap(&link.name))
                || (link.kind == "bridge" && self.names.is_bridge(&link.name))
                || (link.kind == "veth" && self.names.detour().contains(&link.name));
            if ours {
                kernel.netlink.delete(link.index).map_err(fault("remove a device"))?;
            }
        }
        // Before the firewall that confines what they forward.
        let table = self.names.table();
        self.forwarding.restore(table).map_err(fault("restore forwarding"))?;
        self.firewall.remove().map_err(fault("remove the firewall"))?;
        self.forwarding.forget().map_err(fault("forget what forwarding was"))
    }
}

fn described(identity: &Identity, tap: String) -> Port {
    Port {
        interface: identity.interface.clone(),
        instance: identity.instance.clone(),
        backend: NicBackend::Tap(tap),
    }
}

/// Says what was being done, and tells what an administrator can allow from what they cannot.
fn fault(doing: &'static str) -> impl Fn(io::Error) -> NetworkFault {
    move |error| {
        let words = format!("cannot {doing}: {error}");
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                NetworkFault::NotPermitted(words)
            }
            _ => NetworkFault::Kernel(words),
        }
    }
}
