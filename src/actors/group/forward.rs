//! Requests about instances that have a node: passed on to it.

use super::{Core, reported::Reported};
use crate::{
    actors::address::{Address, AskError, Serves},
    actors::{address::Call, node::NodeManager},
    domain::id::{InstanceId, NodeName},
    messages::{
        Ask, CallContext,
        group::{
            DescribeInstances, DescribeResources, Done, ForgetInstances, GroupFault, Outcome,
            Outcomes, ReadConsole, RebootInstances, ResourceCounts, SetFilters, StopInstances,
            TerminateInstances, UpdateInstances,
        },
        node::{
            self, Accepted, ConsoleText, NodeFault, RebootInstance, StopInstance, TerminateInstance,
        },
        report::GroupReport,
    },
};
use actix::{Handler, dev::ToEnvelope};
use futures_util::future::{join, join_all};
use std::{collections::BTreeMap, rc::Rc};
use tracing::{Instrument, debug_span};

/// What becomes of instances that no node of the group has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unplaced {
    Leave,
    /// They are not to come to one later either, with a request that was overtaken on its way.
    IsOver,
}

impl Core {
    pub(super) async fn stop_instances(
        self: &Rc<Self>,
        context: CallContext,
        asked: StopInstances,
    ) -> Result<Outcomes, GroupFault> {
        let force = asked.force;
        self.forward(context, asked.instances, Unplaced::Leave, move |instance, revision| {
            StopInstance { instance, revision, force }
        })
        .await
    }

    pub(super) async fn reboot_instances(
        self: &Rc<Self>,
        context: CallContext,
        asked: RebootInstances,
    ) -> Result<Outcomes, GroupFault> {
        let make = |instance, revision| RebootInstance { instance, revision };
        self.forward(context, asked.instances, Unplaced::Leave, make).await
    }

    pub(super) async fn terminate_instances(
        self: &Rc<Self>,
        context: CallContext,
        asked: TerminateInstances,
    ) -> Result<Outcomes, GroupFault> {
        let make = |instance, revision| TerminateInstance { instance, revision };
        self.forward(context, asked.instances, Unplaced::IsOver, make).await
    }

    pub(super) async fn update_instances(
        self: &Rc<Self>,
        context: CallContext,
        asked: UpdateInstances,
    ) -> Result<Outcomes, GroupFault> {
        let mut updates: BTreeMap<_, _> =
            asked.instances.into_iter().map(|update| (update.instance.clone(), update)).collect();
        let instances = updates.keys().map(|id| (id.clone(), 0)).collect();
        self.forward(context, instances, Unplaced::Leave, move |instance, _| {
            updates.remove(&instance).expect("one update was given for each instance")
        })
        .await
    }

    /// Sends each instance's request to its node, all at once.
    async fn forward<M>(
        self: &Rc<Self>,
        context: CallContext,
        instances: Vec<(InstanceId, u64)>,
        unplaced: Unplaced,
        mut make: impl FnMut(InstanceId, u64) -> M,
    ) -> Result<Outcomes, GroupFault>
    where
        M: Ask<Reply = Accepted, Fault = NodeFault>,
        NodeManager: Serves<M> + Handler<Call<M>>,
        <NodeManager as actix::Actor>::Context: ToEnvelope<NodeManager, Call<M>>,
    {
        let asked: Vec<_> = instances
            .into_iter()
            .map(|(instance, revision)| (instance.clone(), revision, make(instance, revision)))
            .collect();
        let outcomes = join_all(asked.into_iter().map(|(instance, revision, message)| {
            let core = self.clone();
            let context = context.clone();
            async move {
                core.placed(&instance).await;
                let outcome = match core.node_of(&instance) {
                    None => {
                        if unplaced == Unplaced::IsOver {
                            core.forget(vec![instance.clone()]).await;
                        }
                        Outcome::NotPlaced
                    }
                    Some(node) => match core.node(&node) {
                        Some(address) => {
                            let request_id = &context.request_id;
                            let span = debug_span!("forward", %request_id, %instance, %node);
                            outcome(node, address.ask(context, message).instrument(span).await)
                        }
                        None => Outcome::Unanswered,
                    },
                };
                Done { instance, revision, outcome }
            }
        }))
        .await;
        Ok(Outcomes { outcomes })
    }

    pub(super) async fn forget_instances(
        self: &Rc<Self>,
        context: CallContext,
        asked: ForgetInstances,
    ) -> Result<(), GroupFault> {
        let mut by_node: BTreeMap<NodeName, Vec<InstanceId>> = BTreeMap::new();
        let mut over = Vec::new();
        for instance in asked.instances {
            match self.node_of(&instance) {
                Some(node) => by_node.entry(node).or_default().push(instance),
                None => over.push(instance),
            }
        }
        for (node, instances) in by_node {
            let Some(address) = self.node(&node) else { continue };
            let forget = node::ForgetInstances { instances: instances.clone() };
            match address.ask(context.clone(), forget).await {
                // Both are written together.
                Ok(_) => _ = join(self.give_up(&instances), self.forget(instances.clone())).await,
                // The node states their end again, and the cloud asks again.
                Err(fault) => log::debug!("node `{node}` will be told again to forget: {fault}"),
            }
        }
        self.forget(over).await;
        Ok(())
    }

    /// Every node is told every filter: a node leaves alone the ports it has not.
    pub(super) async fn set_filters(
        self: &Rc<Self>,
        context: CallContext,
        asked: SetFilters,
    ) -> Result<(), GroupFault> {
        let nodes = self.nodes();
        let told = nodes.into_iter().map(|(name, address)| {
            let SetFilters { generation, members, assignments } = asked.clone();
            let message = node::SetFilters { generation, members, assignments };
            let answer = address.ask(context.clone(), message);
            async move { (name, answer.await) }
        });
        for (node, answer) in join_all(told).await {
            match answer {
                Ok(_) => {}
                Err(AskError::Refused(fault)) => {
                    return Err(GroupFault::NodeRefused { node, reason: fault.to_string() });
                }
                Err(_) => return Err(GroupFault::NodeUnanswered(node)),
            }
        }
        Ok(())
    }

    pub(super) async fn read_console(
        self: &Rc<Self>,
        context: CallContext,
        asked: ReadConsole,
    ) -> Result<ConsoleText, GroupFault> {
        let instance = asked.instance;
        let not_placed = || GroupFault::NotPlaced(instance.clone());
        let node = self.node_of(&instance).ok_or_else(not_placed)?;
        let address = self.node(&node).ok_or_else(|| GroupFault::UnknownNode(node.clone()))?;
        let read = node::ReadConsole { instance: instance.clone() };
        address.ask(context, read).await.map_err(|fault| match fault {
            AskError::Refused(NodeFault::InstanceNotFound(_)) => not_placed(),
            AskError::Refused(fault) => GroupFault::NodeRefused { node, reason: fault.to_string() },
            _ => GroupFault::NodeUnanswered(node),
        })
    }

    pub(super) async fn describe_resources(
        self: &Rc<Self>,
        _: CallContext,
        asked: DescribeResources,
    ) -> Result<ResourceCounts, GroupFault> {
        let book = self.book.borrow();
        let count = |each| {
            let capacity = &book.capacity;
            (capacity.free_count(&self.name, each), capacity.total_count(&self.name, each))
        };
        Ok(ResourceCounts { counts: asked.types.into_iter().map(count).collect() })
    }

    pub(super) async fn describe_instances(
        self: &Rc<Self>,
        _: CallContext,
        _: DescribeInstances,
    ) -> Result<Vec<GroupReport>, GroupFault> {
        let book = self.book.borrow();
        let report = |reported: &Reported| GroupReport {
            group: self.name.clone(),
            report: reported.whole(),
        };
        Ok(book.reports.values().map(report).collect())
    }

    fn nodes(&self) -> Vec<(NodeName, Address<NodeManager>)> {
        let book = self.book.borrow();
        book.nodes.iter().map(|(name, address)| (name.clone(), address.clone())).collect()
    }
}

fn outcome(node: NodeName, answer: Result<Accepted, AskError<NodeFault>>) -> Outcome {
    match answer {
        Ok(accepted) => Outcome::Accepted { node, generation: accepted.generation },
        Err(AskError::Refused(NodeFault::InstanceNotFound(_))) => Outcome::NotPlaced,
        Err(AskError::Refused(
            NodeFault::Overtaken(_) | NodeFault::NotRecorded(_) | NodeFault::InDoubt(_),
        )) => Outcome::Unanswered,
        Err(AskError::Refused(fault)) => Outcome::Refused(fault.to_string()),
        Err(AskError::NotDelivered | AskError::Unanswered | AskError::Garbled(_)) => {
            Outcome::Unanswered
        }
    }
}
