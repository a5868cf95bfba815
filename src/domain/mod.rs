//! What a cloud is: plain values and pure decisions. No IO, no async, no actors.
//!
//! Everything here can be read, tested and reasoned about without knowing how a request arrived or
//! how a guest is run. Time and chance are handed in (`time`, `chance`).

pub mod chance;
pub mod id;
pub mod scope;
pub mod time;
pub mod trace;

pub mod boot_phase;
pub mod elastic_address;
pub mod instance;
pub mod instance_type;
pub mod interface;
pub mod metadata;
pub mod port_filter;
pub mod resources;
pub mod settings;

pub mod account;
pub mod blob;
pub mod credential;
pub mod image;
pub mod key_pair;
pub mod membership;
pub mod overlay;
pub mod roster;
pub mod security_group;
pub mod signing_certificate;
pub mod tag;
pub mod vpc;

pub mod allocation;
pub mod capacity;
pub mod filter;
pub mod placement;
pub mod sla;

pub mod cloud_state;
pub mod detached_interface;
pub mod dns_name;
pub mod draft;
pub mod fault;
