//! SOAP messages, and documents that are nearly some.

use super::Seeds;

macro_rules! recorded {
    ($($name:literal),*) => {
        vec![$((
            $name,
            include_bytes!(concat!("../../../../src/soap/fixtures/", $name, ".xml")).to_vec(),
        )),*]
    };
}

pub fn seeds() -> Vec<Seeds> {
    let documents = [
        ("children", "<a xmlns=\"urn:a\"><b xmlns=\"\">1</b>\n<p:c xmlns:p='urn:&amp;p'/></a>"),
        (
            "text",
            "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?><a>1<!--2-->3<![CDATA[<4>]]>&#53;\r\n</a>",
        ),
        ("nil", "<a xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\"><b i:nil=\"true\"/></a>"),
        ("entities", "<!DOCTYPE a [<!ENTITY b \"&c;&c;\"><!ENTITY c \"d\">]><a>&b;</a>"),
        ("instruction", "<a><?b c?></a>"),
    ];
    let documents = documents.map(|(name, text)| (name, text.as_bytes().to_vec()));
    vec![
        ("soap_document", documents.to_vec()),
        (
            "soap_message",
            recorded![
                "zeep_binary_sha256",
                "zeep_binary_soap12",
                "zeep_x509data_sha1",
                "p256_sha256",
                "inclusive_comments",
                "prefix_list",
                "tools_2008"
            ],
        ),
    ]
}
