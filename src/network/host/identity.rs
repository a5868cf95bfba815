//! Whose port a tap is, written on the tap itself.
//!
//! A device's alias is kept by the kernel exactly as long as the device, so what we know about a
//! port can neither be lost nor outlive it, and `ip link` shows it.

use crate::domain::{
    id::{InstanceId, InterfaceId},
    interface::{InterfaceSpec, MacAddress, Wire},
};
use std::{fmt, net::Ipv4Addr, str::FromStr};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub interface: InterfaceId,
    pub instance: InstanceId,
    pub mac: MacAddress,
    pub address: Ipv4Addr,
    pub wire: Wire,
}

impl Identity {
    pub fn new(instance: &InstanceId, interface: &InterfaceSpec) -> Identity {
        Identity {
            interface: interface.id.clone(),
            instance: instance.clone(),
            mac: interface.mac,
            address: interface.address,
            wire: interface.wire.clone(),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identity { interface, instance, mac, address, wire } = self;
        write!(f, "{interface} {instance} {mac} {address} ")?;
        match wire {
            Wire::Public => f.write_str("public"),
            Wire::Private(network) => write!(f, "{network}"),
        }
    }
}

/// An alias that is not of our making.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl FromStr for Identity {
    type Err = Unreadable;
    fn from_str(text: &str) -> Result<Identity, Unreadable> {
        let words: Vec<&str> = text.split(' ').collect();
        let [interface, instance, mac, address, wire] = words[..] else { return Err(Unreadable) };
        Ok(Identity {
            interface: interface.parse().map_err(|_| Unreadable)?,
            instance: instance.parse().map_err(|_| Unreadable)?,
            mac: mac.parse().map_err(|_| Unreadable)?,
            address: address.parse().map_err(|_| Unreadable)?,
            wire: match wire {
                "public" => Wire::Public,
                network => Wire::Private(network.parse().map_err(|_| Unreadable)?),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_back_as_it_was_written_and_fits_an_alias() {
        for wire in [Wire::Public, Wire::Private("vpc-0123456789abcdef0".parse().unwrap())] {
            let identity = Identity {
                interface: "eni-0123456789abcdef0".parse().unwrap(),
                instance: "i-0123456789abcdef0".parse().unwrap(),
                mac: MacAddress([255; 6]),
                address: Ipv4Addr::BROADCAST,
                wire,
            };
            assert!(identity.to_string().len() < 256);
            assert_eq!(identity.to_string().parse(), Ok(identity));
        }
        assert_eq!("".parse::<Identity>(), Err(Unreadable));
        assert_eq!("somebody else's device, not ours".parse::<Identity>(), Err(Unreadable));
    }
}
