//! At start: the records held against what is really there.
//!
//! Guests outlive the process. One that runs and is wanted so is adopted as it is; one that is
//! gone went off while nobody looked; everything else goes on from where its record says. What
//! belongs to no record is a crash's leftover and is removed.

use super::{Core, NodeManager, instance, record::InstanceRecord};
use crate::{
    domain::{
        boot_phase::{BootPhase, Goal},
        id::InstanceId,
    },
    hypervisor::{Domain, DomainState, OffReason, Ownership},
};
use actix::Addr;
use std::{collections::BTreeSet, rc::Rc};

impl Core {
    /// Takes up every record, given what the hypervisor had when it was asked. Blocks while the
    /// wires are looked at, which is before anybody is answered.
    pub(super) fn adopt(
        self: &Rc<Self>,
        records: Vec<InstanceRecord>,
        domains: &[Domain],
        myself: &Addr<NodeManager>,
    ) {
        let running = on(domains);
        for record in &records {
            self.know(record, record.settled);
        }
        for record in records {
            let instance = record.spec.instance.clone();
            let runs = running.contains(&instance);
            let phase = phase_found(&record, runs);
            let mut unplugged = None;
            if phase == BootPhase::Running && runs {
                // The taps are there; the process that answered for them is new.
                if let Err(why) = self.host.attach_network(&record) {
                    log::error!("instance `{instance}` runs without its network: {why}");
                    self.note_unplugged(&instance, &why);
                    unplugged = Some(why);
                }
            }
            let went_off = phase == BootPhase::Running && !runs;
            self.begin(record, phase, unplugged, myself);
            if went_off {
                self.tell_off(&instance);
            }
        }
        self.sweep(domains);
        if self.may_sweep_network() {
            self.host.sweep_network();
        }
    }

    fn note_unplugged(&self, instance: &InstanceId, why: &str) {
        let mut book = self.book.borrow_mut();
        book.network_unswept = true;
        book.instances.change(instance, |known| known.report.impairment = Some(why.to_owned()));
    }

    /// Whether ports that belong to nobody may go: once every guest's are known. One that could not
    /// be attached yet would be taken for a leftover, and its guest would be cut off for good.
    pub(super) fn may_sweep_network(&self) -> bool {
        let book = self.book.borrow();
        book.instances.iter().all(|known| known.report.impairment.is_none())
    }

    pub(super) fn tell_off(&self, instance: &InstanceId) {
        let book = self.book.borrow();
        if let Some(actor) = book.instances.get(instance).and_then(|known| known.actor.as_ref()) {
            actor.do_send(instance::WentOff(OffReason::Destroyed));
        }
    }

    fn sweep(&self, domains: &[Domain]) {
        let known = |id: &InstanceId| self.book.borrow().instances.get(id).is_some();
        for domain in domains {
            if let Ownership::Ours(id) = &domain.ownership
                && !known(id)
            {
                // Records precede domains, so this one is another state directory's.
                log::error!("domain of `{id}` has our name and no record here: it is left alone");
            }
        }
        if let Err(error) = self.host.sweep_directories(known) {
            log::error!("what a crash left of instances cannot be removed: {error}");
        }
    }
}

/// Our guests that are on. A paused one is: its memory is there, and who paused it may resume it.
pub(super) fn on(domains: &[Domain]) -> BTreeSet<InstanceId> {
    domains
        .iter()
        .filter(|domain| domain.state != DomainState::Off)
        .filter_map(|domain| match &domain.ownership {
            Ownership::Ours(id) => Some(id.clone()),
            Ownership::Foreign { .. } => None,
        })
        .collect()
}

/// Where an instance is, by its record and by whether its guest is on.
fn phase_found(record: &InstanceRecord, runs: bool) -> BootPhase {
    match (record.settled, runs) {
        (BootPhase::Ended, _) => BootPhase::Ended,
        (_, true) => BootPhase::Running,
        // It ran when last seen, and is told next that it went off.
        (BootPhase::Running, false) if record.goal == Goal::Run => BootPhase::Running,
        (BootPhase::Stopped, false) if record.goal == Goal::Stop => BootPhase::Stopped,
        // Whatever was begun is undone first: a boot may have left a domain that is off.
        (_, false) => BootPhase::Stopping,
    }
}
