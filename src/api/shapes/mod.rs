//! Shapes that several actions read or write: parts of EC2's requests and answers.
//!
//! A shape of one action alone stays in that action's file.

pub mod instance_type;
pub mod tag;
pub mod zone;
