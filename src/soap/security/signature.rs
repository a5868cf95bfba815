//! An XML signature as it is written, before anything in it is believed.

use super::algorithm::{Digest, Method};
use super::canonical::Canonicalization;
use crate::soap::document::{Document, Node, shortened};
use crate::soap::names::DS;
use crate::soap::refused::Refused;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

#[derive(Debug)]
pub(super) struct Signature {
    pub signed_info: Node,
    pub canonicalization: Canonicalization,
    pub method: Method,
    pub references: Vec<Reference>,
    pub value: Vec<u8>,
    pub key_info: Node,
}

/// What stands in `SignedInfo` for one element of the document.
#[derive(Debug)]
pub(super) struct Reference {
    pub identifier: String,
    pub canonicalization: Canonicalization,
    pub digest: Digest,
    pub value: Vec<u8>,
}

/// The Body, the Timestamp, the token, and a few addresses.
const REFERENCES_MAX: usize = 8;

impl Signature {
    pub fn read(document: &Document<'_>, node: Node) -> Result<Self, Refused> {
        let parts = children(document, node)?;
        let [signed_info, value, key_info] = parts[..] else {
            return Err(FORM);
        };
        let named = |node, name| document.is(node, DS, name);
        if !named(signed_info, "SignedInfo")
            || !named(value, "SignatureValue")
            || !named(key_info, "KeyInfo")
        {
            return Err(FORM);
        }
        let inside = children(document, signed_info)?;
        let [canonicalization, method, references @ ..] = &inside[..] else {
            return Err(FORM);
        };
        if !named(*canonicalization, "CanonicalizationMethod")
            || !named(*method, "SignatureMethod")
            || !references.iter().all(|reference| named(*reference, "Reference"))
        {
            return Err(FORM);
        }
        if references.len() > REFERENCES_MAX {
            return Err(Refused::Security("too many references"));
        }
        if document.children(*method).next().is_some() {
            return Err(Refused::Security("an algorithm has parameters that are not accepted"));
        }
        let method_name = document.attribute(*method, "", "Algorithm").unwrap_or("");
        Ok(Self {
            signed_info,
            canonicalization: Canonicalization::read(
                document,
                *canonicalization,
                "canonicalization",
            )?,
            method: Method::named(method_name)
                .ok_or_else(|| not_accepted("signature", method_name))?,
            references: references
                .iter()
                .map(|reference| Reference::read(document, *reference))
                .collect::<Result<_, _>>()?,
            value: binary(document, value)?,
            key_info,
        })
    }
}

impl Reference {
    fn read(document: &Document<'_>, node: Node) -> Result<Self, Refused> {
        let identifier = document
            .attribute(node, "", "URI")
            .and_then(|uri| uri.strip_prefix('#'))
            .filter(|id| !id.is_empty() && !id.contains('('))
            .ok_or(Refused::Security(
                "a reference must name one element of the message by its identifier",
            ))?;
        let parts = children(document, node)?;
        let [transforms, digest, value] = parts[..] else {
            return Err(FORM);
        };
        if !document.is(transforms, DS, "Transforms")
            || !document.is(digest, DS, "DigestMethod")
            || !document.is(value, DS, "DigestValue")
        {
            return Err(FORM);
        }
        let [transform] = children(document, transforms)?[..] else {
            return Err(Refused::Security("a reference must have one transform: canonical XML"));
        };
        if !document.is(transform, DS, "Transform") {
            return Err(FORM);
        }
        if document.children(digest).next().is_some() {
            return Err(Refused::Security("an algorithm has parameters that are not accepted"));
        }
        let digest_name = document.attribute(digest, "", "Algorithm").unwrap_or("");
        Ok(Self {
            identifier: identifier.to_owned(),
            canonicalization: Canonicalization::read(document, transform, "transform")?,
            digest: Digest::named(digest_name)
                .ok_or_else(|| not_accepted("digest", digest_name))?,
            value: binary(document, value)?,
        })
    }
}

const FORM: Refused = Refused::Security(
    "a Signature has a SignedInfo of references with one transform each, a SignatureValue and a KeyInfo",
);

pub(super) fn not_accepted(role: &'static str, uri: &str) -> Refused {
    Refused::Algorithm { role, uri: shortened(uri) }
}

/// The elements in one that has nothing else in it.
pub(super) fn children(document: &Document<'_>, node: Node) -> Result<Vec<Node>, Refused> {
    document
        .check_unmixed(node)
        .map_err(|_| Refused::Security("text where only elements should be"))?;
    Ok(document.children(node).collect())
}

/// The bytes in an element without children, of which white space is no part.
pub(super) fn binary(document: &Document<'_>, node: Node) -> Result<Vec<u8>, Refused> {
    if document.children(node).next().is_some() {
        return Err(Refused::Security("an element where bytes should be"));
    }
    let text: String = document.text(node).split_ascii_whitespace().collect();
    BASE64_STANDARD.decode(text).map_err(|_| Refused::Security("bytes that are not Base64"))
}
