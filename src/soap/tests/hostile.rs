//! Messages that are signed well, but not acceptably, or not signed.

use crate::domain::time::Timestamp;
use crate::soap::document::Malformed;
use crate::soap::receive::Receiver;
use crate::soap::refused::Refused;
use crate::soap::testing::{
    Draft, EXCLUSIVE, NOW, PAYLOAD, RENEWED, RSA, Registered, STRANGER, STRANGER_KEY, X509, body,
    reference, signature, signed_info, timestamp, token, token_reference, verified,
};
use crate::soap::{Version, document::Limits};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::time::Duration;

fn refused(message: &str) -> Refused {
    match verified(message.as_bytes()) {
        Ok(_) => panic!("taken: {message}"),
        Err(refused) => refused,
    }
}

#[track_caller]
fn check(message: &str, code: &str) {
    let refused = refused(message);
    assert_eq!(refused.code(), code, "{refused:?}");
}

/// A draft with another Body, signed as it is.
fn with_body(other: &str) -> Draft {
    let mut draft = Draft::new();
    draft.body = other.to_owned();
    draft.references[0] = reference("#body", other);
    draft
}

fn with_timestamp(other: &str) -> Draft {
    let mut draft = Draft::new();
    draft.timestamp = other.to_owned();
    draft.references[1] = reference("#time", other);
    draft
}

#[test]
fn the_message_that_all_these_alter_is_taken() {
    assert_eq!(verified(Draft::new().signed().as_bytes()).unwrap().holder, "rsa");
}

#[test]
fn a_message_without_a_signature_is_refused() {
    let draft = Draft::new();
    check(&draft.with_signature(""), "InvalidSecurity");
    let soap = crate::soap::testing::SOAP;
    let body = &draft.body;
    check(&format!("<s:Envelope xmlns:s=\"{soap}\">{body}</s:Envelope>"), "InvalidSecurity");
    check(
        &format!("<s:Envelope xmlns:s=\"{soap}\"><s:Header/>{body}</s:Envelope>"),
        "InvalidSecurity",
    );
}

#[test]
fn body_and_timestamp_must_both_be_signed() {
    for left in [0, 1] {
        let mut draft = Draft::new();
        draft.references.remove(left);
        check(&draft.signed(), "InvalidSecurity");
    }
    let mut draft = Draft::new();
    draft.references.clear();
    check(&draft.signed(), "InvalidSecurity");
    let mut draft = Draft::new();
    draft.timestamp.clear();
    draft.references.truncate(1);
    check(&draft.signed(), "InvalidSecurity");
}

#[test]
fn what_is_altered_after_signing_is_refused() {
    let message = Draft::new().signed();
    for (was, is, why) in [
        ("DescribeInstances", "TerminateInstances", Refused::Altered("Body")),
        ("12:05:00Z", "12:05:01Z", Refused::Altered("Timestamp")),
    ] {
        assert_eq!(refused(&message.replace(was, is)), why);
    }
    let other = reference("#body", "something else");
    let mut draft = Draft::new();
    let signed = signature(draft.key, &signed_info(&draft.references), &draft.key_info, "");
    let digest = |reference: &str| {
        reference.split("DigestValue>").nth(1).unwrap().trim_end_matches("</ds:").to_owned()
    };
    let altered = signed.replace(&digest(&draft.references[0]), &digest(&other));
    assert_eq!(refused(&draft.with_signature(&altered)), Refused::WrongSignature);
    // The digests are right for another Body, but it is not they that were signed.
    draft.body =
        body(" wsu:Id=\"body\"", "<TerminateInstances xmlns=\"urn:x\"></TerminateInstances>");
    assert_eq!(refused(&draft.with_signature(&signed)), Refused::Altered("Body"));
}

#[test]
fn a_message_is_refused_outside_its_time() {
    for (created, expires) in [
        ("2026-11-23T11:00:00Z", "2026-11-23T13:00:00Z"),
        ("2026-11-23T11:50:00Z", "2026-11-23T11:55:00Z"),
        ("2026-11-23T12:06:01Z", "2026-11-23T12:10:00Z"),
    ] {
        let draft = with_timestamp(&timestamp("time", created, expires));
        check(&draft.signed(), "InvalidSecurity.RequestHasExpired");
    }
}

#[test]
fn a_timestamp_that_is_not_one_is_refused() {
    let wsu = crate::soap::testing::WSU;
    let of = |inside: &str| {
        format!("<wsu:Timestamp xmlns:wsu=\"{wsu}\" wsu:Id=\"time\">{inside}</wsu:Timestamp>")
    };
    let created = "<wsu:Created>2026-11-23T12:00:00Z</wsu:Created>";
    let expires = "<wsu:Expires>2026-11-23T12:05:00Z</wsu:Expires>";
    assert!(
        verified(with_timestamp(&of(&format!("{expires}{created}"))).signed().as_bytes()).is_ok()
    );
    for inside in [
        String::new(),
        expires.to_owned(),
        format!("{created}{created}"),
        format!("{created}{expires}{expires}"),
        format!("{created}<wsu:Created2>x</wsu:Created2>"),
        format!("{created} 2026 "),
        created.replace("2026", "20x6"),
        created.replace("12:00:00Z", "12:00:00"),
        created.replace("12:00:00Z", "<wsu:x></wsu:x>12:00:00Z"),
        format!("{}{expires}", created.replace("12:00", "12:05")),
    ] {
        check(&with_timestamp(&of(&inside)).signed(), "InvalidSecurity");
    }
}

#[test]
fn a_message_that_is_sent_again_is_refused() {
    let receiver = Receiver::new(Limits::default(), Timestamp(0));
    let receive = |message: &str| {
        let (bytes, assumed) = (message.as_bytes(), Version::Soap11);
        receiver.receive(bytes, assumed, &Registered, NOW).map_err(|rejected| rejected.refused)
    };
    let message = Draft::new().signed();
    assert_eq!(receive(&message).unwrap().payload.name, "DescribeInstances");
    assert_eq!(receive(&message).unwrap_err(), Refused::Replayed);
    // What is not signed may be written in another way; it is the same message.
    let elsewise = message.replace("<s:Header>", "<!-- again --><s:Header >");
    assert_eq!(receive(&elsewise).unwrap_err(), Refused::Replayed);
    // Nor is it another when it comes with another certificate of the same key.
    let mut renewed = Draft::new();
    renewed.token = token(RENEWED);
    assert_eq!(verified(renewed.signed().as_bytes()).unwrap().holder, "renewed");
    assert_eq!(receive(&renewed.signed()).unwrap_err(), Refused::Replayed);
    let later = timestamp("time", "2026-11-23T12:00:00.001Z", "2026-11-23T12:05:00Z");
    assert!(receive(&with_timestamp(&later).signed()).is_ok());
}

#[test]
fn what_was_taken_before_a_restart_is_not_taken_again_after_it() {
    let message = Draft::new().signed();
    let made = Timestamp(NOW.0 - 60_000);
    let receive = |since: Timestamp| {
        let receiver = Receiver::new(Limits::default(), since);
        let taken = receiver.receive(message.as_bytes(), Version::Soap11, &Registered, NOW);
        taken.map(drop).map_err(|rejected| rejected.refused)
    };
    assert_eq!(receive(made), Ok(()));
    assert!(matches!(receive(made + Duration::from_millis(1001)), Err(Refused::Time(_))));
}

#[test]
fn a_certificate_that_is_not_registered_is_not_believed() {
    let mut draft = Draft::new();
    draft.token = token(STRANGER);
    draft.key = STRANGER_KEY;
    assert_eq!(refused(&draft.signed()), Refused::UnknownCertificate);
    // Nor is another's signature, with a certificate that is.
    draft.token = token(RSA);
    assert_eq!(refused(&draft.signed()), Refused::WrongSignature);
    check(&draft.signed(), "AuthFailure");
}

#[test]
fn other_algorithms_are_refused() {
    const MORE: &str = "http://www.w3.org/2001/04/xmldsig-more#";
    const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
    let draft = Draft::new();
    let altered = |was: &str, is: &str| {
        let info = signed_info(&draft.references).replace(was, is);
        draft.with_signature(&signature(draft.key, &info, &draft.key_info, ""))
    };
    let digest = "http://www.w3.org/2001/04/xmlenc#sha256";
    for uri in [&format!("{MORE}md5"), "http://www.w3.org/2001/04/xmlenc#ripemd160", "", "sha256"] {
        let refused = refused(&altered(digest, uri));
        assert!(matches!(refused, Refused::Algorithm { role: "digest", .. }), "{refused:?}");
    }
    let method = format!("{MORE}rsa-sha256");
    for uri in [
        &format!("{MORE}rsa-md5"),
        &format!("{DS}hmac-sha1"),
        &format!("{MORE}hmac-sha256"),
        &format!("{DS}dsa-sha1"),
        &format!("{MORE}ecdsa-sha512"),
        "",
    ] {
        let refused = refused(&altered(&method, uri));
        assert!(matches!(refused, Refused::Algorithm { role: "signature", .. }), "{refused:?}");
    }
    // An RSA key signs nothing by ECDSA.
    let confused = refused(&altered(&method, &format!("{MORE}ecdsa-sha256")));
    assert_eq!(confused, Refused::WrongSignature);
    for uri in [
        "http://www.w3.org/TR/1999/REC-xpath-19991116",
        "http://www.w3.org/2002/06/xmldsig-filter2",
        "http://www.w3.org/TR/1999/REC-xslt-19991116",
        "http://www.w3.org/2000/09/xmldsig#base64",
        "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
        "http://www.w3.org/2006/12/xml-c14n11",
        "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#STR-Transform",
        "",
    ] {
        let was = format!("<ds:Transform Algorithm=\"{EXCLUSIVE}\">");
        let refused = refused(&altered(&was, &format!("<ds:Transform Algorithm=\"{uri}\">")));
        assert!(matches!(refused, Refused::Algorithm { role: "transform", .. }), "{refused:?}");
    }
    let was = format!("<ds:CanonicalizationMethod Algorithm=\"{EXCLUSIVE}\">");
    let is = was.replace("xml-exc-c14n#", "xml-none#");
    assert!(matches!(refused(&altered(&was, &is)), Refused::Algorithm { .. }));
}

#[test]
fn a_reference_has_one_transform_and_no_parameters_of_others() {
    let draft = Draft::new();
    let altered = |was: &str, is: &str| {
        let info = signed_info(&draft.references).replace(was, is);
        draft.with_signature(&signature(draft.key, &info, &draft.key_info, ""))
    };
    let transform = format!("<ds:Transform Algorithm=\"{EXCLUSIVE}\"></ds:Transform>");
    let list = |prefixes: &str| {
        format!(
            "<ds:Transform Algorithm=\"{EXCLUSIVE}\"><ec:InclusiveNamespaces \
             xmlns:ec=\"{EXCLUSIVE}\" PrefixList=\"{prefixes}\"></ec:InclusiveNamespaces>\
             </ds:Transform>"
        )
    };
    assert!(verified(altered(&transform, &list("wsu absent")).as_bytes()).is_ok());
    for other in [
        String::new(),
        transform.repeat(2),
        transform.replace("></", "><ds:XPath>true()</ds:XPath></"),
        list(&"p ".repeat(17)),
        format!("{transform}text"),
        "<ds:Other/>".into(),
    ] {
        check(&altered(&transform, &other), "InvalidSecurity");
    }
    check(&altered("<ds:Transforms>", "<ds:Transforms>x"), "InvalidSecurity");
    check(
        &altered(
            "</ds:SignatureMethod>",
            "<ds:HMACOutputLength>0</ds:HMACOutputLength></ds:SignatureMethod>",
        ),
        "InvalidSecurity",
    );
    let transforms = format!("<ds:Transforms>{transform}</ds:Transforms>");
    check(&altered(&transforms, ""), "InvalidSecurity");
    check(&altered("<ds:DigestValue>", "<ds:DigestValue>*"), "InvalidSecurity");
}

#[test]
fn references_are_few_and_name_elements_of_the_message() {
    for uri in [
        "",
        "#",
        "http://example.com/",
        "file:///etc/passwd",
        "#xpointer(/)",
        "#xpointer(id('body'))",
        "body",
        "cid:body",
    ] {
        let mut draft = Draft::new();
        draft.references.push(reference(uri, ""));
        check(&draft.signed(), "InvalidSecurity");
    }
    let mut draft = Draft::new();
    draft.references.push(reference("#nobody", ""));
    assert_eq!(refused(&draft.signed()), Refused::Identifier("nobody".into()));
    let mut draft = Draft::new();
    draft.references.push(draft.references[0].clone());
    check(&draft.signed(), "InvalidSecurity");

    let mut draft = Draft::new();
    let address = |n: usize| {
        let wsa = "http://www.w3.org/2005/08/addressing";
        let wsu = crate::soap::testing::WSU;
        format!("<wsa:To xmlns:wsa=\"{wsa}\" xmlns:wsu=\"{wsu}\" wsu:Id=\"a{n}\">x</wsa:To>")
    };
    draft.references.push(reference("#token", &draft.token));
    for n in 0..5 {
        draft.headers.push_str(&address(n));
        draft.references.push(reference(&format!("#a{n}"), &address(n)));
    }
    assert!(verified(draft.signed().as_bytes()).is_ok());
    let wrong = draft.signed().replace(">x</wsa:To>", ">y</wsa:To>");
    assert_eq!(refused(&wrong), Refused::Altered("an address"));
    draft.headers.push_str(&address(6));
    draft.references.push(reference("#a6", &address(6)));
    assert_eq!(refused(&draft.signed()), Refused::Security("too many references"));
}

#[test]
fn the_certificate_must_be_sent_and_be_the_only_one() {
    let with = |key_info: &str, token: &str| {
        let mut draft = Draft::new();
        draft.key_info = key_info.to_owned();
        draft.token = token.to_owned();
        draft.signed()
    };
    let certificate =
        format!("<ds:X509Certificate>{}</ds:X509Certificate>", BASE64_STANDARD.encode(RSA));
    let data = |inside: &str| format!("<ds:X509Data>{inside}</ds:X509Data>");
    let serial = "<ds:X509IssuerSerial><ds:X509IssuerName>CN=x</ds:X509IssuerName>\
                  <ds:X509SerialNumber>1</ds:X509SerialNumber></ds:X509IssuerSerial>";
    for good in [
        data(&certificate),
        token_reference(&data(&certificate)),
        data(&format!("{serial}{certificate}")),
    ] {
        assert!(verified(with(&good, "").as_bytes()).is_ok(), "{good}");
        // Beside a token there would be two.
        check(&with(&good, &token(STRANGER)), "InvalidSecurity");
    }
    let own = &token(RSA);
    let reference = format!("<wsse:Reference URI=\"#token\" ValueType=\"{X509}\"/>");
    let wsse = crate::soap::testing::WSSE;
    for (key_info, token) in [
        (String::new(), own.as_str()),
        (data(serial), ""),
        (data(&certificate.repeat(2)), ""),
        (format!("{}{}", data(&certificate), data(&certificate)), ""),
        (token_reference(&data(serial)), ""),
        (token_reference(""), own),
        (token_reference(&reference.repeat(2)), own),
        (token_reference(&reference.replace("#token", "#body")), own),
        (token_reference(&reference.replace("#token", "token")), own),
        (token_reference(&reference.replace("URI", "Uri")), own),
        (token_reference(&reference.replace("#X509v3", "#X509PKIPathv1")), own),
        (token_reference(&reference), ""),
        (token_reference("<wsse:KeyIdentifier>AA==</wsse:KeyIdentifier>"), ""),
        (token_reference(&format!("<wsse:Embedded>{own}</wsse:Embedded>")), ""),
        (
            reference.replace("<wsse:Reference", &format!("<wsse:Reference xmlns:wsse=\"{wsse}\"")),
            own,
        ),
        ("<ds:KeyName>rsa</ds:KeyName>".into(), own),
        ("<ds:KeyValue><ds:RSAKeyValue/></ds:KeyValue>".into(), own),
        ("<ds:RetrievalMethod URI=\"#token\"/>".into(), own),
    ] {
        check(&with(&key_info, token), "InvalidSecurity");
    }
    let referring = token_reference(&reference);
    for token in [
        own.replace("#X509v3", "#X509PKIPathv1"),
        own.replace(&format!("ValueType=\"{X509}\""), ""),
        own.replace("ValueType", "EncodingType=\"urn:hex\" ValueType"),
        own.replace("\">MII", "\">*MII"),
        own.replace("</wsse:B", "<x/></wsse:B"),
    ] {
        check(&with(&referring, &token), "InvalidSecurity");
    }
    let nothing = own.split_inclusive("\"token\">").next().unwrap();
    check(&with(&referring, &format!("{nothing}</wsse:BinarySecurityToken>")), "AuthFailure");
}

#[test]
fn the_security_header_has_nothing_else_and_is_for_us() {
    for more in ["<x/>", "<ds:Signature xmlns:ds=\"urn:other\"/>", "text"] {
        let mut draft = Draft::new();
        draft.in_security = more.into();
        assert!(verified(draft.signed().as_bytes()).is_err(), "{more}");
    }
    for (attributes, is_ours) in [
        (" s:mustUnderstand=\"1\"", true),
        (" s:actor=\"\"", true),
        (" s:actor=\"http://schemas.xmlsoap.org/soap/actor/next\"", true),
        (" s:actor=\"urn:somebody\"", false),
        (" s:role=\"urn:somebody\"", false),
    ] {
        let mut draft = Draft::new();
        draft.security_attributes = attributes.into();
        assert_eq!(verified(draft.signed().as_bytes()).is_ok(), is_ours, "{attributes}");
    }
}

#[test]
fn a_header_that_must_be_understood_is_a_fault_of_its_own() {
    for (must, code) in
        [("1", Some("MustUnderstand")), ("true", Some("MustUnderstand")), ("0", None)]
    {
        let mut draft = Draft::new();
        draft.headers = format!("<x:To xmlns:x=\"urn:x\" s:mustUnderstand=\"{must}\">y</x:To>");
        let refused = verified(draft.signed().as_bytes()).err();
        assert_eq!(refused.map(|refused| refused.code()), code);
    }
}

#[test]
fn what_is_not_a_soap_message_is_refused() {
    let soap = crate::soap::testing::SOAP;
    check("", "InvalidSOAPRequest");
    check("Action=DescribeInstances&Version=2016-11-15", "InvalidSOAPRequest");
    check("<Envelope/>", "VersionMismatch");
    check("<s:Envelope xmlns:s=\"urn:soap-2\"><s:Body/></s:Envelope>", "VersionMismatch");
    check(&format!("<s:Body xmlns:s=\"{soap}\"/>"), "InvalidSOAPRequest");
    check(&format!("<s:Envelope xmlns:s=\"{soap}\"/>"), "InvalidSOAPRequest");
    let draft = Draft::new();
    for other in ["", PAYLOAD, &format!("text{PAYLOAD}"), &PAYLOAD.repeat(2)] {
        let body = body(" wsu:Id=\"body\"", other);
        let is_taken = verified(with_body(&body).signed().as_bytes()).is_ok();
        assert_eq!(is_taken, other == PAYLOAD, "{other}");
    }
    // One version's Header in the other's Envelope.
    let mixed = draft.signed().replacen(soap, Version::Soap12.namespace(), 1);
    assert_eq!(refused(&mixed).code(), "InvalidSOAPRequest");
}

#[test]
fn what_cannot_be_read_in_bounded_time_and_memory_is_not_read() {
    let refused = |message: &str| match refused(message) {
        Refused::Malformed(malformed) => malformed,
        other => panic!("{other:?}"),
    };
    let message = Draft::new().signed();
    let entities = |declared: &str, used: &str| {
        format!(
            "<!DOCTYPE x [{declared}]>{}",
            message.replace("<instancesSet>", &format!("<instancesSet>{used}"))
        )
    };
    let laughs: String = (1..30)
        .map(|n| format!("<!ENTITY e{n} \"{}\">", format!("&e{};", n - 1).repeat(10)))
        .collect();
    for text in [
        entities("<!ENTITY e SYSTEM \"file:///etc/passwd\">", "&e;"),
        entities(&format!("<!ENTITY e0 \"lol\">{laughs}"), "&e29;"),
        entities("<!ENTITY % p SYSTEM \"http://example.com/\"> %p;", ""),
        entities("", ""),
        message.replace("<instancesSet>", "<instancesSet>&nbsp;"),
    ] {
        assert!(matches!(refused(&text), Malformed::NotWellFormed(_)));
    }
    let mut draft = Draft::new();
    draft.headers = format!("<x>{}</x>", "a".repeat(10 * 1024 * 1024));
    assert_eq!(refused(&draft.signed()), Malformed::TooLong(1024 * 1024));
    draft.headers = "<a>".repeat(200) + &"</a>".repeat(200);
    assert!(matches!(refused(&draft.signed()), Malformed::NotWellFormed(_)));
    draft.headers = "<a/>".repeat(20_000);
    assert_eq!(refused(&draft.signed()), Malformed::TooManyTags(20_000));
    // A long namespace that had to be copied for each of many elements.
    draft.headers =
        format!("<a xmlns=\"{}&amp;\">{}</a>", "a".repeat(500_000), "<b/>".repeat(9_000));
    assert_eq!(refused(&draft.signed()), Malformed::ValueTooLong(1024));
    let attributes: String = (0..3_000).map(|n| format!(" a{n} = ''")).collect();
    draft.headers = format!("<a{attributes}/>");
    assert_eq!(refused(&draft.signed()), Malformed::TooManyAttributes(2_048));
}

#[test]
fn the_order_of_refusals_tells_a_stranger_nothing_of_certificates() {
    // Everything that can be wrong without a certificate is said before one is looked up.
    let mut draft =
        with_timestamp(&timestamp("time", "2026-11-23T10:00:00Z", "2026-11-23T10:05:00Z"));
    draft.token = token(STRANGER);
    draft.key = STRANGER_KEY;
    check(&draft.signed(), "InvalidSecurity.RequestHasExpired");
    let message = Refused::UnknownCertificate.message();
    assert_eq!(Refused::WrongSignature.message(), message);
    assert_eq!(Refused::CertificateNotValid.message(), message);
}
