//! The certificate that a signature says it was made by.
//!
//! It must come with the message: as a BinarySecurityToken that the signature refers to, or as
//! X509Data in its KeyInfo. One that is only described (by its issuer and serial number, its
//! subject or its key's identifier) is refused, and so is a path of several.

use super::parts::Parts;
use super::signature::{binary, children};
use crate::soap::document::{Document, Node};
use crate::soap::names::{BASE64, DS, WSSE, WSU, X509_V3};
use crate::soap::refused::Refused;

/// The DER of the certificate that `key_info` refers to or contains.
pub(super) fn certificate(
    document: &Document<'_>,
    parts: &Parts,
    key_info: Node,
) -> Result<Vec<u8>, Refused> {
    let [described] = children(document, key_info)?[..] else {
        return Err(Refused::Security("KeyInfo must have one reference to a certificate"));
    };
    let described = if document.is(described, WSSE, "SecurityTokenReference") {
        let [inside] = children(document, described)?[..] else {
            return Err(Refused::Security("a SecurityTokenReference must have one reference"));
        };
        inside
    } else {
        described
    };
    let in_key_info = document.parent(described) == Some(key_info);
    if document.is(described, DS, "X509Data") {
        if parts.token.is_some() {
            return Err(Refused::Security("a token that the signature does not refer to"));
        }
        contained(document, described)
    } else if document.is(described, WSSE, "Reference") && !in_key_info {
        referred(document, described, parts)
    } else {
        Err(Refused::Security(
            "the certificate must be sent: as a BinarySecurityToken or an X509Certificate",
        ))
    }
}

/// Of `X509Data`: the one certificate in it. What else describes it (zeep and WSS4J send issuer
/// and serial number too) is not needed to find it, and is not looked at.
fn contained(document: &Document<'_>, data: Node) -> Result<Vec<u8>, Refused> {
    let mut certificates = children(document, data)?
        .into_iter()
        .filter(|child| document.is(*child, DS, "X509Certificate"));
    match (certificates.next(), certificates.next()) {
        (Some(certificate), None) => binary(document, certificate),
        (None, _) => Err(Refused::Security("X509Data must have the certificate itself")),
        (Some(_), Some(_)) => Err(Refused::Security("X509Data has more than one certificate")),
    }
}

/// Of a reference: the token that it names.
fn referred(document: &Document<'_>, reference: Node, parts: &Parts) -> Result<Vec<u8>, Refused> {
    let token = parts.token.ok_or(Refused::Security("there is no BinarySecurityToken"))?;
    let named = document.attribute(reference, "", "URI").and_then(|uri| uri.strip_prefix('#'));
    let id = document.attribute(token, WSU, "Id");
    if named.is_none() || named != id {
        return Err(Refused::Security("the signature does not refer to the BinarySecurityToken"));
    }
    for node in [token, reference] {
        let value_type = document.attribute(node, "", "ValueType");
        let may_be_unsaid = node == reference;
        if value_type != Some(X509_V3) && !(may_be_unsaid && value_type.is_none()) {
            return Err(Refused::Security("the token's type must be X509v3"));
        }
    }
    if document.attribute(token, "", "EncodingType").is_some_and(|encoding| encoding != BASE64) {
        return Err(Refused::Security("the token must be encoded in Base64"));
    }
    binary(document, token)
}
