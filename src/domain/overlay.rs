//! The overlay in the words of the control plane: who its switches are, which networks there are,
//! and with which keys two switches speak.

use serde::{Deserialize, Serialize};
use std::{fmt, net::SocketAddr};

/// A switch of the overlay, numbered by the cloud for good: a host that joins anew under its old
/// name is the same switch. 0 is nobody, and means everybody where a destination is said.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct SwitchId(pub u32);

impl SwitchId {
    pub const EVERYBODY: SwitchId = SwitchId(0);
}

impl fmt::Display for SwitchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A private network in frames between switches: 24 bits, as VXLAN has them (RFC 7348). A VPC has
/// one of its own. 0 is no network.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct NetworkId(u32);

impl NetworkId {
    pub const MAX: u32 = (1 << 24) - 1;

    /// Between 1 and 2²⁴ - 1.
    pub fn new(number: u32) -> Option<NetworkId> {
        (1..=NetworkId::MAX).contains(&number).then_some(NetworkId(number))
    }
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A secret of two switches for one direction and epoch.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CableKey(pub [u8; 32]);

impl fmt::Debug for CableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// The keys of an epoch. Both ends prefer the highest epoch that both have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochKeys {
    pub epoch: u32,
    /// Seals what this switch says to the peer.
    pub sending: CableKey,
    /// Opens what the peer says to this switch.
    pub receiving: CableKey,
}

/// Another switch, as one that may have a cable to it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OverlayPeer {
    pub switch: SwitchId,
    /// For people: `cloud`, `east`, `east/n1`.
    pub name: String,
    /// Where it listens, as it sees itself: what a NAT makes of that is found out by the cables.
    pub endpoints: Vec<SocketAddr>,
    /// Newest last; never empty.
    pub keys: Vec<EpochKeys>,
}

/// Everything a switch is told by the managers. Replaces what it was told before; without news it
/// goes on with what it has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OverlayCharter {
    /// Of two charters the one with the higher is newer.
    pub revision: u64,
    pub own: SwitchId,
    pub own_name: String,
    pub peers: Vec<OverlayPeer>,
}

/// What a switch says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchCard {
    /// As in `OverlayPeer`.
    pub name: String,
    pub endpoints: Vec<SocketAddr>,
}
