//! Large things by their content: the name of some bytes is the SHA-256 of them.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlobId(Box<str>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the SHA-256 of anything: 64 hexadecimal digits are expected")]
pub struct MalformedBlobId(pub String);

impl BlobId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From a digest's 32 bytes.
    pub fn from_digest(digest: &[u8; 32]) -> BlobId {
        BlobId(digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
    }
}

impl FromStr for BlobId {
    type Err = MalformedBlobId;
    fn from_str(text: &str) -> Result<BlobId, MalformedBlobId> {
        let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(digits) {
            Ok(BlobId(text.into()))
        } else {
            Err(MalformedBlobId(text.to_owned()))
        }
    }
}
impl TryFrom<String> for BlobId {
    type Error = MalformedBlobId;
    fn try_from(text: String) -> Result<BlobId, MalformedBlobId> {
        text.parse()
    }
}
impl From<BlobId> for String {
    fn from(id: BlobId) -> String {
        id.0.into()
    }
}
impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
