//! SSH key pairs: the cloud keeps the public half only.

use super::{fault::CloudFault, id::KeyPairId, scope::Scope, time::Timestamp};
use serde::{Deserialize, Serialize};

pub const NAME_CHARACTERS: usize = 255;

/// A name goes into `authorized_keys` lines and metadata listings, one line each.
pub fn check_name(name: &str) -> Result<(), CloudFault> {
    let refused = |why: &str| {
        Err(CloudFault::InvalidParameter(format!("Value for parameter KeyName is invalid. {why}")))
    };
    if name.is_empty() {
        return refused("It should not be blank.");
    }
    if name.chars().count() > NAME_CHARACTERS {
        return refused(&format!("Length exceeds maximum of {NAME_CHARACTERS}."));
    }
    if !name.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        return refused("Only printable characters of ASCII are supported.");
    }
    if name.trim() != name {
        return refused("It must not begin or end with a space.");
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyType {
    Rsa,
    Ed25519,
}

impl KeyType {
    /// EC2's word.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyType::Rsa => "rsa",
            KeyType::Ed25519 => "ed25519",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPair {
    pub scope: Scope,
    pub id: KeyPairId,
    pub name: String,
    pub key_type: KeyType,
    /// As AWS computes it for this type and origin.
    pub fingerprint: String,
    /// One `authorized_keys` line.
    pub public_key: String,
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_up_to_255_printable_ascii_characters_on_one_line() {
        for name in ["a", "my key (2)", "user@host", &"x".repeat(255)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", " ", "a ", "schlüssel", "two\nlines", "tab\t", &"x".repeat(256)] {
            assert!(matches!(check_name(name), Err(CloudFault::InvalidParameter(_))), "{name}");
        }
    }
}
