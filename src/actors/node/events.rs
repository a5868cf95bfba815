//! What the node manager tells: how each of its instances goes from step to step.

use super::Core;
use crate::{
    domain::{boot_phase::BootPhase, trace::Cause},
    events::event::{Event, Eviction, Transition},
    messages::report::InstanceReport,
};

impl Core {
    /// To be told before the book has it.
    pub(super) fn tell_change(&self, after: &InstanceReport, cause: &Cause) {
        if !self.teller.is_on() {
            return;
        }
        let book = self.book.borrow();
        let before = book.instances.get(&after.instance).map(|known| known.report.phase);
        if before == Some(after.phase) {
            return;
        }
        self.teller.tell(Some(cause), || {
            Event::Transition(Transition {
                instance: after.instance.clone(),
                from: before.map(name),
                to: name(after.phase),
                account: after.owner.clone(),
                group: None,
                node: Some(self.name.clone()),
                reason_code: after.reason.as_ref().map(|reason| reason.code.clone()),
                reason: after.reason.as_ref().map(|reason| reason.message.clone()),
            })
        });
    }

    pub(super) fn tell_fenced(&self) {
        self.teller.tell(Some(&Cause::occasion("fenced")), || {
            let node = self.name.clone();
            Event::Eviction(Eviction { outcome: "fenced", group: None, node })
        });
    }
}

/// As the log has it: a word that never changes, where `as_str` is prose.
fn name(phase: BootPhase) -> &'static str {
    match phase {
        BootPhase::Accepted => "accepted",
        BootPhase::FetchingImage => "fetching-image",
        BootPhase::PreparingDisk => "preparing-disk",
        BootPhase::AttachingNetwork => "attaching-network",
        BootPhase::StartingDomain => "starting-domain",
        BootPhase::Running => "running",
        BootPhase::Stopping => "stopping",
        BootPhase::Stopped => "stopped",
        BootPhase::Ending => "ending",
        BootPhase::Ended => "ended",
    }
}
