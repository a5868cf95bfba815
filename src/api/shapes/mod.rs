//! Shapes that several actions read or write: parts of EC2's requests and answers.
//!
//! A shape of one action alone stays in that action's file.

pub mod tag;
pub mod zone;

pub mod ip_permission;
pub mod rule_change;
pub mod security_group;
pub mod security_group_rule;
pub mod traffic;
