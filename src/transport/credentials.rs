//! What a process proves itself with: its private key and the certificate of it.
//!
//! The key is made here and never leaves; what travels is a request for a certificate, signed by
//! the key. A certificate ends soon, and is renewed when two thirds of its time have passed.

use super::{
    authority::{Authority, AuthorityFault},
    fingerprint::Fingerprint,
    identity::{Identity, IdentityFault, Peer},
};
use pem::Pem;
use rcgen::{CertificateParams, CertificateSigningRequestParams, KeyPair, PublicKeyData};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::watch;

/// Credentials that are replaced when they are renewed: whoever connects next uses the new ones.
#[derive(Debug, Clone)]
pub struct CurrentCredentials(Arc<watch::Sender<Arc<Credentials>>>);

impl CurrentCredentials {
    pub fn new(credentials: Credentials) -> CurrentCredentials {
        CurrentCredentials(Arc::new(watch::Sender::new(Arc::new(credentials))))
    }

    pub fn get(&self) -> Arc<Credentials> {
        self.0.borrow().clone()
    }

    pub fn replace(&self, renewed: Credentials) {
        self.0.send_replace(Arc::new(renewed));
    }

    /// Sees each replacement from now on.
    pub(super) fn watch(&self) -> watch::Receiver<Arc<Credentials>> {
        self.0.subscribe()
    }
}

/// A private key, with or without a certificate.
#[derive(Clone)]
pub struct ProcessKey(Arc<KeyPair>);

impl From<KeyPair> for ProcessKey {
    fn from(pair: KeyPair) -> ProcessKey {
        ProcessKey(Arc::new(pair))
    }
}

impl fmt::Debug for ProcessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessKey({}, <redacted>)", self.fingerprint())
    }
}

impl ProcessKey {
    pub fn generate() -> ProcessKey {
        KeyPair::generate().expect("ring makes P-256 keys wherever there is chance").into()
    }

    /// To be kept where nobody else reads it.
    pub fn to_pem(&self) -> String {
        self.0.serialize_pem()
    }

    pub fn from_pem(text: &str) -> Result<ProcessKey, CredentialFault> {
        KeyPair::from_pem(text).map(ProcessKey::from).map_err(|_| CredentialFault::Key)
    }

    /// Of the public half.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0.subject_public_key_info())
    }

    /// Asks for a certificate; the name in it is the authority's choice.
    pub fn request(&self) -> Result<CertificateRequest, CredentialFault> {
        let request = CertificateParams::default()
            .serialize_request(&*self.0)
            .map_err(CredentialFault::Request)?;
        Ok(CertificateRequest(request.der().to_vec()))
    }
}

/// A request (PKCS#10) for a certificate of the key that signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRequest(pub Vec<u8>);

impl CertificateRequest {
    /// Of the key to be certified, once the request is known to be signed by it.
    pub fn key(&self) -> Result<Fingerprint, AuthorityFault> {
        Ok(Fingerprint::of(&self.verified_key()?.subject_public_key_info()))
    }

    pub(super) fn verified_key(&self) -> Result<impl PublicKeyData + use<>, AuthorityFault> {
        let der = CertificateSigningRequestDer::from(self.0.as_slice());
        CertificateSigningRequestParams::from_der(&der)
            .map(|request| request.public_key)
            .map_err(|_| AuthorityFault::Request)
    }
}

/// A key and its certificate, with the authority's that signed it.
#[derive(Clone)]
pub struct Credentials {
    key: ProcessKey,
    certificate: CertificateDer<'static>,
    authority: CertificateDer<'static>,
    own: Peer,
}

#[derive(Debug, thiserror::Error)]
pub enum CredentialFault {
    #[error("the private key cannot be read")]
    Key,
    #[error("a certificate cannot be requested")]
    Request(#[source] rcgen::Error),
    #[error("two certificates are wanted, the process's own and the authority's")]
    Certificates,
    #[error("the certificate is of another key")]
    ForeignKey,
    #[error(transparent)]
    Identity(#[from] IdentityFault),
    #[error(transparent)]
    Authority(#[from] AuthorityFault),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, key: <redacted>)", self.own.identity)
    }
}

impl Credentials {
    pub fn new(
        key: ProcessKey,
        certificate: CertificateDer<'static>,
        authority: CertificateDer<'static>,
    ) -> Result<Credentials, CredentialFault> {
        let own = Peer::of(&certificate)?;
        if own.key != key.fingerprint() {
            return Err(CredentialFault::ForeignKey);
        }
        Ok(Credentials { key, certificate, authority, own })
    }

    /// The authority's host needs to ask nobody.
    pub fn issued_by(
        authority: &Authority,
        identity: &Identity,
        now: SystemTime,
        valid_for: Duration,
    ) -> Result<Credentials, CredentialFault> {
        let key = ProcessKey::generate();
        let certificate = authority.certify(&key.request()?, identity, now, valid_for)?;
        Credentials::new(key, certificate, authority.certificate().clone())
    }

    /// Key, certificate and the authority's certificate, to be kept where nobody else reads them.
    pub fn to_pem(&self) -> String {
        let certificate = |der: &CertificateDer<'_>| Pem::new("CERTIFICATE", der.to_vec());
        self.key.to_pem()
            + &pem::encode_many(&[certificate(&self.certificate), certificate(&self.authority)])
    }

    pub fn from_pem(text: &str) -> Result<Credentials, CredentialFault> {
        let key = ProcessKey::from_pem(text)?;
        let blocks = pem::parse_many(text).map_err(|_| CredentialFault::Certificates)?;
        let certificates: Vec<_> =
            blocks.into_iter().filter(|block| block.tag() == "CERTIFICATE").collect();
        let [own, authority] = <[Pem; 2]>::try_from(certificates)
            .map_err(|_| CredentialFault::Certificates)?
            .map(|block| CertificateDer::from(block.into_contents()));
        Credentials::new(key, own, authority)
    }

    /// What others read in the certificate.
    pub fn own(&self) -> &Peer {
        &self.own
    }

    pub fn key(&self) -> &ProcessKey {
        &self.key
    }

    pub fn authority(&self) -> &CertificateDer<'static> {
        &self.authority
    }

    /// When to ask for the next certificate: a third of the time remains to get it.
    pub fn renew_at(&self) -> SystemTime {
        let whole = self.own.valid_until.duration_since(self.own.valid_from).unwrap_or_default();
        self.own.valid_from + whole * 2 / 3
    }

    /// The authority's certificate is shown too: joiners know it by its fingerprint only.
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone(), self.authority.clone()]
    }

    pub(super) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.0.serialize_der().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn issued() -> Credentials {
        let now = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let authority = Authority::create("lab", now).unwrap();
        let identity = Identity::node_manager("lab", "east", "n1").unwrap();
        Credentials::issued_by(&authority, &identity, now, 30 * DAY).unwrap()
    }

    #[test]
    fn credentials_kept_as_text_are_the_same_credentials() {
        let made = issued();
        let read = Credentials::from_pem(&made.to_pem()).unwrap();
        assert_eq!(read.own(), made.own());
        assert_eq!(read.to_pem(), made.to_pem());
    }

    #[test]
    fn a_certificate_of_another_key_is_refused() {
        let Credentials { certificate, authority, .. } = issued();
        let fault = Credentials::new(ProcessKey::generate(), certificate, authority).unwrap_err();
        assert!(matches!(fault, CredentialFault::ForeignKey), "{fault}");
    }

    #[test]
    fn text_without_all_three_parts_is_refused() {
        let text = issued().to_pem();
        let second = text.rfind("-----BEGIN").unwrap();
        Credentials::from_pem(&text[..second]).unwrap_err();
        let first = text.find("-----BEGIN CERTIFICATE").unwrap();
        Credentials::from_pem(&text[first..]).unwrap_err();
        Credentials::from_pem("").unwrap_err();
    }

    #[test]
    fn renewal_is_due_when_a_third_of_the_time_remains() {
        let credentials = issued();
        let left = credentials.own().valid_until.duration_since(credentials.renew_at()).unwrap();
        assert!(left > 10 * DAY && left < 11 * DAY, "{left:?}");
    }

    #[test]
    fn credentials_are_never_printed_with_their_key() {
        let credentials = issued();
        let name = credentials.own().identity.to_string();
        assert_eq!(format!("{credentials:?}"), format!("Credentials({name}, key: <redacted>)"));
        assert!(format!("{:?}", credentials.key()).ends_with("<redacted>)"));
    }
}
