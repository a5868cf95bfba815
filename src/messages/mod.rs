//! What roles say to one another: plain serde data that survives a wire.
//!
//! A message names its answer and its fault in its type. Nothing here holds an address, a handle or
//! shared memory; large things travel by reference (`BlobId`). Requests carry ids the asker chose
//! and revisions, so that asking twice is harmless.

pub mod cloud;
pub mod envelope;
pub mod group;
pub mod node;
pub mod report;

use crate::domain::{
    account::Caller,
    id::InstanceId,
    trace::{Cause, TraceId},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A question one role asks another.
pub trait Ask: Serialize + DeserializeOwned + Send + 'static {
    type Reply: Serialize + DeserializeOwned + Send + 'static;
    type Fault: Serialize + DeserializeOwned + std::error::Error + Send + 'static;
    /// `<receiver>.<verb>`, unique in the system.
    const NAME: &'static str;

    /// The instance it is about, if it is about one.
    fn about(&self) -> Option<&InstanceId> {
        None
    }
}

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

macro_rules! asks {
    ($($message:ty => $reply:ty, $fault:ty, $name:literal $(, about $($instance:ident).+)?;)+) => {$(
        impl $crate::messages::Ask for $message {
            type Reply = $reply;
            type Fault = $fault;
            const NAME: &'static str = $name;
            $(fn about(&self) -> Option<&InstanceId> {
                Some(&self.$($instance).+)
            })?
        }
    )+};
}
use asks;
