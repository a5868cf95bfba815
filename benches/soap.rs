//! Believing a sender: a signed SOAP message, the same question signed for Query (Signature Version
//! 4), and the RSA verification alone that every SOAP message needs; and signing a reply.
//!
//! Without the network and without the answer, which are the same for both. Each message is verified
//! once only: one that was seen is refused, and would be measured as that.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mallee::{
    ambient::Ambient,
    api::{
        cloud_certificate::CloudCertificate,
        parameters::Parameters,
        service::Service,
        signature::{self, Credential, Credentials, Received, v4},
    },
    domain::{
        account::{Caller, Role},
        time::Timestamp,
    },
    soap::{Certificates, Receiver, Version, document::Limits, sign::Signer},
};
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey},
};
use std::{cell::Cell, hint::black_box};

const NOW: Timestamp = Timestamp(1_767_323_045_000);
const TIME: &str = "20260102T030405Z";
const ASKED: &str = "<DescribeInstances xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
    <instancesSet><item><instanceId>i-0123456789abcdef0</instanceId></item></instancesSet>\
    </DescribeInstances>";
const QUERY: &str = "Action=DescribeInstances&Version=2016-11-15&InstanceId.1=i-0123456789abcdef0";

/// Everybody is the administrator.
struct Everybody;

impl Certificates for Everybody {
    type Holder = Caller;

    fn find(&self, _: &[u8; 32]) -> Option<Caller> {
        let account = "111122223333".parse().expect("a well-formed account");
        Some(Caller { account, role: Role::Administrator })
    }
}

impl Credentials for Everybody {
    fn find(&self, _: &str) -> Option<Credential> {
        Some(Credential {
            secret: "secret".into(),
            account: "111122223333".parse().expect("a well-formed account"),
            administrator: true,
            session_token: None,
        })
    }
}

fn believing(criterion: &mut Criterion) {
    let mut chance = Ambient::system().chance("bench");
    let own = CloudCertificate::create("bench", NOW, chance.as_mut()).expect("a key");
    let signer = Signer::new(own.key_pkcs8(), own.der()).expect("its pair");
    let mut group = criterion.benchmark_group("believing");
    group.throughput(Throughput::Elements(1));

    let receiver = Receiver::new(Limits::default(), NOW);
    // No two are the same.
    let number = Cell::new(0);
    let message = || {
        number.set(number.get() + 1);
        let asked = ASKED.replace("0123456789abcdef0", &format!("{:017x}", number.get()));
        signer.envelope(Version::Soap11, &asked, NOW).expect("it is signed")
    };
    group.bench_function("a SOAP message", |bencher| {
        bencher.iter_batched(
            message,
            |message| {
                let assumed = Version::Soap11;
                receiver.receive(message.as_bytes(), assumed, &Everybody, NOW).expect("believed")
            },
            BatchSize::SmallInput,
        );
    });

    let (headers, body) = query();
    group.bench_function("a Query request", |bencher| {
        bencher.iter(|| {
            let parameters = Parameters::parse("", body).expect("parameters");
            let received =
                Received { method: "POST", path: "/", query: "", headers: &headers, body };
            let credentials = &Everybody;
            signature::verify(&received, &parameters, Service::Ec2, credentials, NOW)
                .expect("believed")
        });
    });

    let key = RsaKeyPair::from_pkcs8(own.key_pkcs8()).expect("a key");
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), ASKED.as_bytes(), &mut signature)
        .expect("it signs");
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public().as_ref());
    group.bench_function("an RSA signature alone", |bencher| {
        bencher.iter(|| public.verify(black_box(ASKED.as_bytes()), &signature).expect("verified"));
    });

    group.bench_function("signing a reply", |bencher| {
        bencher.iter(|| signer.envelope(Version::Soap11, ASKED, NOW).expect("it is signed"));
    });
    group.finish();
}

fn query() -> (HeaderMap, &'static [u8]) {
    let mut headers = HeaderMap::new();
    for (name, value) in [("host", "cloud"), ("x-amz-date", TIME)] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let body = QUERY.as_bytes();
    let received = Received { method: "POST", path: "/", query: "", headers: &headers, body };
    let scope =
        v4::Scope { date: TIME[..8].into(), region: "us-east-1".into(), service: "ec2".into() };
    let authorization = v4::sign(&received, "KEY", "secret", &scope, TIME, "host;x-amz-date")
        .expect("it is signed");
    let value = HeaderValue::from_str(&authorization).expect("a header");
    headers.insert(HeaderName::from_static("authorization"), value);
    (headers, body)
}

criterion_group!(benches, believing);
criterion_main!(benches);
