//! The three managers as actors, and how they find one another.
//!
//! `Address` says where an actor is without saying how far away; `switchboard` is the receiving
//! end of a far one. Each manager is a directory: its state and its list of messages in `mod.rs`,
//! then one file per noun.

pub mod address;
pub mod switchboard;

pub mod forgotten;

pub mod cloud;
pub mod group;
pub mod node;

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
