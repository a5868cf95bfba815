//! Mallee: a private EC2 in one binary.
//!
//! The rooms, in reading order. `docs/ARCHITECTURE.md` is the map; `tests/tidy.rs` checks who may
//! import whom.

pub mod domain;
pub mod messages;

pub mod actors;
pub mod transport;

pub mod api;
pub mod metadata;
pub mod soap;

pub mod blobs;
pub mod enclosure;
pub mod hypervisor;
pub mod imaging;
pub mod ledger;
pub mod network;
pub mod store;

pub mod ambient;
pub mod boot;
pub mod cli;
pub mod config;
pub mod events;
pub mod metrics;
pub mod simulation;
