//! Signature wrapping: messages in which what is signed is not what would be acted on, each made
//! from one that is well signed by somebody who cannot sign.

use crate::soap::refused::Refused;
use crate::soap::testing::{Draft, PAYLOAD, SOAP, WSU, body, reference, timestamp, verified};

const EVIL: &str = "<TerminateInstances xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\
     <instancesSet></instancesSet></TerminateInstances>";

/// Refused, and not because something signed was changed: the digests and the signature are right.
#[track_caller]
fn check(draft: &Draft) {
    let message = draft.signed();
    let refused = match verified(message.as_bytes()) {
        Ok(taken) => panic!("taken as {:?}: {message}", taken.payload),
        Err(refused) => refused,
    };
    assert!(
        matches!(refused, Refused::NotSoap(_) | Refused::Security(_) | Refused::Identifier(_)),
        "{refused:?}"
    );
}

/// The signed Body, somewhere else than in its place.
fn signed_body() -> String {
    Draft::new().body
}

fn evil_body(attributes: &str) -> String {
    body(attributes, EVIL)
}

#[test]
fn a_body_that_was_moved_into_a_header_is_not_the_body() {
    for attributes in [
        "",
        " wsu:Id=\"other\"",
        " wsu:Id=\"body\"",
        " Id=\"body\"",
        " ID=\"body\"",
        " xml:id=\"body\"",
    ] {
        for (open, close) in [
            ("<Wrapper xmlns=\"urn:w\">", "</Wrapper>"),
            ("<Wrapper>", "</Wrapper>"),
            ("<To xmlns=\"http://www.w3.org/2005/08/addressing\">", "</To>"),
            ("", ""),
        ] {
            let mut draft = Draft::new();
            draft.headers = format!("{open}{}{close}", signed_body());
            draft.body = evil_body(attributes);
            check(&draft);
        }
    }
}

#[test]
fn a_body_that_was_moved_into_the_security_header_is_not_the_body() {
    let mut draft = Draft::new();
    draft.in_security = format!("<Wrapper xmlns=\"urn:w\">{}</Wrapper>", signed_body());
    draft.body = evil_body("");
    check(&draft);
    draft.in_security = signed_body();
    check(&draft);
}

#[test]
fn a_body_that_was_moved_into_the_signature_is_not_the_body() {
    let mut draft = Draft::new();
    draft.in_signature = format!("<ds:Object>{}</ds:Object>", signed_body());
    draft.body = evil_body("");
    check(&draft);
    let mut draft = Draft::new();
    draft.key_info.push_str(&signed_body());
    draft.body = evil_body("");
    check(&draft);
}

#[test]
fn a_second_body_before_or_after_is_refused() {
    for place in 0..3 {
        for attributes in ["", " wsu:Id=\"body\"", " wsu:Id=\"other\""] {
            let mut draft = Draft::new();
            draft.around[place] = evil_body(attributes);
            check(&draft);
        }
    }
}

#[test]
fn a_body_within_a_body_is_refused() {
    let mut draft = Draft::new();
    draft.body = body(" wsu:Id=\"other\"", &signed_body());
    check(&draft);
    draft.body = body("", &format!("<x xmlns=\"urn:x\">{}</x>", signed_body()));
    check(&draft);
}

#[test]
fn an_envelope_within_the_envelope_is_refused() {
    let whole = Draft::new().signed();
    let mut draft = Draft::new();
    draft.headers = whole.clone();
    draft.body = evil_body("");
    check(&draft);
    let evil = evil_body("");
    let around = format!(
        "<s:Envelope xmlns:s=\"{SOAP}\"><s:Header><w>{whole}</w></s:Header>{evil}</s:Envelope>"
    );
    assert!(verified(around.as_bytes()).is_err());
    let around = format!("<s:Envelope xmlns:s=\"{SOAP}\">{}</s:Envelope>", body("", &whole));
    assert!(verified(around.as_bytes()).is_err());
    // Nor may a part of the other version's kind stand anywhere.
    let mut draft = Draft::new();
    draft.headers = "<Body xmlns=\"http://www.w3.org/2003/05/soap-envelope\"/>".into();
    check(&draft);
}

#[test]
fn a_body_is_not_signed_by_a_reference_to_what_is_around_it() {
    let mut draft = Draft::new();
    draft.envelope_attributes = format!(" xmlns:wsu=\"{WSU}\" wsu:Id=\"all\"");
    draft.references[0] = reference("#all", "");
    check(&draft);
    draft.references[0] = reference("", "");
    check(&draft);
}

#[test]
fn a_body_is_not_signed_by_a_reference_to_what_is_in_it() {
    let mut draft = Draft::new();
    let payload = PAYLOAD.replacen("xmlns", &format!("xmlns:wsu=\"{WSU}\" wsu:Id=\"in\" xmlns"), 1);
    draft.body = body("", &payload);
    draft.references[0] = reference("#in", &payload);
    check(&draft);
}

#[test]
fn a_body_without_the_signed_identifier_is_not_the_signed_one() {
    // The identifier is on an address, where a reference may point.
    let mut draft = Draft::new();
    let address = format!(
        "<wsa:To xmlns:wsa=\"http://www.w3.org/2005/08/addressing\" xmlns:wsu=\"{WSU}\" \
         wsu:Id=\"body\">x</wsa:To>"
    );
    draft.headers = address.clone();
    draft.references[0] = reference("#body", &address);
    draft.body = evil_body("");
    check(&draft);
    draft.body = evil_body(" wsu:Id=\"body\"");
    check(&draft);
}

#[test]
fn identifiers_are_unique_whatever_they_are_called() {
    for name in ["Id", "ID", "id", "xml:id", "AssertionID"] {
        let mut draft = Draft::new();
        draft.headers = format!("<x xmlns=\"urn:x\" {name}=\"body\"/>");
        check(&draft);
        // Nor are two on one element.
        draft.headers =
            format!("<x xmlns=\"urn:x\" xmlns:u=\"{WSU}\" u:Id=\"one\" {name}=\"two\"/>");
        check(&draft);
    }
}

#[test]
fn a_timestamp_that_was_moved_is_not_the_timestamp() {
    let old = Draft::new().timestamp;
    let fresh = timestamp("fresh", "2026-11-23T12:00:30Z", "2026-11-23T12:05:30Z");
    let places: [fn(&mut Draft, &str); 3] = [
        |draft, old| draft.headers = format!("<w>{old}</w>"),
        |draft, old| draft.in_security = format!("<w>{old}</w>"),
        |draft, old| draft.in_signature = format!("<ds:Object>{old}</ds:Object>"),
    ];
    for place in places {
        for in_its_place in ["", &fresh] {
            let mut draft = Draft::new();
            draft.timestamp = in_its_place.to_owned();
            place(&mut draft, &old);
            check(&draft);
        }
    }
    let mut draft = Draft::new();
    draft.in_security = fresh;
    check(&draft);
    let mut draft = Draft::new();
    draft.timestamp.clear();
    draft.headers = old;
    check(&draft);
}

#[test]
fn there_is_one_signature_and_one_security_header() {
    let whole = Draft::new().signed();
    let security = {
        let from = whole.find("<wsse:Security").unwrap();
        let to = whole.find("</s:Header>").unwrap();
        &whole[from..to]
    };
    let mut draft = Draft::new();
    draft.headers = security.to_owned();
    check(&draft);
    draft.headers = format!("<w>{security}</w>");
    check(&draft);
    let signature = {
        let from = whole.find("<ds:Signature xmlns").unwrap();
        let to = whole.find("</wsse:Security>").unwrap();
        &whole[from..to]
    };
    let mut draft = Draft::new();
    draft.in_security = signature.to_owned();
    check(&draft);
    let draft = Draft { headers: format!("<w>{security}</w>"), ..Draft::new() };
    let moved = draft.with_signature("").replace(&draft.token, "").replace(&draft.timestamp, "");
    let moved = moved.replacen("</s:Header>", &format!("{}</s:Header>", draft.timestamp), 1);
    assert!(verified(moved.as_bytes()).is_err());
}
