//! The ports that this host has, as far as we know, and the conversation in which they are changed.

use super::{
    identity::Identity,
    name::Names,
    netlink::{Link, Netlink},
    permits::Rules,
};
use crate::{domain::id::InterfaceId, network::elastic::Holders};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Our conversation with the kernel, and the ports we know it to have.
#[derive(Debug)]
pub(super) struct Kernel {
    pub netlink: Netlink,
    pub ports: BTreeMap<InterfaceId, KnownPort>,
    pub elastic: Holders,
}

#[derive(Debug, Clone)]
pub(super) struct KnownPort {
    pub identity: Identity,
    pub device: u32,
    /// What it admits, by one text for all that admit the same. None for a tap found at the start,
    /// until it is attached again.
    pub rules: Option<Arc<Rules>>,
}

impl Kernel {
    /// The rules as a port has them already, if one does.
    pub fn shared(&self, rules: Rules) -> Arc<Rules> {
        let mut known = self.ports.values().filter_map(|port| port.rules.as_ref());
        known.find(|known| ***known == rules).map_or_else(|| Arc::new(rules), Arc::clone)
    }
}

/// Whose turn it is to speak to the kernel.
pub(super) fn held(kernel: &Mutex<Kernel>) -> MutexGuard<'_, Kernel> {
    // The table is only a memory of the kernel's own, corrected by attaching again.
    kernel.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The ports among the kernel's devices, by what is written on them.
pub(super) fn among(links: &[Link], names: &Names) -> BTreeMap<InterfaceId, KnownPort> {
    let taps = links.iter().filter(|link| link.kind == "tun" && names.is_tap(&link.name));
    taps.filter_map(|link| {
        let identity: Identity = link.alias.parse().ok()?;
        let port = KnownPort { device: link.index, rules: None, identity };
        Some((port.identity.interface.clone(), port))
    })
    .collect()
}
