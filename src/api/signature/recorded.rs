//! Requests that botocore 1.44 signed and sent, byte for byte, and what becomes of them when any
//! of their bytes is changed.

use super::{Credential, Credentials, Received, Refused, Signed, verify};
use crate::api::parameters::Parameters;
use crate::api::service::Service;
use crate::domain::time::Timestamp;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::{any, prop, proptest};

pub const ACCESS_KEY_ID: &str = "AKIAFIXTUREACCESSKEY";
pub const SECRET: &str = "fixture/secret+key";
const SESSION_TOKEN: &str = "session/token+1==";

/// 2026-11-22T11:17:49Z, when all of them were signed.
const RECORDED: Timestamp = Timestamp(1_795_346_269_000);

const V4_HEADER: &[u8] = include_bytes!("fixtures/v4_header_post.http");
const V4_HEADER_TOKEN: &[u8] = include_bytes!("fixtures/v4_session_token.http");
const V4_URL: &[u8] = include_bytes!("fixtures/v4_query.http");
const V4_URL_TOKEN: &[u8] = include_bytes!("fixtures/v4_query_session_token.http");
const V4_STS: &[u8] = include_bytes!("fixtures/v4_sts.http");
const V2: &[u8] = include_bytes!("fixtures/v2_post.http");
const V2_TOKEN: &[u8] = include_bytes!("fixtures/v2_session_token.http");

const PERMANENT: [&[u8]; 4] = [V4_HEADER, V4_URL, V4_STS, V2];
const TEMPORARY: [&[u8]; 3] = [V4_HEADER_TOKEN, V4_URL_TOKEN, V2_TOKEN];

/// One permanent access key.
pub struct Keys;

impl Credentials for Keys {
    fn find(&self, access_key_id: &str) -> Option<Credential> {
        (access_key_id == ACCESS_KEY_ID).then(|| Credential {
            secret: SECRET.into(),
            account: "000000000001".parse().unwrap(),
            administrator: false,
            session_token: None,
        })
    }
}

/// The same key, as a temporary one.
struct TemporaryKeys;

impl Credentials for TemporaryKeys {
    fn find(&self, access_key_id: &str) -> Option<Credential> {
        let session_token = Some(SESSION_TOKEN.into());
        Keys.find(access_key_id).map(|key| Credential { session_token, ..key })
    }
}

struct NoKeys;

impl Credentials for NoKeys {
    fn find(&self, _: &str) -> Option<Credential> {
        None
    }
}

/// A request taken apart as the server does.
#[derive(Debug, Clone)]
struct Request {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn new(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap().split(' ');
        let (method, target) = (first.next().unwrap(), first.next().unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Self {
            method: method.into(),
            path: path.into(),
            query: query.into(),
            headers: lines.map(header).collect(),
            body: bytes[end + 4..].to_vec(),
        }
    }

    fn parameters(&self) -> Option<Parameters> {
        Parameters::parse(&self.query, &self.body).ok()
    }

    /// `None` if the server would not even have taken it for a request.
    fn verify(&self, keys: &dyn Credentials, now: Timestamp) -> Option<Result<Signed, Refused>> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(
                HeaderName::try_from(name.as_str()).ok()?,
                HeaderValue::from_str(value).ok()?,
            );
        }
        let received = Received {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &headers,
            body: &self.body,
        };
        let parameters = self.parameters()?;
        let service = Service::of_version(parameters.get("Version"));
        Some(verify(&received, &parameters, service, keys, now))
    }

    /// The parts of the request that a signature is to protect, to be changed byte by byte.
    fn protected_parts(&mut self) -> Vec<&mut dyn Part> {
        let mut parts: Vec<&mut dyn Part> =
            vec![&mut self.method, &mut self.path, &mut self.query, &mut self.body];
        let authorization = self.headers.iter().find(|(name, _)| name == "authorization");
        let signed: Vec<String> = match authorization {
            Some((_, value)) => {
                let names = value.split("SignedHeaders=").nth(1).unwrap();
                let names = names.split(',').next().unwrap().split(';');
                names.map(str::to_owned).chain(["authorization".to_owned()]).collect()
            }
            None => vec!["host".to_owned()],
        };
        for (name, value) in &mut self.headers {
            if signed.contains(name) {
                parts.push(value);
            }
        }
        parts
    }
}

trait Part {
    fn length(&self) -> usize;
    fn flip(&mut self, position: usize, mask: u8);
}

impl Part for Vec<u8> {
    fn length(&self) -> usize {
        self.len()
    }
    fn flip(&mut self, position: usize, mask: u8) {
        self[position] ^= mask;
    }
}

impl Part for String {
    fn length(&self) -> usize {
        self.len()
    }
    fn flip(&mut self, position: usize, mask: u8) {
        let mut bytes = std::mem::take(self).into_bytes();
        bytes[position] ^= mask;
        *self = String::from_utf8(bytes).unwrap();
    }
}

#[test]
fn what_botocore_signs_with_a_permanent_key_is_verified() {
    for bytes in PERMANENT {
        let signed = Request::new(bytes).verify(&Keys, RECORDED).unwrap().unwrap();
        assert_eq!(signed.proved_by(), ACCESS_KEY_ID);
        assert_eq!(signed.account().as_str(), "000000000001");
        assert!(!signed.is_administrator());
    }
}

#[test]
fn what_botocore_signs_with_a_temporary_key_is_verified() {
    for bytes in TEMPORARY {
        Request::new(bytes).verify(&TemporaryKeys, RECORDED).unwrap().unwrap();
    }
}

#[test]
fn version_4_brings_the_region_and_version_2_does_not() {
    let region = |bytes| {
        let signed = Request::new(bytes).verify(&Keys, RECORDED).unwrap().unwrap();
        signed.region().map(|region| region.as_str().to_owned())
    };
    assert_eq!(region(V4_HEADER).as_deref(), Some("eucalyptus"));
    assert_eq!(region(V4_URL).as_deref(), Some("eucalyptus"));
    assert_eq!(region(V2), None);
}

#[test]
fn a_token_must_be_the_key_s_own_and_neither_missing_nor_surplus() {
    for bytes in PERMANENT {
        let verified = Request::new(bytes).verify(&TemporaryKeys, RECORDED).unwrap();
        assert_eq!(verified, Err(Refused::WrongToken));
    }
    for bytes in TEMPORARY {
        let verified = Request::new(bytes).verify(&Keys, RECORDED).unwrap();
        assert_eq!(verified, Err(Refused::WrongToken));
    }
}

#[test]
fn an_unknown_key_is_refused() {
    for bytes in PERMANENT {
        let verified = Request::new(bytes).verify(&NoKeys, RECORDED).unwrap();
        assert_eq!(verified, Err(Refused::UnknownKey));
    }
}

#[test]
fn a_signed_url_holds_as_long_as_it_says_and_other_requests_a_quarter_of_an_hour() {
    let at = |bytes, seconds: i64| {
        let now = Timestamp(RECORDED.0 + seconds * 1000);
        Request::new(bytes).verify(&Keys, now).unwrap().err()
    };
    assert_eq!(at(V4_URL, 3600), None);
    assert_eq!(at(V4_URL, 3601), Some(Refused::Expired));
    assert_eq!(at(V4_URL, -901), Some(Refused::Expired));
    for bytes in [V4_HEADER, V4_STS, V2] {
        assert_eq!(at(bytes, 900), None);
        assert_eq!(at(bytes, 901), Some(Refused::Expired));
        assert_eq!(at(bytes, -901), Some(Refused::Expired));
    }
}

#[test]
fn a_request_signed_in_two_places_is_refused() {
    let (header, url, v2) = (Request::new(V4_HEADER), Request::new(V4_URL), Request::new(V2));
    let mut header_and_url = url.clone();
    header_and_url.headers = header.headers.clone();
    let mut header_and_v2 = header.clone();
    header_and_v2.body = v2.body.clone();
    let mut url_and_v2 = url;
    url_and_v2.body = v2.body;
    for request in [header_and_url, header_and_v2, url_and_v2] {
        assert_eq!(request.verify(&Keys, RECORDED), Some(Err(Refused::SignedTwice)));
    }
}

#[test]
fn an_unsigned_request_is_refused() {
    let mut request = Request::new(V4_HEADER);
    request.headers.retain(|(name, _)| name != "authorization");
    assert_eq!(request.verify(&Keys, RECORDED), Some(Err(Refused::Unsigned)));
}

/// A change of letter case may leave a request what it was (`%2a` and `%2A`), and Version 2 signs
/// the host in lower case. Everything else must be refused.
#[test]
fn a_change_of_any_protected_byte_is_refused() {
    for bytes in PERMANENT {
        let original = Request::new(bytes);
        let lengths: Vec<usize> =
            original.clone().protected_parts().iter().map(|part| part.length()).collect();
        for (part, length) in lengths.into_iter().enumerate() {
            for (position, mask) in (0..length).flat_map(|p| [1, 2, 0x10, 0x20].map(|m| (p, m))) {
                let mut changed = original.clone();
                changed.protected_parts()[part].flip(position, mask);
                if let Some(Ok(_)) = changed.verify(&Keys, RECORDED) {
                    let same = changed.parameters() == original.parameters()
                        && changed.path == original.path
                        && changed.method == original.method
                        && changed.headers == original.headers;
                    assert!(same, "verified though changed: {changed:?}");
                }
            }
        }
    }
}

#[test]
fn a_parameter_more_or_less_is_refused() {
    for bytes in PERMANENT {
        let mut more = Request::new(bytes);
        more.query = format!("{}&DryRun=true", more.query);
        assert_eq!(more.verify(&Keys, RECORDED), Some(Err(Refused::WrongSignature)));
        let mut more = Request::new(bytes);
        more.body.extend_from_slice(b"&DryRun=true");
        assert_eq!(more.verify(&Keys, RECORDED), Some(Err(Refused::WrongSignature)));
    }
}

#[test]
fn secrets_do_not_reach_the_log_through_debug() {
    let text = format!("{:?}", TemporaryKeys.find(ACCESS_KEY_ID).unwrap());
    assert!(!text.contains(SECRET) && !text.contains(SESSION_TOKEN), "{text}");
}

proptest! {
    #[test]
    fn no_request_causes_a_panic_or_is_believed(
        method in any::<String>(), path in any::<String>(),
        query in "(X-Amz-(Algorithm|Credential|Date|Expires|SignedHeaders|Signature)=[^&]{0,20}&){0,7}",
        authorization in "AWS4-HMAC-SHA256 (Credential|SignedHeaders|Signature|[=,/; é])*.{0,40}",
        date in "([0-9]{8}T[0-9]{6}Z)|.{0,20}",
        body in prop::collection::vec(any::<u8>(), 0..100), with_header in any::<bool>()
    ) {
        let mut headers = vec![("host".to_owned(), "h".to_owned()), ("x-amz-date".to_owned(), date)];
        if with_header {
            headers.push(("authorization".to_owned(), authorization));
        }
        let request = Request { method, path, query, headers, body };
        assert!(!matches!(request.verify(&Keys, RECORDED), Some(Ok(_))));
    }

    #[test]
    fn no_version_2_parameters_cause_a_panic_or_are_believed(
        query in "((AWSAccessKeyId=AKIAFIXTUREACCESSKEY|Signature=[A-Za-z0-9+/=%]{0,50}\
            |SignatureMethod=HmacSHA(1|256)|Timestamp=2026-11-22T11:17:49(Z|\\.[0-9]{0,12}Z|é)|.{0,9})&){0,7}",
        host in ".{0,20}", path in any::<String>()
    ) {
        let headers = vec![("host".to_owned(), host)];
        let method = "GET".to_owned();
        let request = Request { method, path, query, headers, body: Vec::new() };
        assert!(!matches!(request.verify(&Keys, RECORDED), Some(Ok(_))));
    }
}
