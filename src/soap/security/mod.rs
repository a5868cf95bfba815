//! Who a message is from, and that what it says is what they signed.
//!
//! The arithmetic is others' (canonical XML, RSA, ECDSA); what is decided here is *what* must have
//! been signed: the Body that is acted on, and the Timestamp that is believed, each found by its
//! place in the message, and each the one element that a reference's identifier stands for. A
//! signature that is right about anything else is refused like none.
//!
//! The order: form, time, certificate, signature, digests. So a stranger costs no public-key
//! arithmetic, and only what holders of certificates have signed costs canonical forms of Bodies.

mod algorithm;
mod canonical;
mod identifiers;
mod lifetime;
mod parts;
mod signature;
mod token;

pub use algorithm::Method;

use super::certificate::{Certificate, fingerprint};
use super::document::{Document, Node};
use super::element::Element;
use super::envelope::{Parsed, Version};
use super::names::ADDRESSING;
use super::refused::Refused;
use crate::domain::time::Timestamp;
use canonical::Canonicalization;
use identifiers::Identifiers;
use lifetime::Lifetime;
use parts::Parts;
use signature::Signature;

/// Where registered certificates are looked up.
pub trait Certificates {
    /// Who may act by a certificate.
    type Holder;

    /// Whose it is, by the SHA-256 of its DER: nothing for one that is unknown, inactive or
    /// deleted.
    fn find(&self, fingerprint: &[u8; 32]) -> Option<Self::Holder>;
}

/// A message whose sender is proved. It may still be an old one that somebody sends again.
#[derive(Debug)]
pub struct Verified<H> {
    pub(super) holder: H,
    pub(super) certificate: [u8; 32],
    pub(super) version: Version,
    pub(super) payload: Element,
    /// The SHA-256 of the key and of what it signed. The signature would not do to know a message
    /// by: who has one by ECDSA can make another of it. Nor would the certificate, which may be one
    /// of several that a key has.
    pub(super) signed: [u8; 32],
    pub(super) created: Timestamp,
    /// When the message will not be accepted any more.
    pub(super) until: Timestamp,
}

/// Proves the sender of the message, and makes of the very Body that was signed what it says.
pub fn verify<C: Certificates + ?Sized>(
    message: Parsed<'_>,
    certificates: &C,
    now: Timestamp,
) -> Result<Verified<C::Holder>, Refused> {
    let document = &message.document;
    let parts = Parts::find(&message)?;
    let signature = Signature::read(document, parts.signature)?;
    let targets = targets(&message, &parts, &signature)?;
    let certificate = token::certificate(document, &parts, signature.key_info)?;
    let payload = message.payload()?;
    let lifetime = Lifetime::read(document, parts.timestamp)?;
    lifetime.check(now)?;

    let known_by = fingerprint(&certificate);
    let holder = certificates.find(&known_by).ok_or(Refused::UnknownCertificate)?;
    // These are the registered certificate's bytes, for they have its SHA-256.
    let certificate = Certificate::parse(&certificate).map_err(Refused::UnusableCertificate)?;
    if !certificate.is_valid_at(now) {
        return Err(Refused::CertificateNotValid);
    }
    let signed = signature.canonicalization.whole(document, signature.signed_info)?;
    if !certificate.has_signed(signature.method, &signed, &signature.value) {
        return Err(Refused::WrongSignature);
    }
    for (reference, target) in signature.references.iter().zip(targets) {
        let bytes = reference.canonicalization.referenced(document, target.node)?;
        if reference.digest.of(&bytes) != reference.value {
            return Err(Refused::Altered(target.role));
        }
    }
    Ok(Verified {
        holder,
        certificate: known_by,
        version: message.version,
        payload: document.element(payload)?,
        signed: fingerprint(&[certificate.key(), &signed].concat()),
        created: lifetime.created(),
        until: lifetime.until(),
    })
}

/// The canonical form of the Body in an Envelope that has nothing else, and in its Body one
/// element: what we sign ourselves.
pub(super) fn canonical_body(envelope: &Document<'_>) -> Result<Vec<u8>, Refused> {
    let only_child = |node: Node| {
        let mut children = envelope.children(node);
        children.next().filter(|_| children.next().is_none())
    };
    let body = only_child(envelope.root()).ok_or(Refused::NotSoap("not one Body"))?;
    only_child(body).ok_or(Refused::NotSoap("not one element in the Body"))?;
    Canonicalization::EXCLUSIVE.referenced(envelope, body)
}

/// What a reference stands for.
#[derive(Debug, Clone, Copy)]
struct Target {
    node: Node,
    role: &'static str,
}

/// What each of the signature's references stands for: the Body and the Timestamp, once each, and
/// beside them nothing but the token or an address in the Header.
fn targets(
    message: &Parsed<'_>,
    parts: &Parts,
    signature: &Signature,
) -> Result<Vec<Target>, Refused> {
    let document = &message.document;
    let identifiers = Identifiers::of(document)?;
    let mut targets: Vec<Target> = Vec::new();
    for reference in &signature.references {
        let node = identifiers.find(&reference.identifier)?;
        let role = if node == message.body {
            "Body"
        } else if node == parts.timestamp {
            "Timestamp"
        } else if Some(node) == parts.token {
            "BinarySecurityToken"
        } else if document.parent(node) == message.header
            && ADDRESSING.contains(&document.namespace(node))
        {
            "an address"
        } else {
            return Err(Refused::Security(
                "a reference to something else than the Body, the Timestamp, the token or an address",
            ));
        };
        if targets.iter().any(|target| target.node == node) {
            return Err(Refused::Security("two references to the same element"));
        }
        targets.push(Target { node, role });
    }
    let is_signed = |node| targets.iter().any(|target| target.node == node);
    if !is_signed(message.body) {
        return Err(Refused::Security("the Body is not signed"));
    }
    if !is_signed(parts.timestamp) {
        return Err(Refused::Security("the Timestamp is not signed"));
    }
    Ok(targets)
}
