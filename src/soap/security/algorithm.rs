//! The algorithms that are accepted, by the names that XML signatures have for them.
//!
//! SHA-1 is accepted because the clients of 2008 know nothing else; MD5 is not. Of ECDSA there is
//! what `ring` verifies in the form that XML signatures use: P-256 with SHA-256 and P-384 with
//! SHA-384; neither P-521 nor curves with another's digest. DSA and HMAC are not: the one is
//! obsolete, the other has no certificate.

use ring::digest;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Digest {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Digest {
    const NAMES: [(&'static str, Digest); 4] = [
        ("http://www.w3.org/2000/09/xmldsig#sha1", Digest::Sha1),
        ("http://www.w3.org/2001/04/xmlenc#sha256", Digest::Sha256),
        ("http://www.w3.org/2001/04/xmldsig-more#sha384", Digest::Sha384),
        ("http://www.w3.org/2001/04/xmlenc#sha512", Digest::Sha512),
    ];

    pub fn named(uri: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(name, _)| *name == uri).map(|(_, digest)| *digest)
    }

    pub fn of(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Digest::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Digest::Sha256 => &digest::SHA256,
            Digest::Sha384 => &digest::SHA384,
            Digest::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }
}

/// How `SignedInfo` was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    RsaSha1,
    RsaSha256,
    RsaSha384,
    RsaSha512,
    EcdsaSha256,
    EcdsaSha384,
}

impl Method {
    const NAMES: [(&'static str, Method); 6] = [
        ("http://www.w3.org/2000/09/xmldsig#rsa-sha1", Method::RsaSha1),
        ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", Method::RsaSha256),
        ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha384", Method::RsaSha384),
        ("http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", Method::RsaSha512),
        ("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", Method::EcdsaSha256),
        ("http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384", Method::EcdsaSha384),
    ];

    pub(super) fn named(uri: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(name, _)| *name == uri).map(|(_, method)| *method)
    }
}
