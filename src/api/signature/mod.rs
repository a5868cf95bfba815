//! Who sent a request: the proof that it was made by the holder of an access key.
//!
//! Two schemes are accepted, each with the claim in one place only: Signature Version 4, in the
//! `Authorization` header or in the URL, and Signature Version 2, among the parameters. A request
//! with two claims is refused, since two readers could believe different ones. There is no replay
//! cache: two equal calls within a second are legitimate.
//!
//! A [`Signed`] is made by [`verify`], or of a message that a SOAP receiver has verified: holding one
//! is having checked.

mod v2;
pub mod v4;

mod canonical;

#[cfg(test)]
mod recorded;

use super::error::{ApiError, Code};
use super::parameters::{Parameters, raw_pairs};
use super::service::Service;
use crate::domain::account::Caller;
use crate::domain::id::{AccountId, RegionName};
use crate::domain::signing_certificate::CertificateFingerprint;
use crate::domain::time::Timestamp;
use crate::soap;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use std::fmt;
use std::time::Duration;

/// A request as it came, before anything in it is believed.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    pub method: &'a str,
    /// As in the request line, still encoded.
    pub path: &'a str,
    /// What follows the `?`, still encoded; empty if there is none.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// What the cloud knows of an access key.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    pub secret: String,
    pub account: AccountId,
    pub administrator: bool,
    /// For temporary keys: the token that must come with every request.
    pub session_token: Option<String>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("secret", &"<redacted>")
            .field("account", &self.account)
            .field("administrator", &self.administrator)
            .field("session_token", &self.session_token.as_ref().map(|_| "<redacted>"))
            .finish()
    }
}

/// Where access keys are looked up.
pub trait Credentials {
    fn find(&self, access_key_id: &str) -> Option<Credential>;
}

/// The sender of a request, proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    proved_by: String,
    account: AccountId,
    administrator: bool,
    region: Option<RegionName>,
}

impl Signed {
    /// The sender of a SOAP message, which its receiver has proved. SOAP knows no regions.
    pub fn of_message(message: &soap::Received<Caller>) -> Self {
        Self {
            proved_by: CertificateFingerprint::of_digest(message.certificate).to_string(),
            account: message.holder.account.clone(),
            administrator: message.holder.is_administrator(),
            region: None,
        }
    }

    /// The id of the access key, or the fingerprint of the certificate.
    pub fn proved_by(&self) -> &str {
        &self.proved_by
    }

    pub fn account(&self) -> &AccountId {
        &self.account
    }

    pub fn is_administrator(&self) -> bool {
        self.administrator
    }

    /// The region the client signed for. Signature Version 2 knows no regions.
    pub fn region(&self) -> Option<&RegionName> {
        self.region.as_ref()
    }
}

/// How far a client's clock may be from ours.
const SKEW_MAX: Duration = Duration::from_secs(15 * 60);

/// Why a request is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("no signature")]
    Unsigned,
    #[error("more than one signature")]
    SignedTwice,
    #[error("the signature is incomplete: {0}")]
    Incomplete(String),
    #[error("no such access key")]
    UnknownKey,
    #[error("the session token is not the access key's")]
    WrongToken,
    #[error("the signature is not the request's")]
    WrongSignature,
    #[error("the request's time is too far from now")]
    Expired,
}

impl Refused {
    fn incomplete(reason: impl Into<String>) -> Self {
        Refused::Incomplete(reason.into())
    }

    /// What the client is told. EC2 has one answer for every bad credential; STS and IAM tell them
    /// apart.
    pub fn into_api_error(self, service: Service) -> ApiError {
        match (self, service) {
            (Refused::Unsigned, _) => ApiError::new(
                Code::MissingAuthenticationToken,
                "Request is missing Authentication Token",
            ),
            (Refused::SignedTwice, _) => ApiError::new(
                Code::IncompleteSignature,
                "The request must contain exactly one signature",
            ),
            (Refused::Incomplete(reason), _) => ApiError::new(Code::IncompleteSignature, reason),
            (Refused::UnknownKey | Refused::WrongToken | Refused::WrongSignature, Service::Ec2) => {
                ApiError::new(
                    Code::AuthFailure,
                    "AWS was not able to validate the provided access credentials",
                )
            }
            (Refused::UnknownKey | Refused::WrongToken, Service::Sts | Service::Iam) => {
                ApiError::new(
                    Code::InvalidClientTokenId,
                    "The security token included in the request is invalid.",
                )
            }
            (Refused::WrongSignature, Service::Sts | Service::Iam) => ApiError::new(
                Code::SignatureDoesNotMatch,
                "The request signature we calculated does not match the signature you provided. \
                 Check your AWS Secret Access Key and signing method. \
                 Consult the service documentation for details.",
            ),
            (Refused::Expired, Service::Ec2) => {
                ApiError::new(Code::RequestExpired, "Request has expired.")
            }
            (Refused::Expired, Service::Sts | Service::Iam) => {
                ApiError::new(Code::SignatureDoesNotMatch, "Signature expired.")
            }
        }
    }
}

/// Finds the request's one claim and proves it. `parameters` are those of `received`.
pub fn verify(
    received: &Received<'_>,
    parameters: &Parameters,
    service: Service,
    credentials: &dyn Credentials,
    now: Timestamp,
) -> Result<Signed, Refused> {
    let in_header = received.headers.contains_key(AUTHORIZATION);
    let in_url = raw_pairs(received.query).any(|(name, _)| v4::is_url_claim(name));
    let in_parameters = v2::is_claimed(parameters);
    match (in_header, in_url, in_parameters) {
        (false, false, false) => Err(Refused::Unsigned),
        (true, false, false) => {
            v4::Claim::from_header(received)?.verify(received, service, credentials, now)
        }
        (false, true, false) => {
            v4::Claim::from_url(received)?.verify(received, service, credentials, now)
        }
        (false, false, true) => v2::verify(received, parameters, credentials, now),
        (true, true, _) | (true, _, true) | (_, true, true) => Err(Refused::SignedTwice),
    }
}

/// A client without a token for a temporary key, or with one for a permanent key, is refused: the
/// token is part of the credential.
fn check_token(credential: &Credential, given: Option<&str>) -> Result<(), Refused> {
    match (&credential.session_token, given) {
        (None, None) => Ok(()),
        (Some(token), Some(given)) if same_secret(token.as_bytes(), given.as_bytes()) => Ok(()),
        (None, Some(_)) | (Some(_), None | Some(_)) => Err(Refused::WrongToken),
    }
}

/// Compares in a time that tells nothing of where two texts differ. ring compares in constant time
/// only signatures, so the texts are signed with a key that need not be secret for that.
fn same_secret(ours: &[u8], theirs: &[u8]) -> bool {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"comparison");
    ring::hmac::verify(&key, theirs, ring::hmac::sign(&key, ours).as_ref()).is_ok()
}

fn check_skew(time: Timestamp, now: Timestamp) -> Result<(), Refused> {
    if now.since(time) > SKEW_MAX || time.since(now) > SKEW_MAX {
        return Err(Refused::Expired);
    }
    Ok(())
}

fn parse_time(format: &str, text: &str) -> Option<Timestamp> {
    let local = jiff::civil::DateTime::strptime(format, text).ok()?;
    let instant = local.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp(instant.timestamp().as_millisecond()))
}

/// The header's value, if it was given once and is text.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refused> {
    let mut values = headers.get_all(name);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refused::incomplete(format!("The header {name} may be given only once")));
    }
    let text = std::str::from_utf8(value.as_bytes())
        .map_err(|_| Refused::incomplete(format!("The header {name} is not text")))?;
    Ok(Some(text))
}

/// Appends `text` with everything but AWS's unreserved characters, and those in `also`, escaped.
fn escape_into(out: &mut String, text: &str, also: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || also.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// A text as it stands in a query string or a form.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    escape_into(&mut escaped, text, b"");
    escaped
}
