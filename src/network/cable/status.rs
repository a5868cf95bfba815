//! What can be told of cables: how they do, why one is down, what was refused and why.

use crate::domain::overlay::SwitchId;
use serde::{Deserialize, Serialize};
use std::{fmt, net::SocketAddr};

/// Why a datagram changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Shorter than anything that is sent, or of another length than its kind has.
    Truncated,
    /// Of another version, kind, or with bits set that this version does not know.
    Version,
    /// No session of ours has this index: a stranger, or a session that is gone.
    UnknownIndex,
    /// Seen before, or too old to tell.
    Replayed,
    /// Does not open: altered on its way, or sealed with another key.
    Altered,
    /// A hello to another switch.
    NotForUs,
    /// A hello from a switch that may have no cable to this one.
    UnknownPeer,
    /// A hello in an epoch whose keys we do not have, or have no more.
    UnknownEpoch,
    /// A hello that answers nothing we asked lately.
    Stale,
    /// Opens, but says nothing this version understands.
    Malformed,
    /// More hellos than are answered.
    TooMany,
}

impl Refusal {
    pub const ALL: [Refusal; 11] = [
        Refusal::Truncated,
        Refusal::Version,
        Refusal::UnknownIndex,
        Refusal::Replayed,
        Refusal::Altered,
        Refusal::NotForUs,
        Refusal::UnknownPeer,
        Refusal::UnknownEpoch,
        Refusal::Stale,
        Refusal::Malformed,
        Refusal::TooMany,
    ];

    /// As metrics label it.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::Truncated => "truncated",
            Refusal::Version => "version",
            Refusal::UnknownIndex => "unknown-index",
            Refusal::Replayed => "replayed",
            Refusal::Altered => "altered",
            Refusal::NotForUs => "not-for-us",
            Refusal::UnknownPeer => "unknown-peer",
            Refusal::UnknownEpoch => "unknown-epoch",
            Refusal::Stale => "stale",
            Refusal::Malformed => "malformed",
            Refusal::TooMany => "too-many",
        }
    }
}

/// How many datagrams were refused, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals([u64; Refusal::ALL.len()]);

impl Refusals {
    pub fn count(&self, why: Refusal) -> u64 {
        self.0[why as usize]
    }
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
    /// Those that happened.
    pub fn by_reason(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        Refusal::ALL.into_iter().map(|why| (why, self.count(why))).filter(|(_, count)| *count > 0)
    }
    pub(super) fn add(&mut self, why: Refusal) {
        self.0[why as usize] += 1;
    }
}

impl Serialize for Refusals {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.by_reason().map(|(why, count)| (why.name(), count)))
    }
}

/// Why a cable is down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhyDown {
    /// Nothing was tried yet.
    New,
    /// Neither has it endpoints, nor did it call, nor did another switch say where it is.
    NoAddress,
    NoAnswer {
        tried: Vec<SocketAddr>,
    },
    /// It was up, and nothing came any more.
    Silent {
        address: SocketAddr,
    },
    /// It calls with an epoch whose keys we lack.
    NoCommonEpoch {
        theirs: u32,
        ours: Vec<u32>,
    },
    /// It calls, but what it says does not open with the keys of the epoch it names.
    OtherKeys {
        epoch: u32,
    },
    /// It said that it stops.
    Left,
    /// It lost its side of the session and began anew.
    BeganAnew,
    /// The managers gave no keys, or other ones than those in use.
    KeysWithdrawn,
    /// The managers name it no more.
    NotInCharter,
}

impl fmt::Display for WhyDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhyDown::New => f.write_str("not tried yet"),
            WhyDown::NoAddress => f.write_str("no address of it is known"),
            WhyDown::NoAnswer { tried } => {
                f.write_str("no answer from any of")?;
                for (number, address) in tried.iter().enumerate() {
                    write!(f, "{} `{address}`", if number > 0 { "," } else { "" })?;
                }
                Ok(())
            }
            WhyDown::Silent { address } => write!(f, "`{address}` fell silent"),
            WhyDown::NoCommonEpoch { theirs, ours } => write!(
                f,
                "no key of a common epoch: it calls with epoch {theirs}, keys are here for {ours:?}"
            ),
            WhyDown::OtherKeys { epoch } => {
                write!(f, "its hellos do not open with the key of epoch {epoch} here")
            }
            WhyDown::Left => f.write_str("it said that it stops"),
            WhyDown::BeganAnew => f.write_str("it began anew"),
            WhyDown::KeysWithdrawn => f.write_str("the keys in use were withdrawn"),
            WhyDown::NotInCharter => f.write_str("the managers name it no more"),
        }
    }
}

/// What whoever routes over cables must know, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CableEvent {
    /// Both ends can open what the other seals. The far end is told the same: whatever one end has
    /// to tell the other at the beginning is to be told now.
    Up {
        neighbour: SwitchId,
        cost: u32,
    },
    Down {
        neighbour: SwitchId,
        why: WhyDown,
    },
    /// The round trip changed enough to matter.
    Cost {
        neighbour: SwitchId,
        cost: u32,
    },
}

/// One cable as people are shown it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CableStatus {
    pub neighbour: SwitchId,
    pub name: String,
    pub is_up: bool,
    /// Why it is not up, in words.
    pub why_down: Option<String>,
    /// Where the far end is heard.
    pub address: Option<SocketAddr>,
    /// Where the far end sees this one.
    pub seen_at: Option<SocketAddr>,
    /// Every address that is tried while it is down.
    pub candidates: Vec<SocketAddr>,
    /// Of the keys in use.
    pub epoch: Option<u32>,
    pub cost: Option<u32>,
    pub round_trip_us: Option<u64>,
    /// Parts lost of what comes in, and of what goes out as the far end tells: 0 to 1.
    pub loss_in: f32,
    pub loss_out: f32,
    /// The largest datagram, as UDP's payload, and what of it is left behind a `RecordHeader`.
    pub datagram: usize,
    pub room: usize,
    pub sealed_datagrams: u64,
    pub sealed_bytes: u64,
    pub opened_datagrams: u64,
    pub opened_bytes: u64,
    pub refused: Refusals,
    /// Sessions begun, renewals among them.
    pub sessions: u64,
}
