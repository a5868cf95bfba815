//! A node's records: what it was asked to run, and how often it has started.

use crate::{
    domain::{
        boot_phase::{BootPhase, Goal},
        instance::StateReason,
        resources::Resources,
    },
    messages::{
        node::{InstanceSpec, NodeFault},
        report::InstanceReport,
    },
    store::{StoreFault, record::Record},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An instance as its node has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    pub spec: InstanceSpec,
    /// The last request taken up.
    pub revision: u64,
    pub goal: Goal,
    /// A stop that does not wait for the guest.
    #[serde(default)]
    pub forced: bool,
    /// A reboot taken up that the running guest is still to get.
    #[serde(default)]
    pub reboot_due: bool,
    /// Where it last came to rest; `Accepted` until it first did.
    pub settled: BootPhase,
    pub reason: Option<StateReason>,
}

impl Record for InstanceRecord {
    const TABLE: &'static str = "node-instance";
    const VERSION: u16 = 2;
    fn key(&self) -> Vec<u8> {
        self.spec.instance.to_string().into()
    }

    /// Version 1 knew peers as ranges only.
    fn upgrade(_: u16, mut old: Value) -> Result<Value, String> {
        let interfaces = old["spec"]["interfaces"].as_array_mut();
        for interface in interfaces.ok_or("it has no interfaces")? {
            let permits = interface["filter"]["permits"].as_array_mut();
            for permit in permits.ok_or("an interface has no filter")? {
                permit["peers"] = serde_json::json!({ "Ranges": permit["peers"].take() });
            }
        }
        Ok(old)
    }
}

impl InstanceRecord {
    /// Takes up what a start wants, which may have been under way for longer than the filters here.
    pub fn take_spec(&mut self, spec: InstanceSpec) {
        let before = std::mem::replace(&mut self.spec, spec);
        self.keep_newer_elastic(&before);
        if before.filters_generation <= self.spec.filters_generation {
            return;
        }
        self.spec.filters_generation = before.filters_generation;
        for interface in &mut self.spec.interfaces {
            if let Some(known) = before.interfaces.iter().find(|known| known.id == interface.id) {
                interface.filter = known.filter.clone();
            }
        }
    }

    /// An update may have come that the start, being older, knows nothing of.
    fn keep_newer_elastic(&mut self, before: &InstanceSpec) {
        let mut is_older = false;
        for interface in &mut self.spec.interfaces {
            let known = before.interfaces.iter().find(|known| known.id == interface.id);
            if let Some(known) = known
                && known.elastic.generation > interface.elastic.generation
            {
                interface.elastic = known.elastic;
                is_older = true;
            }
        }
        if is_older {
            self.spec.metadata = before.metadata.clone();
        }
    }

    pub fn report(&self, phase: BootPhase) -> InstanceReport {
        let mut held = Resources::NONE;
        if phase.holds_disk() {
            held = self.spec.resources.while_stopped();
        }
        if phase.holds_power() {
            held = self.spec.resources;
        }
        InstanceReport {
            instance: self.spec.instance.clone(),
            owner: self.spec.owner.clone(),
            revision: self.revision,
            phase,
            reason: self.reason.clone(),
            impairment: None,
            held,
        }
    }
}

/// What the asker is told of a record that was not written, or perhaps was.
pub fn not_recorded(fault: StoreFault) -> NodeFault {
    match fault {
        StoreFault::Unknown(why) => NodeFault::InDoubt(why),
        fault => NodeFault::NotRecorded(fault.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        actors::testing::{spec, vcpus},
        domain::port_filter::Peers,
        store::{Batch, Store, memory::MemoryStore, record::load_all},
    };

    #[test]
    fn a_record_of_version_1_is_read() {
        let mut record = InstanceRecord {
            spec: spec(1, vcpus(1)),
            revision: 1,
            goal: Goal::Run,
            forced: false,
            reboot_due: false,
            settled: BootPhase::Running,
            reason: None,
        };
        for interface in &mut record.spec.interfaces {
            interface.filter.permits.retain(|permit| matches!(permit.peers, Peers::Ranges(_)));
            assert!(!interface.filter.permits.is_empty());
        }
        let mut old = serde_json::to_value(&record).unwrap();
        for interface in old["spec"]["interfaces"].as_array_mut().unwrap() {
            for permit in interface["filter"]["permits"].as_array_mut().unwrap() {
                permit["peers"] = permit["peers"]["Ranges"].take();
            }
        }
        let store = MemoryStore::default();
        let mut batch = Batch::default();
        let bytes = serde_json::to_vec(&serde_json::json!({ "v": 1, "record": old })).unwrap();
        batch.put(InstanceRecord::TABLE, record.key(), bytes);
        store.commit(batch).unwrap();
        assert_eq!(load_all::<InstanceRecord>(&store).unwrap(), [record]);
    }
}
