//! The `[cloud]` section: where the API listens, and what its users see.

use super::group::{GroupSection, read_cidr, write_cidr};
use crate::domain::{
    elastic_address::{Egress, ElasticPool},
    id::RegionName,
    image::ImageIdFamily,
    port_filter::Cidr,
    settings::{MetaZoneListing, Regions},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, net::SocketAddr};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CloudSection {
    /// Stands in the certificates of all its managers.
    pub name: String,
    pub listen: SocketAddr,
    /// Where managers of groups on other hosts reach the cloud's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<SocketAddr>,
    pub region: RegionChoice,
    /// The region of requests that name none, and of `mallee env`. `None`: `us-east-1`, or the
    /// first of a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_region: Option<RegionName>,
    pub image_id_family: ImageIdFamily,
    pub meta_zones_listed: MetaZoneListing,
    pub terminated_shown_seconds: u64,
    /// Where elastic addresses are from. `None`: from the end of the first group's range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elastic_addresses: Option<Range>,
    pub elastic_addresses_per_account: u64,
    /// Whether replies to SOAP requests are signed with the cloud's certificate.
    pub soap_replies_signed: bool,
}

/// A range of addresses, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Range(#[serde(serialize_with = "write_cidr", deserialize_with = "read_cidr")] pub Cidr);

/// Which regions there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegionChoice {
    /// `"any"`
    Any,
    /// `["eucalyptus", "eu-west-1"]`
    Named(Vec<RegionName>),
}

impl CloudSection {
    pub fn default_region(&self) -> RegionName {
        self.regions().default_region().clone()
    }

    /// A pool in a group's range is one that only the hosts know.
    pub(super) fn elastic(&self, groups: &[GroupSection]) -> ElasticPool {
        let kept = match (&self.elastic_addresses, groups.first()) {
            (Some(Range(range)), _) => {
                let known = groups.iter().any(|group| group.public_addresses.overlaps(*range));
                let egress = if known { Egress::Masqueraded } else { Egress::Elastic };
                ElasticPool { range: Some(*range), egress, per_account: 0 }
            }
            (None, Some(first)) => ElasticPool::within(first.public_addresses),
            (None, None) => {
                ElasticPool { range: None, egress: Egress::Masqueraded, per_account: 0 }
            }
        };
        ElasticPool { per_account: self.elastic_addresses_per_account, ..kept }
    }

    /// For the cloud manager, whose list begins with the default.
    pub(super) fn regions(&self) -> Regions {
        match &self.region {
            RegionChoice::Any => Regions::Any {
                default: self.default_region.clone().unwrap_or_else(|| {
                    "us-east-1".parse().expect("this is a well-formed region's name")
                }),
            },
            RegionChoice::Named(names) => {
                let mut names = names.clone();
                if let Some(default) = &self.default_region {
                    names.retain(|name| name != default);
                    names.insert(0, default.clone());
                }
                Regions::Named(names)
            }
        }
    }
}

impl Default for CloudSection {
    fn default() -> CloudSection {
        CloudSection {
            name: "mallee".to_owned(),
            links: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 8773)),
            region: RegionChoice::Any,
            default_region: None,
            image_id_family: ImageIdFamily::Ami,
            meta_zones_listed: MetaZoneListing::WhenAsked,
            terminated_shown_seconds: 3600,
            elastic_addresses: None,
            elastic_addresses_per_account: ElasticPool::PER_ACCOUNT,
            soap_replies_signed: true,
        }
    }
}

impl Serialize for RegionChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            RegionChoice::Any => serializer.serialize_str("any"),
            RegionChoice::Named(names) => names.serialize(serializer),
        }
    }
}

/// By hand, because an untagged enum can only say that no variant matched.
impl<'de> Deserialize<'de> for RegionChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RegionChoice, D::Error> {
        deserializer.deserialize_any(RegionVisitor)
    }
}

struct RegionVisitor;

impl<'de> de::Visitor<'de> for RegionVisitor {
    type Value = RegionChoice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`\"any\"` or a list of region names")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RegionChoice, E> {
        match text {
            "any" => Ok(RegionChoice::Any),
            other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
        }
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut names: A) -> Result<RegionChoice, A::Error> {
        let mut named = Vec::new();
        while let Some(name) = names.next_element()? {
            named.push(name);
        }
        Ok(RegionChoice::Named(named))
    }
}
