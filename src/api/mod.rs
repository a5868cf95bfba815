//! EC2, spoken here and nowhere else.
//!
//! A request comes in through `server`, is proved to be its sender's by `signature`, becomes
//! `Parameters`, and from them an action's own request struct (`query`). What the action answers
//! leaves through `response`, what it refuses through `error`. EC2's shapes and words stop at this
//! room's door: inside the cloud they are domain values.

pub mod endpoint;
pub mod protocol;
pub mod server;

pub mod action;
pub mod actions;
pub mod certificate;
pub mod cloud_certificate;
pub mod fault;
pub mod key_material;
pub mod shapes;

pub mod service;
pub mod signature;

pub mod parameters;
pub mod query;

pub mod edition;
pub mod shape;
pub mod soap_body;
pub mod wsdl;

pub mod describe;
pub mod filters;
pub mod pagination;
pub mod selection;

pub mod error;
pub mod response;
pub mod time;
pub mod xml;

#[cfg(test)]
mod effort;
