//! An X.509 certificate as far as a message can be believed by it: its key, and when it is good.
//!
//! Who issued it is not asked. Whoever registers a certificate says by that whose it is.

use super::security::Method;
use crate::domain::time::Timestamp;
use ring::{digest, signature};
use std::ops::RangeInclusive;
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// The lengths of RSA keys that `ring` verifies with.
pub const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    fingerprint: [u8; 32],
    key: Key,
    valid_from: Timestamp,
    valid_until: Timestamp,
}

/// Why nobody can be believed by a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("not the DER of one certificate")]
    Unreadable,
    #[error("its key is neither RSA's nor of the curves P-256 and P-384")]
    KeyKind,
    #[error("its key has {0} bits; RSA keys have {least} to {most}", least = RSA_BITS.start(), most = RSA_BITS.end())]
    KeySize(usize),
}

/// In the form that `ring` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Rsa(Vec<u8>),
    P256(Vec<u8>),
    P384(Vec<u8>),
}

impl Certificate {
    pub fn parse(der: &[u8]) -> Result<Self, Unusable> {
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| Unusable::Unreadable)?;
        if !rest.is_empty() {
            return Err(Unusable::Unreadable);
        }
        let time = |seconds: i64| Timestamp(seconds.saturating_mul(1000));
        let validity = parsed.validity();
        Ok(Self {
            fingerprint: fingerprint(der),
            key: Key::of(parsed.public_key())?,
            valid_from: time(validity.not_before.timestamp()),
            valid_until: time(validity.not_after.timestamp()),
        })
    }

    /// The SHA-256 of its DER.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    pub fn valid_from(&self) -> Timestamp {
        self.valid_from
    }

    pub fn valid_until(&self) -> Timestamp {
        self.valid_until
    }

    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.valid_from <= now && now <= self.valid_until
    }

    /// Whether `value` is a signature of `message` by the certificate's key.
    pub(super) fn has_signed(&self, method: Method, message: &[u8], value: &[u8]) -> bool {
        let (algorithm, key): (&dyn signature::VerificationAlgorithm, _) = match (method, &self.key)
        {
            (Method::RsaSha1, Key::Rsa(key)) => {
                (&signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, key)
            }
            (Method::RsaSha256, Key::Rsa(key)) => (&signature::RSA_PKCS1_2048_8192_SHA256, key),
            (Method::RsaSha384, Key::Rsa(key)) => (&signature::RSA_PKCS1_2048_8192_SHA384, key),
            (Method::RsaSha512, Key::Rsa(key)) => (&signature::RSA_PKCS1_2048_8192_SHA512, key),
            (Method::EcdsaSha256, Key::P256(key)) => (&signature::ECDSA_P256_SHA256_FIXED, key),
            (Method::EcdsaSha384, Key::P384(key)) => (&signature::ECDSA_P384_SHA384_FIXED, key),
            (
                Method::RsaSha1 | Method::RsaSha256 | Method::RsaSha384 | Method::RsaSha512,
                Key::P256(_) | Key::P384(_),
            )
            | (Method::EcdsaSha256, Key::Rsa(_) | Key::P384(_))
            | (Method::EcdsaSha384, Key::Rsa(_) | Key::P256(_)) => return false,
        };
        signature::UnparsedPublicKey::new(algorithm, key).verify(message, value).is_ok()
    }

    /// The public key as it stands in the certificate: a point, or PKCS#1.
    pub fn key(&self) -> &[u8] {
        match &self.key {
            Key::Rsa(key) | Key::P256(key) | Key::P384(key) => key,
        }
    }
}

impl Key {
    fn of(info: &SubjectPublicKeyInfo<'_>) -> Result<Self, Unusable> {
        let bytes = info.subject_public_key.data.to_vec();
        let kind = &info.algorithm.algorithm;
        if *kind == oid_registry::OID_PKCS1_RSAENCRYPTION {
            let Ok(PublicKey::RSA(key)) = info.parsed() else { return Err(Unusable::Unreadable) };
            let bits = key.key_size();
            if !RSA_BITS.contains(&bits) {
                return Err(Unusable::KeySize(bits));
            }
            return Ok(Key::Rsa(bytes));
        }
        if *kind != oid_registry::OID_KEY_TYPE_EC_PUBLIC_KEY {
            return Err(Unusable::KeyKind);
        }
        let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
        match curve {
            Some(curve) if curve == oid_registry::OID_EC_P256 => Ok(Key::P256(bytes)),
            Some(curve) if curve == oid_registry::OID_NIST_EC_P384 => Ok(Key::P384(bytes)),
            Some(_) | None => Err(Unusable::KeyKind),
        }
    }
}

/// What certificates, and messages, are known by.
pub fn fingerprint(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().try_into().expect("a SHA-256 has 32 bytes")
}
