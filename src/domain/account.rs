//! Accounts, their keys, and on whose behalf something is asked.

use super::{credential::CredentialStatus, fault::CloudFault, id::AccountId, time::Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A tenant. Isolation is by account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub id: AccountId,
    pub name: String,
    pub created_at: Timestamp,
}

/// A name stands in ARNs, so it has the characters that AWS allows in a user's name there.
pub fn check_name(name: &str) -> Result<(), CloudFault> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    if (1..=63).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(CloudFault::InvalidParameter(
        "An account's name has 1 to 63 letters, digits and characters of +=,.@_-".to_owned(),
    ))
}

/// A secret access key; never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretKey(pub String);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// What a holder of a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Sees and changes its own account's resources.
    User,
    /// Besides: adds images and accounts, and sees capacity and every account with `verbose`.
    Administrator,
}

/// A key pair for signing requests: "access key id" and "secret access key" in AWS's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    pub id: String,
    pub secret: SecretKey,
    pub account: AccountId,
    pub role: Role,
    pub created_at: Timestamp,
    /// Of records older than this: it was always active.
    #[serde(default)]
    pub status: CredentialStatus,
    /// Made for a user who asked. The others came with their account, and an administrator's with
    /// the cloud's configuration.
    #[serde(default)]
    pub issued: bool,
}

impl AccessKey {
    pub fn is_active(&self) -> bool {
        self.status == CredentialStatus::Active
    }

    /// It is made to agree with the cloud's configuration at every start.
    pub fn is_configured(&self) -> bool {
        self.role == Role::Administrator && !self.issued
    }
}

/// Who is asking, as established by a signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    pub account: AccountId,
    pub role: Role,
}

impl Caller {
    pub fn is_administrator(&self) -> bool {
        self.role == Role::Administrator
    }

    /// The paper's rule at every node: only the owner or an administrator.
    pub fn may_control(&self, owner: &AccountId) -> bool {
        self.is_administrator() || self.account == *owner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_key_recorded_before_there_was_a_status_is_active_and_not_issued() {
        let old = r#"{"id":"AKIAOLD","secret":"s","account":"000000000001",
                      "role":"Administrator","created_at":0}"#;
        let key: AccessKey = serde_json::from_str(old).unwrap();
        assert!(key.is_active() && key.is_configured());
        let issued = AccessKey { issued: true, ..key.clone() };
        assert!(!issued.is_configured());
        let first = AccessKey { role: Role::User, ..key };
        assert!(!first.is_configured());
    }
}
