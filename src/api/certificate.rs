//! Certificates as users upload them: read, and looked at for whether they can be believed.
//!
//! One certificate in PEM, with a key that signatures of SOAP requests can be verified with: RSA of
//! 2048 to 8192 bits, or an elliptic curve key on P-256 or P-384. Its issuer, its names and its
//! extensions mean nothing here.

use super::error::{ApiError, Code};
use crate::{
    domain::{signing_certificate::CertificateFingerprint, time::Timestamp},
    soap::certificate::{self, RSA_BITS, Unusable, fingerprint},
};
use pem::{EncodeConfig, LineEnding, Pem};

/// IAM's limit to the parameter.
pub const BODY_BYTES_MAX: usize = 16_384;
pub(super) const TAG: &str = "CERTIFICATE";

/// A certificate fit to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub fingerprint: CertificateFingerprint,
    /// The digest of its public key.
    pub key: CertificateFingerprint,
    /// In PEM.
    pub body: String,
}

/// Why one is not, in sentences for whoever uploads it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error(
        "The certificate must be one X.509 certificate in PEM of at most {BODY_BYTES_MAX} bytes."
    )]
    Malformed,
    #[error(
        "The key of the certificate must be RSA of {} to {} bits, or on the curve P-256 or P-384.",
        RSA_BITS.start(), RSA_BITS.end()
    )]
    Key,
    #[error("The certificate has expired.")]
    Expired,
}

impl From<Unusable> for Unfit {
    fn from(unusable: Unusable) -> Unfit {
        match unusable {
            Unusable::Unreadable => Unfit::Malformed,
            Unusable::KeyKind | Unusable::KeySize(_) => Unfit::Key,
        }
    }
}

impl From<Unfit> for ApiError {
    fn from(unfit: Unfit) -> ApiError {
        let code = match unfit {
            Unfit::Malformed => Code::MalformedCertificate,
            Unfit::Key | Unfit::Expired => Code::InvalidCertificate,
        };
        ApiError::new(code, unfit.to_string())
    }
}

impl Certificate {
    pub fn of_der(der: &[u8]) -> Result<Certificate, Unusable> {
        let parsed = certificate::Certificate::parse(der)?;
        Ok(Certificate::of_parsed(der, &parsed))
    }

    fn of_parsed(der: &[u8], parsed: &certificate::Certificate) -> Certificate {
        Certificate {
            fingerprint: CertificateFingerprint::of_digest(*parsed.fingerprint()),
            key: CertificateFingerprint::of_digest(fingerprint(parsed.key())),
            body: in_pem(TAG, der),
        }
    }
}

/// Reads what a user uploads.
pub fn read(text: &str, now: Timestamp) -> Result<Certificate, Unfit> {
    if text.len() > BODY_BYTES_MAX {
        return Err(Unfit::Malformed);
    }
    let blocks = pem::parse_many(text).map_err(|_| Unfit::Malformed)?;
    let [block] = &blocks[..] else { return Err(Unfit::Malformed) };
    if block.tag() != TAG {
        return Err(Unfit::Malformed);
    }
    let parsed = certificate::Certificate::parse(block.contents())?;
    if parsed.valid_until() < now {
        return Err(Unfit::Expired);
    }
    Ok(Certificate::of_parsed(block.contents(), &parsed))
}

pub(super) fn in_pem(tag: &str, der: &[u8]) -> String {
    let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
    pem::encode_config(&Pem::new(tag, der), lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
    use std::time::{Duration, SystemTime};

    const NOW: Timestamp = Timestamp(1_767_323_045_000);

    fn certificate(
        algorithm: &'static rcgen::SignatureAlgorithm,
        valid_for_seconds: i64,
    ) -> String {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(NOW.0 as u64);
        let mut params = CertificateParams::default();
        params.not_before = (now - Duration::from_secs(1_000_000)).into();
        let until = NOW.0 / 1000 + valid_for_seconds;
        params.not_after = (SystemTime::UNIX_EPOCH + Duration::from_secs(until as u64)).into();
        let key = KeyPair::generate_for(algorithm).unwrap();
        params.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn a_certificate_is_known_by_its_bytes_however_its_text_is_broken_into_lines() {
        let text = certificate(&PKCS_ECDSA_P256_SHA256, 60);
        let read_as = |text: &str| read(text, NOW).unwrap();
        let expected = read_as(&text);
        assert_eq!(read_as(&text.replace("\r\n", "\n")), expected);
        assert_eq!(read_as(&format!("\n{}\n\n", text.trim())), expected);
        assert_eq!(read_as(&expected.body), expected);
        assert!(expected.body.starts_with("-----BEGIN CERTIFICATE-----\nMII"));
        assert!(expected.body.ends_with("\n-----END CERTIFICATE-----\n"));
    }

    #[test]
    fn what_is_not_one_certificate_in_pem_is_malformed() {
        let one = certificate(&PKCS_ECDSA_P256_SHA256, 60);
        let der = pem::parse(&one).unwrap().into_contents();
        let longer = [&der[..], b"x"].concat();
        for text in [
            String::new(),
            "nonsense".to_owned(),
            format!("{one}{one}"),
            one.replace("CERTIFICATE", "PUBLIC KEY"),
            in_pem(TAG, b"not DER"),
            in_pem(TAG, &der[..der.len() - 1]),
            in_pem(TAG, &longer),
            format!("{}{one}", " ".repeat(BODY_BYTES_MAX)),
        ] {
            assert_eq!(read(&text, NOW), Err(Unfit::Malformed), "{text}");
        }
    }

    #[test]
    fn a_certificate_that_nothing_could_be_verified_with_is_invalid() {
        assert_eq!(read(&certificate(&PKCS_ED25519, 60), NOW), Err(Unfit::Key));
        assert_eq!(read(&certificate(&PKCS_ECDSA_P256_SHA256, -2), NOW), Err(Unfit::Expired));
        let error = ApiError::from(Unfit::Expired);
        assert_eq!(error.code, Code::InvalidCertificate);
        assert_eq!(ApiError::from(Unfit::Malformed).code, Code::MalformedCertificate);
    }
}
