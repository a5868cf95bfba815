//! The `[overlay]` section: where this process's switch meets those of other hosts.

use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OverlaySection {
    /// UDP. Unused in a process that neither joined a cloud nor lets others join.
    pub listen: SocketAddr,
    /// Where others find it, if not where links find this process or go out from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<SocketAddr>,
    /// What guests' private NICs are told: the longest IP packet that cables carry in one datagram.
    pub guest_mtu: u16,
    /// What guests' private NICs are plugged into.
    pub nics: NicsChoice,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NicsChoice {
    /// Taps for root, sockets for others.
    #[default]
    Auto,
    Taps,
    Sockets,
}

impl Default for OverlaySection {
    fn default() -> OverlaySection {
        OverlaySection {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8777)),
            addresses: Vec::new(),
            guest_mtu: 1380,
            nics: NicsChoice::Auto,
        }
    }
}
