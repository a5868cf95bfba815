//! A question over a link and back, beside the same bytes echoed over bare TLS, on loopback: what
//! envelopes, matching, deadlines and mailboxes cost.

use actix::Actor;
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::{SinkExt, StreamExt};
use mallee::{
    domain::account::{Caller, Role},
    messages::{
        CallContext,
        envelope::{Envelope, Outbound},
    },
    transport::{
        ReceiveFrom,
        authority::Authority,
        bulk::NoBlobs,
        credentials::{Credentials, CurrentCredentials},
        dial::Dial,
        identity::{self, Expected, Identity},
        ledger::Refused,
        limits::Limits,
        link::{Inspect, Link},
        listener::{Door, Listener, Reception},
    },
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{PrivateKeyDer, ServerName},
    version::TLS13,
};
use std::{
    future::Future,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::codec::LengthDelimitedCodec;

const BODY: [u8; 200] = [7; 200];

fn reception() -> Reception {
    Reception {
        admit: Rc::new(|_| Ok(())),
        receive: echo(),
        arrived: Rc::new(|_, _| {}),
        register: Rc::new(|_| Box::pin(async { Err(Refused::UnknownToken) })),
        provide: Rc::new(NoBlobs),
    }
}

fn echo() -> ReceiveFrom {
    Rc::new(|_, envelope| Box::pin(async { Ok(envelope.body) }))
}

fn question() -> Outbound {
    let account = "111122223333".parse().expect("this is a well-formed account");
    let context = CallContext {
        request_id: "2f4c0000-0000-4000-8000-000000009d10".into(),
        trace_id: None,
        time_left_ms: 10_000,
        on_behalf_of: Caller { account, role: Role::User },
    };
    Outbound(Envelope { name: "node.report".into(), context, body: BODY.to_vec() })
}

/// A node linked to its group's manager, both on this thread.
async fn linked() -> (actix::Addr<Listener>, actix::Addr<Link>) {
    let now = SystemTime::now();
    let authority = Authority::create("lab", now).unwrap();
    let credentials = |identity: Result<Identity, _>| {
        let valid_for = Duration::from_secs(3600);
        let issued = Credentials::issued_by(&authority, &identity.unwrap(), now, valid_for);
        CurrentCredentials::new(issued.unwrap())
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let door = Door {
        listener,
        credentials: credentials(Identity::group_manager("lab", "east", "g1")),
        limits: Limits::default(),
        clock: Arc::new(SystemTime::now),
    };
    let listener = Listener::begin(door, reception()).unwrap().start();
    let dial = Dial {
        addresses: vec![at.to_string()],
        expected: Expected::parent_of("lab", identity::Role::Node, Some("east")),
        credentials: credentials(Identity::node_manager("lab", "east", "n1")),
        limits: Limits::default(),
        clock: Arc::new(SystemTime::now),
        seed: 1,
        revoked: Arc::default(),
    };
    let link = Link::dial(dial, echo()).start();
    while link.send(Inspect).await.unwrap().connected_since.is_none() {
        tokio::task::yield_now().await;
    }
    (listener, link)
}

/// A connection of bare TLS to who echoes frames.
async fn bare()
-> tokio_util::codec::Framed<tokio_rustls::client::TlsStream<TcpStream>, LengthDelimitedCodec> {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(default_provider());
    let private = PrivateKeyDer::Pkcs8(key.signing_key.serialize_der().into());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(key.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let tls = TlsAcceptor::from(Arc::new(server)).accept(tcp).await.unwrap();
        let mut framed = LengthDelimitedCodec::builder().new_framed(tls);
        while let Some(Ok(frame)) = framed.next().await {
            framed.send(frame.freeze()).await.unwrap();
        }
    });
    let tcp = TcpStream::connect(at).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = TlsConnector::from(Arc::new(client)).connect(name, tcp).await.unwrap();
    LengthDelimitedCodec::builder().new_framed(tls)
}

async fn timed<F: Future>(times: u64, mut one: impl FnMut() -> F) -> Duration {
    let begun = Instant::now();
    for _ in 0..times {
        one().await;
    }
    begun.elapsed()
}

fn round_trips(criterion: &mut Criterion) {
    let system = actix::System::new();
    let mut group = criterion.benchmark_group("link");
    let ends = system.block_on(linked());
    group.bench_function("question and answer", |bencher| {
        bencher.iter_custom(|times| {
            system.block_on(timed(times, || async {
                assert!(ends.1.send(question()).await.unwrap().is_ok());
            }))
        });
    });
    group.bench_function("256 questions at a time", |bencher| {
        bencher.iter_custom(|times| {
            system.block_on(timed(times, || async {
                let asked = (0..256).map(|_| ends.1.send(question()));
                for answer in futures_util::future::join_all(asked).await {
                    assert!(answer.unwrap().is_ok());
                }
            }))
        });
    });
    let mut framed = system.block_on(bare());
    group.bench_function("bare TLS echo", |bencher| {
        bencher.iter_custom(|times| {
            system.block_on(async {
                let begun = Instant::now();
                for _ in 0..times {
                    framed.send(bytes::Bytes::from_static(&BODY)).await.unwrap();
                    framed.next().await.unwrap().unwrap();
                }
                begun.elapsed()
            })
        });
    });
    group.finish();
}

criterion_group!(benches, round_trips);
criterion_main!(benches);
