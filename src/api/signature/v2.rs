//! Signature Version 2: the claim stands among the parameters and covers the method, the host, the
//! path and all other parameters.
//!
//! Clients of its time differ in what they take for the host and in how they escape, so a few
//! spellings of the same request are tried. Every spelling tried means the same request: trying
//! never makes a signature good for another one.

use super::{
    Credentials, Received, Refused, Signed, check_skew, check_token, escape, header, parse_time,
};
use crate::api::parameters::Parameters;
use crate::domain::time::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// Whether the parameters contain any part of a claim.
pub(super) fn is_claimed(parameters: &Parameters) -> bool {
    parameters.iter().any(|(name, _)| matches!(name, "Signature" | "AWSAccessKeyId"))
}

pub(super) fn verify(
    received: &Received<'_>,
    parameters: &Parameters,
    credentials: &dyn Credentials,
    now: Timestamp,
) -> Result<Signed, Refused> {
    let access_key_id = required(parameters, "AWSAccessKeyId")?;
    let signature = required(parameters, "Signature")?;
    let algorithm = algorithm(parameters)?;
    check_time(parameters, now)?;
    let credential = credentials.find(access_key_id).ok_or(Refused::UnknownKey)?;
    check_token(&credential, once(parameters, "SecurityToken")?)?;

    // A `+` sent unescaped in the base64 text was read as a space, which base64 does not have.
    let signature =
        STANDARD.decode(signature.replace(' ', "+")).map_err(|_| Refused::WrongSignature)?;
    let key = hmac::Key::new(algorithm, credential.secret.as_bytes());
    let good = |text: &String| hmac::verify(&key, text.as_bytes(), &signature).is_ok();
    if !texts_to_sign(received, parameters)?.any(|text| good(&text)) {
        return Err(Refused::WrongSignature);
    }
    Ok(Signed {
        proved_by: access_key_id.to_owned(),
        account: credential.account,
        administrator: credential.administrator,
        region: None,
    })
}

fn once<'a>(parameters: &'a Parameters, name: &str) -> Result<Option<&'a str>, Refused> {
    parameters.get_once(name).map_err(|error| Refused::Incomplete(error.message))
}

fn required<'a>(parameters: &'a Parameters, name: &str) -> Result<&'a str, Refused> {
    once(parameters, name)?.ok_or_else(|| {
        Refused::incomplete(format!("The request must contain the parameter {name}"))
    })
}

fn algorithm(parameters: &Parameters) -> Result<hmac::Algorithm, Refused> {
    // Tools older than the parameter leave the version out, and mean 2.
    match once(parameters, "SignatureVersion")? {
        None | Some("2") => {}
        Some(_) => return Err(Refused::incomplete("SignatureVersion must be 2")),
    }
    match required(parameters, "SignatureMethod")? {
        "HmacSHA256" => Ok(hmac::HMAC_SHA256),
        "HmacSHA1" => Ok(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        _ => Err(Refused::incomplete("SignatureMethod must be HmacSHA256 or HmacSHA1")),
    }
}

/// A request carries either the time it was signed or the time until which it holds.
fn check_time(parameters: &Parameters, now: Timestamp) -> Result<(), Refused> {
    let read = |name: &str, text: &str| {
        read_time(text)
            .ok_or_else(|| Refused::incomplete(format!("{name} must be in ISO-8601 format")))
    };
    match (once(parameters, "Timestamp")?, once(parameters, "Expires")?) {
        (Some(signed), None) => check_skew(read("Timestamp", signed)?, now),
        (None, Some(until)) if read("Expires", until)? >= now => Ok(()),
        (None, Some(_)) => Err(Refused::Expired),
        (None, None) => {
            Err(Refused::incomplete("The request must contain the parameter Timestamp or Expires"))
        }
        (Some(_), Some(_)) => {
            Err(Refused::incomplete("The request may not contain both Timestamp and Expires"))
        }
    }
}

/// ISO 8601 with or without a fraction; without a zone, UTC is meant.
fn read_time(text: &str) -> Option<Timestamp> {
    match text.parse::<jiff::Timestamp>() {
        Ok(instant) => Some(Timestamp(instant.as_millisecond())),
        Err(_) => parse_time("%Y-%m-%dT%H:%M:%S%.f", text),
    }
}

/// The spellings of the request that its sender may have signed.
fn texts_to_sign<'a>(
    received: &Received<'a>,
    parameters: &Parameters,
) -> Result<impl Iterator<Item = String> + use<'a>, Refused> {
    let queries = queries(parameters);
    let hosts = hosts(header(received.headers, "host")?.unwrap_or_default());
    let paths = paths(received.path);
    let method = received.method;
    Ok(queries.into_iter().flat_map(move |query| {
        let paths = paths.clone();
        hosts.clone().into_iter().flat_map(move |host| {
            let query = query.clone();
            paths.clone().into_iter().map(move |path| format!("{method}\n{host}\n{path}\n{query}"))
        })
    }))
}

/// The host as received, and without its port; in lower case.
fn hosts(received: &str) -> Vec<String> {
    let lower = received.to_ascii_lowercase();
    let mut hosts = vec![received.to_owned(), lower.clone()];
    if let Some((name, port)) = lower.rsplit_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        hosts.push(name.to_owned());
    }
    hosts.dedup();
    hosts
}

/// The path as received, and without its last slash.
fn paths(received: &str) -> Vec<String> {
    let mut paths = vec![if received.is_empty() { "/" } else { received }.to_owned()];
    if let Some(shorter) = received.strip_suffix('/').filter(|shorter| !shorter.is_empty()) {
        paths.push(shorter.to_owned());
    }
    paths
}

/// The parameters sorted by name, escaped as the scheme demands, and as libraries did that escaped
/// for forms instead: a space as `+`, a `*` as itself. Each spelling is still unambiguous.
fn queries(parameters: &Parameters) -> Vec<String> {
    let mut pairs: Vec<_> = parameters.iter().filter(|(name, _)| *name != "Signature").collect();
    pairs.sort_unstable();
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
    let proper = pairs.join("&");
    let mut queries = vec![proper.clone()];
    if proper.contains("%20") {
        queries.push(proper.replace("%20", "+"));
    }
    if proper.contains("%2A") {
        queries.push(proper.replace("%2A", "*"));
    }
    if proper.contains("%20") && proper.contains("%2A") {
        queries.push(proper.replace("%20", "+").replace("%2A", "*"));
    }
    queries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::service::Service;
    use crate::api::signature::{self, recorded};
    use actix_web::http::header::{HOST, HeaderMap, HeaderValue};

    const NOW: Timestamp = Timestamp(1_767_323_045_000);

    struct Client {
        method: &'static str,
        host: &'static str,
        signed_host: &'static str,
        path: &'static str,
        signed_path: &'static str,
        algorithm: hmac::Algorithm,
        parameters: Vec<(&'static str, &'static str)>,
        spelling: fn(String) -> String,
    }

    impl Default for Client {
        fn default() -> Self {
            Self {
                method: "GET",
                host: "cloud:8773",
                signed_host: "cloud:8773",
                path: "/services/Eucalyptus/",
                signed_path: "/services/Eucalyptus/",
                algorithm: hmac::HMAC_SHA256,
                parameters: vec![
                    ("Action", "DescribeInstances"),
                    ("SignatureVersion", "2"),
                    ("SignatureMethod", "HmacSHA256"),
                    ("Timestamp", "2026-01-02T03:04:05Z"),
                    ("Value", "a b+c*d~e/é"),
                ],
                spelling: |query| query,
            }
        }
    }

    impl Client {
        fn with(mut self, name: &'static str, value: &'static str) -> Self {
            self = self.without(name);
            self.parameters.push((name, value));
            self
        }

        fn without(mut self, name: &'static str) -> Self {
            self.parameters.retain(|(given, _)| *given != name);
            self
        }

        fn send(mut self) -> Result<Signed, Refused> {
            self.parameters.push(("AWSAccessKeyId", recorded::ACCESS_KEY_ID));
            let unsigned: Parameters = self.parameters.iter().copied().collect();
            let query = (self.spelling)(queries(&unsigned)[0].clone());
            let text =
                format!("{}\n{}\n{}\n{query}", self.method, self.signed_host, self.signed_path);
            let key = hmac::Key::new(self.algorithm, recorded::SECRET.as_bytes());
            let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
            let sent = format!("{query}&Signature={}", escape(&signature));
            self.send_as(&sent)
        }

        fn send_as(&self, query: &str) -> Result<Signed, Refused> {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(self.host).unwrap());
            let (query, body) = if self.method == "GET" { (query, "") } else { ("", query) };
            let received = Received {
                method: self.method,
                path: self.path,
                query,
                headers: &headers,
                body: body.as_bytes(),
            };
            let parameters = Parameters::parse(query, body.as_bytes()).unwrap();
            signature::verify(&received, &parameters, Service::Ec2, &recorded::Keys, NOW)
        }
    }

    #[test]
    fn get_and_post_are_verified_and_know_no_region() {
        for method in ["GET", "POST"] {
            let signed = Client { method, ..Client::default() }.send().unwrap();
            assert_eq!(signed.region(), None);
            assert_eq!(signed.proved_by(), recorded::ACCESS_KEY_ID);
        }
    }

    #[test]
    fn the_older_digest_is_verified_and_others_are_refused() {
        let sha1 = Client {
            algorithm: hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            ..Client::default().with("SignatureMethod", "HmacSHA1")
        };
        assert!(sha1.send().is_ok());
        let mismatched = Client::default().with("SignatureMethod", "HmacSHA1");
        assert_eq!(mismatched.send(), Err(Refused::WrongSignature));
        let md5 = Client::default().with("SignatureMethod", "HmacMD5");
        assert!(matches!(md5.send(), Err(Refused::Incomplete(_))));
    }

    #[test]
    fn without_a_version_2_is_meant_and_other_versions_are_refused() {
        assert!(Client::default().without("SignatureVersion").send().is_ok());
        for version in ["0", "1", "4", ""] {
            let client = Client::default().with("SignatureVersion", version);
            assert!(matches!(client.send(), Err(Refused::Incomplete(_))), "{version}");
        }
    }

    #[test]
    fn the_host_may_be_signed_without_its_port_or_in_lower_case() {
        for (host, signed_host) in [
            ("cloud:8773", "cloud"),
            ("Cloud:8773", "cloud:8773"),
            ("Cloud:8773", "Cloud:8773"),
            ("Cloud", "cloud"),
        ] {
            assert!(Client { host, signed_host, ..Client::default() }.send().is_ok(), "{host}");
        }
        let other = Client { signed_host: "other:8773", ..Client::default() };
        assert_eq!(other.send(), Err(Refused::WrongSignature));
    }

    #[test]
    fn the_path_may_be_signed_without_its_last_slash() {
        let client = Client { signed_path: "/services/Eucalyptus", ..Client::default() };
        assert!(client.send().is_ok());
        let client = Client { signed_path: "/", ..Client::default() };
        assert_eq!(client.send(), Err(Refused::WrongSignature));
    }

    #[test]
    fn spaces_and_stars_may_be_signed_as_forms_spell_them() {
        let spellings: [fn(String) -> String; 3] = [
            |query| query.replace("%20", "+"),
            |query| query.replace("%2A", "*"),
            |query| query.replace("%20", "+").replace("%2A", "*"),
        ];
        for spelling in spellings {
            assert!(Client { spelling, ..Client::default() }.send().is_ok());
        }
    }

    #[test]
    fn a_time_is_read_with_fractions_and_without_a_zone() {
        for time in ["2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05", "2026-01-02T04:04:05+01:00"]
        {
            assert!(Client::default().with("Timestamp", time).send().is_ok(), "{time}");
        }
        for time in ["", "now", "2026-01-02", "2026-13-02T03:04:05Z"] {
            let client = Client::default().with("Timestamp", time);
            assert!(matches!(client.send(), Err(Refused::Incomplete(_))), "{time}");
        }
    }

    #[test]
    fn a_request_is_good_for_a_quarter_of_an_hour_or_until_it_expires() {
        let at = |time| Client::default().with("Timestamp", time).send();
        assert!(at("2026-01-02T02:49:05Z").is_ok());
        assert_eq!(at("2026-01-02T02:49:04Z"), Err(Refused::Expired));
        assert_eq!(at("2026-01-02T03:19:06Z"), Err(Refused::Expired));
        let until = |time| Client::default().without("Timestamp").with("Expires", time).send();
        assert!(until("2026-01-02T03:04:05Z").is_ok());
        assert_eq!(until("2026-01-02T03:04:04Z"), Err(Refused::Expired));
    }

    #[test]
    fn exactly_one_time_is_given() {
        let neither = Client::default().without("Timestamp");
        assert!(matches!(neither.send(), Err(Refused::Incomplete(_))));
        let both = Client::default().with("Expires", "2026-01-02T03:04:05Z");
        assert!(matches!(both.send(), Err(Refused::Incomplete(_))));
    }

    #[test]
    fn an_incomplete_claim_is_not_taken_for_none() {
        let client = Client::default();
        for query in ["Signature=x", "AWSAccessKeyId=x", "Signature=x&Signature=y"] {
            assert!(matches!(client.send_as(query), Err(Refused::Incomplete(_))), "{query}");
        }
        assert_eq!(client.send_as("Action=x"), Err(Refused::Unsigned));
    }

    #[test]
    fn a_claim_names_its_parts_once() {
        let doubled = "AWSAccessKeyId=a&AWSAccessKeyId=b&Signature=x";
        assert!(matches!(Client::default().send_as(doubled), Err(Refused::Incomplete(_))));
    }
}
