//! The ways of asking: what a request looks like, who believes it, and how it is answered.
//!
//! A protocol is one module and one entry in [`ALL`]. It turns bytes into a sender and an [`Asked`],
//! which is all that an action ever sees, and the action's answer (or why there is none) into bytes.
//! What is asked, by whom, is the same whichever protocol said it: nothing behind this seam knows.
//!
//! Which protocol a request is in is decided by its headers alone, so that two readers of one request
//! cannot disagree; a proof of another protocol's kind is worth nothing.

mod json;
mod query;
mod soap;

use super::error::ApiError;
use super::parameters::Parameters;
use super::service::Service;
use super::signature::{Credentials, Received, Signed};
use crate::domain::{account::Caller, time::Timestamp};
use crate::soap::{Certificates, Receiver, sign::Signer};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use std::sync::Arc;

/// In the order in which they are asked whether a request is theirs; the last takes what is left.
const ALL: &[&dyn Protocol] = &[&soap::Soap, &json::Json, &query::Query];

/// A way of asking.
pub trait Protocol: Sync {
    fn speaks(&self, headers: &HeaderMap) -> bool;

    fn begin(&self, headers: &HeaderMap) -> Box<dyn Conversation>;
}

/// One request and its answer, in one protocol.
///
/// `sender` is called first and once, then, if somebody is believed, `asked`; `write` last, whatever
/// came of it.
pub trait Conversation {
    /// Reads the request, and proves who sent it.
    fn sender(&mut self, received: &Received<'_>, trust: &Trust<'_>) -> Result<Signed, ApiError>;

    /// What the sender asks for.
    fn asked(&mut self) -> Result<Asked, ApiError>;

    /// The answer is EC2's XML document, whichever protocol asked.
    fn write(&self, answered: Result<String, ApiError>, request_id: &str) -> Written;
}

/// What senders are proved by.
#[derive(Clone, Copy)]
pub struct Trust<'a> {
    pub credentials: &'a dyn Credentials,
    pub certificates: &'a dyn Certificates<Holder = Caller>,
    pub messages: &'a Arc<Messages>,
    pub now: Timestamp,
}

/// What the workers of an endpoint share to take and to sign messages.
#[derive(Debug)]
pub struct Messages {
    pub receiver: Receiver,
    /// None: replies are not signed.
    pub signer: Option<Arc<Signer>>,
}

/// A request without anything of the protocol it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub service: Service,
    pub action: String,
    /// As the client gave it; the answer's namespace is made of it.
    pub version: String,
    /// The client asks only whether it might.
    pub dry_run: bool,
    pub parameters: Parameters,
}

/// What goes back over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub status: StatusCode,
    pub media_type: &'static str,
    pub body: String,
}

/// Begins the conversation that the request's headers ask for.
pub fn begin(headers: &HeaderMap) -> Box<dyn Conversation> {
    let spoken = ALL.iter().find(|protocol| protocol.speaks(headers));
    spoken.expect("the last protocol takes every request").begin(headers)
}

/// The conversation with somebody who asks for what everybody may have.
pub fn plain() -> Box<dyn Conversation> {
    Box::new(query::QueryConversation::default())
}

/// The media type without its parameters. One that is no text matches nothing we know.
fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().unwrap_or("unreadable");
    value.split(';').next().map(str::trim)
}
