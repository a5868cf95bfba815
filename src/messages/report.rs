//! What travels up: a node's whole state, so that a lost report costs nothing.

use crate::domain::{
    boot_phase::BootPhase,
    id::{AccountId, GroupName, InstanceId, NodeName},
    instance::StateReason,
    resources::Resources,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

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

/// Everything a node knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    pub node: NodeName,
    /// Grows with every change, over restarts too: of two reports the one with the higher is newer.
    pub generation: u64,
    pub made_at: Timestamp,
    /// What the node offers to this cloud in all.
    pub total: Resources,
    pub instances: Vec<InstanceReport>,
    pub foreign: Vec<ForeignGuest>,
    /// What runs its guests, e.g. `libvirt 9.0.0 (embedded), QEMU 7.2.22, TCG: as configured`.
    pub hypervisor: String,
}

impl NodeReport {
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
