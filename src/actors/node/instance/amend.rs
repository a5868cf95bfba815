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

#[cfg(test)]
mod tests {
    use crate::{
        actors::{
            address::AskError,
            testing::{Node, spec, vcpus},
        },
        domain::{
            boot_phase::BootPhase,
            elastic_address::{Egress, Elastic, ElasticAssignment},
            id::InterfaceId,
        },
        messages::node::{InstanceSpec, NodeFault, StopInstance, UpdateInstance},
    };
    use std::net::Ipv4Addr;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

    async fn running(node: &Node, number: u64) -> InstanceSpec {
        let spec = spec(number, vcpus(1));
        node.boot(&spec, 1).await.unwrap();
        node.until(&spec.instance, BootPhase::Running).await;
        spec
    }

    fn interface(spec: &InstanceSpec) -> InterfaceId {
        spec.interfaces[0].id.clone()
    }

    /// The instance has the address as of this telling, or no longer.
    fn told(spec: &InstanceSpec, generation: u64, address: Option<Ipv4Addr>) -> UpdateInstance {
        let elastic = address.map(|address| Elastic { address, egress: Egress::Elastic });
        let mut metadata = spec.metadata.clone();
        metadata.public_address = address.or(metadata.public_address);
        UpdateInstance {
            instance: spec.instance.clone(),
            generation,
            metadata,
            shutdown_behavior: spec.shutdown_behavior,
            elastic: vec![(interface(spec), ElasticAssignment { generation, elastic })],
        }
    }

    fn heard(node: &Node, spec: &InstanceSpec) -> Option<Ipv4Addr> {
        node.metadata(spec.interfaces[0].address).unwrap().public_address
    }

    #[actix_rt::test]
    async fn an_address_is_there_at_once_and_after_a_restart() {
        let mut node = Node::start("n1", 4);
        let spec = running(&node, 1).await;
        node.ask(told(&spec, 1, Some(ADDRESS))).await.unwrap();
        assert_eq!(node.datapath().behind(ADDRESS), Some(interface(&spec)));
        assert_eq!(heard(&node, &spec), Some(ADDRESS));
        node.restart();
        node.until(&spec.instance, BootPhase::Running).await;
        assert_eq!(node.datapath().behind(ADDRESS), Some(interface(&spec)));
        node.ask(told(&spec, 2, None)).await.unwrap();
        assert_eq!(node.datapath().behind(ADDRESS), None);
        assert_eq!(heard(&node, &spec), spec.metadata.public_address);
    }

    #[actix_rt::test]
    async fn an_update_that_comes_late_does_not_replace_a_newer_one_and_nor_does_a_start() {
        let node = Node::start("n1", 4);
        let spec = running(&node, 1).await;
        node.ask(told(&spec, 7, Some(ADDRESS))).await.unwrap();
        node.ask(told(&spec, 6, None)).await.unwrap();
        assert_eq!(node.datapath().behind(ADDRESS), Some(interface(&spec)));
        assert_eq!(heard(&node, &spec), Some(ADDRESS));
        let stop = StopInstance { instance: spec.instance.clone(), revision: 2, force: true };
        node.ask(stop).await.unwrap();
        node.until(&spec.instance, BootPhase::Stopped).await;
        assert_eq!(node.datapath().behind(ADDRESS), None);
        // The start knows nothing of the address yet.
        node.boot(&spec, 3).await.unwrap();
        node.until(&spec.instance, BootPhase::Running).await;
        assert_eq!(node.datapath().behind(ADDRESS), Some(interface(&spec)));
        assert_eq!(heard(&node, &spec), Some(ADDRESS));
    }

    #[actix_rt::test]
    async fn a_move_between_two_guests_is_the_same_in_whatever_order_they_are_told() {
        for is_old_first in [true, false] {
            let node = Node::start("n1", 4);
            let (old, new) = (running(&node, 1).await, running(&node, 2).await);
            node.ask(told(&old, 1, Some(ADDRESS))).await.unwrap();
            let mut tellings = [told(&old, 2, None), told(&new, 2, Some(ADDRESS))];
            if !is_old_first {
                tellings.reverse();
            }
            for telling in tellings {
                node.ask(telling).await.unwrap();
                let holder = node.datapath().behind(ADDRESS);
                assert_ne!(holder, Some(interface(&old)));
            }
            assert_eq!(node.datapath().behind(ADDRESS), Some(interface(&new)));
        }
    }

    #[actix_rt::test]
    async fn an_address_that_could_not_be_set_is_set_when_it_is_told_again() {
        let node = Node::start("n1", 4);
        let spec = running(&node, 1).await;
        node.hindrance.fail_next("set_elastic");
        let refused = node.ask(told(&spec, 1, Some(ADDRESS))).await;
        assert!(matches!(refused, Err(AskError::Refused(NodeFault::Failed(_)))));
        node.ask(told(&spec, 2, Some(ADDRESS))).await.unwrap();
        assert_eq!(node.datapath().behind(ADDRESS), Some(interface(&spec)));
    }
}
