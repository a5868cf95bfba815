//! A `[[group]]`: a zone of nodes that share a range of public addresses.

use crate::domain::{
    id::GroupName, placement::PolicyName, port_filter::Cidr, settings::GroupSettings,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::net::{Ipv4Addr, SocketAddr};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GroupSection {
    pub name: GroupName,
    /// Guests' public addresses, reachable from the host.
    #[serde(serialize_with = "write_cidr", deserialize_with = "read_cidr")]
    pub public_addresses: Cidr,
    /// The hosts' own address in that range.
    pub gateway: Ipv4Addr,
    /// Which node gets an instance.
    pub placement: PolicyName,
    /// Where nodes on other hosts reach the group's manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<SocketAddr>,
    /// Its manager runs on another host, though this process runs managers of groups.
    pub elsewhere: bool,
    /// For images on their way to nodes on other hosts.
    pub image_cache_gib: u64,
}

impl GroupSection {
    pub fn settings(&self) -> GroupSettings {
        GroupSettings {
            name: self.name.clone(),
            public_addresses: self.public_addresses,
            gateway: self.gateway,
            placement: self.placement,
        }
    }
}

impl Default for GroupSection {
    fn default() -> GroupSection {
        let gateway = Ipv4Addr::new(10, 213, 0, 1);
        GroupSection {
            name: "laptop".parse().expect("this is a well-formed group's name"),
            public_addresses: Cidr::new(gateway, 16).expect("16 is a prefix's length"),
            gateway,
            placement: PolicyName::default(),
            links: None,
            elsewhere: false,
            image_cache_gib: 20,
        }
    }
}

pub(super) fn write_cidr<S: Serializer>(range: &Cidr, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(range)
}

pub(super) fn read_cidr<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Cidr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(de::Error::custom)
}
