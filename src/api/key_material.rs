//! The cryptography of key pairs: made, imported, and fingerprinted as EC2 does each.
//!
//! | key     | origin   | fingerprint                                                  |
//! |---------|----------|--------------------------------------------------------------|
//! | RSA     | created  | SHA-1 of the private key as PKCS#8 DER, in hex with colons    |
//! | RSA     | imported | MD5 of the public key as DER, in hex with colons              |
//! | ED25519 | both     | SHA-256 of the public key as OpenSSH has it, in base 64 padded |
//!
//! Pure: chance is handed in, nothing is stored. The private half exists only in what `generate`
//! returns. Private keys are given in the forms OpenSSH of any age reads: RSA as traditional
//! PKCS#1, ED25519 in OpenSSH's own format. PuTTY's format (`ppk`) is not made.

use crate::domain::{chance::Chance, key_pair::KeyType};
use base64::{Engine, engine::general_purpose::STANDARD};
use md5::{Digest, Md5};
use ring::digest;
use rsa::{
    RsaPrivateKey, RsaPublicKey,
    pkcs1::{DecodeRsaPublicKey, EncodeRsaPrivateKey},
    pkcs8::{DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding},
    rand_core,
    traits::PublicKeyParts,
};
use schemars::JsonSchema;
use serde::Serialize;
use ssh_key::public::{Ed25519PublicKey, KeyData};
use std::fmt;

/// What EC2 makes, whatever is imported.
const RSA_BITS: usize = 2048;
/// Shorter ones OpenSSH refuses to use; longer ones take seconds of everybody's time.
const RSA_BITS_IMPORTED: std::ops::RangeInclusive<usize> = 1024..=4096;

/// EC2's limit to the parameter, as it was sent.
pub const MATERIAL_BYTES_MAX: usize = 2048;

/// The public half, with its fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicHalf {
    pub key_type: KeyType,
    pub fingerprint: String,
    /// One `authorized_keys` line, with the pair's name for a comment.
    pub line: String,
}

/// The private half, as a file that `ssh -i` takes.
#[derive(Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PrivateHalf(pub String);

impl fmt::Debug for PrivateHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// The cryptography failed, which no input can cause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key pair cannot be made: {0}")]
pub struct GenerationFault(String);

/// A public key that cannot be imported, in EC2's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportFault {
    #[error("Key is not in valid OpenSSH public key format")]
    Format,
    #[error("Keys of type '{0}' are not supported. Valid types are: rsa, ed25519.")]
    Algorithm(String),
    #[error("RSA keys must have between {} and {} bits.", RSA_BITS_IMPORTED.start(), RSA_BITS_IMPORTED.end())]
    Length,
}

/// Makes a pair. Takes a good part of a second for RSA: not on a thread that answers requests.
pub fn generate(
    key_type: KeyType,
    name: &str,
    chance: &mut dyn Chance,
) -> Result<(PublicHalf, PrivateHalf), GenerationFault> {
    match key_type {
        KeyType::Rsa => generate_rsa(name, chance),
        KeyType::Ed25519 => generate_ed25519(name, chance),
    }
}

/// Reads a public key in any form EC2 takes: an OpenSSH line, the file format of RFC 4716, a PEM
/// or DER public key; as it is, or in base 64 as the API wants it.
pub fn import(material: &str, name: &str) -> Result<PublicHalf, ImportFault> {
    let material = material.trim();
    let key = match base64_decoded(material) {
        Some(bytes) => read_unwrapped(&bytes)?,
        None => read_text(material)?,
    };
    match &key {
        KeyData::Ed25519(public) => Ok(ed25519_half(public, name)),
        KeyData::Rsa(public) => {
            let public = RsaPublicKey::try_from(public).map_err(|_| ImportFault::Length)?;
            if !RSA_BITS_IMPORTED.contains(&public.n().bits()) {
                return Err(ImportFault::Length);
            }
            let der = public.to_public_key_der().map_err(|_| ImportFault::Format)?;
            Ok(PublicHalf {
                key_type: KeyType::Rsa,
                fingerprint: with_colons(&Md5::digest(der.as_bytes())),
                line: line(key, name),
            })
        }
        other => Err(ImportFault::Algorithm(other.algorithm().to_string())),
    }
}

fn generate_rsa(
    name: &str,
    chance: &mut dyn Chance,
) -> Result<(PublicHalf, PrivateHalf), GenerationFault> {
    let fault = |error: &dyn fmt::Display| GenerationFault(error.to_string());
    let private =
        RsaPrivateKey::new(&mut FromChance(chance), RSA_BITS).map_err(|error| fault(&error))?;
    let pem = private.to_pkcs1_pem(LineEnding::LF).map_err(|error| fault(&error))?;
    let public = ssh_key::public::RsaPublicKey::try_from(private.to_public_key())
        .map_err(|error| fault(&error))?;
    let half = PublicHalf {
        key_type: KeyType::Rsa,
        fingerprint: created_rsa_fingerprint(&private).map_err(|error| fault(&error))?,
        line: line(KeyData::Rsa(public), name),
    };
    Ok((half, PrivateHalf(pem.to_string())))
}

fn created_rsa_fingerprint(private: &RsaPrivateKey) -> Result<String, rsa::pkcs8::Error> {
    let der = private.to_pkcs8_der()?;
    Ok(with_colons(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, der.as_bytes()).as_ref()))
}

fn generate_ed25519(
    name: &str,
    chance: &mut dyn Chance,
) -> Result<(PublicHalf, PrivateHalf), GenerationFault> {
    let pair = ssh_key::private::Ed25519Keypair::random(&mut FromChance(chance));
    let half = ed25519_half(&pair.public, name);
    let file = ssh_key::PrivateKey::new(pair.into(), name)
        .and_then(|private| private.to_openssh(LineEnding::LF))
        .map_err(|error| GenerationFault(error.to_string()))?;
    Ok((half, PrivateHalf(file.to_string())))
}

fn ed25519_half(public: &Ed25519PublicKey, name: &str) -> PublicHalf {
    let key = KeyData::Ed25519(*public);
    let fingerprint = match key.fingerprint(ssh_key::HashAlg::Sha256) {
        ssh_key::Fingerprint::Sha256(bytes) => STANDARD.encode(bytes),
        _ => unreachable!("the fingerprint asked for is of SHA-256"),
    };
    PublicHalf { key_type: KeyType::Ed25519, fingerprint, line: line(key, name) }
}

fn line(key: KeyData, name: &str) -> String {
    ssh_key::PublicKey::new(key, name)
        .to_openssh()
        .expect("a public key in memory can always be written as a line")
}

fn with_colons(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// What was inside the base 64: a text, or the bytes of a key.
fn read_unwrapped(bytes: &[u8]) -> Result<KeyData, ImportFault> {
    match std::str::from_utf8(bytes) {
        // Some clients encode what is base 64 already.
        Ok(text) => match base64_decoded(text.trim()) {
            Some(inner) => read_der(&inner),
            None => read_text(text.trim()),
        },
        Err(_) => read_der(bytes),
    }
}

fn read_text(text: &str) -> Result<KeyData, ImportFault> {
    if let Some(body) = armoured(text, "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----") {
        return read_der(&body?);
    }
    let pkcs1 = ("-----BEGIN RSA PUBLIC KEY-----", "-----END RSA PUBLIC KEY-----");
    if let Some(body) = armoured(text, pkcs1.0, pkcs1.1) {
        return rsa_key(RsaPublicKey::from_pkcs1_der(&body?).map_err(|_| ImportFault::Format)?);
    }
    let rfc4716 = ("---- BEGIN SSH2 PUBLIC KEY ----", "---- END SSH2 PUBLIC KEY ----");
    if let Some(body) = armoured(text, rfc4716.0, rfc4716.1) {
        let key = ssh_key::PublicKey::from_bytes(&body?).map_err(|_| ImportFault::Format)?;
        return Ok(key.into());
    }
    // A second line would be a second key, which the reader below would pass over.
    if text.contains('\n') {
        return Err(ImportFault::Format);
    }
    let key = ssh_key::PublicKey::from_openssh(text).map_err(|_| ImportFault::Format)?;
    Ok(key.into())
}

/// A `SubjectPublicKeyInfo`.
fn read_der(bytes: &[u8]) -> Result<KeyData, ImportFault> {
    /// The whole of an ED25519 key's encoding but the key itself (RFC 8410, section 4).
    const ED25519_START: [u8; 12] = [0x30, 42, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 33, 0];
    if let Some(key) = bytes.strip_prefix(&ED25519_START) {
        let key = key.try_into().map_err(|_| ImportFault::Format)?;
        return Ok(KeyData::Ed25519(Ed25519PublicKey(key)));
    }
    rsa_key(RsaPublicKey::from_public_key_der(bytes).map_err(|_| ImportFault::Format)?)
}

fn rsa_key(key: RsaPublicKey) -> Result<KeyData, ImportFault> {
    let key = ssh_key::public::RsaPublicKey::try_from(key).map_err(|_| ImportFault::Format)?;
    Ok(KeyData::Rsa(key))
}

/// The bytes between two marker lines, past header lines; `None` if the text has other markers.
fn armoured(text: &str, begin: &str, end: &str) -> Option<Result<Vec<u8>, ImportFault>> {
    let body = text.strip_prefix(begin)?.trim_end().strip_suffix(end);
    let Some(body) = body else { return Some(Err(ImportFault::Format)) };
    let mut data = String::new();
    let mut continued = false;
    for line in body.lines() {
        // A header line may go on in the next, which it says with a backslash at its end.
        let header = continued || line.contains(':');
        continued = header && line.ends_with('\\');
        if !header {
            data.push_str(line.trim());
        }
    }
    Some(base64_decoded(&data).ok_or(ImportFault::Format))
}

/// `None` for what is not base 64, line breaks aside.
fn base64_decoded(text: &str) -> Option<Vec<u8>> {
    let packed: String = text.split_ascii_whitespace().collect();
    // A line of OpenSSH's would not decode either, as `-` is no letter of this alphabet.
    STANDARD.decode(packed).ok().filter(|bytes| !bytes.is_empty())
}

/// Chance in the shape that the cryptographic crates ask for.
pub(super) struct FromChance<'a>(pub(super) &'a mut dyn Chance);

impl rand_core::RngCore for FromChance<'_> {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

/// True of every source of chance but those of tests.
impl rand_core::CryptoRng for FromChance<'_> {}

#[cfg(test)]
mod tests;
