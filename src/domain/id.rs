//! Identifiers: newtypes that exist only well-formed. Parsed once, at the edge.
//!
//! EC2's resource ids are a prefix and 8 or 17 lower-case hexadecimal digits; ours are 17. Old
//! tools send the 8-digit ids of their time in upper case, so parsing normalises the case.

use super::chance::Chance;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A text that is not an identifier of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind} id")]
pub struct MalformedId {
    pub kind: &'static str,
    pub text: String,
}

/// An identifier with a fixed EC2 prefix.
pub trait PrefixedId: Sized + Clone + Ord + fmt::Display + FromStr<Err = MalformedId> {
    const PREFIX: &'static str;
    /// EC2's word for the kind, as it appears in error texts and `ResourceType`.
    const KIND: &'static str;
    fn random(chance: &mut dyn Chance) -> Self;
    /// Comes before every other id of its kind: where a scan begins.
    fn lowest() -> Self;
    fn as_str(&self) -> &str;
}

/// The 17 digits of a new id.
fn random_digits(chance: &mut dyn Chance) -> String {
    let mut bytes = [0u8; 9];
    chance.fill(&mut bytes);
    let mut digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.truncate(17);
    digits
}

fn well_formed(text: &str, prefix: &str) -> bool {
    let Some(digits) = text.strip_prefix(prefix) else { return false };
    matches!(digits.len(), 8 | 17) && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

macro_rules! prefixed_ids {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);
        impl PrefixedId for $name {
            const PREFIX: &'static str = $prefix;
            const KIND: &'static str = $kind;
            fn random(chance: &mut dyn Chance) -> Self {
                Self(format!("{}{}", $prefix, random_digits(chance)).into())
            }
            fn lowest() -> Self { Self(concat!($prefix, "00000000").into()) }
            fn as_str(&self) -> &str { &self.0 }
        }
        impl FromStr for $name {
            type Err = MalformedId;
            fn from_str(text: &str) -> Result<Self, MalformedId> {
                let lower = text.to_ascii_lowercase();
                if well_formed(&lower, $prefix) { Ok(Self(lower.into())) }
                else { Err(MalformedId { kind: $kind, text: text.to_owned() }) }
            }
        }
        impl TryFrom<String> for $name {
            type Error = MalformedId;
            fn try_from(text: String) -> Result<Self, MalformedId> { text.parse() }
        }
        impl From<$name> for String { fn from(id: $name) -> String { id.0.into() } }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
    )+};
}

prefixed_ids! {
    InstanceId, "i-", "instance";
    ReservationId, "r-", "reservation";
    VolumeId, "vol-", "volume";
    SecurityGroupId, "sg-", "security-group";
    SecurityGroupRuleId, "sgr-", "security-group-rule";
    KeyPairId, "key-", "key-pair";
    VpcId, "vpc-", "vpc";
    SubnetId, "subnet-", "subnet";
    InterfaceId, "eni-", "network-interface";
    AttachmentId, "eni-attach-", "network-interface-attachment";
    AllocationId, "eipalloc-", "elastic-ip";
    AssociationId, "eipassoc-", "elastic-ip-association";
}

/// An image id: `ami-`, `aki-`, `ari-` (what AWS clients accept) or Eucalyptus' `emi-`, `eki-`,
/// `eri-`; which family new images get is a setting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId(Box<str>);

impl ImageId {
    pub const PREFIXES: [&'static str; 6] = ["ami-", "aki-", "ari-", "emi-", "eki-", "eri-"];

    /// A new id with the prefix given, which is one of `PREFIXES`.
    pub fn random(prefix: &'static str, chance: &mut dyn Chance) -> Self {
        debug_assert!(Self::PREFIXES.contains(&prefix));
        Self(format!("{prefix}{}", random_digits(chance)).into())
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImageId {
    type Err = MalformedId;
    fn from_str(text: &str) -> Result<Self, MalformedId> {
        let lower = text.to_ascii_lowercase();
        if Self::PREFIXES.iter().any(|prefix| well_formed(&lower, prefix)) {
            Ok(Self(lower.into()))
        } else {
            Err(MalformedId { kind: "image", text: text.to_owned() })
        }
    }
}
impl TryFrom<String> for ImageId {
    type Error = MalformedId;
    fn try_from(text: String) -> Result<Self, MalformedId> {
        text.parse()
    }
}
impl From<ImageId> for String {
    fn from(id: ImageId) -> String {
        id.0.into()
    }
}
impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names chosen by people: a role's name in the hierarchy, a zone, a region, an account number.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $kind:literal, $test:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);
        impl $name {
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl FromStr for $name {
            type Err = MalformedId;
            fn from_str(text: &str) -> Result<Self, MalformedId> {
                let valid: fn(&str) -> bool = $test;
                if valid(text) { Ok(Self(text.into())) }
                else { Err(MalformedId { kind: $kind, text: text.to_owned() }) }
            }
        }
        impl TryFrom<String> for $name {
            type Error = MalformedId;
            fn try_from(text: String) -> Result<Self, MalformedId> { text.parse() }
        }
        impl From<$name> for String { fn from(name: $name) -> String { name.0.into() } }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
    )+};
}

fn label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

names! {
    /// An AWS account number: 12 decimal digits.
    AccountId, "account", |t| t.len() == 12 && t.bytes().all(|b| b.is_ascii_digit());
    /// `eu-west-1`, `eucalyptus`, `local`: what a client signs for.
    RegionName, "region", label;
    /// A region's name and a letter, or a configured name.
    ZoneName, "availability zone", label;
    /// A group manager's name.
    GroupName, "group", label;
    /// A node manager's name.
    NodeName, "node", label;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::chance::Counting;

    #[test]
    fn a_new_id_has_its_prefix_and_17_digits_and_parses_back() {
        let id = InstanceId::random(&mut Counting::default());
        assert_eq!(id.as_str().len(), "i-".len() + 17);
        assert_eq!(id.as_str().parse(), Ok(id.clone()));
    }

    #[test]
    fn short_and_upper_case_ids_of_old_tools_are_read() {
        assert_eq!("I-4DA4083F".parse::<InstanceId>().unwrap().as_str(), "i-4da4083f");
    }

    #[test]
    fn a_text_of_the_wrong_shape_is_refused() {
        for text in ["", "i-", "i-123", "vol-12345678", "i-1234567g", "i-123456789"] {
            assert!(text.parse::<InstanceId>().is_err(), "{text}");
        }
    }

    #[test]
    fn images_keep_whichever_family_of_prefix_they_have() {
        assert_eq!("emi-12345678".parse::<ImageId>().unwrap().as_str(), "emi-12345678");
        assert!("xmi-12345678".parse::<ImageId>().is_err());
    }
}
