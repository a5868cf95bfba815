//! What we sign ourselves.

use crate::soap::fault::Fault;
use crate::soap::refused::Refused;
use crate::soap::sign::{Signer, Unfit, Unsigned};
use crate::soap::testing::{NOW, PAYLOAD, RSA, RSA_KEY, STRANGER, verified};
use crate::soap::{Version, reply};

fn signer() -> Signer {
    Signer::new(RSA_KEY, RSA).unwrap()
}

#[test]
fn what_we_sign_is_believed() {
    for version in [Version::Soap11, Version::Soap12] {
        let message = signer().envelope(version, PAYLOAD, NOW).unwrap();
        let verified = verified(message.as_bytes()).unwrap();
        assert_eq!((verified.holder, verified.version), ("rsa", version));
        assert_eq!(verified.payload.name, "DescribeInstances");
    }
}

#[test]
fn a_payload_need_not_be_canonical() {
    let payload = "<a b = '1' xmlns='urn:a'><c/><!-- x --><d>&#x26;\r\n]]&gt;</d></a>";
    let message = signer().envelope(Version::Soap11, payload, NOW).unwrap();
    // It was signed well, but has an attribute.
    let refused = verified(message.as_bytes()).unwrap_err();
    assert!(matches!(refused, Refused::Malformed(_)), "{refused:?}");
    let message = signer().envelope(Version::Soap11, &payload.replace("b = '1'", ""), NOW).unwrap();
    assert_eq!(verified(message.as_bytes()).unwrap().payload.children[1].text, "&\n]]>");
}

#[test]
fn faults_are_signed_too() {
    let fault = Fault::from(&Refused::UnknownCertificate).render(Version::Soap11, "r-1");
    let message = signer().envelope(Version::Soap11, &fault, NOW).unwrap();
    let verified = verified(message.as_bytes()).unwrap();
    assert_eq!(verified.payload.named("faultcode").next().unwrap().text, "Client.AuthFailure");
}

#[test]
fn what_is_not_an_element_is_not_signed() {
    for payload in ["<a>", "<a></a></Body><Body>", "&", "<a:b/>"] {
        let refused = signer().envelope(Version::Soap11, payload, NOW);
        assert!(matches!(refused, Err(Unsigned::Payload(_))), "{payload}: {refused:?}");
    }
}

#[test]
fn a_signer_is_a_key_with_its_own_certificate() {
    assert!(matches!(Signer::new(RSA_KEY, STRANGER), Err(Unfit::NotThePair)));
    assert!(matches!(Signer::new(RSA, RSA), Err(Unfit::Key(_))));
    assert!(matches!(Signer::new(RSA_KEY, RSA_KEY), Err(Unfit::Certificate(_))));
    assert_eq!(format!("{:?}", signer()), "Signer { key: \"<redacted>\", .. }");
}

#[test]
fn a_message_that_is_not_signed_has_its_payload_in_an_envelope_without_a_prefix() {
    assert_eq!(
        reply::envelope(Version::Soap11, "<a xmlns=\"urn:a\"/>"),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Envelope xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\"><Body>\
         <a xmlns=\"urn:a\"/></Body></Envelope>"
    );
}
