//! An instance as the cloud records it, and the one function that moves it through its life.
//!
//! ```text
//!            ┌────────── StartRequested ───────────┐
//!            ▼                                     │
//! launch → Pending ─ GuestStarted → Running ─ StopRequested → Stopping ─ GuestStopped → Stopped
//!            │                        │                          │                        │
//!            └────────────────────────┴── TerminateRequested ────┴────────────────────────┘
//!                                               ▼
//!                                         ShuttingDown ─ GuestGone → Terminated
//! ```

use super::{
    detached_interface::CreationToken,
    id::{
        AttachmentId, GroupName, ImageId, InstanceId, InterfaceId, NodeName, ReservationId,
        SecurityGroupId, SubnetId, VolumeId, VpcId, ZoneName,
    },
    image::BootSource,
    instance_type::InstanceTypeName,
    interface::{FURTHER_FROM, MacAddress, Wire},
    metadata::MetadataOptions,
    port_filter::Cidr,
    resources::Resources,
    scope::Scope,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, net::Ipv4Addr};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum InstanceState {
    Pending,
    Running,
    Stopping,
    Stopped,
    ShuttingDown,
    Terminated,
}

impl InstanceState {
    pub const ALL: [InstanceState; 6] = [
        InstanceState::Pending,
        InstanceState::Running,
        InstanceState::Stopping,
        InstanceState::Stopped,
        InstanceState::ShuttingDown,
        InstanceState::Terminated,
    ];

    /// EC2's code (low byte; API reference, `InstanceState`).
    pub fn code(self) -> u16 {
        match self {
            InstanceState::Pending => 0,
            InstanceState::Running => 16,
            InstanceState::ShuttingDown => 32,
            InstanceState::Terminated => 48,
            InstanceState::Stopping => 64,
            InstanceState::Stopped => 80,
        }
    }

    /// EC2's name.
    pub fn as_str(self) -> &'static str {
        match self {
            InstanceState::Pending => "pending",
            InstanceState::Running => "running",
            InstanceState::ShuttingDown => "shutting-down",
            InstanceState::Terminated => "terminated",
            InstanceState::Stopping => "stopping",
            InstanceState::Stopped => "stopped",
        }
    }

    /// Whether it still holds its addresses and its disk.
    pub fn exists(self) -> bool {
        self != InstanceState::Terminated
    }

    /// Whether a node owes us a change: somebody has to ask until it is done.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            InstanceState::Pending | InstanceState::Stopping | InstanceState::ShuttingDown
        )
    }
}

/// What can happen to an instance: a request of a user, or a positive statement of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LifecycleEvent {
    StartRequested,
    StopRequested,
    TerminateRequested,
    /// The guest executes.
    GuestStarted,
    /// The guest is off and its disk is kept.
    GuestStopped,
    /// Nothing of the guest is left.
    GuestGone,
    /// Its node is gone, and it is to run on another.
    NodeLost,
}

/// The request makes no sense in the state the instance is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("not possible while `{}`", .0.as_str())]
pub struct Refused(pub InstanceState);

impl InstanceState {
    /// The one transition function. Requests may be refused; statements of a node never are: one
    /// that is overtaken by a later request leaves the state as it is.
    pub fn after(self, event: LifecycleEvent) -> Result<InstanceState, Refused> {
        use InstanceState::{Pending, Running, ShuttingDown, Stopped, Stopping, Terminated};
        match (self, event) {
            (Terminated, LifecycleEvent::TerminateRequested) => Ok(Terminated),
            (Pending | Running | Stopping | Stopped, LifecycleEvent::TerminateRequested) => {
                Ok(ShuttingDown)
            }
            (ShuttingDown, LifecycleEvent::TerminateRequested) => Ok(ShuttingDown),

            (Running | Stopping, LifecycleEvent::StopRequested) => Ok(Stopping),
            (Stopped, LifecycleEvent::StopRequested) => Ok(Stopped),
            (Pending | ShuttingDown | Terminated, LifecycleEvent::StopRequested) => {
                Err(Refused(self))
            }

            (Pending | Running, LifecycleEvent::NodeLost) => Ok(Pending),
            (Stopping | Stopped, LifecycleEvent::NodeLost) => Ok(Stopped),
            (ShuttingDown | Terminated, LifecycleEvent::NodeLost) => Ok(Terminated),

            (Stopped, LifecycleEvent::StartRequested) => Ok(Pending),
            (Pending | Running, LifecycleEvent::StartRequested) => Ok(self),
            (Stopping | ShuttingDown | Terminated, LifecycleEvent::StartRequested) => {
                Err(Refused(self))
            }

            (Pending, LifecycleEvent::GuestStarted) => Ok(Running),
            (
                Running | Stopping | Stopped | ShuttingDown | Terminated,
                LifecycleEvent::GuestStarted,
            ) => Ok(self),

            (Pending | Running | Stopping | Stopped, LifecycleEvent::GuestStopped) => Ok(Stopped),
            (ShuttingDown | Terminated, LifecycleEvent::GuestStopped) => Ok(self),

            (
                Pending | Running | Stopping | Stopped | ShuttingDown | Terminated,
                LifecycleEvent::GuestGone,
            ) => Ok(Terminated),
        }
    }
}

/// Why an instance is in its state, in EC2's form: `Client.UserInitiatedShutdown` and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateReason {
    pub code: String,
    pub message: String,
}

impl StateReason {
    fn of(code: &str, message: impl Into<String>) -> StateReason {
        StateReason { code: code.into(), message: message.into() }
    }
    pub fn pending() -> StateReason {
        StateReason::of("pending", "pending")
    }
    pub fn user_initiated_shutdown() -> StateReason {
        StateReason::of(
            "Client.UserInitiatedShutdown",
            "Client.UserInitiatedShutdown: User initiated shutdown",
        )
    }
    /// The guest switched itself off.
    pub fn instance_initiated_shutdown() -> StateReason {
        StateReason::of(
            "Client.InstanceInitiatedShutdown",
            "Client.InstanceInitiatedShutdown: Instance initiated shutdown",
        )
    }
    /// The cloud, not the user, is to blame.
    pub fn internal_error(why: &str) -> StateReason {
        StateReason::of("Server.InternalError", format!("Server.InternalError: {why}"))
    }
    /// A policy granted a time that is over.
    pub fn lifetime_over(granted_seconds: u64) -> StateReason {
        StateReason::of(
            "Server.ScheduledStop",
            format!(
                "Server.ScheduledStop: the {granted_seconds} seconds that this cloud grants an \
                 instance are over"
            ),
        )
    }
    pub fn insufficient_capacity(why: &str) -> StateReason {
        StateReason::of(
            "Server.InsufficientInstanceCapacity",
            format!("Server.InsufficientInstanceCapacity: {why}"),
        )
    }
}

/// What a guest's own power-off means (EC2's `InstanceInitiatedShutdownBehavior`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum ShutdownBehavior {
    #[default]
    Stop,
    Terminate,
}

impl ShutdownBehavior {
    pub fn as_str(self) -> &'static str {
        match self {
            ShutdownBehavior::Stop => "stop",
            ShutdownBehavior::Terminate => "terminate",
        }
    }
}

/// A NIC of an instance as the cloud records it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    pub id: InterfaceId,
    pub attachment: AttachmentId,
    pub device_index: u32,
    pub mac: MacAddress,
    pub wire: Wire,
    pub address: Ipv4Addr,
    /// The range the address is from.
    pub range: Cidr,
    /// The subnet of an interface on a private wire.
    pub subnet: Option<SubnetId>,
    pub attached_at: Timestamp,
    /// Further addresses, in the same subnet.
    #[serde(default)]
    pub secondary: Vec<Ipv4Addr>,
    #[serde(default)]
    pub description: String,
    /// None: the instance's, as those two have that it is launched with.
    #[serde(default)]
    pub security_groups: Option<Vec<SecurityGroupId>>,
    /// The same.
    #[serde(default)]
    pub checks_source: Option<bool>,
    /// Otherwise it is detached when its instance ends.
    #[serde(default = "yes")]
    pub deleted_with_instance: bool,
    /// Of one that was made by itself.
    #[serde(default)]
    pub made_by: Option<CreationToken>,
}

/// As it was before there was a choice.
fn yes() -> bool {
    true
}

impl Interface {
    /// The first one, and those besides.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        std::iter::once(self.address).chain(self.secondary.iter().copied())
    }

    /// Not one of those an instance is born with, which it cannot be without.
    pub fn is_further(&self) -> bool {
        self.device_index >= FURTHER_FROM
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    pub scope: Scope,
    pub id: InstanceId,
    pub reservation: ReservationId,
    pub launch_index: u32,
    pub image: ImageId,
    pub kernel: Option<ImageId>,
    pub ramdisk: Option<ImageId>,
    pub instance_type: InstanceTypeName,
    pub resources: Resources,
    pub architecture: String,
    pub root_device_name: String,
    pub root_volume: VolumeId,
    pub key_name: Option<String>,
    pub security_groups: Vec<SecurityGroupId>,
    pub user_data: Option<Vec<u8>>,
    pub client_token: Option<String>,
    pub interfaces: Vec<Interface>,
    pub zone: ZoneName,
    pub group: GroupName,
    /// Where it is, once its group has said so.
    pub node: Option<NodeName>,
    /// The generation at which its node first was known to have it: what the node said before that
    /// does not say that it is gone.
    #[serde(default)]
    pub placed_at: u64,
    pub state: InstanceState,
    pub state_reason: Option<StateReason>,
    /// When the present state began.
    pub state_since: Timestamp,
    pub launched_at: Timestamp,
    /// When the cloud ends it, whatever it does: what a policy has granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Timestamp>,
    /// Resolved at launch: what the instance needs to start again outlives image and key pair.
    pub boot: BootSource,
    pub public_key: Option<String>,
    /// Counts the requests that change what the node should do (launch, stop, start, reboot,
    /// terminate): the node repeats it in its reports, so that a report older than a request is
    /// not mistaken for its outcome.
    pub revision: u64,
    /// The stop under way does not wait for the guest.
    #[serde(default)]
    pub stop_forced: bool,
    pub shutdown_behavior: ShutdownBehavior,
    pub disable_api_termination: bool,
    pub disable_api_stop: bool,
    pub ebs_optimized: bool,
    pub monitoring: bool,
    pub source_dest_check: bool,
    pub metadata_options: MetadataOptions,
}

impl Instance {
    /// What it holds of its node in its present state.
    pub fn holding(&self) -> Option<Resources> {
        match self.state {
            InstanceState::Terminated => None,
            InstanceState::Stopped => Some(self.resources.while_stopped()),
            InstanceState::Pending
            | InstanceState::Running
            | InstanceState::Stopping
            | InstanceState::ShuttingDown => Some(self.resources),
        }
    }

    pub fn public_interface(&self) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.wire == Wire::Public)
    }

    pub fn groups_of<'a>(&'a self, interface: &'a Interface) -> &'a [SecurityGroupId] {
        interface.security_groups.as_ref().unwrap_or(&self.security_groups)
    }

    pub fn checks_source_of(&self, interface: &Interface) -> bool {
        interface.checks_source.unwrap_or(self.source_dest_check)
    }

    /// Of itself and of each of its interfaces.
    pub fn all_groups(&self) -> BTreeSet<&SecurityGroupId> {
        let own = self.interfaces.iter().filter_map(|interface| interface.security_groups.as_ref());
        self.security_groups.iter().chain(own.flatten()).collect()
    }

    /// The first interface on the owner's own network.
    pub fn private_interface(&self) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.wire != Wire::Public)
    }

    /// The network of that.
    pub fn vpc(&self) -> Option<&VpcId> {
        match &self.private_interface()?.wire {
            Wire::Private(vpc) => Some(vpc),
            Wire::Public => None,
        }
    }

    /// When its disk and interfaces were made; a later start changes `launched_at` only.
    pub fn attached_at(&self) -> Timestamp {
        self.interfaces.first().map_or(self.launched_at, |interface| interface.attached_at)
    }

    /// Moves to the state after `event`, noting when and why.
    pub fn apply(
        &mut self,
        event: LifecycleEvent,
        reason: Option<StateReason>,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let next = self.state.after(event)?;
        if next != self.state {
            self.state = next;
            self.stop_forced = false;
            self.state_since = now;
            self.state_reason = reason;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use InstanceState::*;
    use LifecycleEvent::*;

    const EVENTS: [LifecycleEvent; 7] = [
        StartRequested,
        StopRequested,
        TerminateRequested,
        GuestStarted,
        GuestStopped,
        GuestGone,
        NodeLost,
    ];

    #[test]
    fn the_codes_are_ec2s() {
        let codes: Vec<_> = InstanceState::ALL.iter().map(|s| s.code()).collect();
        assert_eq!(codes, [0, 16, 64, 80, 32, 48]);
    }

    #[test]
    fn terminated_is_for_ever() {
        for event in EVENTS {
            assert_eq!(Terminated.after(event).unwrap_or(Terminated), Terminated, "{event:?}");
        }
    }

    #[test]
    fn from_every_state_a_terminate_and_a_last_word_of_the_node_end_it() {
        for state in InstanceState::ALL {
            let asked = state.after(TerminateRequested).unwrap();
            assert_eq!(asked.after(GuestGone), Ok(Terminated));
        }
    }

    #[test]
    fn what_a_node_states_is_never_refused() {
        for state in InstanceState::ALL {
            for event in [GuestStarted, GuestStopped, GuestGone, NodeLost] {
                assert!(state.after(event).is_ok());
            }
        }
    }

    #[test]
    fn a_late_statement_does_not_undo_a_request() {
        assert_eq!(Stopping.after(GuestStarted), Ok(Stopping));
        assert_eq!(ShuttingDown.after(GuestStarted), Ok(ShuttingDown));
        assert_eq!(ShuttingDown.after(GuestStopped), Ok(ShuttingDown));
    }

    #[test]
    fn start_and_stop_are_idempotent_and_refused_while_ending() {
        assert_eq!(Running.after(StartRequested), Ok(Running));
        assert_eq!(Stopped.after(StopRequested), Ok(Stopped));
        assert_eq!(ShuttingDown.after(StartRequested), Err(Refused(ShuttingDown)));
        assert_eq!(Pending.after(StopRequested), Err(Refused(Pending)));
    }
}
