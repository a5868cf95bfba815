//! The way in: sockets on the host's loopback addresses, carried to the guests' ports.
//!
//! Guest 10.213.0.4 is found at 127.213.0.4, at every TCP and UDP port that its filter admits from
//! the gateway, which is who we are to it. Ports below 1024 are privileged on loopback too; where
//! the host does not let users have them they are offered `PRIVILEGED_OFFSET` higher.
//!
//! A connection is accepted before the guest is asked, so a port nobody serves in the guest is not
//! refused but reset. Bytes pass through two bounded buffers, and an end closed by one side is
//! closed to the other.

mod forwarder;
mod gate;
mod selection;
mod udp;

use crate::domain::{port_filter::Cidr, settings::Reach};
use std::{fs, net::Ipv4Addr};

pub use forwarder::{Ended, Forwarder};

/// How much higher a privileged port is offered.
pub const PRIVILEGED_OFFSET: u16 = 20_000;

const FIRST_UNPRIVILEGED: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/// Whether a loopback address is one that we give to guests: 127.0.0.x are the host's own.
pub(super) fn stands_for_a_guest(address: Ipv4Addr) -> bool {
    address.is_loopback() && !address.octets().starts_with(&[127, 0, 0])
}

/// Whether all addresses of a range can be shown as loopback addresses.
pub(super) fn showable(range: Cidr) -> bool {
    // The host's own are 256 in a row, aligned: a range that avoids them at both its ends and does
    // not begin before them avoids them all.
    let shown = |offset| range.nth(offset).map(|address| Reach::Loopback.shown(address));
    let ends = [shown(0), shown(range.size() - 1)];
    range.prefix_length() >= 8 && ends.into_iter().flatten().all(stands_for_a_guest)
}

/// The first port of the host that any user may listen on.
pub fn first_unprivileged_port() -> u16 {
    let text = fs::read_to_string(FIRST_UNPRIVILEGED).unwrap_or_default();
    text.trim().parse().unwrap_or(1024)
}

/// Where on its loopback address a guest's port is found, as seen from the host's namespace.
pub fn offered_port(port: u16) -> u16 {
    if port < first_unprivileged_port() { elsewhere(port) } else { port }
}

fn elsewhere(port: u16) -> u16 {
    port.saturating_add(PRIVILEGED_OFFSET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_would_be_shown_as_the_hosts_own_addresses_are_told() {
        for (range, good) in [
            ("10.213.0.0/16", true),
            ("10.0.1.0/24", true),
            ("172.31.0.0/16", true),
            ("10.0.0.0/24", false),
            ("10.0.0.0/16", false),
            ("10.0.0.128/25", false),
            ("10.0.0.0/8", false),
            ("8.0.0.0/7", false),
        ] {
            assert_eq!(showable(range.parse().unwrap()), good, "{range}");
        }
    }
}
