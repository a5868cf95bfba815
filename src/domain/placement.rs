//! Which node gets an instance.
//!
//! A policy ranks nodes by what they have; the first in that order with room is taken. Order and
//! room are kept in an [`Index`](index::Index) as capacity changes, so that no request looks at
//! every node: `docs/decisions/013-placement.md`.

pub mod index;

mod front;
#[cfg(test)]
mod tests;

use super::resources::Resources;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// How a group chooses among its nodes.
pub trait PlacementPolicy: fmt::Debug + Send + Sync {
    /// Nodes of a lower rank go first, those of the same in the order of their names. Asked for
    /// when a node's figures change and then kept, so it must follow from them alone.
    fn rank(&self, total: Resources, free: Resources) -> u32;

    fn search(&self) -> Search {
        Search::FromTheFirst
    }
}

/// Where the search for a node with room begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    FromTheFirst,
    /// After the node chosen last, and around.
    FromTheLastChosen,
}

/// The policies there are, by the names they have in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyName {
    #[default]
    FirstFit,
    RoundRobin,
    Spread,
    Pack,
}

impl PolicyName {
    pub const ALL: [PolicyName; 4] =
        [PolicyName::FirstFit, PolicyName::RoundRobin, PolicyName::Spread, PolicyName::Pack];

    /// As the configuration has it.
    pub fn as_str(self) -> &'static str {
        match self {
            PolicyName::FirstFit => "first-fit",
            PolicyName::RoundRobin => "round-robin",
            PolicyName::Spread => "spread",
            PolicyName::Pack => "pack",
        }
    }

    pub fn policy(self) -> Arc<dyn PlacementPolicy> {
        match self {
            PolicyName::FirstFit => Arc::new(FirstFit),
            PolicyName::RoundRobin => Arc::new(RoundRobin),
            PolicyName::Spread => Arc::new(Spread),
            PolicyName::Pack => Arc::new(Pack),
        }
    }
}

/// The paper's rule: the first node with room.
#[derive(Debug)]
pub struct FirstFit;

impl PlacementPolicy for FirstFit {
    fn rank(&self, _: Resources, _: Resources) -> u32 {
        0
    }
}

/// The next node with room after the one chosen last.
#[derive(Debug)]
pub struct RoundRobin;

impl PlacementPolicy for RoundRobin {
    fn rank(&self, _: Resources, _: Resources) -> u32 {
        0
    }

    fn search(&self) -> Search {
        Search::FromTheLastChosen
    }
}

/// The emptiest node, so that a lost node takes few guests along.
#[derive(Debug)]
pub struct Spread;

impl PlacementPolicy for Spread {
    fn rank(&self, total: Resources, free: Resources) -> u32 {
        WHOLE - free_share(total, free)
    }
}

/// The fullest node that still has room, so that others stay free for what is large.
#[derive(Debug)]
pub struct Pack;

impl PlacementPolicy for Pack {
    fn rank(&self, total: Resources, free: Resources) -> u32 {
        free_share(total, free)
    }
}

/// All of a node, in the parts that shares are counted in.
const WHOLE: u32 = 1 << 20;

/// How much of a node is free: of that of which the least is left, since it decides what still
/// fits. Of what a node has none of, none is free.
fn free_share(total: Resources, free: Resources) -> u32 {
    let share = |total: u64, free: u64| {
        let parts = u128::from(free.min(total)) * u128::from(WHOLE);
        let share = parts.checked_div(total.into()).unwrap_or(0);
        u32::try_from(share).expect("a part is not more than the whole")
    };
    share(total.vcpus.into(), free.vcpus.into())
        .min(share(total.memory_mib, free.memory_mib))
        .min(share(total.disk_gib, free.disk_gib))
}
