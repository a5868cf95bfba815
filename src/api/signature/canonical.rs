//! A request in the one form that its sender and its receiver both derive from it, for Signature
//! Version 4.

use super::{Received, Refused, escape, escape_into, header};
use crate::api::parameters::{decode, raw_pairs};
use actix_web::http::header::HeaderMap;
use ring::digest;

/// The request in the one form that both sides derive from it.
pub(super) fn canonical_request(
    received: &Received<'_>,
    signed_headers: &str,
) -> Result<Vec<u8>, Refused> {
    let mut request = String::with_capacity(512);
    request.push_str(received.method);
    request.push('\n');
    // The path is escaped once more, as every service but S3 does.
    escape_into(&mut request, if received.path.is_empty() { "/" } else { received.path }, b"/");
    request.push('\n');
    canonical_query_into(&mut request, received.query)?;
    request.push('\n');
    let mut request = request.into_bytes();
    canonical_headers_into(&mut request, received.headers, signed_headers)?;
    request.push(b'\n');
    request.extend_from_slice(signed_headers.as_bytes());
    request.push(b'\n');
    request.extend_from_slice(payload_digest(received)?.as_bytes());
    Ok(request)
}

pub(super) fn canonical_query_into(request: &mut String, query: &str) -> Result<(), Refused> {
    let malformed = || Refused::incomplete("The query string is not properly encoded");
    let mut pairs = Vec::new();
    for (name, value) in raw_pairs(query).filter(|(name, _)| *name != "X-Amz-Signature") {
        let name = decode(name).ok_or_else(malformed)?;
        let value = decode(value).ok_or_else(malformed)?;
        pairs.push((escape(&name), escape(&value)));
    }
    pairs.sort_unstable();
    for (position, (name, value)) in pairs.iter().enumerate() {
        if position > 0 {
            request.push('&');
        }
        request.push_str(name);
        request.push('=');
        request.push_str(value);
    }
    Ok(())
}

pub(super) fn canonical_headers_into(
    request: &mut Vec<u8>,
    headers: &HeaderMap,
    signed_headers: &str,
) -> Result<(), Refused> {
    let mut host_is_signed = false;
    for name in signed_headers.split(';') {
        host_is_signed |= name == "host";
        let mut values = headers.get_all(name).peekable();
        // Also catches names that are no header names at all.
        if values.peek().is_none() {
            return Err(Refused::incomplete("A signed header is not in the request"));
        }
        request.extend_from_slice(name.as_bytes());
        let mut separator = b':';
        for value in values {
            request.push(separator);
            separator = b',';
            collapse_spaces_into(request, value.as_bytes());
        }
        request.push(b'\n');
    }
    if !host_is_signed {
        return Err(Refused::incomplete("'Host' must be a 'SignedHeader'"));
    }
    Ok(())
}

fn collapse_spaces_into(request: &mut Vec<u8>, value: &[u8]) {
    let words = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    for (position, word) in words.enumerate() {
        if position > 0 {
            request.push(b' ');
        }
        request.extend_from_slice(word);
    }
}

/// The body's digest. A client may state it in a header, which is then what it signed, and must be
/// true; or may say that it did not sign the body.
fn payload_digest(received: &Received<'_>) -> Result<String, Refused> {
    let actual = || hex(digest::digest(&digest::SHA256, received.body).as_ref());
    match header(received.headers, "x-amz-content-sha256")? {
        None => Ok(actual()),
        Some("UNSIGNED-PAYLOAD") => Ok("UNSIGNED-PAYLOAD".to_owned()),
        Some(stated) if stated == actual() => Ok(stated.to_owned()),
        Some(_) => Err(Refused::WrongSignature),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    bytes.iter().flat_map(digits).map(char::from).collect()
}
