//! Whose a prefix and a range of addresses are, when there are several clouds on a host.
//!
//! The alias of a public bridge says in which directory its cloud keeps its state. A cloud whose
//! directory is gone can no longer be told to leave, so its prefix is free: the next cloud finds
//! its devices as if they were its own, and removes them.

use super::{
    HostOptions,
    name::Names,
    netlink::{Link, PUBLIC_BRIDGES},
};
use crate::{domain::port_filter::Cidr, network::NetworkFault};
use std::{net::Ipv4Addr, path::Path};

const BEGINNING: &str = "public bridge of ";
/// What the kernel takes.
const LONGEST_ALIAS: usize = 255;

/// What is written on the public bridge of a cloud.
pub(super) fn alias(options: &HostOptions) -> String {
    let place = options.state_dir.to_string_lossy();
    let mut alias = format!("{BEGINNING}{place}");
    // A longer path would be no path any more, and so nobody's.
    let end = alias.floor_char_boundary(LONGEST_ALIAS);
    alias.truncate(end);
    alias
}

/// Refuses a prefix that is another cloud's.
pub(super) fn check_prefix(
    links: &[Link],
    names: &Names,
    options: &HostOptions,
) -> Result<(), NetworkFault> {
    let own = names.public_bridge();
    if let Some(bridge) = links.iter().find(|link| link.name == own)
        && bridge.alias != alias(options)
        && let Some(holder) = bridge.alias.strip_prefix(BEGINNING)
        && Path::new(holder).exists()
    {
        let prefix = names.table().to_owned();
        return Err(NetworkFault::PrefixTaken { prefix, holder: holder.to_owned() });
    }
    Ok(())
}

/// Refuses a range that overlaps another cloud's, and a gateway that is any other device's address.
pub(super) fn check_range(
    links: &[Link],
    addresses: &[(u32, Ipv4Addr, u8)],
    names: &Names,
    options: &HostOptions,
) -> Result<(), NetworkFault> {
    let own = names.public_bridge();
    for &(index, address, length) in addresses {
        let device = links.iter().find(|link| link.index == index && link.name != own);
        let Some(device) = device else { continue };
        let range = Cidr::new(address, length);
        let is_a_clouds = device.group == PUBLIC_BRIDGES;
        let taken = is_a_clouds && range.is_some_and(|range| range.overlaps(options.subnet));
        if taken || address == options.gateway {
            let device = device.name.clone();
            return Err(NetworkFault::RangeTaken { range: options.subnet, device });
        }
    }
    Ok(())
}
