//! SOAP, with WS-Security by the certificate of a user: the protocol that the first EC2 tools spoke.
//!
//! A message is believed for its signature alone: one that comes with what Query is proved by as well
//! is refused, for two proofs could be two people's. What its Body asks becomes the parameters of a
//! Query request; EC2's answer goes into the Body of the reply, cut down to what the client's edition
//! of EC2 knew. Replies are signed with the cloud's certificate, but for those to senders that were
//! not believed: a signature costs more than a question.

use super::{
    Asked, Conversation, Messages, Protocol, Trust, Written, media_type, query::is_dry_run,
};
use crate::{
    api::{
        edition::Edition,
        error::{ApiError, Code},
        service::Service,
        signature::{Received, Signed},
        soap_body,
    },
    domain::time::Timestamp,
    soap::{Element, Refused, Version, fault::Fault, refused::Blame, reply},
};
use actix_web::http::{
    StatusCode,
    header::{AUTHORIZATION, HeaderMap},
};
use std::sync::Arc;

/// What SOAP 1.1 says of a request's intent; that it is there makes the request one of SOAP.
const ACTION: &str = "soapaction";

pub struct Soap;

impl Protocol for Soap {
    fn speaks(&self, headers: &HeaderMap) -> bool {
        let is_xml = |media_type: &str| {
            ["text/xml", "application/xml", "application/soap+xml"]
                .iter()
                .any(|xml| media_type.eq_ignore_ascii_case(xml))
        };
        headers.contains_key(ACTION) || media_type(headers).is_some_and(is_xml)
    }

    fn begin(&self, headers: &HeaderMap) -> Box<dyn Conversation> {
        let version = media_type(headers).map_or(Version::Soap11, Version::of_media_type);
        Box::new(SoapConversation {
            version,
            believed: None,
            payload: Element::default(),
            asked: None,
        })
    }
}

struct SoapConversation {
    /// Of the envelope; until that is read, what the headers let expect.
    version: Version,
    believed: Option<Believed>,
    payload: Element,
    /// What the answer is of.
    asked: Option<(Edition, String)>,
}

/// That the sender is known, and what it is answered with.
struct Believed {
    messages: Arc<Messages>,
    now: Timestamp,
}

impl Conversation for SoapConversation {
    fn sender(&mut self, received: &Received<'_>, trust: &Trust<'_>) -> Result<Signed, ApiError> {
        if received.headers.contains_key(AUTHORIZATION) || !received.query.is_empty() {
            let reason = "A SOAP message is proved by its own signature, and by nothing beside it.";
            return Err(ApiError::new(Code::InvalidSecurity, reason));
        }
        let receiver = &trust.messages.receiver;
        let (certificates, now) = (trust.certificates, trust.now);
        let message = receiver.receive(received.body, self.version, certificates, now).map_err(
            |rejected| {
                self.version = rejected.version;
                // The sender is told less.
                log::debug!("SOAP message not believed: {:?}", rejected.refused);
                refusal(&rejected.refused)
            },
        )?;
        let sender = Signed::of_message(&message);
        self.version = message.version;
        self.payload = message.payload;
        self.believed = Some(Believed { messages: trust.messages.clone(), now });
        Ok(sender)
    }

    fn asked(&mut self) -> Result<Asked, ApiError> {
        let call = soap_body::read(&self.payload)?;
        self.asked = Some((call.edition, call.action.clone()));
        Ok(Asked {
            service: Service::Ec2,
            action: call.action,
            version: call.version,
            dry_run: is_dry_run(&call.parameters)?,
            parameters: call.parameters,
        })
    }

    fn write(&self, answered: Result<String, ApiError>, request_id: &str) -> Written {
        let answered = answered.and_then(|document| match &self.asked {
            Some((edition, action)) => Ok(edition.reply(action, &document)?.into_owned()),
            None => Ok(document),
        });
        // Clients look for faults in nothing but a 500.
        let (status, payload) = match answered {
            Ok(document) => (StatusCode::OK, document),
            Err(error) => {
                let fault = fault(&error).render(self.version, request_id);
                (StatusCode::INTERNAL_SERVER_ERROR, fault)
            }
        };
        let (status, body) = match self.envelope(&payload) {
            Ok(body) => (status, body),
            Err(why) => {
                log::error!("request {request_id}: the reply cannot be signed: {why}");
                let fault = fault(&ApiError::internal()).render(self.version, request_id);
                (StatusCode::INTERNAL_SERVER_ERROR, reply::envelope(self.version, &fault))
            }
        };
        Written { status, media_type: self.version.content_type(), body }
    }
}

impl SoapConversation {
    fn envelope(&self, payload: &str) -> Result<String, crate::soap::sign::Unsigned> {
        let signer = |believed: &Believed| Some((believed.messages.signer.clone()?, believed.now));
        match self.believed.as_ref().and_then(signer) {
            Some((signer, now)) => signer.envelope(self.version, payload, now),
            None => Ok(reply::envelope(self.version, payload)),
        }
    }
}

fn fault(error: &ApiError) -> Fault {
    let blame = match error.status().is_server_error() {
        true => Blame::Server,
        false => Blame::Client,
    };
    Fault { blame, code: error.code.as_str().to_owned(), message: error.message.clone() }
}

fn refusal(refused: &Refused) -> ApiError {
    let code = Code::ALL.iter().find(|code| code.as_str() == refused.code());
    let code = code.expect("the codes of messages refused are in the list");
    ApiError::new(*code, refused.message())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soap::document::Malformed;

    #[test]
    fn every_refusal_of_a_message_is_one_of_ec2_s_codes_and_blames_whom_it_should() {
        for refused in [
            Refused::Malformed(Malformed::NotUtf8),
            Refused::NotSoap(""),
            Refused::UnknownVersion,
            Refused::NotUnderstood(String::new()),
            Refused::Security(""),
            Refused::Algorithm { role: "", uri: String::new() },
            Refused::Identifier(String::new()),
            Refused::Time(""),
            Refused::UnknownCertificate,
            Refused::CertificateNotValid,
            Refused::WrongSignature,
            Refused::Altered(""),
            Refused::Replayed,
            Refused::Unremembered,
        ] {
            let fault = fault(&refusal(&refused));
            assert_eq!(fault.code, refused.code());
            assert_eq!(fault.blame, refused.blame(), "{refused}");
        }
    }
}
