//! TLS 1.3 as links use it: both ends certified by the cloud's authority, and nothing resumed.
//!
//! Names in certificates are identities, not hosts, so what a host is called plays no part. A child
//! knows which parent it expects; a parent learns here who came, and decides elsewhere.

use super::{
    Clock,
    credentials::Credentials,
    fingerprint::Fingerprint,
    identity::{Expected, Peer},
};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, ring, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier},
    time_provider::TimeProvider,
    version::TLS13,
};
use std::{fmt, io, sync::Arc, time::SystemTime};

/// What is spoken inside, told apart before the handshake is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// The client may have no certificate yet.
    Join,
    Link,
    Bulk,
}

impl Protocol {
    const ALL: [Protocol; 3] = [Protocol::Join, Protocol::Link, Protocol::Bulk];

    fn alpn(self) -> &'static [u8] {
        match self {
            Protocol::Join => b"mallee-join/1",
            Protocol::Link => b"mallee/1",
            Protocol::Bulk => b"mallee-bulk/1",
        }
    }

    /// The protocol a client asks for, if it is one of ours.
    pub fn asked_for<'a>(offers: impl Iterator<Item = &'a [u8]>) -> Option<Protocol> {
        let offers: Vec<_> = offers.collect();
        Protocol::ALL.into_iter().find(|protocol| offers.contains(&protocol.alpn()))
    }
}

/// The dialing end. `credentials` are `None` only for one who joins.
pub(super) fn client(
    protocol: Protocol,
    credentials: Option<&Credentials>,
    authority: Fingerprint,
    expected: Expected,
    clock: &Clock,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = ParentVerifier { authority, expected, provider: provider.clone() };
    let builder = ClientConfig::builder_with_details(provider, Arc::new(Wall(clock.clone())))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match credentials {
        Some(own) => builder.with_client_auth_cert(own.chain(), own.private_key())?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![protocol.alpn().to_vec()];
    config.enable_sni = false;
    // A resumed session would not look at certificates again.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The listening end.
pub(super) fn server(
    protocol: Protocol,
    credentials: &Credentials,
    clock: &Clock,
) -> Result<ServerConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let roots = Arc::new(roots(credentials.authority())?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
    let verifier = match protocol {
        Protocol::Join => verifier.allow_unauthenticated().build(),
        Protocol::Link | Protocol::Bulk => verifier.build(),
    }
    .map_err(|fault| Error::General(fault.to_string()))?;
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(Wall(clock.clone())))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(credentials.chain(), credentials.private_key())?;
    config.alpn_protocols = vec![protocol.alpn().to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// TLS wants a name to look for; identities are looked at instead.
pub(super) fn server_name() -> ServerName<'static> {
    ServerName::try_from("mallee.invalid").expect("this is a well-formed name")
}

/// Who showed `certificates`, which TLS has verified.
pub(super) fn peer(certificates: Option<&[CertificateDer<'_>]>) -> Result<Option<Peer>, String> {
    match certificates.and_then(<[_]>::first) {
        Some(certificate) => Peer::of(certificate).map(Some).map_err(|fault| fault.to_string()),
        None => Ok(None),
    }
}

/// Fails unless `authority` signed the certificate and it is valid now.
pub(super) fn certified(
    certificate: &CertificateDer<'_>,
    authority: &CertificateDer<'_>,
    now: UnixTime,
) -> Result<(), Error> {
    verify_server_cert_signed_by_trust_anchor(
        &ParsedCertificate::try_from(certificate)?,
        &roots(authority)?,
        &[],
        now,
        ring::default_provider().signature_verification_algorithms.all,
    )
}

pub(super) fn unix_time(clock: &Clock) -> UnixTime {
    let since = clock().duration_since(SystemTime::UNIX_EPOCH);
    UnixTime::since_unix_epoch(since.unwrap_or_default())
}

/// A failure of TLS in words, ours where the reason is ours.
pub(super) fn told(fault: &io::Error) -> String {
    match fault.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::General(why)) => why.clone(),
        Some(fault) => fault.to_string(),
        None if fault.kind() == io::ErrorKind::UnexpectedEof => "the connection broke off".into(),
        None => fault.to_string(),
    }
}

fn roots(authority: &CertificateDer<'_>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone().into_owned())?;
    Ok(roots)
}

struct Wall(Clock);

impl fmt::Debug for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wall")
    }
}

impl TimeProvider for Wall {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(&self.0))
    }
}

/// Believes the process expected, certified by the authority of that fingerprint, which the
/// process shows beside its own certificate: one who joins has nothing but the fingerprint.
#[derive(Debug)]
struct ParentVerifier {
    authority: Fingerprint,
    expected: Expected,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ParentVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates
            .iter()
            .find(|shown| Fingerprint::of(shown) == self.authority)
            .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        certified(end_entity, authority, now)?;
        let peer = Peer::of(end_entity).map_err(|fault| Error::General(fault.to_string()))?;
        if !self.expected.is_met_by(&peer.identity) {
            return Err(Error::General(format!("`{}` is not {}", peer.identity, self.expected)));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}
