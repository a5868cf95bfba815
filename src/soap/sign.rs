//! Messages of ours: signed by our certificate over Body and Timestamp, RSA with SHA-256 and
//! exclusive canonical XML, with the certificate in front.
//!
//! What is signed is written in its canonical form to begin with, so that it need not be made;
//! only the payload, which is somebody else's text, has to be taken apart for that.

use super::certificate::{Certificate, Unusable};
use super::document::{Document, Limits};
use super::envelope::Version;
use super::names::{BASE64, DS, EXCLUSIVE, RSA_SHA256, SHA256, WSSE, WSU, X509_V3};
use super::refused::Refused;
use super::reply::DECLARATION;
use super::security::canonical_body;
use crate::domain::time::Timestamp;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use ring::{digest, error};
use std::fmt;
use std::time::Duration;

/// How long what we say is good.
const LIFETIME: Duration = Duration::from_secs(5 * 60);

pub struct Signer {
    key: RsaKeyPair,
    /// In Base64, as it goes into every message.
    certificate: String,
    /// For blinding: it shows in nothing that is sent.
    random: SystemRandom,
}

/// Why nothing can be signed with a key.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    #[error("the key is not an RSA key of 2048 bits or more, in PKCS#8")]
    Key(#[source] error::KeyRejected),
    #[error("the certificate cannot be used")]
    Certificate(#[source] Unusable),
    #[error("the certificate is not the key's")]
    NotThePair,
}

/// Why a message is not signed.
#[derive(Debug, thiserror::Error)]
pub enum Unsigned {
    #[error("the payload is not an element")]
    Payload(#[source] Refused),
    #[error("the time cannot be written")]
    Time(#[source] jiff::Error),
    #[error("the key does not sign")]
    Key,
}

impl Signer {
    pub fn new(pkcs8: &[u8], certificate: &[u8]) -> Result<Self, Unfit> {
        let key = RsaKeyPair::from_pkcs8(pkcs8).map_err(Unfit::Key)?;
        let parsed = Certificate::parse(certificate).map_err(Unfit::Certificate)?;
        if parsed.key() != key.public_key().as_ref() {
            return Err(Unfit::NotThePair);
        }
        let certificate = BASE64_STANDARD.encode(certificate);
        Ok(Self { key, certificate, random: SystemRandom::new() })
    }

    /// The message with this element in its Body. The payload declares its own namespace, as for
    /// [`super::reply::envelope`].
    pub fn envelope(
        &self,
        version: Version,
        payload: &str,
        now: Timestamp,
    ) -> Result<String, Unsigned> {
        let namespace = version.namespace();
        let body = format!("<Body xmlns:wsu=\"{WSU}\" wsu:Id=\"body\">{payload}</Body>");
        let timestamp = timestamp(now)?;
        let signed_info = signed_info(&[
            ("body", &canonical(version, &body)?),
            // As it stands it is canonical.
            ("timestamp", timestamp.as_bytes()),
        ]);
        let signature = self.sign(signed_info.as_bytes())?;
        let certificate = &self.certificate;
        Ok(format!(
            "{DECLARATION}<Envelope xmlns=\"{namespace}\"><Header>\
             <wsse:Security xmlns:wsse=\"{WSSE}\">\
             <wsse:BinarySecurityToken xmlns:wsu=\"{WSU}\" wsu:Id=\"certificate\" \
             EncodingType=\"{BASE64}\" ValueType=\"{X509_V3}\">{certificate}\
             </wsse:BinarySecurityToken>{timestamp}\
             <ds:Signature xmlns:ds=\"{DS}\">{signed_info}\
             <ds:SignatureValue>{signature}</ds:SignatureValue>\
             <ds:KeyInfo><wsse:SecurityTokenReference>\
             <wsse:Reference URI=\"#certificate\" ValueType=\"{X509_V3}\"/>\
             </wsse:SecurityTokenReference></ds:KeyInfo></ds:Signature>\
             </wsse:Security></Header>{body}</Envelope>"
        ))
    }

    fn sign(&self, message: &[u8]) -> Result<String, Unsigned> {
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &self.random, message, &mut signature)
            .map_err(|error::Unspecified| Unsigned::Key)?;
        Ok(BASE64_STANDARD.encode(signature))
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("key", &"<redacted>").finish_non_exhaustive()
    }
}

/// The canonical form of the Body as it will stand in the message.
fn canonical(version: Version, body: &str) -> Result<Vec<u8>, Unsigned> {
    // Ours are not a stranger's: as large as they have become, but not deeper than any answer is.
    let limits = Limits {
        bytes_max: usize::MAX,
        tags_max: usize::MAX,
        attributes_max: usize::MAX,
        value_bytes_max: usize::MAX,
        prefixes_max: usize::MAX,
        depth_max: 100,
    };
    let namespace = version.namespace();
    let message = format!("<Envelope xmlns=\"{namespace}\">{body}</Envelope>");
    let document = Document::parse(message.as_bytes(), &limits);
    let document = document.map_err(|malformed| Unsigned::Payload(malformed.into()))?;
    canonical_body(&document).map_err(Unsigned::Payload)
}

fn timestamp(now: Timestamp) -> Result<String, Unsigned> {
    let written = |time: Timestamp| {
        jiff::Timestamp::from_millisecond(time.as_millis()).map_err(Unsigned::Time)
    };
    let (created, expires) = (written(now)?, written(now + LIFETIME)?);
    Ok(format!(
        "<wsu:Timestamp xmlns:wsu=\"{WSU}\" wsu:Id=\"timestamp\">\
         <wsu:Created>{created}</wsu:Created><wsu:Expires>{expires}</wsu:Expires>\
         </wsu:Timestamp>"
    ))
}

/// In its canonical form: what is signed.
fn signed_info(references: &[(&str, &[u8])]) -> String {
    let mut text = format!(
        "<ds:SignedInfo xmlns:ds=\"{DS}\">\
         <ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}\"></ds:CanonicalizationMethod>\
         <ds:SignatureMethod Algorithm=\"{RSA_SHA256}\"></ds:SignatureMethod>"
    );
    for (identifier, bytes) in references {
        let digest = BASE64_STANDARD.encode(digest::digest(&digest::SHA256, bytes));
        text.push_str(&format!(
            "<ds:Reference URI=\"#{identifier}\"><ds:Transforms>\
             <ds:Transform Algorithm=\"{EXCLUSIVE}\"></ds:Transform></ds:Transforms>\
             <ds:DigestMethod Algorithm=\"{SHA256}\"></ds:DigestMethod>\
             <ds:DigestValue>{digest}</ds:DigestValue></ds:Reference>"
        ));
    }
    text.push_str("</ds:SignedInfo>");
    text
}
