//! What clients send: parameters, and what proves who sent them.

use crate::{
    api::{
        error::ApiError,
        parameters::Parameters,
        query,
        service::Service,
        signature::{Credential, Credentials, Received, Signed, escape, v4, verify},
    },
    domain::{id::InstanceId, time::Timestamp},
    frameworks::HeaderMap,
    input::{Input, piece},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac;
use serde::Deserialize;

/// Shapes as actions have them: lists, lists of structures, and lists in these.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(dead_code)]
struct Request {
    instance_id: Option<Vec<InstanceId>>,
    filter: Option<Vec<Filter>>,
    max_results: Option<u16>,
    attribute: Option<Attribute>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    name: String,
    value: Option<Vec<String>>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    value: bool,
}

/// What is said of an error is no longer than this, whatever was sent.
const LONGEST_MESSAGE: usize = 8 << 10;

/// Input: (length 2 · the URL's part) · the body.
pub fn parameters(bytes: &[u8]) -> Option<()> {
    let mut input = Input(bytes);
    let url = std::str::from_utf8(input.piece()?).ok()?;
    let parameters = match Parameters::parse(url, input.0) {
        Ok(parameters) => parameters,
        Err(error) => {
            check_error(&error, bytes);
            return None;
        }
    };
    let pair = |(name, value)| format!("{}={}", escape(name), escape(value));
    let again: Vec<String> = parameters.iter().map(pair).collect();
    let again = Parameters::parse("", again.join("&").as_bytes()).expect("it was read before");
    assert_eq!(again, parameters);
    let read = query::read::<Request>(&parameters);
    if let Err(error) = &read {
        check_error(error, bytes);
    }
    assert_eq!(query::read(&again).ok(), read.ok());
    Some(())
}

/// An answer can carry it, and is not much longer than what was asked.
fn check_error(error: &ApiError, sent: &[u8]) {
    assert!(error.message.len() <= LONGEST_MESSAGE + sent.len(), "{}", error.message.len());
    assert!(error.render("r-1").contains("<RequestID>r-1</RequestID>"));
}

const KEY: &str = "AKIAFUZZEDACCESSKEYS";
const SECRET: &str = "fuzzed/secret+key";
const TIME: &str = "20261123T040000Z";
const NOW: Timestamp = Timestamp(1_795_406_400_000);

struct Keys;

impl Credentials for Keys {
    fn find(&self, access_key_id: &str) -> Option<Credential> {
        (access_key_id == KEY).then(|| Credential {
            secret: SECRET.to_owned(),
            account: "111122223333".parse().expect("this is a well-formed account"),
            administrator: false,
            session_token: None,
        })
    }
}

/// Input: (length 2 · method) (length 2 · path) (length 2 · query) count 1 · so many
/// (length 2 · name) (length 2 · value) · body.
///
/// Whoever is believed has the key, and signed this request and not another.
pub fn signature(bytes: &[u8]) -> Option<()> {
    let mut input = Input(bytes);
    let mut text = || std::str::from_utf8(input.piece()?).ok();
    let (method, path, query) = (text()?, text()?, text()?);
    let mut headers = HeaderMap::default();
    for _ in 0..input.byte()? {
        headers.append(input.piece()?, input.piece()?)?;
    }
    let received = Received { method, path, query, headers: &headers, body: input.0 };
    let signed = believed(&received)?;
    assert_eq!(signed.proved_by(), KEY);
    assert!(!signed.is_administrator());
    let other_method = format!("{method}X");
    assert_eq!(believed(&Received { method: &other_method, ..received }), None);
    let other_query = format!("{query}&Other=1");
    assert_eq!(believed(&Received { query: &other_query, ..received }), None);
    Some(())
}

fn believed(received: &Received<'_>) -> Option<Signed> {
    let parameters = Parameters::parse(received.query, received.body).ok()?;
    verify(received, &parameters, Service::Ec2, &Keys, NOW).ok()
}

/// Requests that are believed, for seeds.
pub fn signed() -> Vec<(&'static str, Vec<u8>)> {
    let body = "Action=DescribeInstances&Version=2016-11-15";
    let mut headers = vec![("host", "localhost:8773".to_owned()), ("x-amz-date", TIME.to_owned())];
    let mut map = HeaderMap::default();
    for (name, value) in &headers {
        map.append(name.as_bytes(), value.as_bytes()).expect("it is a header");
    }
    let received =
        Received { method: "POST", path: "/", query: "", headers: &map, body: body.as_bytes() };
    let scope = v4::Scope {
        date: TIME[..8].to_owned(),
        region: "us-east-1".to_owned(),
        service: "ec2".to_owned(),
    };
    let claim = v4::sign(&received, KEY, SECRET, &scope, TIME, "host;x-amz-date");
    headers.push(("authorization", claim.expect("all of it is there")));

    let version_2 = format!(
        "AWSAccessKeyId={KEY}&Action=DescribeInstances&SignatureMethod=HmacSHA256\
         &SignatureVersion=2&Timestamp=2026-11-23T04%3A00%3A00Z&Version=2016-11-15"
    );
    let text = format!("GET\nlocalhost:8773\n/\n{version_2}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
    let query = format!("{version_2}&Signature={}", escape(&signature));
    let requests = vec![
        ("version-4", request("POST", "", &headers, body)),
        ("version-2", request("GET", &query, &headers[..1], "")),
    ];
    for (name, request) in &requests {
        assert!(self::signature(request).is_some(), "{name} is believed");
    }
    requests
}

fn request(method: &str, query: &str, headers: &[(&str, String)], body: &str) -> Vec<u8> {
    let mut bytes = [method, "/", query].map(|text| piece(text.as_bytes())).concat();
    bytes.push(headers.len() as u8);
    for (name, value) in headers {
        bytes.extend(piece(name.as_bytes()));
        bytes.extend(piece(value.as_bytes()));
    }
    bytes.extend(body.as_bytes());
    bytes
}

/// Parameters in the URL, the body, and both, for seeds.
pub fn queries() -> Vec<(&'static str, Vec<u8>)> {
    let list = "InstanceId.1=i-12345678&InstanceId.2=i-0123456789abcdef0";
    let filters = "Filter.1.Name=tag%3AName&Filter.1.Value.1=a+b&Filter.1.Value.member.2=%C3%A4";
    let input = |url: &str, body: &str| [&piece(url.as_bytes())[..], body.as_bytes()].concat();
    vec![
        ("list", input("", list)),
        ("filters", input(filters, "Action=DescribeInstances&MaxResults=5")),
        ("attribute", input("Attribute.Value=true", "")),
        ("unknown", input("", "Colour=red&Filter.Name=x")),
    ]
}
