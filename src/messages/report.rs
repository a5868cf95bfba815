//! What travels up: what changed on a node since a report that was heard, or its whole state.
//!
//! A lost report costs nothing: whoever missed one says so, and is told everything.

use crate::domain::{
    boot_phase::BootPhase,
    id::{AccountId, GroupName, InstanceId, NodeName},
    instance::StateReason,
    resources::Resources,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One instance as its node has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceReport {
    pub instance: InstanceId,
    pub owner: AccountId,
    /// The last request of the cloud the node has taken up.
    pub revision: u64,
    pub phase: BootPhase,
    /// Why it stopped or ended, or failed to start.
    pub reason: Option<StateReason>,
    /// Why the guest, though it runs, is not well.
    pub impairment: Option<String>,
    /// What it holds in this phase.
    pub held: Resources,
}

/// A guest nobody asked this cloud for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignGuest {
    pub name: String,
    pub running: bool,
    pub resources: Resources,
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    pub node: NodeName,
    /// Grows with every change, over restarts too: of two reports the one with the higher is newer.
    pub generation: u64,
    pub made_at: Timestamp,
    /// What the node offers to this cloud in all.
    pub total: Resources,
    /// Of an earlier report: only what changed since is told of instances. None: all of them are.
    pub since: Option<u64>,
    pub instances: Vec<InstanceReport>,
    /// What the node does not have any more.
    pub gone: Vec<InstanceId>,
    pub foreign: Vec<ForeignGuest>,
    /// What runs its guests, e.g. `libvirt 9.0.0 (embedded), QEMU 7.2.22, TCG: as configured`.
    pub hypervisor: String,
}

/// What a report is to whoever has heard others before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// A newer one was heard.
    Late,
    /// One that it goes on from was not.
    Gap,
    News,
}

/// The answer to a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Heard {
    Taken,
    /// It goes on from what is not known here.
    TellAll,
}

impl NodeReport {
    /// `known` is the generation of the newest report heard.
    pub fn after(&self, known: Option<u64>) -> Reading {
        if known.is_some_and(|known| known > self.generation) {
            return Reading::Late;
        }
        match self.since {
            Some(since) if known.is_none_or(|known| known < since) => Reading::Gap,
            _ => Reading::News,
        }
    }

    /// Brings a picture of the node's instances up to date.
    pub fn apply(&self, instances: &mut BTreeMap<InstanceId, InstanceReport>) {
        if self.since.is_none() {
            instances.clear();
        }
        for gone in &self.gone {
            instances.remove(gone);
        }
        for stated in &self.instances {
            instances.insert(stated.instance.clone(), stated.clone());
        }
    }

    pub fn foreign_total(&self) -> Resources {
        self.foreign.iter().filter(|guest| guest.running).map(|guest| guest.resources).sum()
    }
}

/// A node's report as its group passes it on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupReport {
    pub group: GroupName,
    pub report: NodeReport,
}
