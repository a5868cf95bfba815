//! What roles say to one another: plain serde data that survives a wire.
//!
//! A message names its answer and its fault in its type. Nothing here holds an address, a handle or
//! shared memory; large things travel by reference (`BlobId`). Requests carry ids the asker chose
//! and revisions, so that asking twice is harmless.

pub mod cloud;
pub mod context;
pub mod envelope;
pub mod group;
pub mod node;
pub mod report;

pub use context::CallContext;

use crate::domain::id::InstanceId;
use serde::{Serialize, de::DeserializeOwned};

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
