//! What an administrator chose for the cloud; fixed while it runs.

use super::{
    id::{AccountId, GroupName, RegionName, ZoneName},
    image::ImageIdFamily,
    instance_type::InstanceTypes,
    placement::PolicyName,
    port_filter::Cidr,
    sla::SlaPolicies,
};
use serde::{Deserialize, Serialize};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// Which regions there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Regions {
    /// Whatever a client signs for, each name a namespace of its own.
    Any { default: RegionName },
    /// These, the first being the default.
    Named(Vec<RegionName>),
}

impl Regions {
    /// The region of a request that names none (SigV2).
    pub fn default_region(&self) -> &RegionName {
        match self {
            Regions::Any { default } => default,
            Regions::Named(names) => &names[0],
        }
    }

    pub fn admits(&self, region: &RegionName) -> bool {
        match self {
            Regions::Any { .. } => true,
            Regions::Named(names) => names.contains(region),
        }
    }
}

/// A group of nodes and the public addresses its guests get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSettings {
    pub name: GroupName,
    pub public_addresses: Cidr,
    /// The hosts' own address on the public bridge.
    pub gateway: Ipv4Addr,
    pub placement: PolicyName,
}

/// What a host is told of the group that it joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupCharter {
    pub settings: GroupSettings,
    /// Whose account the managers' own doings are put down to.
    pub root: AccountId,
    /// Where nodes on other hosts reach the group's manager.
    pub links: Option<SocketAddr>,
}

/// How a guest's public address is reached from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// The host has a route to it.
    #[default]
    Routed,
    /// The guests' network is out of the host's sight, and a loopback address stands for each
    /// public one.
    Loopback,
}

impl Reach {
    /// The address at which the host's users find what has this public address.
    pub fn shown(self, public: Ipv4Addr) -> Ipv4Addr {
        let [_, b, c, d] = public.octets();
        match self {
            Reach::Routed => public,
            Reach::Loopback => Ipv4Addr::new(127, b, c, d),
        }
    }
}

#[derive(Debug, Clone)]
pub struct CloudSettings {
    pub regions: Regions,
    /// In the order of their zones' letters; at least one.
    pub groups: Vec<GroupSettings>,
    pub instance_types: InstanceTypes,
    pub image_id_family: ImageIdFamily,
    /// How long a terminated instance is still described.
    pub terminated_shown: Duration,
    pub reach: Reach,
    pub sla: SlaPolicies,
}

impl CloudSettings {
    /// The zones of a region: `<region>a` is the first group, `<region>b` the second, ….
    pub fn zones<'a>(
        &'a self,
        region: &'a RegionName,
    ) -> impl Iterator<Item = (ZoneName, &'a GroupSettings)> + 'a {
        self.groups.iter().zip('a'..='z').map(move |(group, letter)| {
            let name = format!("{region}{letter}");
            (name.parse().expect("a region's name and a letter are a zone's name"), group)
        })
    }

    pub fn group_of_zone<'a>(
        &'a self,
        region: &'a RegionName,
        zone: &ZoneName,
    ) -> Option<&'a GroupSettings> {
        self.zones(region).find(|(name, _)| name == zone).map(|(_, group)| group)
    }

    pub fn group(&self, name: &GroupName) -> Option<&GroupSettings> {
        self.groups.iter().find(|group| group.name == *name)
    }

    /// A small cloud for tests to begin with: one group, any region, instances of one vCPU.
    #[cfg(test)]
    pub fn for_tests() -> CloudSettings {
        let small = super::resources::Resources { vcpus: 1, memory_mib: 256, disk_gib: 2 };
        CloudSettings {
            regions: Regions::Any { default: "us-east-1".parse().unwrap() },
            groups: vec![GroupSettings {
                name: "zone-one".parse().unwrap(),
                public_addresses: "198.51.100.0/24".parse().unwrap(),
                gateway: "198.51.100.1".parse().unwrap(),
                placement: PolicyName::FirstFit,
            }],
            instance_types: InstanceTypes([("m1.small".to_owned(), small)].into()),
            image_id_family: ImageIdFamily::Ami,
            terminated_shown: Duration::from_secs(3600),
            reach: Reach::Routed,
            sla: SlaPolicies::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_the_hosts_sight_a_loopback_address_stands_for_a_public_one() {
        let public = Ipv4Addr::new(10, 213, 7, 4);
        assert_eq!(Reach::Routed.shown(public), public);
        assert_eq!(Reach::Loopback.shown(public), Ipv4Addr::new(127, 213, 7, 4));
    }
}
