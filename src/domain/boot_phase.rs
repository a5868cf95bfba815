//! How far a node has come with an instance.
//!
//! ```text
//! Accepted → FetchingImage → PreparingDisk → AttachingNetwork → StartingDomain → Running
//!     └───────────────┴──────────────┴───────────────┴───────────────┴──→ Ended (failed)
//! Running → Stopping → Stopped → (Accepted …)          any → Ending → Ended
//! ```
//!
//! Each phase before `Running` has a deadline; each is safe to begin again after a crash.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BootPhase {
    Accepted,
    FetchingImage,
    PreparingDisk,
    AttachingNetwork,
    StartingDomain,
    Running,
    Stopping,
    Stopped,
    /// Being torn down.
    Ending,
    /// Nothing of it is left on the node but this word.
    Ended,
}

impl BootPhase {
    /// On its way to running.
    pub fn is_booting(self) -> bool {
        self < BootPhase::Running
    }

    /// Whether the guest's vcpus and memory are held.
    pub fn holds_power(self) -> bool {
        self <= BootPhase::Stopping || self == BootPhase::Ending
    }

    /// Whether the root disk is held.
    pub fn holds_disk(self) -> bool {
        self != BootPhase::Ended
    }

    /// In words, for a reason or a progress line.
    pub fn as_str(self) -> &'static str {
        match self {
            BootPhase::Accepted => "accepted",
            BootPhase::FetchingImage => "fetching the image",
            BootPhase::PreparingDisk => "preparing the root disk",
            BootPhase::AttachingNetwork => "attaching the network",
            BootPhase::StartingDomain => "starting the guest",
            BootPhase::Running => "running",
            BootPhase::Stopping => "stopping",
            BootPhase::Stopped => "stopped",
            BootPhase::Ending => "being torn down",
            BootPhase::Ended => "gone",
        }
    }
}
