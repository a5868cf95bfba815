//! The DNS names that go with addresses, as EC2 shows them.

use serde::{Serialize, Serializer};
use std::{fmt, net::Ipv4Addr};

/// `ip-172-31-0-4.mallee.internal`: EC2's private names, in a domain of our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivateDnsName(pub Ipv4Addr);

/// There is no name service yet, so a public name that can be used is the address itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicDnsName(pub Ipv4Addr);

impl fmt::Display for PrivateDnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0.octets();
        write!(f, "ip-{a}-{b}-{c}-{d}.mallee.internal")
    }
}

impl fmt::Display for PublicDnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for PrivateDnsName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for PublicDnsName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
