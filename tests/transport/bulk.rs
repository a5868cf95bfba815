//! Blobs, beside the links and never in their way.

use super::{
    lab::{Lab, Parent, ask, connected, echo},
    log_lines::logged,
};
use mallee::transport::{
    bulk::{BulkFault, Incoming, fetch},
    dial::Dial,
    identity::Identity,
    limits::Limits,
};
use rustls::{
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

fn shelve(parent: &Parent, name: &str, bytes: &[u8]) {
    let blob = (bytes.len() as u64, bytes.to_vec());
    parent.blobs.borrow_mut().insert(name.into(), blob);
}

fn megabytes(count: usize) -> Vec<u8> {
    (0..count << 20).map(|at| (at % 251) as u8).collect()
}

async fn whole(mut incoming: Incoming) -> Result<Vec<u8>, BulkFault> {
    let mut bytes = Vec::new();
    while let Some(chunk) = incoming.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

async fn fetched(dial: &Dial, name: &str, offset: u64) -> Result<Vec<u8>, BulkFault> {
    whole(fetch(dial, name, offset).await?).await
}

#[actix_rt::test]
async fn a_blob_comes_whole_or_from_an_offset_on() {
    let lab = Lab::new();
    let parent = lab.parent();
    let bytes = megabytes(3);
    shelve(&parent, "image", &bytes);
    shelve(&parent, "empty", b"");
    let dial = lab.dial("n1", parent.at);
    assert_eq!(fetch(&dial, "image", 0).await.unwrap().length(), bytes.len() as u64);
    assert!(fetched(&dial, "image", 0).await.unwrap() == bytes);
    assert!(fetched(&dial, "image", 1_000_001).await.unwrap() == bytes[1_000_001..]);
    assert_eq!(fetched(&dial, "image", bytes.len() as u64).await.unwrap(), b"");
    assert_eq!(fetched(&dial, "empty", 0).await.unwrap(), b"");
}

#[actix_rt::test]
async fn a_blob_that_is_not_there_is_refused_in_words() {
    let lab = Lab::new();
    let parent = lab.parent();
    shelve(&parent, "image", b"1234");
    let dial = lab.dial("asker", parent.at);
    let Err(BulkFault::Refused(why)) = fetched(&dial, "nothing", 0).await else { panic!() };
    assert_eq!(why, "there is no such blob");
    logged(&["WARN", "mallee://lab/node/east/asker", "`nothing`: there is no such blob"]).await;
    let beyond = fetched(&dial, "image", 5).await;
    assert!(matches!(beyond, Err(BulkFault::Beyond { length: 4 })), "{beyond:?}");
}

#[actix_rt::test]
async fn bytes_that_stop_coming_are_a_fault_and_never_an_end() {
    let lab = Lab::new();
    let parent = lab.parent();
    let bytes = megabytes(2);
    let length = bytes.len() as u64 + 1000;
    parent.blobs.borrow_mut().insert("short".into(), (length, bytes));
    let dial = lab.dial("n1", parent.at);
    let outcome = fetched(&dial, "short", 0).await;
    assert!(matches!(outcome, Err(BulkFault::Broken(_))), "{:?}", outcome.map(|all| all.len()));
    logged(&["WARN", "mallee://lab/node/east/n1", "the blob ends 1000 bytes early"]).await;
}

#[actix_rt::test]
async fn an_end_that_comes_too_early_is_a_fault_however_politely_it_comes() {
    let lab = Lab::new();
    let own = lab.credentials(&Identity::group_manager("lab", "east", "g1").unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dial = lab.dial("n1", listener.local_addr().unwrap());
    // A parent by hand, that says 10 bytes follow, sends 4 and closes as one should.
    let parent = async {
        let text = own.to_pem();
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).unwrap();
        let chain = CertificateDer::pem_slice_iter(text.as_bytes()).map(Result::unwrap);
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.collect(), key)
            .unwrap();
        config.alpn_protocols = vec![b"mallee-bulk/1".to_vec()];
        let (tcp, _) = listener.accept().await.unwrap();
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(tcp).await.unwrap();
        let length = stream.read_u32().await.unwrap();
        stream.read_exact(&mut vec![0; length as usize]).await.unwrap();
        stream.write_all(&[0, 0, 0, 2, 0, 10]).await.unwrap();
        stream.write_all(b"1234").await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let (outcome, ()) = tokio::join!(fetched(&dial, "image", 0), parent);
    let Err(BulkFault::Broken(why)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(why, "the parent closed the connection");
}

#[actix_rt::test]
async fn questions_do_not_wait_behind_a_blob_that_nobody_reads() {
    let lab = Lab::new();
    let parent = lab.parent();
    let bytes = megabytes(32);
    shelve(&parent, "image", &bytes);
    let up = lab.child("n1", parent.at);
    connected(&up).await;
    let mut incoming = fetch(&lab.dial("n1", parent.at), "image", 0).await.unwrap();
    let first = incoming.chunk().await.unwrap().unwrap();
    // The rest fills every buffer there is, and waits.
    for number in 0_u32..50 {
        assert_eq!(ask(&up, &number.to_be_bytes()).await, Ok(number.to_be_bytes().to_vec()));
    }
    let mut all = first.to_vec();
    all.extend(whole(incoming).await.unwrap());
    assert!(all == bytes);
}

#[actix_rt::test]
async fn questions_are_answered_while_a_blob_comes() {
    let lab = Lab::new();
    let parent = lab.parent();
    let bytes = megabytes(16);
    shelve(&parent, "image", &bytes);
    let up = lab.child("n1", parent.at);
    connected(&up).await;
    let mut incoming = fetch(&lab.dial("n1", parent.at), "image", 0).await.unwrap();
    let mut answered_in_between = 0;
    while let Some(_chunk) = incoming.chunk().await.unwrap() {
        assert_eq!(ask(&up, b"?").await, Ok(b"?".to_vec()));
        answered_in_between += 1;
    }
    assert!(answered_in_between > 16, "{answered_in_between}");
}

#[actix_rt::test]
async fn who_asks_for_a_blob_and_does_not_read_it_is_cut() {
    let lab = Lab::new();
    let limits = Limits { stall_max: Duration::from_millis(300), ..Limits::default() };
    let parent = lab.parent_with(limits, echo());
    shelve(&parent, "image", &megabytes(32));
    let mut incoming = fetch(&lab.dial("sleeper", parent.at), "image", 0).await.unwrap();
    logged(&["WARN", "mallee://lab/node/east/sleeper", "it has not read for 300ms"]).await;
    let rest = loop {
        match incoming.chunk().await {
            Ok(Some(_)) => {}
            end => break end,
        }
    };
    assert!(matches!(rest, Err(BulkFault::Broken(_))), "{rest:?}");
}

#[actix_rt::test]
async fn a_peer_fetches_only_so_much_at_one_time() {
    let lab = Lab::new();
    let limits = Limits { bulk_max: 2, ..Limits::default() };
    let parent = lab.parent_with(limits, echo());
    shelve(&parent, "image", &megabytes(32));
    let dial = lab.dial("greedy", parent.at);
    let first = fetch(&dial, "image", 0).await.unwrap();
    let _second = fetch(&dial, "image", 0).await.unwrap();
    let Err(BulkFault::Refused(why)) = fetch(&dial, "image", 0).await else { panic!() };
    assert_eq!(why, "it fetches too much at one time");
    // Others may, and it may again when it has read what it asked for.
    fetch(&lab.dial("modest", parent.at), "image", 0).await.unwrap();
    whole(first).await.unwrap();
    let again = loop {
        match fetch(&dial, "image", 0).await {
            Err(BulkFault::Refused(_)) => tokio::task::yield_now().await,
            again => break again,
        }
    };
    again.unwrap();
}

#[actix_rt::test]
async fn a_revoked_peer_gets_no_more_bytes() {
    let lab = Lab::new();
    let parent = lab.parent();
    shelve(&parent, "image", &megabytes(32));
    let dial = lab.dial("thief", parent.at);
    let incoming = fetch(&dial, "image", 0).await.unwrap();
    parent.revoke("thief").await;
    logged(&["WARN", "mallee://lab/node/east/thief", "its certificate was revoked"]).await;
    let outcome = whole(incoming).await;
    assert!(matches!(outcome, Err(BulkFault::Broken(_))));
    let Err(BulkFault::Refused(why)) = fetch(&dial, "image", 0).await else { panic!() };
    assert_eq!(why, "its certificate was revoked");
}
