//! IMDSv2 session tokens: an expiry, and a seal over it and the instance's id.
//!
//! Nothing is stored, so a restart of the node forgets no session as long as it is given the same
//! key. A token is worthless to any other instance, as EC2 demands.

use crate::domain::{
    id::{InstanceId, PrefixedId},
    time::Timestamp,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use std::{fmt, time::Duration};

/// The key of one node's tokens.
pub struct TokenKey(hmac::Key);

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

const EXPIRY_BYTES: usize = 8;

impl TokenKey {
    /// The secret is chosen at random by the node, once, and kept across its restarts.
    pub fn new(secret: &[u8; 32]) -> TokenKey {
        TokenKey(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    pub(super) fn issue(&self, instance: &InstanceId, now: Timestamp, life: Duration) -> String {
        let mut token = (now + life).as_millis().to_be_bytes().to_vec();
        let seal = hmac::sign(&self.0, &sealed(instance, &token));
        token.extend_from_slice(seal.as_ref());
        URL_SAFE_NO_PAD.encode(token)
    }

    /// Whether the token is ours, for this instance, and still alive.
    pub(super) fn admits(&self, instance: &InstanceId, token: &str, now: Timestamp) -> bool {
        let Ok(token) = URL_SAFE_NO_PAD.decode(token) else { return false };
        let Some((expiry, seal)) = token.split_first_chunk::<EXPIRY_BYTES>() else { return false };
        hmac::verify(&self.0, &sealed(instance, expiry), seal).is_ok()
            && now.as_millis() < i64::from_be_bytes(*expiry)
    }
}

/// The expiry has a fixed length, so the two parts cannot be read in any other way.
fn sealed(instance: &InstanceId, expiry: &[u8]) -> Vec<u8> {
    [expiry, instance.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_serves_one_instance_until_it_expires() {
        let key = TokenKey::new(&[7; 32]);
        let (mine, other) = ("i-11111111".parse().unwrap(), "i-22222222".parse().unwrap());
        let now = Timestamp(1_000_000);
        let token = key.issue(&mine, now, Duration::from_secs(60));
        assert!(key.admits(&mine, &token, now));
        assert!(key.admits(&mine, &token, now + Duration::from_secs(59)));
        assert!(!key.admits(&mine, &token, now + Duration::from_secs(60)));
        assert!(!key.admits(&other, &token, now));
        assert!(!TokenKey::new(&[8; 32]).admits(&mine, &token, now));
        assert!(TokenKey::new(&[7; 32]).admits(&mine, &token, now), "survives a restart");
    }

    #[test]
    fn a_token_that_is_nonsense_is_refused() {
        let key = TokenKey::new(&[7; 32]);
        let instance = "i-11111111".parse().unwrap();
        let token = key.issue(&instance, Timestamp(0), Duration::from_secs(60));
        let extended = format!("{}{}", URL_SAFE_NO_PAD.encode([0x7f; 8]), &token[11..]);
        for bad in ["", "x", "AAAAAAAAAAA", &token[1..], &extended, "\u{e9}"] {
            assert!(!key.admits(&instance, bad, Timestamp(0)), "{bad}");
        }
    }
}
