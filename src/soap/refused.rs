//! Why a message is not taken, and what its sender is told.
//!
//! | refused | code | where the code is from |
//! |---|---|---|
//! | what is not XML, or no envelope | `InvalidSOAPRequest` | EC2's and S3's own SOAP faults |
//! | an envelope of another namespace | `VersionMismatch` | SOAP |
//! | a header that must be understood | `MustUnderstand` | SOAP |
//! | security that is missing, malformed or not accepted | `InvalidSecurity` | EC2's SOAP faults |
//! | a message seen before | `InvalidSecurity` | – |
//! | the time | `InvalidSecurity.RequestHasExpired` | EC2's list of error codes |
//! | a certificate or signature that is not believed | `AuthFailure` | as Query |
//! | no room to remember the message | `Unavailable` | EC2's list, of the server |
//!
//! EC2 had `MalformedSOAPSignature` too, for a wrong signature by a known certificate. Here that
//! looks like an unknown certificate, so that nobody learns which are registered. Whoever reads
//! the log is told more: the error's own text.

use super::document::Malformed;

/// The text is for the log; [`Refused::message`] is for the sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("not a document that is read here")]
    Malformed(#[from] Malformed),
    #[error("not a SOAP message: {0}")]
    NotSoap(&'static str),
    #[error("the envelope's namespace is neither SOAP 1.1's nor 1.2's")]
    UnknownVersion,
    #[error("the header `{0}` must be understood and is not")]
    NotUnderstood(String),
    #[error("security is not acceptable: {0}")]
    Security(&'static str),
    #[error("the {role} algorithm `{uri}` is not accepted")]
    Algorithm { role: &'static str, uri: String },
    #[error("the identifier `{0}` does not stand for exactly one element")]
    Identifier(String),
    #[error("the time of the message: {0}")]
    Time(&'static str),
    #[error("the certificate is not known, or not active")]
    UnknownCertificate,
    #[error("the certificate cannot be used")]
    UnusableCertificate(#[source] super::certificate::Unusable),
    #[error("the certificate is not valid at this time")]
    CertificateNotValid,
    #[error("the signature is not the certificate's over this SignedInfo")]
    WrongSignature,
    #[error("`{0}` is not what was signed")]
    Altered(&'static str),
    #[error("the message was received before")]
    Replayed,
    #[error("there is no room to remember another message")]
    Unremembered,
}

/// Whose fault it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    Client,
    Server,
}

impl Refused {
    /// What follows `Client.` or `Server.`; alone if it is one of SOAP's own.
    pub fn code(&self) -> &'static str {
        match self {
            Refused::Malformed(_) | Refused::NotSoap(_) => "InvalidSOAPRequest",
            Refused::UnknownVersion => "VersionMismatch",
            Refused::NotUnderstood(_) => "MustUnderstand",
            Refused::Security(_)
            | Refused::Algorithm { .. }
            | Refused::Identifier(_)
            | Refused::Replayed => "InvalidSecurity",
            Refused::Time(_) => "InvalidSecurity.RequestHasExpired",
            Refused::UnknownCertificate
            | Refused::UnusableCertificate(_)
            | Refused::CertificateNotValid
            | Refused::WrongSignature
            | Refused::Altered(_) => "AuthFailure",
            Refused::Unremembered => "Unavailable",
        }
    }

    pub fn blame(&self) -> Blame {
        match self {
            Refused::Unremembered => Blame::Server,
            _ => Blame::Client,
        }
    }

    /// What the sender is told: all that helps to mend a message, nothing of what is known here.
    pub fn message(&self) -> String {
        match self {
            Refused::Malformed(malformed) => {
                format!("Invalid SOAP request. Could not parse XML: {malformed}")
            }
            Refused::NotSoap(reason) => format!("Invalid SOAP request: {reason}"),
            Refused::UnknownVersion => "The envelope is neither of SOAP 1.1 nor of 1.2".into(),
            Refused::NotUnderstood(name) => format!("The header {name} is not understood"),
            Refused::Security(reason) => format!("Invalid WS-Security: {reason}"),
            Refused::Algorithm { role, uri } => {
                format!("Invalid WS-Security: the {role} algorithm {uri} is not accepted")
            }
            Refused::Identifier(id) => {
                format!("Invalid WS-Security: {id} does not identify exactly one element")
            }
            Refused::Time(reason) => format!("Request has expired: {reason}"),
            Refused::UnknownCertificate
            | Refused::UnusableCertificate(_)
            | Refused::CertificateNotValid
            | Refused::WrongSignature
            | Refused::Altered(_) => {
                "AWS was not able to validate the provided access credentials".into()
            }
            Refused::Replayed => "The message was received before".into(),
            Refused::Unremembered => {
                "The server is not able to take another signed message now".into()
            }
        }
    }
}
