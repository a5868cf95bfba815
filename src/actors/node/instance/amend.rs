//! What may change of an instance without a boot: its metadata, and what its ports admit.

use super::{InstanceActor, not_recorded};
use crate::{
    domain::{
        boot_phase::{BootPhase, Step},
        id::InterfaceId,
        instance::ShutdownBehavior,
        metadata::InstanceMetadata,
        port_filter::PortFilter,
    },
    messages::node::{InstanceSpec, NodeFault},
};
use actix::{ActorFutureExt, AtomicResponse, Handler, Message, WrapFuture};
use std::{future::Future, sync::Arc};

/// What may change without a boot.
#[derive(Message)]
#[rtype(result = "Result<(), NodeFault>")]
pub enum Amend {
    Facts {
        metadata: Box<InstanceMetadata>,
        shutdown_behavior: ShutdownBehavior,
    },
    /// Of some of its interfaces.
    Filters {
        generation: u64,
        filters: Vec<(InterfaceId, Arc<PortFilter>)>,
    },
}

impl Handler<Amend> for InstanceActor {
    /// Holds the actor, so that of two amendments the later one is in force afterwards.
    type Result = AtomicResponse<Self, Result<(), NodeFault>>;

    fn handle(&mut self, amend: Amend, _: &mut Self::Context) -> Self::Result {
        let before = self.record.spec.clone();
        match amend {
            Amend::Facts { metadata, shutdown_behavior } => {
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
            self.filters_due = false;
        }
        // A generation that brings nothing else is recorded with whatever is next.
        let after = InstanceSpec {
            filters_generation: before.filters_generation,
            ..self.record.spec.clone()
        };
        let recorded = (after != before).then(|| self.host.record(&self.record));
        let set = (self.filters_due && !attaching).then(|| self.set_filters());
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
                Ok(true) => actor.filters_due = false,
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

    fn set_filters(&self) -> impl Future<Output = Result<(), String>> + use<> {
        let host = self.host.clone();
        let interfaces = self.record.spec.interfaces.clone();
        async move {
            let threads = host.threads.clone();
            let set = threads.run(move || {
                interfaces.iter().try_for_each(|interface| {
                    host.datapath.set_filter(&interface.id, &interface.filter)
                })
            });
            match set.await {
                Ok(outcome) => outcome.map_err(|fault| fault.to_string()),
                Err(_) => Err("setting filters ended without a word".to_owned()),
            }
        }
    }
}
