//! Carrying questions between processes, as bytes. Knows no role and no domain type.
//!
//! `loopback` is the shortest transport there is: through bytes and back, within one process. Links
//! over the network come beside it.

pub mod loopback;
