//! SSH key pairs: the cloud keeps the public half only.

use super::{id::KeyPairId, scope::Scope, time::Timestamp};
use serde::{Deserialize, Serialize};

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
