//! What fuzz targets see of Mallee: the files that read bytes from outside, compiled once more.
//!
//! They are named where they are, and not as the crate `mallee`, for two reasons: these few, which
//! name only each other and `domain`, are built with instrumentation in a fraction of the time that
//! everything takes; and what a room keeps to itself can be reached without being made public there
//! (`cable_bytes`, `routing_bytes`, `transport_bytes`). What they begin to name must be named here too;
//! the little that they name of actix is in `frameworks`.
//!
//! Here is also how inputs are read (`input`). What must hold of a parser stands in its target.

// Nobody here calls all that the rooms keep for each other.
#![allow(dead_code)]

extern crate self as actix;
extern crate self as actix_web;

pub use frameworks::{Message, http};

#[path = "../../../src/domain/mod.rs"]
pub mod domain;

#[path = "../../../src/soap/mod.rs"]
pub mod soap;

#[path = "../../../src/messages"]
pub mod messages {
    pub mod context;
    pub mod envelope;

    pub use context::CallContext;
}

#[path = "../../../src/api"]
pub mod api {
    pub mod error;
    pub mod parameters;
    pub mod query;
    pub mod response;
    pub mod service;
    pub mod signature;
    pub mod xml;
}

#[path = "../../../src/network"]
pub mod network {
    pub mod cable;
    pub mod dhcp;
    pub mod ethernet;
    pub mod fragments;
    pub mod frame;
    pub mod record;
    pub mod segments;
    pub mod switch;
}

pub mod api_bytes;
pub mod cable_bytes;
pub mod frameworks;
pub mod input;
pub mod routing_bytes;
pub mod transport_bytes;
