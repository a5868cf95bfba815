//! What our objects on the host are called.
//!
//! Every name begins with the prefix and a hyphen, so that two clouds can share a host and a person
//! can see whose is whose. A device's name has at most 15 letters, too few for an id: it carries a
//! digest of the id, and the device's alias the id itself.

use super::NetworkFault;
use crate::domain::{
    id::{InterfaceId, PrefixedId},
    interface::MacAddress,
};
use ring::digest;

/// The names of one cloud on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    prefix: String,
}

const LONGEST_PREFIX: usize = 6;
const DIGEST_LETTERS: usize = 7;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

impl Names {
    pub fn new(prefix: &str) -> Result<Names, NetworkFault> {
        let good = (1..=LONGEST_PREFIX).contains(&prefix.len())
            && prefix.starts_with(|c: char| c.is_ascii_lowercase())
            && prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if good {
            Ok(Names { prefix: prefix.to_owned() })
        } else {
            Err(NetworkFault::NotPermitted(format!(
                "`{prefix}` is no prefix for devices: 1 to {LONGEST_PREFIX} small letters and digits"
            )))
        }
    }

    /// The name of our tables in nftables.
    pub fn table(&self) -> &str {
        &self.prefix
    }
    pub fn public_bridge(&self) -> String {
        format!("{}-pub", self.prefix)
    }
    pub fn private_bridge(&self) -> String {
        format!("{}-prv", self.prefix)
    }
    pub fn tap(&self, interface: &InterfaceId) -> String {
        format!("{}-t{}", self.prefix, letters(interface.as_str()))
    }

    /// The ends of the cable by which guests' packets to elastic addresses are received once more.
    pub fn detour(&self) -> [String; 2] {
        ["e0", "e1"].map(|end| format!("{}-{end}", self.prefix))
    }

    /// What every tap's name begins with.
    pub fn taps(&self) -> String {
        format!("{}-t", self.prefix)
    }

    pub fn is_tap(&self, name: &str) -> bool {
        name.strip_prefix(&self.taps()).is_some_and(|rest| rest.len() == DIGEST_LETTERS)
    }
    pub fn is_bridge(&self, name: &str) -> bool {
        name == self.public_bridge() || name == self.private_bridge()
    }

    /// Of both ends of the detour, so that what the one sends is for the other.
    pub fn detour_mac(&self) -> MacAddress {
        let [near, _] = self.detour();
        self.bridge_mac(&near)
    }

    /// A bridge's own address. Without one of its own a bridge takes a port's, and changes it as
    /// ports come and go, under the guests' ARP caches.
    pub fn bridge_mac(&self, bridge: &str) -> MacAddress {
        let digest = digest::digest(&digest::SHA256, bridge.as_bytes());
        let mut mac = [0; 6];
        mac.copy_from_slice(&digest.as_ref()[..6]);
        // Locally administered, unicast.
        mac[0] = mac[0] & 0xfc | 0x02;
        MacAddress(mac)
    }
}

/// 35 bits of the id's digest. Two ids that share them are noticed by the alias.
fn letters(id: &str) -> String {
    let digest = digest::digest(&digest::SHA256, id.as_bytes());
    let bytes = digest.as_ref().iter().take(DIGEST_LETTERS);
    bytes.map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernels_15_letters_and_are_known_as_ours() {
        let names = Names::new("mallee").unwrap();
        let tap = names.tap(&"eni-0123456789abcdef0".parse().unwrap());
        assert_eq!(tap.len(), 15);
        assert!(names.is_tap(&tap) && !names.is_bridge(&tap));
        assert!(names.is_bridge("mallee-prv") && names.is_bridge("mallee-pub"));
        for foreign in ["eth0", "mallee", "mallee-tx", "mallee-office", "malle-taaaaaaa"] {
            assert!(!names.is_tap(foreign) && !names.is_bridge(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_prefix_that_would_make_bad_names_is_refused() {
        for prefix in ["", "toolong", "Big", "a-b", "1a", "a;b", "a b"] {
            assert!(Names::new(prefix).is_err(), "{prefix}");
        }
    }
}
