//! Shapes that several actions read or write: parts of EC2's requests and answers.
//!
//! A shape of one action alone stays in that action's file.

pub mod addresses_wanted;
pub mod elastic_address;
pub mod image;
pub mod instance;
pub mod instance_facts;
pub mod instance_interface;
pub mod instance_type;
pub mod interface_address;
pub mod network_interface;
pub mod reservation;
pub mod state_change;
pub mod subnet;
pub mod vpc;

pub mod cidr;
pub mod launch_network;
pub mod metadata_options;
pub mod root_volume;
pub mod tag;
pub mod user_data;
pub mod zone;

pub mod credential;
pub mod user;

pub mod ip_permission;
pub mod not_honoured;
pub mod rule_change;
pub mod security_group;
pub mod security_group_rule;
pub mod shown;
pub mod traffic;
