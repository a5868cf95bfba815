//! The `[events]` section: the log of what happens, kept by each process for itself.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventsSection {
    /// Of the disk; none of it: no log.
    pub keep_mib: u64,
}

impl Default for EventsSection {
    fn default() -> EventsSection {
        EventsSection { keep_mib: 32 }
    }
}
