//! Of a question, whose wish it is and how long it may take.

use crate::domain::{
    account::Caller,
    trace::{Cause, TraceId},
};
use serde::{Deserialize, Serialize};

/// The circumstances of asking, alike for every question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallContext {
    /// One id from the API to the node, in every log line and span.
    pub request_id: String,
    /// Of the client's trace, or the one that began with the request; none of what no request asked
    /// for.
    pub trace_id: Option<TraceId>,
    /// What is left of the asker's patience; shrinks at every hop.
    pub time_left_ms: u64,
    /// Whose wish it is, checked again where it is carried out.
    pub on_behalf_of: Caller,
}

impl CallContext {
    /// What is done for this call is done for that.
    pub fn cause(&self) -> Cause {
        Cause { request_id: self.request_id.clone(), trace_id: self.trace_id }
    }

    /// The same call with at most this much time.
    pub fn within(&self, limit_ms: u64) -> CallContext {
        CallContext { time_left_ms: self.time_left_ms.min(limit_ms), ..self.clone() }
    }
}
