//! Messages that zeep 4.3.3 and xmlsec 1.3.17 signed: `fixtures/record.py` says how.

use crate::soap::refused::Refused;
use crate::soap::testing::{NOW, verified, verified_at};
use crate::soap::{Element, Version};
use std::time::Duration;

macro_rules! message {
    ($name:literal) => {
        include_bytes!(concat!("../fixtures/", $name, ".xml")).as_slice()
    };
}

fn check(message: &[u8], holder: &str, version: Version) {
    let verified = verified(message).unwrap();
    assert_eq!(verified.holder, holder);
    assert_eq!(verified.version, version);
    let element = |name: &str, children, text: &str| Element {
        namespace: "http://ec2.amazonaws.com/doc/2016-11-15/".into(),
        name: name.into(),
        children,
        text: text.into(),
        nil: false,
    };
    let item = |id| element("item", vec![element("instanceId", vec![], id)], "");
    let items = vec![item("i-0123456789abcdef0"), item("a < b & \"c\" d\r")];
    let set = vec![element("instancesSet", items, "")];
    assert_eq!(verified.payload, element("DescribeInstances", set, ""));
}

#[test]
fn a_client_that_sends_its_token_before_the_signature_is_believed() {
    check(message!("zeep_binary_sha1"), "rsa", Version::Soap11);
    check(message!("zeep_binary_sha256"), "rsa", Version::Soap11);
    check(message!("zeep_binary_soap12"), "rsa", Version::Soap12);
}

#[test]
fn a_client_that_sends_its_certificate_in_the_signature_is_believed() {
    check(message!("zeep_x509data_sha1"), "rsa", Version::Soap11);
    check(message!("zeep_x509data_sha256"), "rsa", Version::Soap11);
}

#[test]
fn longer_digests_and_elliptic_curves_are_believed() {
    check(message!("rsa_sha384"), "rsa", Version::Soap11);
    check(message!("rsa_sha512"), "rsa", Version::Soap11);
    check(message!("p256_sha256"), "p256", Version::Soap11);
    check(message!("p384_sha384"), "p384", Version::Soap11);
}

#[test]
fn each_canonical_form_of_xml_1_0_is_read() {
    check(message!("inclusive"), "rsa", Version::Soap11);
    check(message!("inclusive_comments"), "rsa", Version::Soap11);
    check(message!("exclusive_comments"), "rsa", Version::Soap11);
    check(message!("prefix_list"), "rsa", Version::Soap11);
}

#[test]
fn a_message_in_the_form_of_the_tools_of_2008_is_believed() {
    let verified = verified(message!("tools_2008")).unwrap();
    assert_eq!(verified.payload.namespace, "http://ec2.amazonaws.com/doc/2008-02-01/");
    assert_eq!(verified.payload.name, "DescribeInstances");
}

#[test]
fn a_key_that_is_too_short_or_of_another_curve_is_not_believed() {
    let unusable = |message| matches!(verified(message), Err(Refused::UnusableCertificate(_)));
    assert!(unusable(message!("weak")));
    // Its algorithm is refused before its certificate is looked at.
    let p521 = verified(message!("p521_sha512")).unwrap_err();
    assert!(matches!(p521, Refused::Algorithm { role: "signature", .. }), "{p521:?}");
}

#[test]
fn a_message_is_refused_when_it_is_old_or_not_yet_made() {
    let at = |now| verified_at(message!("zeep_binary_sha256"), now).map(|_| ());
    let minutes = |count: u64| Duration::from_secs(count * 60);
    assert_eq!(at(NOW + minutes(9)), Ok(()));
    assert!(matches!(at(NOW + minutes(10)), Err(Refused::Time(_))));
    let before = crate::domain::time::Timestamp(NOW.0 - 7 * 60_000);
    assert!(matches!(at(before), Err(Refused::Time(_))));
}
