//! What an administrator gives to a new host: one printable string with all it needs to join.
//!
//! It holds where to go, how to know that one has arrived (the authority's fingerprint), and a
//! secret that admits one process once. Whoever has the string before it is used or expires can
//! join in its stead, and nothing else.

use super::{fingerprint::Fingerprint, role::Role};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::SystemTime};

const PREFIX: &str = "mallee-join-1.";
const CHECKSUM_BYTES: usize = 4;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    pub cloud: String,
    pub authority: Fingerprint,
    /// `host:port` of the parent, in the order to be tried.
    pub addresses: Vec<String>,
    pub role: Role,
    pub group: String,
    pub secret: Secret,
    pub expires: SystemTime,
}

/// What the joiner shows in place of a certificate.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret([u8; 32]);

impl Secret {
    pub fn generate() -> Secret {
        let mut bytes = [0; 32];
        SystemRandom::new()
            .fill(&mut bytes)
            .expect("the kernel gives random bytes once the machine has booted");
        Secret(bytes)
    }

    /// All that the issuer keeps of it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error("this is not a token: one begins with `{PREFIX}`")]
    NotAToken,
    #[error("this token is of another version of Mallee")]
    OtherVersion,
    #[error("the token is damaged: a part is missing or mistyped")]
    Damaged,
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = postcard::to_stdvec(self).map_err(|_| fmt::Error)?;
        bytes.extend_from_slice(&checksum(&bytes));
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for JoinToken {
    type Err = TokenFault;

    fn from_str(text: &str) -> Result<JoinToken, TokenFault> {
        let text = text.trim();
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            let related = text.starts_with("mallee-join-");
            return Err(if related { TokenFault::OtherVersion } else { TokenFault::NotAToken });
        };
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenFault::Damaged)?;
        let (content, sum) =
            bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(TokenFault::Damaged)?;
        if checksum(content) != *sum {
            return Err(TokenFault::Damaged);
        }
        postcard::from_bytes(content).map_err(|_| TokenFault::Damaged)
    }
}

/// Against slips of copying, not against malice.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = ring::digest::digest(&ring::digest::SHA256, bytes);
    *hash.as_ref().first_chunk().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn token() -> JoinToken {
        JoinToken {
            cloud: "lab".into(),
            authority: Fingerprint::of(b"authority"),
            addresses: vec!["10.0.0.1:7446".into(), "group.lab:7446".into()],
            role: Role::Node,
            group: "east".into(),
            secret: Secret([7; 32]),
            expires: SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000),
        }
    }

    #[test]
    fn a_token_is_one_word_and_is_read_back() {
        let text = token().to_string();
        assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)), "{text}");
        assert!(text.len() < 256, "{text}");
        assert_eq!(text.parse(), Ok(token()));
        assert_eq!(format!("  {text}\n").parse(), Ok(token()));
    }

    #[test]
    fn each_way_of_not_being_a_token_has_its_own_words() {
        let text = token().to_string();
        let check = |text: &str, fault| assert_eq!(text.parse::<JoinToken>(), Err(fault), "{text}");
        check("", TokenFault::NotAToken);
        check("mallee", TokenFault::NotAToken);
        check(&text.replace("-1.", "-2."), TokenFault::OtherVersion);
        check(&text[..text.len() - 5], TokenFault::Damaged);
        check(&text.replace(PREFIX, "mallee-join-1.!"), TokenFault::Damaged);
        check(PREFIX, TokenFault::Damaged);
    }

    #[test]
    fn no_single_letter_can_be_mistyped_unnoticed() {
        let text = token().to_string();
        for at in PREFIX.len()..text.len() {
            let mut mistyped = text.clone().into_bytes();
            mistyped[at] = if mistyped[at] == b'A' { b'B' } else { b'A' };
            let mistyped = String::from_utf8(mistyped).unwrap();
            assert_eq!(mistyped.parse::<JoinToken>(), Err(TokenFault::Damaged), "letter {at}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_token_or_refused(text: String) {
            let text = text.as_str();
            for text in [text.to_owned(), format!("{PREFIX}{text}")] {
                proptest::prop_assert!(text.parse::<JoinToken>().is_err());
            }
        }
    }

    #[test]
    fn a_secret_is_never_printed_but_in_its_token() {
        assert!(format!("{:?}", token()).contains("secret: <redacted>"));
        assert_ne!(Secret::generate(), Secret::generate());
    }
}
