//! A question and its answer as bytes: all that a transport sees.

use super::CallContext;
use serde::{Deserialize, Serialize};

/// The largest body of a question or answer. Larger things go by reference.
pub const BODY_LIMIT_BYTES: usize = 16 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// `Ask::NAME` of the question inside.
    pub name: String,
    pub context: CallContext,
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum LinkFault {
    /// Certainly not carried out.
    #[error("not delivered: {0}")]
    NotDelivered(String),
    /// Unknown whether it was carried out: look again.
    #[error("no answer")]
    Unanswered,
}

/// A question on its way to a link, which sees bytes and never a domain type.
#[derive(Debug)]
pub struct Outbound(pub Envelope);

impl actix::Message for Outbound {
    type Result = Result<Vec<u8>, LinkFault>;
}
