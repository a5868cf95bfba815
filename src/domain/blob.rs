//! The name of a blob: the SHA-256 digest of its bytes.
//!
//! Image bytes are named by what they are, so a name can be checked against the bytes by whoever
//! holds them, and asking for the same name twice means the same bytes. No bytes live here.

use super::id::MalformedId;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlobId([u8; 32]);

impl BlobId {
    pub const fn of_digest(digest: [u8; 32]) -> BlobId {
        BlobId(digest)
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for BlobId {
    type Err = MalformedId;
    fn from_str(text: &str) -> Result<BlobId, MalformedId> {
        let malformed = || MalformedId { kind: "blob", text: text.to_owned() };
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(malformed());
        }
        let mut digest = [0u8; 32];
        for (index, byte) in digest.iter_mut().enumerate() {
            *byte =
                u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| malformed())?;
        }
        Ok(BlobId(digest))
    }
}

impl TryFrom<String> for BlobId {
    type Error = MalformedId;
    fn try_from(text: String) -> Result<BlobId, MalformedId> {
        text.parse()
    }
}

impl From<BlobId> for String {
    fn from(id: BlobId) -> String {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::BlobId;

    #[test]
    fn a_blob_id_is_64_hexadecimal_digits_in_lower_case() {
        let id: BlobId = "AB".repeat(32).parse().unwrap();
        assert_eq!(id.to_string(), "ab".repeat(32));
    }

    #[test]
    fn anything_else_is_refused() {
        let long = "a".repeat(65);
        let dotted = format!("../{}", "a".repeat(61));
        let wide = "é".repeat(32);
        for text in ["", "abc", &long, &dotted, &wide] {
            assert!(text.parse::<BlobId>().is_err(), "`{text}`");
        }
    }
}
