//! Those who should not come in.

use super::{
    lab::{DAY, Lab, ask, connected, echo, failed, quick, until_state},
    log_lines::logged,
};
use actix::Actor;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use mallee::{
    messages::envelope::LinkFault,
    transport::{
        credentials::{Credentials, ProcessKey},
        identity::Identity,
        limits::Limits,
        link::Link,
    },
};
use rustls::{
    ClientConfig,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// Believes anybody: for clients whose own manners are bad.
#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// TLS by hand, with these credentials, if any.
async fn tls(
    credentials: Option<&Credentials>,
    alpn: &[u8],
    at: SocketAddr,
) -> std::io::Result<TlsStream<TcpStream>> {
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap();
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Credulous));
    let mut config = match credentials {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let text = own.to_pem();
            let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).unwrap();
            let chain = CertificateDer::pem_slice_iter(text.as_bytes()).map(Result::unwrap);
            builder.with_client_auth_cert(chain.collect(), key).unwrap()
        }
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    let tcp = TcpStream::connect(at).await?;
    TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from("anything.invalid").unwrap(), tcp)
        .await
}

fn framed(stream: TlsStream<TcpStream>) -> Framed<TlsStream<TcpStream>, LengthDelimitedCodec> {
    let codec = LengthDelimitedCodec::builder().max_frame_length(1 << 30).new_codec();
    Framed::new(stream, codec)
}

/// A greeting that speaks versions of the protocol.
fn hello(min: u16, max: u16) -> Bytes {
    postcard::to_stdvec(&(min, max, "a stranger", 8_u32)).unwrap().into()
}

/// A node, by hand, that was let in.
pub async fn greeted(
    lab: &Lab,
    name: &str,
    at: SocketAddr,
) -> Framed<TlsStream<TcpStream>, LengthDelimitedCodec> {
    let identity = Identity::node_manager("lab", "east", name).unwrap();
    let stream = tls(Some(&lab.credentials(&identity)), b"mallee/1", at).await.unwrap();
    let mut framed = framed(stream);
    framed.send(hello(1, 1)).await.unwrap();
    let welcome = framed.next().await.unwrap().unwrap();
    assert_eq!(welcome[0], 0, "it was welcomed");
    framed
}

/// Reads until the other end has closed. What came.
async fn read_to_the_end(mut stream: impl tokio::io::AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes));
    // A connection that is reset is closed too.
    let _ = read.await.expect("it is closed in time");
    bytes
}

#[actix_rt::test]
async fn garbage_before_tls_is_turned_away_and_named_by_its_address() {
    let lab = Lab::new();
    let parent = lab.parent();
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096], &[0x16, 3, 1, 0xff, 0xff]] {
        let mut tcp = TcpStream::connect(parent.at).await.unwrap();
        let from = tcp.local_addr().unwrap().to_string();
        tcp.write_all(garbage).await.unwrap();
        tcp.shutdown().await.unwrap();
        read_to_the_end(tcp).await;
        logged(&["WARN", &from, "turned away"]).await;
    }
    connected(&lab.child("n1", parent.at)).await;
}

#[actix_rt::test]
async fn a_stranger_that_says_nothing_is_turned_away_in_time() {
    let lab = Lab::new();
    let limits = Limits { connect_within: Duration::from_millis(200), ..Limits::default() };
    let parent = lab.parent_with(limits, echo());
    let silent = TcpStream::connect(parent.at).await.unwrap();
    let from = silent.local_addr().unwrap().to_string();
    assert_eq!(read_to_the_end(silent).await, b"");
    logged(&["WARN", &from, "no handshake in 200ms"]).await;
    // Silent inside TLS is no better.
    let identity = Identity::node_manager("lab", "east", "mute").unwrap();
    let stream = tls(Some(&lab.credentials(&identity)), b"mallee/1", parent.at).await.unwrap();
    read_to_the_end(stream).await;
    logged(&["WARN", "mallee://lab/node/east/mute", "it did not greet in time"]).await;
}

#[actix_rt::test]
async fn strangers_at_the_door_are_few_and_do_not_keep_members_out() {
    let lab = Lab::new();
    let limits = Limits {
        connect_within: Duration::from_millis(200),
        strangers_max: 2,
        ..Limits::default()
    };
    let parent = lab.parent_with(limits, echo());
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(TcpStream::connect(parent.at).await.unwrap());
    }
    connected(&lab.child("patient", parent.at)).await;
}

#[actix_rt::test]
async fn without_a_certificate_nobody_links() {
    let lab = Lab::new();
    let parent = lab.parent();
    for alpn in [&b"mallee/1"[..], b"mallee-bulk/1"] {
        let stream = tls(None, alpn, parent.at).await.unwrap();
        let from = stream.get_ref().0.local_addr().unwrap().to_string();
        read_to_the_end(stream).await;
        logged(&["WARN", &from, "turned away", "peer sent no certificates"]).await;
    }
}

#[actix_rt::test]
async fn a_stranger_that_speaks_another_protocol_is_turned_away() {
    let lab = Lab::new();
    let parent = lab.parent();
    let tcp_from = tls(None, b"h2", parent.at).await;
    tcp_from.unwrap_err();
    logged(&["WARN", "turned away", "it speaks no protocol of ours"]).await;
}

#[actix_rt::test]
async fn a_foreign_certificate_is_not_believed_by_the_parent() {
    let lab = Lab::new();
    let parent = lab.parent();
    let identity = Identity::node_manager("lab", "east", "n1").unwrap();
    let key = ProcessKey::generate();
    let foreign = Lab::new();
    let certificate = foreign
        .registrar
        .borrow()
        .authority
        .certify(&key.request().unwrap(), &identity, lab.now(), DAY)
        .unwrap();
    // It knows whom to believe, and is not believed itself.
    let own_authority = lab.registrar.borrow().authority.certificate().clone();
    let credentials = Credentials::new(key, certificate, own_authority).unwrap();
    let up = Link::dial(lab.dial_as(credentials, parent.at), echo()).start();
    failed(&up, "fatal alert").await;
    logged(&["WARN", "turned away", "invalid peer certificate"]).await;
    assert!(parent.arrivals.borrow().is_empty());
}

#[actix_rt::test]
async fn a_foreign_parent_is_not_believed_by_the_child() {
    let lab = Lab::new();
    let foreign = Lab::new().parent();
    let up = lab.child("n1", foreign.at);
    failed(&up, "UnknownIssuer").await;
    assert!(foreign.arrivals.borrow().is_empty());
}

#[actix_rt::test]
async fn a_child_believes_its_own_parent_only() {
    let lab = Lab::new();
    for impostor in [
        Identity::node_manager("lab", "east", "n2").unwrap(),
        Identity::group_manager("lab", "west", "g1").unwrap(),
        Identity::cloud_manager("lab", "c1").unwrap(),
        Identity::group_manager("other", "east", "g1").unwrap(),
    ] {
        let other = lab.listening(lab.credentials(&impostor), Limits::default(), echo());
        let up = lab.child("n1", other.at);
        failed(&up, &format!("`{impostor}` is not the group manager of `east` in `lab`")).await;
        assert!(other.arrivals.borrow().is_empty());
    }
}

#[actix_rt::test]
async fn the_right_certificate_for_the_wrong_role_is_refused_and_both_ends_say_so() {
    let lab = Lab::new();
    let parent = lab.parent();
    for (wrong, why) in [
        (Identity::node_manager("lab", "west", "w1").unwrap(), "no node but the nodes of `east`"),
        (Identity::group_manager("lab", "east", "g2").unwrap(), "no group but the nodes"),
        (Identity::cloud_manager("lab", "c2").unwrap(), "no cloud but the nodes"),
        (Identity::node_manager("other", "east", "n1").unwrap(), "it is of another cloud"),
    ] {
        let up = Link::dial(lab.dial_as(lab.credentials(&wrong), parent.at), echo()).start();
        failed(&up, why).await;
        logged(&["WARN", "turned away", &wrong.to_string(), why]).await;
        assert!(matches!(ask(&up, b"?").await, Err(LinkFault::NotDelivered(_))));
    }
    assert!(parent.arrivals.borrow().is_empty());
}

#[actix_rt::test]
async fn an_expired_certificate_is_refused() {
    let lab = Lab::new();
    let identity = Identity::node_manager("lab", "east", "late").unwrap();
    let credentials = lab.credentials(&identity);
    lab.put_forward(31 * DAY);
    let parent = lab.parent();
    let up = Link::dial(lab.dial_as(credentials, parent.at), echo()).start();
    failed(&up, "fatal alert: CertificateExpired").await;
    assert!(parent.arrivals.borrow().is_empty());
}

#[actix_rt::test]
async fn another_version_of_the_protocol_is_refused_in_words() {
    let lab = Lab::new();
    let parent = lab.parent();
    let identity = Identity::node_manager("lab", "east", "future").unwrap();
    let stream = tls(Some(&lab.credentials(&identity)), b"mallee/1", parent.at).await.unwrap();
    let mut framed = framed(stream);
    framed.send(hello(7, 9)).await.unwrap();
    let reply = framed.next().await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&reply);
    assert!(text.contains("`a stranger` speaks versions 7 to 9 of the protocol"), "{text}");
    assert!(framed.next().await.is_none(), "and nothing more");
    logged(&["WARN", "mallee://lab/node/east/future", "speaks versions 7 to 9"]).await;
    assert!(parent.arrivals.borrow().is_empty());
}

#[actix_rt::test]
async fn garbage_inside_tls_is_turned_away_before_the_greeting_and_cut_after_it() {
    let lab = Lab::new();
    let parent = lab.parent();
    let identity = Identity::node_manager("lab", "east", "rude").unwrap();
    let rude = lab.credentials(&identity);
    let mut stream = tls(Some(&rude), b"mallee/1", parent.at).await.unwrap();
    stream.write_all(&[0xff; 64]).await.unwrap();
    read_to_the_end(stream).await;
    logged(&["WARN", "turned away", "mallee://lab/node/east/rude", "frame size too big"]).await;

    let mut framed = framed(tls(Some(&rude), b"mallee/1", parent.at).await.unwrap());
    framed.send(Bytes::from_static(b"\xff\xff\xff\xff")).await.unwrap();
    read_to_the_end(framed.into_inner()).await;
    logged(&["WARN", "turned away", "mallee://lab/node/east/rude", "cannot be read"]).await;
    assert!(parent.arrivals.borrow().is_empty());

    let mut framed = greeted(&lab, "raving", parent.at).await;
    framed.send(Bytes::from_static(b"\x63 garbage")).await.unwrap();
    read_to_the_end(framed.into_inner()).await;
    logged(&["WARN", "mallee://lab/node/east/raving", "a frame that cannot be read"]).await;
}

#[actix_rt::test]
async fn an_oversized_frame_is_cut_before_it_is_read() {
    let lab = Lab::new();
    let parent = lab.parent();
    let mut stream = greeted(&lab, "huge", parent.at).await.into_inner();
    stream.write_u32(u32::MAX).await.unwrap();
    let told = read_to_the_end(stream).await;
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("it sent a frame of more than"), "{told}");
    logged(&["WARN", "mallee://lab/node/east/huge", "it sent a frame of more than"]).await;
}

#[actix_rt::test]
async fn a_link_keeps_trying_after_it_was_refused_and_gets_in_when_it_may() {
    let lab = Lab::new();
    let parent = lab.parent();
    parent.revoke("penitent").await;
    let up = lab.child("penitent", parent.at);
    failed(&up, "the certificate of this process was revoked").await;
    parent.revoked.borrow_mut().clear();
    until_state(&up, "it is let in", |state| state.connected_since.is_some()).await;
    assert!(quick().retry_max < Duration::from_secs(1));
}
