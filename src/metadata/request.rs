//! A question to the metadata service and its answer.
//!
//! Order matters: a disabled endpoint says nothing else; a forwarded request is refused before its
//! token is looked at, because a proxy in the guest is exactly what IMDSv2 defends against.

use super::{token::TokenKey, tree};
use crate::domain::{
    metadata::{Availability, InstanceMetadata, TokenDemand},
    time::Timestamp,
};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Put,
    Other,
}

/// A request, taken apart as far as the service cares.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub method: Method,
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
}

impl Request<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(value.trim())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// The IP time to live the answer must travel with; the host's own when absent.
    pub hop_limit: Option<u8>,
}

const TOKEN_PATH: &str = "/latest/api/token";
const TOKEN: &str = "X-aws-ec2-metadata-token";
const TOKEN_LIFE: &str = "X-aws-ec2-metadata-token-ttl-seconds";
const LONGEST_LIFE_SECONDS: u64 = 21_600;

pub fn answer(
    metadata: &InstanceMetadata,
    request: Request<'_>,
    tokens: &TokenKey,
    now: Timestamp,
) -> Response {
    if metadata.options.http_endpoint == Availability::Disabled {
        return refusal(403, "Forbidden");
    }
    match (request.method, collapse(request.path).as_str()) {
        (Method::Put, TOKEN_PATH) => grant(metadata, request, tokens, now),
        (Method::Get, TOKEN_PATH) => refusal(405, "Method Not Allowed"),
        (Method::Get, path) => match admitted(metadata, request, tokens, now) {
            true => look_up(metadata, path),
            false => refusal(401, "Unauthorized"),
        },
        (Method::Put | Method::Other, _) => refusal(405, "Method Not Allowed"),
    }
}

/// Guests' scripts write `//`, which EC2 forgives.
fn collapse(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let trailing = if path.ends_with('/') { "/" } else { "" };
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "/".to_owned() } else { format!("/{}{trailing}", parts.join("/")) }
}

fn grant(
    metadata: &InstanceMetadata,
    request: Request<'_>,
    tokens: &TokenKey,
    now: Timestamp,
) -> Response {
    if request.header("X-Forwarded-For").is_some() {
        return refusal(403, "Forbidden");
    }
    let seconds = request.header(TOKEN_LIFE).and_then(|text| text.parse::<u64>().ok());
    let Some(seconds) = seconds.filter(|s| (1..=LONGEST_LIFE_SECONDS).contains(s)) else {
        return refusal(400, "Bad Request");
    };
    let token = tokens.issue(&metadata.instance, now, Duration::from_secs(seconds));
    Response {
        headers: vec![(TOKEN_LIFE, seconds.to_string())],
        hop_limit: Some(metadata.options.hop_limit),
        ..text(token)
    }
}

/// A token that is given must be good, even where none is demanded.
fn admitted(
    metadata: &InstanceMetadata,
    request: Request<'_>,
    tokens: &TokenKey,
    now: Timestamp,
) -> bool {
    match request.header(TOKEN) {
        Some(token) => tokens.admits(&metadata.instance, token, now),
        None => metadata.options.http_tokens == TokenDemand::Optional,
    }
}

fn look_up(metadata: &InstanceMetadata, path: &str) -> Response {
    match tree::read(metadata, path) {
        Some(tree::Leaf::Text(body)) => text(body),
        Some(tree::Leaf::Bytes(body)) => {
            Response { content_type: "application/octet-stream", body, ..text(String::new()) }
        }
        None => refusal(404, "Not Found"),
    }
}

fn text(body: String) -> Response {
    Response {
        status: 200,
        content_type: "text/plain",
        headers: Vec::new(),
        body: body.into_bytes(),
        hop_limit: None,
    }
}

fn refusal(status: u16, reason: &str) -> Response {
    Response { status, ..text(format!("{status} - {reason}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::tree::tests::instance;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn ask(
        metadata: &InstanceMetadata,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Response {
        let key = TokenKey::new(&[1; 32]);
        answer(metadata, Request { method, path, headers }, &key, NOW)
    }

    fn token(metadata: &InstanceMetadata) -> String {
        let response = ask(metadata, Method::Put, TOKEN_PATH, &[(TOKEN_LIFE, "60")]);
        assert_eq!(response.status, 200);
        String::from_utf8(response.body).unwrap()
    }

    const ID: &str = "/latest/meta-data/instance-id";

    #[test]
    fn version_1_is_answered_unless_tokens_are_required() {
        let mut metadata = instance();
        assert_eq!(ask(&metadata, Method::Get, ID, &[]).status, 200);
        assert_eq!(ask(&metadata, Method::Get, "//latest//meta-data/instance-id", &[]).status, 200);
        metadata.options.http_tokens = TokenDemand::Required;
        assert_eq!(ask(&metadata, Method::Get, ID, &[]).status, 401);
        let token = token(&metadata);
        let with_token = ask(&metadata, Method::Get, ID, &[("x-AWS-ec2-metadata-token", &token)]);
        assert_eq!((with_token.status, with_token.body), (200, b"i-0123456789abcdef0".to_vec()));
    }

    #[test]
    fn a_bad_an_expired_and_a_strangers_token_are_refused_even_where_none_is_demanded() {
        let metadata = instance();
        let mut other = instance();
        other.instance = "i-22222222".parse().unwrap();
        let stale = TokenKey::new(&[1; 32]).issue(
            &metadata.instance,
            Timestamp(NOW.0 - 61_000),
            Duration::from_secs(60),
        );
        for bad in ["nonsense", &token(&other), &stale] {
            assert_eq!(ask(&metadata, Method::Get, ID, &[(TOKEN, bad)]).status, 401, "{bad}");
        }
    }

    #[test]
    fn a_tokens_life_is_one_second_to_six_hours() {
        let metadata = instance();
        for (life, status) in [
            ("1", 200),
            ("21600", 200),
            ("0", 400),
            ("21601", 400),
            ("-1", 400),
            ("", 400),
            ("9999999999999999999999", 400),
        ] {
            let response = ask(&metadata, Method::Put, TOKEN_PATH, &[(TOKEN_LIFE, life)]);
            assert_eq!(response.status, status, "{life}");
        }
        assert_eq!(ask(&metadata, Method::Put, TOKEN_PATH, &[]).status, 400);
    }

    #[test]
    fn a_token_travels_no_further_than_the_hop_limit_and_says_its_life() {
        let mut metadata = instance();
        metadata.options.hop_limit = 2;
        let granted = ask(&metadata, Method::Put, TOKEN_PATH, &[(TOKEN_LIFE, "60")]);
        assert_eq!(granted.hop_limit, Some(2));
        assert_eq!(granted.headers, [(TOKEN_LIFE, "60".to_owned())]);
        assert_eq!(ask(&metadata, Method::Get, ID, &[]).hop_limit, None);
    }

    #[test]
    fn a_forwarded_token_request_is_refused() {
        let headers = [(TOKEN_LIFE, "60"), ("x-forwarded-for", "10.0.0.9")];
        assert_eq!(ask(&instance(), Method::Put, TOKEN_PATH, &headers).status, 403);
    }

    #[test]
    fn a_disabled_endpoint_and_other_methods_are_refused() {
        let mut metadata = instance();
        assert_eq!(ask(&metadata, Method::Other, ID, &[]).status, 405);
        assert_eq!(ask(&metadata, Method::Put, ID, &[]).status, 405);
        assert_eq!(ask(&metadata, Method::Get, TOKEN_PATH, &[]).status, 405);
        metadata.options.http_endpoint = Availability::Disabled;
        assert_eq!(ask(&metadata, Method::Get, ID, &[]).status, 403);
        let put = ask(&metadata, Method::Put, TOKEN_PATH, &[(TOKEN_LIFE, "60")]);
        assert_eq!(put.status, 403);
    }
}
