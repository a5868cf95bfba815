use super::*;
use quick_xml::Reader;
use std::{collections::BTreeSet, fs, path::PathBuf};

const VERSIONS: [&str; 3] = ["2008-02-01", "2008-12-01", "2016-11-15"];
const ADDRESS: &str = "http://cloud.example:8773/services/Eucalyptus";

fn golden(version: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/wsdl/golden");
    PathBuf::from(folder).join(format!("{version}.wsdl"))
}

#[test]
fn what_clients_were_made_from_does_not_change_by_accident() {
    for version in VERSIONS {
        let kept = fs::read_to_string(golden(version)).unwrap_or_default();
        assert!(
            kept == render(version, ADDRESS).unwrap(),
            "the WSDL of {version} is not what was kept. If that is meant: \
             cargo test --lib api::wsdl::tests::keep -- --ignored"
        );
    }
}

#[test]
#[ignore = "keeps the WSDLs as they are now; for when they are meant to change"]
fn keep() {
    for version in VERSIONS {
        fs::write(golden(version), render(version, ADDRESS).unwrap()).unwrap();
    }
}

/// The values of an attribute of all elements of a name.
fn values(text: &str, element: &str, attribute: &str) -> Vec<String> {
    let mut reader = Reader::from_str(text);
    let mut values = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) | Event::Empty(tag) if tag.name().as_ref() == element => {
                let value = tag.try_get_attribute(attribute).unwrap();
                values.extend(value.map(|value| value.value.into_owned()));
            }
            Event::Eof => return values,
            _ => {}
        }
    }
}

#[test]
fn every_type_is_defined_once_and_every_type_named_is_defined() {
    for version in VERSIONS {
        let text = render(version, ADDRESS).unwrap();
        let defined = values(&text, "xs:complexType", "name");
        let different: BTreeSet<_> = defined.iter().cloned().collect();
        assert_eq!(different.len(), defined.len());
        for named in values(&text, "xs:element", "type") {
            let known = named.strip_prefix("tns:").is_none_or(|own| different.contains(own));
            assert!(known, "{version}: {named}");
        }
    }
}

#[test]
fn every_operation_is_bound_to_both_protocols_under_its_name() {
    for version in VERSIONS {
        let text = render(version, ADDRESS).unwrap();
        let operations = Edition::of_version(version).operations();
        let names: Vec<_> = operations.iter().map(|operation| operation.name).collect();
        for protocol in ["soap:operation", "soap12:operation"] {
            assert_eq!(values(&text, protocol, "soapAction"), names);
        }
        assert_eq!(values(&text, "soap:address", "location"), [ADDRESS]);
        assert_eq!(values(&text, "soap12:address", "location"), [ADDRESS]);
    }
}

#[test]
fn a_version_nobody_wrote_down_is_described_as_todays_in_its_own_namespace() {
    let odd = render("2013-02-01", ADDRESS).unwrap();
    let today = render("2016-11-15", ADDRESS).unwrap();
    assert_eq!(odd, today.replace("2016-11-15", "2013-02-01"));
}

#[test]
fn an_address_cannot_leave_its_place() {
    let text = render("2008-02-01", "http://x/?a=\"><b>&c").unwrap();
    assert!(!text.contains("<b>"), "{text}");
    assert!(text.contains("http://x/?a=&quot;&gt;&lt;b&gt;&amp;c"), "{text}");
}
