//! Who a process is, as its certificate says: a role and a name, in a cloud.
//!
//! The identity stands in the certificate as a URI, `mallee://<cloud>/<role>/<group>/<name>`, the
//! cloud manager's without a group. Everything here is what a certificate claims; `tls` is what
//! believes it.

pub use super::role::Role;

use super::fingerprint::Fingerprint;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize, de};
use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};
use x509_parser::{extensions::GeneralName, prelude::FromDer};

const SCHEME: &str = "mallee://";
const PART_LENGTH_MAX: usize = 63;

/// A process of a cloud. Its parts can stand in a URI as they are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    cloud: String,
    role: Role,
    /// The cloud manager alone is in no group.
    group: Option<String>,
    name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFault {
    #[error(
        "`{0}` cannot be part of an identity: 1 to 63 letters, digits, `.`, `_` or `-` are wanted"
    )]
    Part(String),
    #[error("`{0}` is not an identity: `mallee://<cloud>/<role>/<group>/<name>` is wanted")]
    Form(String),
    #[error("the certificate cannot be read")]
    Unreadable,
    #[error("the certificate names no process of a cloud")]
    Nameless,
    #[error("the certificate names several processes of a cloud")]
    Ambiguous,
}

impl Identity {
    /// Of any role; the group is of no account to the cloud's.
    pub fn member(
        cloud: &str,
        role: Role,
        group: &str,
        name: &str,
    ) -> Result<Identity, IdentityFault> {
        Identity::new(cloud, role, (role != Role::Cloud).then_some(group), name)
    }

    pub fn cloud_manager(cloud: &str, name: &str) -> Result<Identity, IdentityFault> {
        Identity::new(cloud, Role::Cloud, None, name)
    }

    pub fn group_manager(cloud: &str, group: &str, name: &str) -> Result<Identity, IdentityFault> {
        Identity::new(cloud, Role::Group, Some(group), name)
    }

    pub fn node_manager(cloud: &str, group: &str, name: &str) -> Result<Identity, IdentityFault> {
        Identity::new(cloud, Role::Node, Some(group), name)
    }

    fn new(
        cloud: &str,
        role: Role,
        group: Option<&str>,
        name: &str,
    ) -> Result<Identity, IdentityFault> {
        let part = |text: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            let well_formed =
                (1..=PART_LENGTH_MAX).contains(&text.len()) && text.chars().all(allowed);
            well_formed.then(|| text.to_owned()).ok_or_else(|| IdentityFault::Part(text.to_owned()))
        };
        Ok(Identity {
            cloud: part(cloud)?,
            role,
            group: group.map(part).transpose()?,
            name: part(name)?,
        })
    }

    pub fn cloud(&self) -> &str {
        &self.cloud
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}/", self.cloud, self.role)?;
        if let Some(group) = &self.group {
            write!(f, "{group}/")?;
        }
        f.write_str(&self.name)
    }
}

impl FromStr for Identity {
    type Err = IdentityFault;

    fn from_str(text: &str) -> Result<Identity, IdentityFault> {
        let malformed = || IdentityFault::Form(text.to_owned());
        let parts: Vec<&str> =
            text.strip_prefix(SCHEME).ok_or_else(malformed)?.split('/').collect();
        match parts[..] {
            [cloud, "cloud", name] => Identity::cloud_manager(cloud, name),
            [cloud, "group", group, name] => Identity::group_manager(cloud, group, name),
            [cloud, "node", group, name] => Identity::node_manager(cloud, group, name),
            _ => Err(malformed()),
        }
    }
}

impl Serialize for Identity {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Identity, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Which process a child looks for at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub cloud: String,
    pub role: Role,
    /// `None`: it is in no group.
    pub group: Option<String>,
}

impl Expected {
    /// The parent of a process: nodes answer to their group's manager, and that to the cloud's.
    pub fn parent_of(cloud: &str, role: Role, group: Option<&str>) -> Expected {
        let (role, group) = match role {
            Role::Node => (Role::Group, group.map(str::to_owned)),
            Role::Group | Role::Cloud => (Role::Cloud, None),
        };
        Expected { cloud: cloud.to_owned(), role, group }
    }

    pub(super) fn is_met_by(&self, identity: &Identity) -> bool {
        identity.cloud() == self.cloud
            && identity.role() == self.role
            && identity.group() == self.group.as_deref()
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.group {
            Some(group) => write!(f, "the {} manager of `{group}` in `{}`", self.role, self.cloud),
            None => write!(f, "the {} manager of `{}`", self.role, self.cloud),
        }
    }
}

/// What a certificate says of the process that shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    pub identity: Identity,
    /// Of the certificate shown, so that one certificate of several can be revoked.
    pub certificate: Fingerprint,
    /// Of the key certified.
    pub key: Fingerprint,
    pub valid_from: SystemTime,
    pub valid_until: SystemTime,
}

impl Peer {
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Peer, IdentityFault> {
        let (rest, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate)
            .map_err(|_| IdentityFault::Unreadable)?;
        if !rest.is_empty() {
            return Err(IdentityFault::Unreadable);
        }
        let names = parsed.subject_alternative_name().map_err(|_| IdentityFault::Unreadable)?;
        let mut identities = names.iter().flat_map(|names| &names.value.general_names).filter_map(
            |name| match name {
                GeneralName::URI(uri) => Some(uri.parse::<Identity>()),
                _ => None,
            },
        );
        let identity = identities.next().ok_or(IdentityFault::Nameless)??;
        if identities.next().is_some() {
            return Err(IdentityFault::Ambiguous);
        }
        let validity = parsed.validity();
        Ok(Peer {
            identity,
            certificate: Fingerprint::of(certificate),
            key: Fingerprint::of(parsed.public_key().raw),
            valid_from: time(validity.not_before.timestamp())?,
            valid_until: time(validity.not_after.timestamp())?,
        })
    }
}

fn time(unix_seconds: i64) -> Result<SystemTime, IdentityFault> {
    let seconds = u64::try_from(unix_seconds).map_err(|_| IdentityFault::Unreadable)?;
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_printed_as_a_uri_and_read_back() {
        for (identity, uri) in [
            (Identity::cloud_manager("lab", "c1"), "mallee://lab/cloud/c1"),
            (Identity::group_manager("lab", "east", "g1"), "mallee://lab/group/east/g1"),
            (Identity::node_manager("lab", "east", "n-1.x"), "mallee://lab/node/east/n-1.x"),
        ] {
            let identity = identity.unwrap();
            assert_eq!(identity.to_string(), uri);
            assert_eq!(uri.parse(), Ok(identity));
        }
    }

    #[test]
    fn what_is_not_an_identity_is_refused() {
        for uri in [
            "",
            "https://lab/node/east/n1",
            "mallee://lab/node/n1",
            "mallee://lab/cloud/east/c1",
            "mallee://lab/admin/east/a1",
            "mallee://lab/node/east/n1/extra",
            "mallee://lab/node//n1",
            "mallee://lab/node/east/n 1",
            "mallee://lab/node/east/n%31",
        ] {
            uri.parse::<Identity>().unwrap_err();
        }
        Identity::cloud_manager("lab", &"n".repeat(64)).unwrap_err();
    }
}
