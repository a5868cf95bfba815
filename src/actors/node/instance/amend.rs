//! What may change of an instance without a boot: its metadata, where the world finds it, and what
//! its ports admit.

use super::{InstanceActor, not_recorded};
use crate::{
    domain::{
        boot_phase::{BootPhase, Step},
        elastic_address::{Elastic, ElasticAssignment},
        id::InterfaceId,
        instance::ShutdownBehavior,
        metadata::InstanceMetadata,
        port_filter::PortFilter,
    },
    messages::node::{InstanceSpec, NodeFault},
    network::NetworkFault,
};
use actix::{ActorFutureExt, AtomicResponse, Handler, Message, WrapFuture};
use std::{future::Future, sync::Arc};

/// What may change without a boot.
#[derive(Message)]
#[rtype(result = "Result<(), NodeFault>")]
pub enum Amend {
    Facts {
        generation: u64,
        metadata: Box<InstanceMetadata>,
        shutdown_behavior: ShutdownBehavior,
        elastic: Vec<(InterfaceId, ElasticAssignment)>,
    },
    /// Of some of its interfaces.
    Filters { generation: u64, filters: Vec<(InterfaceId, Arc<PortFilter>)> },
}

impl Handler<Amend> for InstanceActor {
    /// Holds the actor, so that of two amendments the later one is in force afterwards.
    type Result = AtomicResponse<Self, Result<(), NodeFault>>;

    fn handle(&mut self, amend: Amend, _: &mut Self::Context) -> Self::Result {
        let before = self.record.spec.clone();
        match amend {
            Amend::Facts { generation, .. } if generation < told(&before) => {
                let instance = &self.record.spec.instance;
                log::debug!("an update of generation {generation} comes too late for `{instance}`");
            }
            Amend::Facts { generation: _, metadata, shutdown_behavior, elastic } => {
                for interface in &mut self.record.spec.interfaces {
                    let assigned = elastic.iter().find(|(id, _)| *id == interface.id);
                    if let Some((_, assignment)) = assigned {
                        self.elastic_due |= interface.elastic.elastic != assignment.elastic;
                        interface.elastic = *assignment;
                    }
                }
                self.record.spec.metadata = *metadata;
                self.record.spec.shutdown_behavior = shutdown_behavior;
                if self.has_ports() {
                    self.host.metadata.insert(&self.record.spec.metadata);
                }
            }
            Amend::Filters { generation, .. } if generation < before.filters_generation => {
                let instance = &self.record.spec.instance;
                log::debug!("filters of generation {generation} come too late for `{instance}`");
            }
            Amend::Filters { generation, filters } => {
                self.record.spec.filters_generation = generation;
                for interface in &mut self.record.spec.interfaces {
                    let assigned = filters.iter().find(|(id, _)| *id == interface.id);
                    if let Some((_, filter)) = assigned
                        && interface.filter != **filter
                    {
                        interface.filter = PortFilter::clone(filter);
                        self.filters_due = true;
                    }
                }
            }
        }
        let attaching = matches!(self.under_way, Some(Step::AttachNetwork | Step::RestoreNetwork));
        if !attaching && !self.has_ports() {
            self.take_due();
        }
        // A generation that brings nothing else is recorded with whatever is next.
        let after = &self.record.spec;
        let recorded = differ(&before, after).then(|| self.host.record(&self.record));
        let due = self.filters_due || self.elastic_due;
        let set = (due && !attaching).then(|| self.set_ports());
        let done = async move {
            if let Some(recorded) = recorded {
                recorded.await.map_err(not_recorded)?;
            }
            match set {
                None => Ok(false),
                Some(set) => set.await.map(|()| true).map_err(NodeFault::Failed),
            }
        };
        AtomicResponse::new(Box::pin(done.into_actor(self).map(|outcome, actor, context| {
            match &outcome {
                Ok(true) => _ = actor.take_due(),
                Ok(false) => {}
                // The same amendment once more changes nothing, and would not be recorded.
                Err(NodeFault::NotRecorded(_) | NodeFault::InDoubt(_)) => actor.keep(context),
                // What could not be set is still due when it is asked again.
                Err(_) => {}
            }
            outcome.map(|_| ())
        })))
    }
}

/// Of which telling the elastic addresses are, and the metadata with them.
fn told(spec: &InstanceSpec) -> u64 {
    let tellings = spec.interfaces.iter().map(|interface| interface.elastic.generation);
    tellings.max().unwrap_or_default()
}

/// In anything but what counts tellings.
fn differ(one: &InstanceSpec, other: &InstanceSpec) -> bool {
    let elastic = |spec: &InstanceSpec| -> Vec<Option<Elastic>> {
        spec.interfaces.iter().map(|interface| interface.elastic.elastic).collect()
    };
    let uncounted = |spec: &InstanceSpec| {
        let mut spec = spec.clone();
        spec.filters_generation = 0;
        spec.interfaces.iter_mut().for_each(|interface| interface.elastic = Default::default());
        spec
    };
    elastic(one) != elastic(other) || uncounted(one) != uncounted(other)
}

impl InstanceActor {
    /// From when they are made until they begin to be taken away.
    fn has_ports(&self) -> bool {
        let made = matches!(
            self.phase,
            BootPhase::AttachingNetwork | BootPhase::StartingDomain | BootPhase::Running
        );
        let taken = matches!(self.under_way, Some(Step::SwitchOff | Step::TearDown));
        made && !taken && self.unplugged.is_none()
    }

    /// Whether anything of the ports was to be set, which is nobody's business any more.
    pub(super) fn take_due(&mut self) -> bool {
        let due = [&mut self.filters_due, &mut self.elastic_due].map(std::mem::take);
        due.contains(&true)
    }

    /// As the record says it, each whole.
    fn set_ports(&self) -> impl Future<Output = Result<(), String>> + use<> {
        let (filters, elastic) = (self.filters_due, self.elastic_due);
        let host = self.host.clone();
        let interfaces = self.record.spec.interfaces.clone();
        async move {
            let threads = host.threads.clone();
            let set = threads.run(move || {
                interfaces.iter().try_for_each(|interface| {
                    if elastic {
                        host.datapath.set_elastic(&interface.id, &interface.elastic)?;
                    }
                    if filters {
                        host.datapath.set_filter(&interface.id, &interface.filter)?;
                    }
                    Ok::<(), NetworkFault>(())
                })
            });
            match set.await {
                Ok(outcome) => outcome.map_err(|fault| fault.to_string()),
                Err(_) => Err("setting ports ended without a word".to_owned()),
            }
        }
    }
}
