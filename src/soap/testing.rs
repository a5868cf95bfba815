//! Messages for tests: those that clients recorded (`fixtures/record.py`), and those of a small
//! signer of its own, which signs whatever it is told to, as whatever it is told.
//!
//! The signer needs no canonical XML: each part declares its namespaces itself and is written as
//! it is to be signed.

use super::document::Limits;
use super::envelope::Parsed;
use super::refused::Refused;
use super::security::{Certificates, Verified, verify};
use crate::domain::time::Timestamp;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

/// 2026-11-23T12:01:00Z, a minute after all that is recorded.
pub const NOW: Timestamp = Timestamp(1_795_435_260_000);

pub const SOAP: &str = super::names::SOAP_11;
pub const DS: &str = super::names::DS;
pub const WSSE: &str = super::names::WSSE;
pub const WSU: &str = super::names::WSU;
pub const X509: &str = super::names::X509_V3;
pub const EXCLUSIVE: &str = super::names::EXCLUSIVE;

pub const RSA: &[u8] = include_bytes!("fixtures/rsa.cert.der");
pub const RSA_KEY: &[u8] = include_bytes!("fixtures/rsa.key.der");
pub const STRANGER: &[u8] = include_bytes!("fixtures/stranger.cert.der");
pub const STRANGER_KEY: &[u8] = include_bytes!("fixtures/stranger.key.der");
/// Another of the same key.
pub const RENEWED: &[u8] = include_bytes!("fixtures/renewed.cert.der");
const P256: &[u8] = include_bytes!("fixtures/p256.cert.der");
const P384: &[u8] = include_bytes!("fixtures/p384.cert.der");
const P521: &[u8] = include_bytes!("fixtures/p521.cert.der");
const WEAK: &[u8] = include_bytes!("fixtures/weak.cert.der");

/// All certificates but the stranger's.
#[derive(Debug)]
pub struct Registered;

impl Certificates for Registered {
    type Holder = &'static str;

    fn find(&self, fingerprint: &[u8; 32]) -> Option<&'static str> {
        let known = [
            ("rsa", RSA),
            ("renewed", RENEWED),
            ("p256", P256),
            ("p384", P384),
            ("p521", P521),
            ("weak", WEAK),
        ];
        known
            .into_iter()
            .find(|(_, der)| super::certificate::fingerprint(der) == *fingerprint)
            .map(|(name, _)| name)
    }
}

pub fn verified(message: &[u8]) -> Result<Verified<&'static str>, Refused> {
    verified_at(message, NOW)
}

pub fn verified_at(message: &[u8], now: Timestamp) -> Result<Verified<&'static str>, Refused> {
    verify(Parsed::parse(message, &Limits::default())?, &Registered, now)
}

pub const PAYLOAD: &str = "<DescribeInstances xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
     <instancesSet></instancesSet></DescribeInstances>";

pub fn body(attributes: &str, payload: &str) -> String {
    format!("<s:Body xmlns:s=\"{SOAP}\" xmlns:wsu=\"{WSU}\"{attributes}>{payload}</s:Body>")
}

pub fn timestamp(id: &str, created: &str, expires: &str) -> String {
    format!(
        "<wsu:Timestamp xmlns:wsu=\"{WSU}\" wsu:Id=\"{id}\">\
         <wsu:Created>{created}</wsu:Created><wsu:Expires>{expires}</wsu:Expires></wsu:Timestamp>"
    )
}

pub fn token(certificate: &[u8]) -> String {
    let certificate = BASE64_STANDARD.encode(certificate);
    format!(
        "<wsse:BinarySecurityToken xmlns:wsse=\"{WSSE}\" xmlns:wsu=\"{WSU}\" ValueType=\"{X509}\" \
         wsu:Id=\"token\">{certificate}</wsse:BinarySecurityToken>"
    )
}

pub fn token_reference(inside: &str) -> String {
    format!(
        "<wsse:SecurityTokenReference xmlns:wsse=\"{WSSE}\">{inside}</wsse:SecurityTokenReference>"
    )
}

/// A reference to what is signed as these bytes.
pub fn reference(uri: &str, bytes: &str) -> String {
    let digest = BASE64_STANDARD.encode(digest::digest(&digest::SHA256, bytes.as_bytes()));
    format!(
        "<ds:Reference URI=\"{uri}\"><ds:Transforms><ds:Transform Algorithm=\"{EXCLUSIVE}\">\
         </ds:Transform></ds:Transforms><ds:DigestMethod \
         Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"></ds:DigestMethod>\
         <ds:DigestValue>{digest}</ds:DigestValue></ds:Reference>"
    )
}

pub fn signed_info(references: &[String]) -> String {
    let references = references.concat();
    format!(
        "<ds:SignedInfo xmlns:ds=\"{DS}\"><ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}\">\
         </ds:CanonicalizationMethod><ds:SignatureMethod \
         Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256\"></ds:SignatureMethod>\
         {references}</ds:SignedInfo>"
    )
}

/// A Signature over this SignedInfo, whatever stands in it.
pub fn signature(key: &[u8], signed_info: &str, key_info: &str, more: &str) -> String {
    let key = RsaKeyPair::from_pkcs8(key).unwrap();
    let mut value = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed_info.as_bytes(), &mut value).unwrap();
    let value = BASE64_STANDARD.encode(value);
    format!(
        "<ds:Signature xmlns:ds=\"{DS}\">{signed_info}<ds:SignatureValue>{value}\
         </ds:SignatureValue><ds:KeyInfo>{key_info}</ds:KeyInfo>{more}</ds:Signature>"
    )
}

/// A message in its parts, of which each can be altered before and after it is signed.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What stands in the Envelope before the Header, between it and the Body, and at the end.
    pub around: [String; 3],
    pub envelope_attributes: String,
    pub headers: String,
    pub security_attributes: String,
    pub token: String,
    pub timestamp: String,
    pub in_security: String,
    pub references: Vec<String>,
    pub key: &'static [u8],
    pub key_info: String,
    pub in_signature: String,
    pub body: String,
}

impl Draft {
    /// Which is well signed if nothing is altered.
    pub fn new() -> Self {
        let body = body(" wsu:Id=\"body\"", PAYLOAD);
        let timestamp = timestamp("time", "2026-11-23T12:00:00Z", "2026-11-23T12:05:00Z");
        Self {
            around: Default::default(),
            envelope_attributes: String::new(),
            headers: String::new(),
            security_attributes: String::new(),
            token: token(RSA),
            references: vec![reference("#body", &body), reference("#time", &timestamp)],
            timestamp,
            in_security: String::new(),
            key: RSA_KEY,
            key_info: token_reference(&format!(
                "<wsse:Reference URI=\"#token\" ValueType=\"{X509}\"/>"
            )),
            in_signature: String::new(),
            body,
        }
    }

    /// With the signature that its references and key make.
    pub fn signed(&self) -> String {
        self.with_signature(&signature(
            self.key,
            &signed_info(&self.references),
            &self.key_info,
            &self.in_signature,
        ))
    }

    pub fn with_signature(&self, signature: &str) -> String {
        let Self {
            around: [before, between, after],
            envelope_attributes,
            headers,
            security_attributes,
            token,
            timestamp,
            in_security,
            body,
            ..
        } = self;
        format!(
            "<s:Envelope xmlns:s=\"{SOAP}\"{envelope_attributes}>{before}<s:Header>{headers}\
             <wsse:Security xmlns:wsse=\"{WSSE}\"{security_attributes}>{token}{timestamp}\
             {signature}{in_security}</wsse:Security></s:Header>{between}{body}{after}</s:Envelope>"
        )
    }
}
