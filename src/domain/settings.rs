//! What an administrator chose for the cloud; fixed while it runs.

use super::{
    allocation::{AllocationName, AllocationPolicy},
    elastic_address::ElasticPool,
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
    sync::Arc,
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

/// A name that users may give where they would name a zone, and that stands for a policy of which
/// zones get the instances. It is the same in every region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaZone {
    pub name: ZoneName,
    pub policy: AllocationName,
    /// In the order of preference, where the policy has one.
    pub groups: Vec<GroupName>,
}

/// Where meta-zones appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MetaZoneListing {
    /// As EC2 does it with zones that are not opted in: to who asks for all zones or names one, so
    /// that who takes every zone that is listed gets zones that subnets and volumes can be in.
    #[default]
    WhenAsked,
    /// After the zones.
    Always,
}

/// What stands for a zone, whatever the region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZoneChoice {
    Group(GroupName),
    MetaZone(ZoneName),
}

/// Where a launch may go, and how it is shared out.
#[derive(Debug)]
pub struct Candidates<'a> {
    pub zones: Vec<(ZoneName, &'a GroupSettings)>,
    pub policy: Arc<dyn AllocationPolicy>,
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
    /// In the order of the configuration; every group they name is there.
    pub meta_zones: Vec<MetaZone>,
    pub meta_zones_listed: MetaZoneListing,
    pub instance_types: InstanceTypes,
    pub image_id_family: ImageIdFamily,
    /// How long a terminated instance is still described.
    pub terminated_shown: Duration,
    pub reach: Reach,
    pub elastic: ElasticPool,
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

    /// The meta-zones as they are known in a region, where a zone's own name goes first.
    pub fn meta_zones<'a>(
        &'a self,
        region: &'a RegionName,
    ) -> impl Iterator<Item = &'a MetaZone> + 'a {
        let is_free = |meta: &&MetaZone| self.group_of_zone(region, &meta.name).is_none();
        self.meta_zones.iter().filter(is_free)
    }

    /// The zones that a launch in this zone or meta-zone may go to, or in any if it names none;
    /// `None` if there is no such zone.
    pub fn candidates<'a>(
        &'a self,
        region: &'a RegionName,
        zone: Option<&ZoneName>,
    ) -> Option<Candidates<'a>> {
        let Some(wanted) = zone else {
            // EC2 puts a launch without a zone into one of its choice.
            let zones = self.zones(region).collect();
            return Some(Candidates { zones, policy: AllocationName::OneZone.policy() });
        };
        if let Some(group) = self.group_of_zone(region, wanted) {
            let zones = vec![(wanted.clone(), group)];
            return Some(Candidates { zones, policy: AllocationName::OneZone.policy() });
        }
        let meta = self.meta_zones.iter().find(|meta| meta.name == *wanted)?;
        let zones = meta
            .groups
            .iter()
            .filter_map(|name| self.zones(region).find(|(_, group)| group.name == *name));
        Some(Candidates { zones: zones.collect(), policy: meta.policy.policy() })
    }

    /// What the choice is called in a region.
    pub fn zone_chosen(&self, region: &RegionName, choice: &ZoneChoice) -> Option<ZoneName> {
        match choice {
            ZoneChoice::Group(name) => {
                self.zones(region).find(|(_, group)| group.name == *name).map(|(zone, _)| zone)
            }
            ZoneChoice::MetaZone(name) => self
                .meta_zones(region)
                .find(|meta| meta.name == *name)
                .map(|meta| meta.name.clone()),
        }
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
            meta_zones: vec![MetaZone {
                name: "any".parse().unwrap(),
                policy: AllocationName::EmptiestFirst,
                groups: vec!["zone-one".parse().unwrap()],
            }],
            meta_zones_listed: MetaZoneListing::WhenAsked,
            instance_types: InstanceTypes([("m1.small".to_owned(), small)].into()),
            image_id_family: ImageIdFamily::Ami,
            terminated_shown: Duration::from_secs(3600),
            reach: Reach::Routed,
            elastic: ElasticPool::within("198.51.100.0/24".parse().unwrap()),
            sla: SlaPolicies::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_s_own_name_goes_before_a_meta_zone_s() {
        let mut settings = CloudSettings::for_tests();
        settings.meta_zones[0].name = "us-east-1a".parse().unwrap();
        let name = &settings.meta_zones[0].name;
        let known = |region: &str| settings.meta_zones(&region.parse().unwrap()).count();
        assert_eq!((known("us-east-1"), known("us-west-1")), (0, 1));
        let (east, west) = ("us-east-1".parse().unwrap(), "us-west-1".parse().unwrap());
        assert_eq!(settings.candidates(&east, Some(name)).unwrap().zones[0].0, *name);
        let elsewhere = settings.candidates(&west, Some(name)).unwrap();
        assert_eq!(elsewhere.zones[0].0.as_str(), "us-west-1a");
        assert!(settings.candidates(&west, Some(&"none".parse().unwrap())).is_none());
    }

    #[test]
    fn out_of_the_hosts_sight_a_loopback_address_stands_for_a_public_one() {
        let public = Ipv4Addr::new(10, 213, 7, 4);
        assert_eq!(Reach::Routed.shown(public), public);
        assert_eq!(Reach::Loopback.shown(public), Ipv4Addr::new(127, 213, 7, 4));
    }
}
