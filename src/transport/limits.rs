//! How much patience and memory a link has for its peer.

use crate::messages::envelope::BODY_LIMIT_BYTES;
use std::time::Duration;

/// What stands around a body in a frame: a question's name and circumstances.
pub const ENVELOPE_LIMIT_BYTES: usize = 64 << 10;

/// The largest frame there is once peers know one another.
pub const FRAME_LIMIT_BYTES: usize = BODY_LIMIT_BYTES + ENVELOPE_LIMIT_BYTES;

/// The largest frame from one who has not been let in.
pub(super) const GREETING_LIMIT_BYTES: usize = 16 << 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How many of its questions a peer may have answered at the same time. It is told, and asks
    /// no more; what it asks all the same is not carried out.
    pub questions_max: usize,
    /// How many questions may wait to be written, for their turn or for the network.
    pub waiting_max: usize,
    /// How many bytes may wait to be written, and how many may be held of a peer's questions and
    /// the answers to them.
    pub held_bytes_max: usize,
    /// How often a peer is heard even if there is nothing to say.
    pub ping_every: Duration,
    /// After so long without a byte a peer is taken for gone.
    pub silence_max: Duration,
    /// After so long without taking a byte of what there is for it, a peer is cut.
    pub stall_max: Duration,
    /// From the first packet to the first frame after the handshake.
    pub connect_within: Duration,
    /// How many strangers may be at the door at one time.
    pub strangers_max: usize,
    /// How many blobs a peer may fetch at one time.
    pub bulk_max: usize,
    /// The dialer's first pause after a failure, and the longest.
    pub retry_first: Duration,
    pub retry_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            questions_max: 256,
            waiting_max: 4096,
            held_bytes_max: 4 * FRAME_LIMIT_BYTES,
            ping_every: Duration::from_secs(5),
            silence_max: Duration::from_secs(15),
            stall_max: Duration::from_secs(10),
            connect_within: Duration::from_secs(10),
            strangers_max: 128,
            bulk_max: 4,
            retry_first: Duration::from_millis(100),
            retry_max: Duration::from_secs(30),
        }
    }
}
