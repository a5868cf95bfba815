//! Signing certificates: the public half of what a user signs SOAP requests with.
//!
//! A certificate is known by the digest of its bytes, and believed because it is on record here: no
//! chain is followed and no issuer asked. What its bytes say is read where certificates are taken
//! (`api::certificate`); the private half is never kept.

use super::{
    credential::CredentialStatus,
    id::{AccountId, MalformedId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The SHA-256 digest of a certificate's DER.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CertificateFingerprint([u8; 32]);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningCertificate {
    /// What users call it by.
    pub id: String,
    pub fingerprint: CertificateFingerprint,
    /// The digest of its public key.
    pub key: CertificateFingerprint,
    /// In PEM.
    pub body: String,
    /// What it is good for is what the account is.
    pub account: AccountId,
    pub status: CredentialStatus,
    pub uploaded_at: Timestamp,
}

impl SigningCertificate {
    pub fn is_active(&self) -> bool {
        self.status == CredentialStatus::Active
    }
}

impl CertificateFingerprint {
    pub const fn of_digest(digest: [u8; 32]) -> CertificateFingerprint {
        CertificateFingerprint(digest)
    }
}

impl fmt::Display for CertificateFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CertificateFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateFingerprint({self})")
    }
}

impl FromStr for CertificateFingerprint {
    type Err = MalformedId;
    fn from_str(text: &str) -> Result<CertificateFingerprint, MalformedId> {
        let malformed = || MalformedId { kind: "certificate", text: text.to_owned() };
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(malformed());
        }
        let mut digest = [0; 32];
        for (byte, at) in digest.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| malformed())?;
        }
        Ok(CertificateFingerprint(digest))
    }
}

impl TryFrom<String> for CertificateFingerprint {
    type Error = MalformedId;
    fn try_from(text: String) -> Result<CertificateFingerprint, MalformedId> {
        text.parse()
    }
}

impl From<CertificateFingerprint> for String {
    fn from(fingerprint: CertificateFingerprint) -> String {
        fingerprint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_64_hexadecimal_digits_as_text() {
        let fingerprint = CertificateFingerprint::of_digest([0xa5; 32]);
        assert_eq!(fingerprint.to_string(), "a5".repeat(32));
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        for text in ["", "a5", &"g5".repeat(32), &"ä".repeat(32), &"a5".repeat(33)] {
            assert!(text.parse::<CertificateFingerprint>().is_err(), "{text}");
        }
    }
}
