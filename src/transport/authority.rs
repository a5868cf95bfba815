//! The cloud's own certificate authority: one key that says who belongs to the cloud.
//!
//! It is made once, by the cloud manager, and never leaves its host; all others know it by the
//! fingerprint of its certificate. It signs what it is told to: whether a request deserves a
//! certificate is the registrar's decision. It keeps no list of what it signed; the ledger does.

use super::{
    credentials::CertificateRequest,
    fingerprint::Fingerprint,
    identity::{Identity, IdentityFault},
};
use pem::Pem;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    fmt,
    time::{Duration, SystemTime},
};

const VALID_FOR: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// Clocks of hosts differ: a certificate is valid a little before it was made.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(600);

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

#[derive(Debug, thiserror::Error)]
pub enum AuthorityFault {
    #[error("a certificate cannot be made")]
    Making(#[source] rcgen::Error),
    #[error("the authority's key cannot be read")]
    Key(#[source] rcgen::Error),
    #[error("the authority's certificate cannot be read")]
    Certificate,
    #[error("the request for a certificate is malformed or not signed by its own key")]
    Request,
    #[error(transparent)]
    Identity(#[from] IdentityFault),
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({}, key: <redacted>)", self.fingerprint())
    }
}

impl Authority {
    pub fn create(cloud: &str, now: SystemTime) -> Result<Authority, AuthorityFault> {
        let key = KeyPair::generate().map_err(AuthorityFault::Making)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(&format!("{cloud} authority"));
        // Nobody it certifies may certify others.
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.serial_number = Some(serial_number());
        params.not_before = (now - CLOCKS_DIFFER_BY).into();
        params.not_after = (now + VALID_FOR).into();
        let certificate = params.self_signed(&key).map_err(AuthorityFault::Making)?.into();
        Ok(Authority { issuer: Issuer::new(params, key), certificate })
    }

    /// The key and the certificate, to be kept where nobody else reads them.
    pub fn to_pem(&self) -> String {
        self.issuer.key().serialize_pem()
            + &pem::encode(&Pem::new("CERTIFICATE", &*self.certificate))
    }

    pub fn from_pem(text: &str) -> Result<Authority, AuthorityFault> {
        let certificate = CertificateDer::from_pem_slice(text.as_bytes())
            .map_err(|_| AuthorityFault::Certificate)?;
        let key = KeyPair::from_pem(text).map_err(AuthorityFault::Key)?;
        let issuer =
            Issuer::from_ca_cert_der(&certificate, key).map_err(|_| AuthorityFault::Certificate)?;
        Ok(Authority { issuer, certificate })
    }

    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What joiners know the authority by.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// Certifies that the key of the request is `identity`'s, whatever else the request says.
    pub fn certify(
        &self,
        request: &CertificateRequest,
        identity: &Identity,
        now: SystemTime,
        valid_for: Duration,
    ) -> Result<CertificateDer<'static>, AuthorityFault> {
        let key = request.verified_key()?;
        let uri = identity.to_string().try_into().map_err(AuthorityFault::Making)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = named(identity.name());
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // A parent listens to its children and dials its own parent with one certificate.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.serial_number = Some(serial_number());
        params.not_before = (now - CLOCKS_DIFFER_BY).into();
        params.not_after = (now + valid_for).into();
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(AuthorityFault::Making)?;
        Ok(certificate.into())
    }
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn serial_number() -> SerialNumber {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the kernel gives random bytes once the machine has booted");
    // A serial number is positive.
    bytes[0] &= 0x7f;
    SerialNumber::from_slice(&bytes)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{credentials::ProcessKey, identity::Peer},
        *,
    };
    use x509_parser::{certificate::X509Certificate, prelude::FromDer};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn a_certificate_names_the_identity_the_key_and_the_time_it_ends() {
        let now = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let authority = Authority::create("lab", now).unwrap();
        let identity = Identity::node_manager("lab", "east", "n1").unwrap();
        let key = ProcessKey::generate();
        let certificate =
            authority.certify(&key.request().unwrap(), &identity, now, 30 * DAY).unwrap();
        let peer = Peer::of(&certificate).unwrap();
        assert_eq!(peer.identity, identity);
        assert_eq!(peer.key, key.fingerprint());
        assert_eq!(peer.certificate, Fingerprint::of(&certificate));
        assert_eq!(peer.valid_until, now + 30 * DAY);
        assert_eq!(peer.valid_from, now - CLOCKS_DIFFER_BY);
    }

    #[test]
    fn an_authority_kept_as_text_is_the_same_authority() {
        let now = SystemTime::now();
        let made = Authority::create("lab", now).unwrap();
        let read = Authority::from_pem(&made.to_pem()).unwrap();
        assert_eq!(read.fingerprint(), made.fingerprint());
        let identity = Identity::cloud_manager("lab", "c1").unwrap();
        let request = ProcessKey::generate().request().unwrap();
        let of = |authority: &Authority| {
            let certificate = authority.certify(&request, &identity, now, DAY).unwrap();
            let (_, parsed) = X509Certificate::from_der(&certificate).unwrap();
            let (_, root) = X509Certificate::from_der(&made.certificate).unwrap();
            parsed.verify_signature(Some(root.public_key())).unwrap();
            assert_eq!(parsed.issuer(), root.subject());
        };
        of(&made);
        of(&read);
    }

    #[test]
    fn two_authorities_of_one_name_are_two() {
        let now = SystemTime::now();
        let [one, other] = [(); 2].map(|()| Authority::create("lab", now).unwrap().fingerprint());
        assert_ne!(one, other);
    }

    #[test]
    fn a_request_that_its_key_did_not_sign_is_refused() {
        let authority = Authority::create("lab", SystemTime::now()).unwrap();
        let identity = Identity::cloud_manager("lab", "c1").unwrap();
        let mut bytes = ProcessKey::generate().request().unwrap().0;
        // The last bytes are the signature.
        *bytes.last_mut().unwrap() ^= 1;
        for bytes in [bytes, b"nothing of the kind".to_vec()] {
            let fault = authority
                .certify(&CertificateRequest(bytes), &identity, SystemTime::now(), DAY)
                .unwrap_err();
            assert!(matches!(fault, AuthorityFault::Request), "{fault}");
        }
    }

    #[test]
    fn text_that_is_not_an_authority_is_refused() {
        let text = Authority::create("lab", SystemTime::now()).unwrap().to_pem();
        let without_key = &text[text.find("-----BEGIN CERTIFICATE").unwrap()..];
        for text in ["", "-----BEGIN", without_key] {
            Authority::from_pem(text).unwrap_err();
        }
    }

    #[test]
    fn an_authority_is_never_printed_with_its_key() {
        let authority = Authority::create("lab", SystemTime::now()).unwrap();
        assert!(format!("{authority:?}").ends_with("key: <redacted>)"));
    }
}
