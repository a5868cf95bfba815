//! The instance metadata service: what a guest hears when it asks 169.254.169.254.
//!
//! `answer` is pure: the facts of one instance, a request and the time make a response. Whose facts
//! they are is decided before it is called, by the address the packet came from (`server`), never
//! by anything the request says. Both versions are spoken: the plain GETs of IMDSv1 and the session
//! tokens of IMDSv2.
//!
//! Deliberately absent: roles' credentials (`iam/`), signed identity documents (`pkcs7`,
//! `signature`) and IPv6; they answer 404 as on an instance without them.

pub mod registry;
mod request;
pub mod server;
mod token;
mod tree;

pub use request::{Method, Request, Response, answer};
pub use token::TokenKey;

use crate::domain::metadata::InstanceMetadata;
use std::{fmt::Debug, net::Ipv4Addr, sync::Arc};

/// Who lives at an address of the public wire of this host.
pub trait MetadataSource: Debug + Send + Sync {
    fn by_address(&self, address: Ipv4Addr) -> Option<Arc<InstanceMetadata>>;
}
