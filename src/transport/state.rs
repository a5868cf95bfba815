//! How a link is doing, for people and for metrics.

use super::identity::Identity;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkState {
    /// Who is at the other end, or was last; a dialer knows once it got through.
    pub peer: Option<Identity>,
    /// `None`: it is not connected.
    pub connected_since: Option<SystemTime>,
    /// How long ago the last byte came.
    pub heard_ago: Option<Duration>,
    /// Of the latest ping that was answered.
    pub round_trip: Option<Duration>,
    /// Over all connections of this link, as are frames.
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub frames_in: u64,
    pub frames_out: u64,
    /// How many connections there were, beyond the first.
    pub reconnects: u64,
    /// Why the last connection ended, or the last attempt failed.
    pub last_failure: Option<String>,
}
