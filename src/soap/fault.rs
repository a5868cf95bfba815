//! What a Body has in it when there is no answer. It goes out with the status 500.
//!
//! The codes are as Amazon's: in SOAP 1.1 `Client.AuthFailure`, in SOAP 1.2 the code `Sender` with
//! the subcode `AuthFailure`; the request id is in the detail.

use super::document::is_character;
use super::envelope::Version;
use super::names::{AWS_FAULT, SOAP_12};
use super::refused::{Blame, Refused};
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub blame: Blame,
    /// What follows `Client.` or `Server.`.
    pub code: String,
    pub message: String,
}

impl From<&Refused> for Fault {
    fn from(refused: &Refused) -> Self {
        Self { blame: refused.blame(), code: refused.code().to_owned(), message: refused.message() }
    }
}

impl Fault {
    /// The payload of an Envelope of this version.
    pub fn render(&self, version: Version, request_id: &str) -> String {
        let message = &self.printable_message();
        let request_id = RequestId { aws: AWS_FAULT, id: request_id };
        let code = &self.code;
        match version {
            Version::Soap11 => {
                let code = match self.blame {
                    _ if self.is_of_soap() => code.clone(),
                    Blame::Client => format!("Client.{code}"),
                    Blame::Server => format!("Server.{code}"),
                };
                serialized(&Fault11 {
                    namespace: version.namespace(),
                    default: "",
                    code: &code,
                    message,
                    detail: Detail11 { request_id },
                })
            }
            Version::Soap12 => {
                let (value, subcode) = match self.blame {
                    _ if self.is_of_soap() => (format!("soap:{code}"), None),
                    Blame::Client => ("soap:Sender".to_owned(), Some(format!("aws:{code}"))),
                    Blame::Server => ("soap:Receiver".to_owned(), Some(format!("aws:{code}"))),
                };
                serialized(&Fault12 {
                    namespace: version.namespace(),
                    soap: SOAP_12,
                    aws: AWS_FAULT,
                    code: Code12 { value, subcode: subcode.map(|value| Subcode12 { value }) },
                    reason: Reason12 { text: Text12 { language: "en-US", text: message } },
                    detail: Detail12 { request_id },
                })
            }
        }
    }

    /// Whether the code is one of SOAP's own, and nobody's after a dot.
    fn is_of_soap(&self) -> bool {
        matches!(self.code.as_str(), "VersionMismatch" | "MustUnderstand")
    }

    /// Without the characters that XML does not have, which a message may repeat from a request.
    fn printable_message(&self) -> String {
        self.message.chars().map(|c| if is_character(c) { c } else { '\u{fffd}' }).collect()
    }
}

fn serialized<T: Serialize>(fault: &T) -> String {
    quick_xml::se::to_string(fault)
        .expect("faults are structs of text fields, which always serialize")
}

/// What is in a Fault of SOAP 1.1 has no namespace. The Fault has one, so it has a prefix, and
/// takes the Envelope's default away: where it does not, zeep looks for the code in vain.
#[derive(Serialize)]
#[serde(rename = "soap:Fault")]
struct Fault11<'a> {
    #[serde(rename = "@xmlns:soap")]
    namespace: &'a str,
    #[serde(rename = "@xmlns")]
    default: &'a str,
    #[serde(rename = "faultcode")]
    code: &'a str,
    #[serde(rename = "faultstring")]
    message: &'a str,
    detail: Detail11<'a>,
}

#[derive(Serialize)]
struct Detail11<'a> {
    #[serde(rename = "aws:RequestId")]
    request_id: RequestId<'a>,
}

#[derive(Serialize)]
struct RequestId<'a> {
    #[serde(rename = "@xmlns:aws")]
    aws: &'a str,
    #[serde(rename = "$text")]
    id: &'a str,
}

#[derive(Serialize)]
#[serde(rename = "Fault")]
struct Fault12<'a> {
    #[serde(rename = "@xmlns")]
    namespace: &'a str,
    #[serde(rename = "@xmlns:soap")]
    soap: &'a str,
    #[serde(rename = "@xmlns:aws")]
    aws: &'a str,
    #[serde(rename = "Code")]
    code: Code12,
    #[serde(rename = "Reason")]
    reason: Reason12<'a>,
    #[serde(rename = "Detail")]
    detail: Detail12<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Code12 {
    value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subcode: Option<Subcode12>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Subcode12 {
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Reason12<'a> {
    text: Text12<'a>,
}

#[derive(Serialize)]
struct Text12<'a> {
    #[serde(rename = "@xml:lang")]
    language: &'a str,
    #[serde(rename = "$text")]
    text: &'a str,
}

#[derive(Serialize)]
struct Detail12<'a> {
    #[serde(rename = "aws:RequestId")]
    request_id: RequestId<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(blame: Blame, code: &str) -> Fault {
        Fault { blame, code: code.into(), message: "a < b & \u{1}".into() }
    }

    #[test]
    fn a_fault_of_soap_1_1_has_the_code_after_whose_fault_it_was() {
        assert_eq!(
            fault(Blame::Client, "InvalidInstanceID.NotFound").render(Version::Soap11, "r-1"),
            "<soap:Fault xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns=\"\">\
             <faultcode>Client.InvalidInstanceID.NotFound</faultcode>\
             <faultstring>a &lt; b &amp; \u{fffd}</faultstring>\
             <detail><aws:RequestId \
             xmlns:aws=\"http://webservices.amazon.com/AWSFault/2005-15-09\">r-1</aws:RequestId>\
             </detail></soap:Fault>"
        );
        let of_server = fault(Blame::Server, "InternalError").render(Version::Soap11, "r");
        assert!(of_server.contains(">Server.InternalError</faultcode>"));
    }

    #[test]
    fn a_fault_of_soap_1_2_has_it_in_a_subcode() {
        assert_eq!(
            fault(Blame::Server, "InternalError").render(Version::Soap12, "r-1"),
            "<Fault xmlns=\"http://www.w3.org/2003/05/soap-envelope\" \
             xmlns:soap=\"http://www.w3.org/2003/05/soap-envelope\" \
             xmlns:aws=\"http://webservices.amazon.com/AWSFault/2005-15-09\">\
             <Code><Value>soap:Receiver</Value><Subcode><Value>aws:InternalError</Value></Subcode>\
             </Code><Reason><Text xml:lang=\"en-US\">a &lt; b &amp; \u{fffd}</Text></Reason>\
             <Detail><aws:RequestId \
             xmlns:aws=\"http://webservices.amazon.com/AWSFault/2005-15-09\">r-1</aws:RequestId>\
             </Detail></Fault>"
        );
    }

    #[test]
    fn codes_of_soaps_own_stand_alone() {
        let refused = Fault::from(&Refused::NotUnderstood("To".into()));
        let in_11 = refused.render(Version::Soap11, "r");
        assert!(in_11.contains("<faultcode>MustUnderstand</faultcode>"), "{in_11}");
        let in_12 = refused.render(Version::Soap12, "r");
        assert!(in_12.contains("<Value>soap:MustUnderstand</Value></Code>"), "{in_12}");
    }

    #[test]
    fn whatever_is_not_believed_looks_the_same() {
        let told = |refused| Fault::from(&refused);
        let unknown = told(Refused::UnknownCertificate);
        assert_eq!(unknown.code, "AuthFailure");
        assert_eq!(told(Refused::WrongSignature), unknown);
        assert_eq!(told(Refused::Altered("Body")), unknown);
        assert_eq!(told(Refused::CertificateNotValid), unknown);
    }
}
