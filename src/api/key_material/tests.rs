//! The fixtures were made, and their fingerprints computed, by OpenSSL 3.0 and OpenSSH 9.2:
//!
//! - created: `openssl pkcs8 -in rsa_private.pem -topk8 -nocrypt -outform DER | openssl sha1 -c`
//! - imported: `openssl rsa -in rsa_private.pem -pubout -outform DER | openssl md5 -c`
//! - ED25519: `ssh-keygen -l`, which leaves the padding out.

use super::*;
use crate::{ambient::Ambient, domain::time::Timestamp};
use proptest::prelude::{any, prop, proptest};
use rsa::pkcs1::DecodeRsaPrivateKey;

const RSA_PRIVATE: &str = include_str!("fixtures/rsa_private.pem");
const RSA_LINE: &str = include_str!("fixtures/rsa.pub");
const RSA_PEM: &str = include_str!("fixtures/rsa_public.pem");
const RSA_PKCS1: &str = include_str!("fixtures/rsa_public_pkcs1.pem");
const RSA_RFC4716: &str = include_str!("fixtures/rsa_public_rfc4716");
const RSA_CREATED: &str = "7e:eb:ee:27:84:c8:26:5d:d7:95:bf:12:f6:23:f4:0a:85:7f:f2:ce";
const RSA_IMPORTED: &str = "25:77:db:d8:cb:5e:50:ff:6b:48:18:5e:b6:26:9e:c4";

const ED25519_LINE: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP3oNSu/Xq+nbsBc9Ry6LN1xUqq3DXdVns8mrrHqiGCH c";
const ED25519_FINGERPRINT: &str = "E4GPmQnO5/2oKPD5vPeSSOQ2W8W0OCtYHSu7HxsfHl4=";
const ECDSA_LINE: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABB\
                          BAoEM20/g+po0R7gsSuUl8BKzNty2Gkk+uKZdCaJEEG/THYoFTfcQgpvvdfkqFvhLnBljzoX\
                          pb7jAQUvuSUGE9w=";
/// 512 bits.
const SHORT_PEM: &str = "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALNg1FlSeKNyRiiq3X0xPpcotw3qvrCu\
                         mCyWvDkCdPdqgZJ02fGRF1qCvCB/Omxl/kQNZho6fbg4dX7czx9OLf0CAwEAAQ==\n-----END PUBLIC KEY-----\n";

fn made(key_type: KeyType) -> (PublicHalf, PrivateHalf) {
    let (ambient, _) = Ambient::seeded(3, Timestamp::EPOCH);
    generate(key_type, "my key", &mut *ambient.chance("keys")).unwrap()
}

fn check_imports_as_rsa(material: &str) {
    let half = import(material, "mine").unwrap();
    assert_eq!((half.key_type, half.fingerprint.as_str()), (KeyType::Rsa, RSA_IMPORTED));
    assert_eq!(half.line, format!("{} mine", RSA_LINE.trim()));
}

#[test]
fn an_rsa_pair_is_traditional_pem_and_its_fingerprint_that_of_the_private_key() {
    let (public, private) = made(KeyType::Rsa);
    assert!(private.0.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"), "{}", private.0);
    let read = RsaPrivateKey::from_pkcs1_pem(&private.0).unwrap();
    assert_eq!(read.n().bits(), 2048);
    assert_eq!(public.fingerprint, created_rsa_fingerprint(&read).unwrap());
    assert_eq!(public.fingerprint.len(), 20 * 3 - 1);
    let key = ssh_key::PublicKey::from_openssh(&public.line).unwrap();
    assert_eq!(key.comment(), "my key");
    let KeyData::Rsa(key) = key.key_data() else { panic!("{}", public.line) };
    assert_eq!(RsaPublicKey::try_from(key).unwrap(), read.to_public_key());
}

#[test]
fn an_ed25519_pair_is_in_openssh_s_format() {
    let (public, private) = made(KeyType::Ed25519);
    let read = ssh_key::PrivateKey::from_openssh(&private.0).unwrap();
    assert_eq!(read.public_key().to_openssh().unwrap(), public.line);
    assert!(public.line.starts_with("ssh-ed25519 ") && public.line.ends_with(" my key"));
    assert_eq!((public.fingerprint.len(), public.fingerprint.ends_with('=')), (44, true));
}

#[test]
fn fingerprints_are_those_that_openssl_and_openssh_compute() {
    let private = RsaPrivateKey::from_pkcs1_pem(RSA_PRIVATE).unwrap();
    assert_eq!(created_rsa_fingerprint(&private).unwrap(), RSA_CREATED);
    check_imports_as_rsa(RSA_LINE);
    let half = import(ED25519_LINE, "mine").unwrap();
    assert_eq!((half.key_type, half.fingerprint.as_str()), (KeyType::Ed25519, ED25519_FINGERPRINT));
    assert_eq!(half.line, ED25519_LINE.replace(" c", " mine"));
}

#[test]
fn a_public_key_is_read_in_every_form_ec2_takes_plain_or_in_base_64() {
    let der = RSA_PEM.lines().filter(|line| !line.starts_with('-')).collect::<String>();
    for material in [RSA_LINE, RSA_PEM, RSA_PKCS1, RSA_RFC4716, &der] {
        check_imports_as_rsa(material);
        check_imports_as_rsa(&STANDARD.encode(material));
    }
    check_imports_as_rsa(&format!("  {} somebody@somewhere\r\n", RSA_LINE.trim()));
}

#[test]
fn an_ed25519_key_may_come_as_der_too() {
    let mut der = vec![0x30, 42, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 33, 0];
    let line = ssh_key::PublicKey::from_openssh(ED25519_LINE).unwrap();
    der.extend(line.key_data().ed25519().unwrap().0);
    assert_eq!(import(&STANDARD.encode(&der), "a").unwrap().fingerprint, ED25519_FINGERPRINT);
    der.push(0);
    assert_eq!(import(&STANDARD.encode(&der), "a"), Err(ImportFault::Format));
}

#[test]
fn what_is_no_public_key_of_a_supported_kind_is_refused() {
    for material in
        ["", "ssh-rsa", "ssh-rsa AAAA", "nonsense", "AAAA", RSA_PRIVATE, &RSA_PEM[..200]]
    {
        assert_eq!(import(material, "a"), Err(ImportFault::Format), "{material}");
        assert_eq!(import(&STANDARD.encode(material), "a"), Err(ImportFault::Format));
    }
    let two = format!("{ED25519_LINE}\n{ED25519_LINE}");
    assert_eq!(import(&two, "a"), Err(ImportFault::Format), "one key a pair");
    assert!(matches!(import(ECDSA_LINE, "a"), Err(ImportFault::Algorithm(_))));
    assert_eq!(import(SHORT_PEM, "a"), Err(ImportFault::Length));
}

#[test]
fn a_private_half_is_not_shown_by_debug() {
    assert_eq!(format!("{:?}", PrivateHalf("secret".into())), "<redacted>");
}

proptest! {
    #[test]
    fn no_material_causes_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = import(&String::from_utf8_lossy(&bytes), "a");
        let _ = import(&STANDARD.encode(&bytes), "a");
    }
}
