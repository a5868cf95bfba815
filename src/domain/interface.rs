//! A guest's network interface as its node needs to know it.

use super::{
    elastic_address::ElasticAssignment,
    id::{InterfaceId, VpcId},
    overlay::NetworkId,
    port_filter::{Cidr, PortFilter},
};
use serde::{Deserialize, Serialize};
use std::{fmt, net::Ipv4Addr, path::PathBuf, str::FromStr};

/// How many interfaces an instance may have, the two included that it is born with.
pub const INTERFACES_MAX: u32 = 8;

/// The device index of the first interface besides those two.
pub const FURTHER_FROM: u32 = 2;

/// How many addresses an interface on a private wire may have.
pub const ADDRESSES_MAX: usize = 16;

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Of an interface on the public wire: unique while its instance holds the address.
    pub fn public(address: Ipv4Addr) -> MacAddress {
        MacAddress::of(0, address)
    }

    /// As unique in a private network as the address is.
    pub fn private(address: Ipv4Addr) -> MacAddress {
        MacAddress::of(1, address)
    }

    /// Locally administered.
    fn of(kind: u8, address: Ipv4Addr) -> MacAddress {
        let [a, b, c, d] = address.octets();
        MacAddress([0x0a, kind, a, b, c, d])
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = *b"00:00:00:00:00:00";
        for (place, byte) in self.0.into_iter().enumerate() {
            text[3 * place] = DIGITS[usize::from(byte >> 4)];
            text[3 * place + 1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(str::from_utf8(&text).expect("digits and colons are ASCII"))
    }
}

impl FromStr for MacAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<MacAddress, String> {
        let malformed = || format!("`{text}` is not a MAC address");
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(malformed)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| malformed())?;
        }
        if parts.next().is_some() { Err(malformed()) } else { Ok(MacAddress(bytes)) }
    }
}

/// Which wire the interface is on (the paper's Figure 2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Wire {
    /// The host's own bridge: routed, reachable from the host.
    Public,
    /// The owner's isolated network; two networks may use the same addresses.
    Private(VpcId),
}

/// What a guest's NIC is plugged into on its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NicBackend {
    /// A tap that exists already, by name.
    Tap(String),
    /// A pair of datagram sockets, a frame each: QEMU binds `guests` and sends to `ours`. Needs no
    /// privilege, and either side may come and go.
    Socket { ours: PathBuf, guests: PathBuf },
}

impl NicBackend {
    pub fn tap(&self) -> Option<&str> {
        match self {
            NicBackend::Tap(name) => Some(name),
            NicBackend::Socket { .. } => None,
        }
    }
}

/// An interface with everything its node must arrange for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceSpec {
    pub id: InterfaceId,
    /// 0 is the first NIC the guest sees.
    pub device_index: u32,
    pub mac: MacAddress,
    pub wire: Wire,
    /// The private wire's number between hosts; none where the record is older than the overlay.
    #[serde(default)]
    pub network: Option<NetworkId>,
    pub address: Ipv4Addr,
    /// Further addresses in the same subnet, which the guest gives itself.
    #[serde(default)]
    pub secondary: Vec<Ipv4Addr>,
    /// Whether the guest may speak from its own addresses only.
    #[serde(default = "yes")]
    pub checks_source: bool,
    /// The range the guest believes it is on.
    pub subnet: Cidr,
    /// The default route offered by DHCP, on the public wire only.
    pub gateway: Option<Ipv4Addr>,
    pub filter: PortFilter,
    /// Where the world finds it besides, on the public wire only.
    #[serde(default)]
    pub elastic: ElasticAssignment,
}

/// What was recorded before there was a choice.
fn yes() -> bool {
    true
}
