//! What the side-by-side benches stand on: requests, programs under measurement, printed lines.

#![allow(dead_code, reason = "each bench uses its part")]

pub mod program;
pub mod request;
pub mod table;
