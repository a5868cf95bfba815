//! Managers on other hosts: who they are, how they come in, and what they are told.
//!
//! ```text
//!   cloud's process    registry (authority, ledger) ── door ◄──── uplink    group's process
//!                          desk (charter, certificates)             │
//!                                                     door ◄──── uplink    node's process
//! ```
//!
//! A parent opens a `door` to its children; a child has an `uplink` to its parent, which is all the
//! network that it needs. What a host was given when it joined is its `card`.

pub mod above;
pub mod card;
pub mod desk;
pub mod door;
pub mod joining;
pub mod registry;
pub mod uplink;

use crate::transport::{Clock, limits::Limits};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Certificates are judged by the host's own clock.
pub fn system_clock() -> Clock {
    Arc::new(SystemTime::now)
}

/// Between hosts, so that a link that was cut is found dead and made anew within seconds.
pub fn limits() -> Limits {
    Limits {
        ping_every: Duration::from_secs(1),
        silence_max: Duration::from_secs(4),
        retry_max: Duration::from_secs(1),
        ..Limits::default()
    }
}

/// The same for whoever dials: a packet lost while the link was cut must not be waited for.
pub fn dialing_limits() -> Limits {
    Limits { connect_within: Duration::from_secs(3), ..limits() }
}
