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

/// How an instance is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Goal {
    Run,
    /// Off, with its disk kept.
    Stop,
    /// Gone.
    End,
}

/// One thing a node does for an instance; each may be repeated harmlessly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    FetchImage,
    PrepareDisk,
    AttachNetwork,
    StartDomain,
    /// Make the ports of a running guest known again, by a process that found it running and could
    /// not.
    RestoreNetwork,
    /// Ask the guest to power off, and wait for it.
    ShutDown,
    /// Take power and network away; the disk stays.
    SwitchOff,
    /// Take everything away.
    TearDown,
}

impl Step {
    /// The phase an instance is in while the step goes on, and has completed when it is done.
    pub fn phase(self) -> BootPhase {
        match self {
            Step::FetchImage => BootPhase::FetchingImage,
            Step::PrepareDisk => BootPhase::PreparingDisk,
            Step::AttachNetwork => BootPhase::AttachingNetwork,
            Step::StartDomain => BootPhase::StartingDomain,
            Step::RestoreNetwork => BootPhase::Running,
            Step::ShutDown | Step::SwitchOff => BootPhase::Stopping,
            Step::TearDown => BootPhase::Ending,
        }
    }

    /// Where an instance is once the step is done.
    pub fn done(self) -> BootPhase {
        match self {
            Step::StartDomain => BootPhase::Running,
            Step::SwitchOff => BootPhase::Stopped,
            Step::TearDown => BootPhase::Ended,
            Step::FetchImage
            | Step::PrepareDisk
            | Step::AttachNetwork
            | Step::RestoreNetwork
            | Step::ShutDown => self.phase(),
        }
    }

    /// What has happened when the step is done, for a log.
    pub fn done_as_str(self) -> &'static str {
        match self {
            Step::FetchImage => "image fetched",
            Step::PrepareDisk => "root disk prepared",
            Step::AttachNetwork | Step::RestoreNetwork => "network attached",
            Step::StartDomain => "guest started",
            Step::ShutDown => "guest asked to power off",
            Step::SwitchOff => "guest off",
            Step::TearDown => "nothing left of it",
        }
    }

    /// How long the step may take before it counts as failed.
    pub fn deadline(self) -> std::time::Duration {
        let seconds = match self {
            Step::FetchImage => 1800,
            Step::PrepareDisk | Step::StartDomain => 120,
            Step::AttachNetwork | Step::RestoreNetwork => 60,
            Step::ShutDown => 60,
            Step::SwitchOff | Step::TearDown => 120,
        };
        std::time::Duration::from_secs(seconds)
    }
}

impl BootPhase {
    /// What a node does next with an instance that has come this far and is wanted so.
    pub fn step_towards(self, goal: Goal) -> Option<Step> {
        use BootPhase::{
            Accepted, AttachingNetwork, Ended, Ending, FetchingImage, PreparingDisk, Running,
            StartingDomain, Stopped, Stopping,
        };
        match (goal, self) {
            (_, Ended) => None,
            (Goal::End, _) => Some(Step::TearDown),
            (Goal::Run, Accepted | Stopped) => Some(Step::FetchImage),
            (Goal::Run, FetchingImage) => Some(Step::PrepareDisk),
            (Goal::Run, PreparingDisk) => Some(Step::AttachNetwork),
            (Goal::Run, AttachingNetwork) => Some(Step::StartDomain),
            (Goal::Run, StartingDomain | Running) => None,
            // Whatever was begun is undone before the guest is wanted otherwise.
            (Goal::Run, Stopping | Ending) => Some(Step::SwitchOff),
            (Goal::Stop, Running) => Some(Step::ShutDown),
            (Goal::Stop, Stopped) => None,
            (
                Goal::Stop,
                Accepted | FetchingImage | PreparingDisk | AttachingNetwork | StartingDomain
                | Stopping | Ending,
            ) => Some(Step::SwitchOff),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(from: BootPhase, goal: Goal) -> Vec<Step> {
        let mut phase = from;
        let mut steps = Vec::new();
        while let Some(step) = phase.step_towards(goal) {
            steps.push(step);
            phase = step.done();
            assert!(steps.len() < 10, "{from:?} never gets to {goal:?}");
        }
        steps
    }

    #[test]
    fn an_accepted_instance_gets_its_image_disk_network_and_power_in_this_order() {
        use Step::{AttachNetwork, FetchImage, PrepareDisk, StartDomain};
        let boot = [FetchImage, PrepareDisk, AttachNetwork, StartDomain];
        assert_eq!(walk(BootPhase::Accepted, Goal::Run), boot);
        assert_eq!(walk(BootPhase::Stopped, Goal::Run), boot);
    }

    #[test]
    fn a_running_guest_is_asked_before_its_power_is_taken() {
        assert_eq!(walk(BootPhase::Running, Goal::Stop), [Step::ShutDown, Step::SwitchOff]);
        assert_eq!(walk(BootPhase::PreparingDisk, Goal::Stop), [Step::SwitchOff]);
    }

    #[test]
    fn from_anywhere_an_instance_can_be_torn_down() {
        for phase in [BootPhase::Accepted, BootPhase::Running, BootPhase::Stopped] {
            assert_eq!(walk(phase, Goal::End), [Step::TearDown]);
        }
        assert_eq!(walk(BootPhase::Ended, Goal::End), []);
    }
}
