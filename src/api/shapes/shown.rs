//! What stands in an answer as it displays itself.

use serde::{Serialize, Serializer};
use std::fmt::Display;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown<T>(pub T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// As filters see what is so or not.
pub fn yes_no(answer: bool) -> &'static str {
    if answer { "true" } else { "false" }
}
