//! Signature Version 4: the claim stands in the `Authorization` header or in the URL, covers the
//! method, path, query, chosen headers and the body's digest, and is bound to a day, a region and
//! a service.
//!
//! The region may be any name: this cloud is whatever region its users call it. The signed headers
//! must include `host`. Paths are taken as they stand in the request line, since no path served
//! here has dots or doubled slashes for clients to normalise.

use super::canonical::{canonical_request, hex};
use super::{
    Credential, Credentials, Received, Refused, SKEW_MAX, Signed, check_skew, check_token, header,
    parse_time,
};
use crate::api::error::echo;
use crate::api::parameters::{decode, raw_pairs};
use crate::api::service::Service;
use crate::domain::id::RegionName;
use crate::domain::time::Timestamp;
use ring::{digest, hmac};
use std::borrow::Cow;
use std::time::Duration;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
pub(crate) const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";
const EXPIRES_SECONDS_MAX: u64 = 7 * 24 * 60 * 60;

/// Whether a parameter of the URL belongs to a claim.
pub(super) fn is_url_claim(name: &str) -> bool {
    matches!(name, "X-Amz-Algorithm" | "X-Amz-Credential" | "X-Amz-Signature")
}

/// What a request says of its own signature, not yet believed.
pub(super) struct Claim<'a> {
    access_key_id: Cow<'a, str>,
    scope: Scope,
    signed_headers: Cow<'a, str>,
    signature: Cow<'a, str>,
    time: Time,
    token: Option<Cow<'a, str>>,
    /// How long a signed URL says it holds.
    expires_seconds: Option<u64>,
}

/// What a signing key is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    pub date: String,
    pub region: String,
    pub service: String,
}

impl Scope {
    fn text(&self) -> String {
        format!("{}/{}/{}/aws4_request", self.date, self.region, self.service)
    }
}

/// When a request was signed: as an instant, and as it stands in the text that was signed.
struct Time {
    instant: Timestamp,
    text: String,
}

impl Time {
    fn new(text: &str) -> Result<Self, Refused> {
        let malformed = || Refused::incomplete("Date must be in ISO-8601 'basic format'");
        let instant = parse_time(TIME_FORMAT, text).ok_or_else(malformed)?;
        Ok(Self { instant, text: text.to_owned() })
    }

    /// From a `Date` header, which some clients send instead of `X-Amz-Date`.
    fn from_http_date(text: &str) -> Result<Self, Refused> {
        let malformed = |_| Refused::incomplete("The Date header is not a date");
        let instant = jiff::fmt::rfc2822::parse(text).map_err(malformed)?.timestamp();
        let text = instant.strftime(TIME_FORMAT).to_string();
        Ok(Self { instant: Timestamp(instant.as_millisecond()), text })
    }
}

impl<'a> Claim<'a> {
    pub(super) fn from_header(received: &Received<'a>) -> Result<Self, Refused> {
        let absent = || Refused::incomplete("Authorization header is empty");
        let authorization = header(received.headers, "authorization")?.ok_or_else(absent)?;
        let fields = authorization
            .strip_prefix(ALGORITHM)
            .and_then(|fields| fields.strip_prefix(' '))
            .ok_or_else(|| Refused::incomplete(format!("The algorithm must be {ALGORITHM}")))?;
        let fields = Fields::new(
            fields.split(',').map(|field| field.trim().split_once('=').unwrap_or((field, ""))),
            &["Credential", "SignedHeaders", "Signature"],
        )?;
        if let Some(stranger) = fields.stranger {
            return Err(Refused::incomplete(format!(
                "Authorization has no field {}",
                echo(stranger)
            )));
        }
        let time = match header(received.headers, "x-amz-date")? {
            Some(text) => Time::new(text)?,
            None => match header(received.headers, "date")? {
                Some(text) => Time::from_http_date(text)?,
                None => return Err(Refused::incomplete("A date must be given in a header")),
            },
        };
        let (access_key_id, scope) = parse_credential(fields.required("Credential")?)?;
        Ok(Self {
            access_key_id: access_key_id.to_owned().into(),
            scope,
            signed_headers: fields.required("SignedHeaders")?.into(),
            signature: fields.required("Signature")?.into(),
            time,
            token: header(received.headers, "x-amz-security-token")?.map(Cow::Borrowed),
            expires_seconds: None,
        })
    }

    pub(super) fn from_url(received: &Received<'a>) -> Result<Self, Refused> {
        let names = [
            "X-Amz-Algorithm",
            "X-Amz-Credential",
            "X-Amz-Date",
            "X-Amz-Expires",
            "X-Amz-SignedHeaders",
            "X-Amz-Security-Token",
            "X-Amz-Signature",
        ];
        let fields = Fields::new(raw_pairs(received.query), &names)?;
        let decoded = |name| -> Result<Option<Cow<'a, str>>, Refused> {
            let Some(raw) = fields.get(name) else { return Ok(None) };
            let malformed = || Refused::incomplete(format!("{name} is not properly encoded"));
            decode(raw).map(Some).ok_or_else(malformed)
        };
        let required = |name| decoded(name)?.ok_or_else(|| lacking(name));
        if required("X-Amz-Algorithm")? != ALGORITHM {
            return Err(Refused::incomplete(format!("The algorithm must be {ALGORITHM}")));
        }
        let expires_seconds = match decoded("X-Amz-Expires")? {
            Some(text) => Some(parse_expires(&text)?),
            None => None,
        };
        // A token in the header is a token too, though AWS's own clients put it in the URL.
        let token = match decoded("X-Amz-Security-Token")? {
            Some(token) => Some(token),
            None => header(received.headers, "x-amz-security-token")?.map(Cow::Borrowed),
        };
        let credential = required("X-Amz-Credential")?;
        let (access_key_id, scope) = parse_credential(&credential)?;
        Ok(Self {
            access_key_id: access_key_id.to_owned().into(),
            scope,
            signed_headers: required("X-Amz-SignedHeaders")?,
            signature: required("X-Amz-Signature")?,
            time: Time::new(&required("X-Amz-Date")?)?,
            token,
            expires_seconds,
        })
    }

    pub(super) fn verify(
        &self,
        received: &Received<'_>,
        service: Service,
        credentials: &dyn Credentials,
        now: Timestamp,
    ) -> Result<Signed, Refused> {
        let region = self.check_scope(service)?;
        self.check_time(now)?;
        let credential = credentials.find(&self.access_key_id).ok_or(Refused::UnknownKey)?;
        check_token(&credential, self.token.as_deref())?;
        self.check_signature(received, &credential)?;
        Ok(Signed {
            proved_by: self.access_key_id.to_string(),
            account: credential.account,
            administrator: credential.administrator,
            region: Some(region),
        })
    }

    fn check_scope(&self, service: Service) -> Result<RegionName, Refused> {
        if self.scope.service != service.scope_name() {
            let expected = service.scope_name();
            return Err(Refused::incomplete(format!(
                "Credential should be scoped to correct service: '{expected}'"
            )));
        }
        if self.time.text.get(..8) != Some(&self.scope.date) {
            return Err(Refused::incomplete(
                "Date in Credential scope does not match the date of the request",
            ));
        }
        self.scope
            .region
            .parse()
            .map_err(|_| Refused::incomplete("Credential should be scoped to a valid region"))
    }

    fn check_time(&self, now: Timestamp) -> Result<(), Refused> {
        let signed = self.time.instant;
        match self.expires_seconds {
            None => check_skew(signed, now),
            Some(seconds) => {
                let too_late = now > signed + Duration::from_secs(seconds);
                let too_early = signed.since(now) > SKEW_MAX;
                if too_late || too_early { Err(Refused::Expired) } else { Ok(()) }
            }
        }
    }

    fn check_signature(
        &self,
        received: &Received<'_>,
        credential: &Credential,
    ) -> Result<(), Refused> {
        let request = canonical_request(received, &self.signed_headers)?;
        let text = text_to_sign(&self.time.text, &self.scope, &request);
        let signature = parse_hex(&self.signature).ok_or(Refused::WrongSignature)?;
        hmac::verify(&signing_key(&credential.secret, &self.scope), text.as_bytes(), &signature)
            .map_err(|_| Refused::WrongSignature)
    }
}

/// Whether the claim in the request's `Authorization` is made about this header too, whose name is given
/// in lower case. That the claim is true is [`super::verify`]'s.
pub fn covers(received: &Received<'_>, name: &str) -> bool {
    Claim::from_header(received)
        .is_ok_and(|claim| claim.signed_headers.split(';').any(|signed| signed == name))
}

/// Signs as a client does and returns the `Authorization` header; for clients in this process and
/// for tests. The request's `x-amz-date` is `time`, and `signed_headers` (sorted, in lower case,
/// joined by `;`) are among its headers.
pub fn sign(
    received: &Received<'_>,
    access_key_id: &str,
    secret: &str,
    scope: &Scope,
    time: &str,
    signed_headers: &str,
) -> Result<String, Refused> {
    let request = canonical_request(received, signed_headers)?;
    let text = text_to_sign(time, scope, &request);
    let signature = hex(hmac::sign(&signing_key(secret, scope), text.as_bytes()).as_ref());
    Ok(format!(
        "{ALGORITHM} Credential={access_key_id}/{}, SignedHeaders={signed_headers}, \
         Signature={signature}",
        scope.text()
    ))
}

/// Named fields of a claim, each given at most once.
struct Fields<'a> {
    found: Vec<(&'a str, &'a str)>,
    /// Some field that is none of those named.
    stranger: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn new(
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
        names: &[&str],
    ) -> Result<Self, Refused> {
        let mut fields = Self { found: Vec::new(), stranger: None };
        for (name, value) in pairs {
            if !names.contains(&name) {
                fields.stranger = Some(name);
            } else if fields.get(name).is_some() {
                return Err(Refused::incomplete(format!("{name} may be given only once")));
            } else {
                fields.found.push((name, value));
            }
        }
        Ok(fields)
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.found.iter().find(|(found, _)| *found == name).map(|(_, value)| *value)
    }

    fn required(&self, name: &str) -> Result<&'a str, Refused> {
        self.get(name).ok_or_else(|| lacking(name))
    }
}

fn lacking(name: &str) -> Refused {
    Refused::incomplete(format!("The signature requires '{name}'"))
}

fn parse_credential(text: &str) -> Result<(&str, Scope), Refused> {
    let [access_key_id, date, region, service, "aws4_request"] =
        text.split('/').collect::<Vec<_>>()[..]
    else {
        return Err(Refused::incomplete(
            "Credential must have the form KEY/DATE/REGION/SERVICE/aws4_request",
        ));
    };
    let scope = Scope { date: date.into(), region: region.into(), service: service.into() };
    Ok((access_key_id, scope))
}

fn parse_expires(text: &str) -> Result<u64, Refused> {
    let seconds = text.parse().ok().filter(|seconds| (1..=EXPIRES_SECONDS_MAX).contains(seconds));
    seconds.ok_or_else(|| {
        Refused::incomplete(format!("X-Amz-Expires must be from 1 to {EXPIRES_SECONDS_MAX}"))
    })
}

fn text_to_sign(time: &str, scope: &Scope, canonical_request: &[u8]) -> String {
    let digest = hex(digest::digest(&digest::SHA256, canonical_request).as_ref());
    format!("{ALGORITHM}\n{time}\n{}\n{digest}", scope.text())
}

fn signing_key(secret: &str, scope: &Scope) -> hmac::Key {
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{secret}").as_bytes());
    for part in [&scope.date, &scope.region, &scope.service, "aws4_request"] {
        key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
    }
    key
}

/// The bytes of a signature: 64 digits, in lower case only, so that each signature has one text.
fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::parameters::Parameters;
    use crate::api::signature::canonical::{canonical_headers_into, canonical_query_into};
    use crate::api::signature::{self, recorded};
    use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

    const TIME: &str = "20260102T030405Z";
    const NOW: Timestamp = Timestamp(1_767_323_045_000);

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    fn ec2_scope() -> Scope {
        Scope { date: TIME[..8].into(), region: "here".into(), service: "ec2".into() }
    }

    /// A request of our own, signed after `change` was made to its headers.
    fn signed(more: &[(&str, &str)], signed_headers: &str, scope: &Scope) -> HeaderMap {
        let mut map = headers(&[("host", "cloud:8773"), ("x-amz-date", TIME)]);
        for (name, value) in headers(more) {
            map.insert(name, value);
        }
        let key = recorded::ACCESS_KEY_ID;
        let authorization =
            sign(&received(&map, b"A=1"), key, recorded::SECRET, scope, TIME, signed_headers);
        let value = HeaderValue::try_from(authorization.unwrap()).unwrap();
        map.insert(HeaderName::from_static("authorization"), value);
        map
    }

    fn received<'a>(headers: &'a HeaderMap, body: &'a [u8]) -> Received<'a> {
        Received { method: "POST", path: "/", query: "", headers, body }
    }

    fn verify_at(headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Signed, Refused> {
        let received = received(headers, body);
        let parameters = Parameters::parse("", body).unwrap();
        signature::verify(&received, &parameters, Service::Ec2, &recorded::Keys, now)
    }

    fn verify(headers: &HeaderMap, body: &[u8]) -> Result<Signed, Refused> {
        verify_at(headers, body, NOW)
    }

    #[test]
    fn the_published_example_of_list_users_has_its_published_signature() {
        let map = headers(&[
            ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("Host", "iam.amazonaws.com"),
            ("X-Amz-Date", "20150830T123600Z"),
        ]);
        let request = Received {
            method: "GET",
            path: "/",
            query: "Action=ListUsers&Version=2010-05-08",
            headers: &map,
            body: b"",
        };
        let names = "content-type;host;x-amz-date";
        let canonical = canonical_request(&request, names).unwrap();
        assert_eq!(
            hex(digest::digest(&digest::SHA256, &canonical).as_ref()),
            "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"
        );
        let scope =
            Scope { date: "20150830".into(), region: "us-east-1".into(), service: "iam".into() };
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let authorization =
            sign(&request, "AKIDEXAMPLE", secret, &scope, "20150830T123600Z", names).unwrap();
        assert!(authorization.ends_with(
            "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        ));
    }

    #[test]
    fn the_query_is_sorted_after_escaping_and_empty_values_keep_their_equals_sign() {
        let canonical = |query| {
            let mut text = String::new();
            canonical_query_into(&mut text, query).map(|()| text)
        };
        assert_eq!(canonical("b=2&a=2&a=1&c").unwrap(), "a=1&a=2&b=2&c=");
        assert_eq!(canonical("a=x+y%2b&%7E=*").unwrap(), "a=x%20y%2B&~=%2A");
        assert_eq!(canonical("a.10=&a.1=").unwrap(), "a.1=&a.10=");
        assert_eq!(canonical("X-Amz-Signature=1&B=%C3%a9").unwrap(), "B=%C3%A9");
        assert!(canonical("a=%g0").is_err());
    }

    #[test]
    fn header_values_lose_surplus_spaces_and_repeated_headers_are_joined() {
        let map = headers(&[("host", "h"), ("my", "  a   b "), ("my", "c")]);
        let mut canonical = Vec::new();
        canonical_headers_into(&mut canonical, &map, "host;my").unwrap();
        assert_eq!(canonical, b"host:h\nmy:a b,c\n");
    }

    #[test]
    fn a_path_is_escaped_once_more() {
        let map = headers(&[("host", "h")]);
        let request = Received { path: "/a%20b", ..received(&map, b"") };
        assert!(canonical_request(&request, "host").unwrap().starts_with(b"POST\n/a%2520b\n\n"));
    }

    #[test]
    fn any_set_of_signed_headers_with_host_is_accepted() {
        for names in ["host", "host;x-amz-date", "host;user-agent;x-amz-date"] {
            let map = signed(&[("user-agent", "x")], names, &ec2_scope());
            let sender = verify(&map, b"A=1").unwrap();
            assert_eq!(sender.region().unwrap().as_str(), "here");
            assert_eq!(sender.proved_by(), recorded::ACCESS_KEY_ID);
        }
    }

    #[test]
    fn host_must_be_signed_and_signed_headers_must_be_present() {
        let map = signed(&[], "host", &ec2_scope());
        let request = received(&map, b"");
        assert!(matches!(canonical_request(&request, "x-amz-date"), Err(Refused::Incomplete(_))));
        assert!(matches!(canonical_request(&request, "host;absent"), Err(Refused::Incomplete(_))));
        assert!(matches!(canonical_request(&request, "host;\n"), Err(Refused::Incomplete(_))));
    }

    #[test]
    fn a_stated_body_digest_must_be_true_and_may_say_that_the_body_is_not_signed() {
        let digest = hex(digest::digest(&digest::SHA256, b"A=1").as_ref());
        let map = signed(&[("x-amz-content-sha256", &digest)], "host", &ec2_scope());
        assert!(verify(&map, b"A=1").is_ok());
        assert_eq!(verify(&map, b"A=2"), Err(Refused::WrongSignature));
        let map = signed(&[("x-amz-content-sha256", "UNSIGNED-PAYLOAD")], "host", &ec2_scope());
        assert!(verify(&map, b"A=2").is_ok());
        let unstated = signed(&[], "host", &ec2_scope());
        assert_eq!(verify(&unstated, b"A=2"), Err(Refused::WrongSignature));
    }

    #[test]
    fn a_date_header_serves_where_there_is_no_x_amz_date() {
        let mut map = signed(&[("date", "Fri, 02 Jan 2026 03:04:05 GMT")], "host", &ec2_scope());
        map.remove("x-amz-date");
        assert!(verify(&map, b"A=1").is_ok());
        map.remove("date");
        assert!(matches!(verify(&map, b"A=1"), Err(Refused::Incomplete(_))));
    }

    #[test]
    fn a_request_is_good_for_a_quarter_of_an_hour_either_way() {
        let map = signed(&[], "host", &ec2_scope());
        for (seconds, good) in [(-901, false), (-900, true), (0, true), (900, true), (901, false)] {
            let now = Timestamp(NOW.0 + seconds * 1000);
            let expected = if good { None } else { Some(Refused::Expired) };
            assert_eq!(verify_at(&map, b"A=1", now).err(), expected, "{seconds}");
        }
    }

    #[test]
    fn the_scope_must_be_this_service_and_this_day() {
        for scope in [
            Scope { service: "s3".into(), ..ec2_scope() },
            Scope { service: "sts".into(), ..ec2_scope() },
            Scope { date: "20260103".into(), ..ec2_scope() },
            Scope { region: "no region".into(), ..ec2_scope() },
        ] {
            let map = signed(&[], "host", &scope);
            assert!(matches!(verify(&map, b"A=1"), Err(Refused::Incomplete(_))), "{scope:?}");
        }
    }

    #[test]
    fn malformed_authorizations_are_refused() {
        let good = signed(&[], "host", &ec2_scope());
        let good = good.get("authorization").unwrap().to_str().unwrap();
        let malformed = [
            String::new(),
            ALGORITHM.to_owned(),
            "Basic dXNlcjpwYXNz".to_owned(),
            format!("{ALGORITHM} Credential"),
            good.replace("Credential=", "Credential=x/"),
            good.replace("aws4_request", "aws5_request"),
            good.replace("SignedHeaders=host, ", ""),
            good.replace("Signature=", "Sig="),
            format!("{good}, Signature=00"),
            format!("{good}, Colour=red"),
        ];
        for authorization in malformed {
            let map = headers(&[
                ("host", "cloud:8773"),
                ("x-amz-date", TIME),
                ("authorization", &authorization),
            ]);
            let refused = verify(&map, b"A=1").unwrap_err();
            assert!(matches!(refused, Refused::Incomplete(_)), "{authorization}: {refused}");
        }
    }

    #[test]
    fn a_signed_url_holds_for_at_most_seven_days() {
        for (text, good) in [("1", true), ("604800", true), ("604801", false), ("0", false)] {
            assert_eq!(parse_expires(text).is_ok(), good, "{text}");
        }
        for text in ["", "-1", "1.5", "99999999999999999999"] {
            assert!(parse_expires(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_signature_has_one_text_only() {
        let lower = "ab".repeat(32);
        assert_eq!(parse_hex(&lower), Some([0xab; 32]));
        for text in [lower.to_uppercase(), "ab".repeat(31), "ag".repeat(32), "é".repeat(32)] {
            assert_eq!(parse_hex(&text), None);
        }
    }
}
