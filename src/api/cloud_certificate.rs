//! The cloud's own certificate: what its replies to SOAP requests are signed with, and by which it
//! issues certificates to users who want one made.
//!
//! It is made once, for RSA, which is what SOAP's clients of every age verify, and is known by
//! itself: nothing else has signed it. It is not the authority of links between processes
//! (`transport::authority`), which only clouds of more than one process have, and of which a user's
//! certificate must not seem to be one.
//!
//! Pure: chance and time are handed in, and where it is kept is `boot`'s business. Certificates are
//! made by it, but not believed for that: only records say which are (`domain::signing_certificate`).

use super::{
    certificate::{Certificate, TAG, in_pem},
    key_material::{FromChance, PrivateHalf},
};
use crate::{
    domain::{chance::Chance, signing_certificate::CertificateFingerprint, time::Timestamp},
    soap::certificate::fingerprint,
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256, SerialNumber, SubjectPublicKeyInfo,
};
use rsa::{
    RsaPrivateKey,
    pkcs1::EncodeRsaPrivateKey,
    pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding},
};
use std::{
    fmt,
    time::{Duration, SystemTime},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

const RSA_BITS: usize = 2048;
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const VALID_FOR: Duration = YEAR.saturating_mul(20);
const USERS_VALID_FOR: Duration = YEAR.saturating_mul(5);
/// Clocks of hosts differ: a certificate is valid a little before it was made.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(600);
const KEY_TAG: &str = "PRIVATE KEY";

pub struct CloudCertificate {
    der: Vec<u8>,
    /// PKCS#8.
    key: Vec<u8>,
}

/// A certificate made for a user, with its private half, which is kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    pub certificate: Certificate,
    pub private: PrivateHalf,
}

#[derive(Debug, thiserror::Error)]
pub enum CloudCertificateFault {
    #[error("a key cannot be made: {0}")]
    Key(String),
    #[error("a certificate cannot be made")]
    Making(#[source] rcgen::Error),
    #[error("the text is not a key and its certificate")]
    Unreadable,
}

impl fmt::Debug for CloudCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fingerprint = CertificateFingerprint::of_digest(fingerprint(&self.der));
        write!(f, "CloudCertificate({fingerprint}, key: <redacted>)")
    }
}

impl CloudCertificate {
    /// Takes a good part of a second: not on a thread that answers requests.
    pub fn create(
        cloud: &str,
        now: Timestamp,
        chance: &mut dyn Chance,
    ) -> Result<CloudCertificate, CloudCertificateFault> {
        let key = new_key(chance)?.to_pkcs8_der().map_err(of_key)?.as_bytes().to_vec();
        let mut params = params(cloud, now, VALID_FOR, chance);
        // Whom it certifies may not certify others.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate =
            params.self_signed(&pair(&key)?).map_err(CloudCertificateFault::Making)?;
        Ok(CloudCertificate { der: certificate.der().to_vec(), key })
    }

    /// Key and certificate, to be kept where nobody else reads them.
    pub fn to_text(&self) -> String {
        in_pem(KEY_TAG, &self.key) + &self.pem()
    }

    pub fn from_text(text: &str) -> Result<CloudCertificate, CloudCertificateFault> {
        let unreadable = || CloudCertificateFault::Unreadable;
        let blocks = pem::parse_many(text).map_err(|_| unreadable())?;
        let block = |tag| {
            let block = blocks.iter().find(|block| block.tag() == tag).ok_or_else(unreadable);
            block.map(|block| block.contents().to_vec())
        };
        let (key, der) = (block(KEY_TAG)?, block(TAG)?);
        let own = pair(&key).map_err(|_| unreadable())?;
        let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| unreadable())?;
        if certificate.public_key().subject_public_key.data != own.public_key_raw() {
            return Err(unreadable());
        }
        Ok(CloudCertificate { der, key })
    }

    pub fn pem(&self) -> String {
        in_pem(TAG, &self.der)
    }

    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The private key, as PKCS#8 DER.
    pub fn key_pkcs8(&self) -> &[u8] {
        &self.key
    }

    /// Makes a key for a user, and a certificate for it. As slow as `create`.
    pub fn issue(
        &self,
        user: &str,
        now: Timestamp,
        chance: &mut dyn Chance,
    ) -> Result<Issued, CloudCertificateFault> {
        let making = CloudCertificateFault::Making;
        let issuer = Issuer::from_ca_cert_pem(&self.pem(), pair(&self.key)?).map_err(making)?;
        let private = new_key(chance)?;
        let public = private.to_public_key().to_public_key_der().map_err(of_key)?;
        let public = SubjectPublicKeyInfo::from_der(public.as_bytes()).map_err(making)?;
        let mut params = params(user, now, USERS_VALID_FOR, chance);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&public, &issuer).map_err(making)?;
        // The tools of SOAP's time read no other form than this.
        let pem = private.to_pkcs1_pem(LineEnding::LF).map_err(of_key)?;
        Ok(Issued {
            certificate: Certificate::of_der(certificate.der())
                .map_err(|_| CloudCertificateFault::Unreadable)?,
            private: PrivateHalf(pem.to_string()),
        })
    }
}

fn of_key(error: impl fmt::Display) -> CloudCertificateFault {
    CloudCertificateFault::Key(error.to_string())
}

fn new_key(chance: &mut dyn Chance) -> Result<RsaPrivateKey, CloudCertificateFault> {
    RsaPrivateKey::new(&mut FromChance(chance), RSA_BITS).map_err(of_key)
}

fn pair(key: &[u8]) -> Result<KeyPair, CloudCertificateFault> {
    KeyPair::from_pkcs8_pem_and_sign_algo(&in_pem(KEY_TAG, key), &PKCS_RSA_SHA256)
        .map_err(CloudCertificateFault::Making)
}

fn params(
    name: &str,
    now: Timestamp,
    valid_for: Duration,
    chance: &mut dyn Chance,
) -> CertificateParams {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now.as_millis().max(0) as u64);
    let mut serial = [0; 16];
    chance.fill(&mut serial);
    // A serial number is positive.
    serial[0] &= 0x7f;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = (now - CLOCKS_DIFFER_BY).into();
    params.not_after = (now + valid_for).into();
    params
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::{ambient::Ambient, api::certificate};
    use std::sync::{Arc, OnceLock};

    const NOW: Timestamp = Timestamp(1_767_323_045_000);

    fn chance(seed: u64) -> Box<dyn Chance> {
        Ambient::seeded(seed, NOW).0.chance("certificates")
    }

    /// One for all tests, as making it takes long.
    pub fn some_certificate() -> Arc<CloudCertificate> {
        static MADE: OnceLock<Arc<CloudCertificate>> = OnceLock::new();
        let make = || Arc::new(CloudCertificate::create("lab", NOW, &mut *chance(1)).unwrap());
        MADE.get_or_init(make).clone()
    }

    #[test]
    fn kept_as_text_it_is_the_same_and_text_that_is_not_one_is_refused() {
        let made = some_certificate();
        let text = made.to_text();
        let read = CloudCertificate::from_text(&text).unwrap();
        assert_eq!((read.der(), read.key_pkcs8()), (made.der(), made.key_pkcs8()));
        let other = made.issue("alice", NOW, &mut *chance(2)).unwrap().certificate.body;
        let key = in_pem(KEY_TAG, made.key_pkcs8());
        for text in ["", "nonsense", &key, &made.pem(), &format!("{key}{other}")] {
            let fault = CloudCertificate::from_text(text).unwrap_err();
            assert!(matches!(fault, CloudCertificateFault::Unreadable), "{fault}");
        }
    }

    #[test]
    fn a_users_certificate_is_one_that_could_be_uploaded_and_is_signed_by_the_clouds() {
        let cloud = some_certificate();
        let issued = cloud.issue("alice", NOW, &mut *chance(3)).unwrap();
        assert_eq!(certificate::read(&issued.certificate.body, NOW).unwrap(), issued.certificate);
        let der = pem::parse(&issued.certificate.body).unwrap().into_contents();
        let (_, users) = X509Certificate::from_der(&der).unwrap();
        let (_, own) = X509Certificate::from_der(cloud.der()).unwrap();
        users.verify_signature(Some(own.public_key())).unwrap();
        own.verify_signature(None).unwrap();
        assert_eq!((users.subject().to_string(), users.is_ca()), ("CN=alice".to_owned(), false));
        assert_eq!(users.issuer(), own.subject());
        assert!(issued.private.0.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        let key: RsaPrivateKey =
            rsa::pkcs1::DecodeRsaPrivateKey::from_pkcs1_pem(&issued.private.0).unwrap();
        let public = key.to_public_key().to_public_key_der().unwrap();
        assert_eq!(public.as_bytes(), users.public_key().raw);
    }

    #[test]
    fn it_is_never_printed_with_its_key() {
        assert!(format!("{:?}", some_certificate()).ends_with("key: <redacted>)"));
    }
}
