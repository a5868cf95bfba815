//! Public things, told apart by their SHA-256: certificates, keys, hashes of secrets.

use ring::digest;
use serde::{Deserialize, Serialize, de};
use std::{fmt, str::FromStr};

/// The SHA-256 of something public: a certificate, or a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub fn of(bytes: &[u8]) -> Fingerprint {
        let hash = digest::digest(&digest::SHA256, bytes);
        Fingerprint(hash.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintFault;

    fn from_str(text: &str) -> Result<Fingerprint, FingerprintFault> {
        let malformed = || FingerprintFault(text.to_owned());
        if text.len() != 64 || !text.is_ascii() {
            return Err(malformed());
        }
        let mut bytes = [0; 32];
        for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| malformed())?;
        }
        Ok(Fingerprint(bytes))
    }
}

/// Text where people read it (and where it is the key of a map), bytes on the wire.
impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Fingerprint, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            Deserialize::deserialize(deserializer).map(Fingerprint)
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a fingerprint: 64 hexadecimal digits are wanted")]
pub struct FingerprintFault(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_64_digits_where_people_read_it_and_32_bytes_on_the_wire() {
        let fingerprint = Fingerprint::of(b"mallee");
        let text = serde_json::to_string(&fingerprint).unwrap();
        assert_eq!(text.len(), 64 + 2);
        assert_eq!(serde_json::from_str::<Fingerprint>(&text).unwrap(), fingerprint);
        let wire = postcard::to_stdvec(&fingerprint).unwrap();
        assert_eq!(wire.len(), 32);
        assert_eq!(postcard::from_bytes::<Fingerprint>(&wire).unwrap(), fingerprint);
        for text in ["", "zz", &"é".repeat(32), &"g".repeat(64)] {
            text.parse::<Fingerprint>().unwrap_err();
        }
    }
}
