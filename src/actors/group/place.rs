//! First fit: the first node, in order, with room for an instance gets it.

use super::{Core, placements::Placement};
use crate::{
    actors::address::AskError,
    domain::{
        id::{InstanceId, NodeName},
        placement,
        resources::Resources,
    },
    messages::{
        CallContext,
        group::{Done, GroupFault, Outcome, Outcomes, PlaceInstances, Wanted},
        node::{BootInstance, NodeFault},
    },
};
use futures_util::future::join_all;
use std::{collections::BTreeSet, rc::Rc};

impl Core {
    /// Every instance is placed in the book before the first node is asked, so that requests that
    /// race cannot be given the same room.
    pub(super) async fn place_instances(
        self: &Rc<Self>,
        context: CallContext,
        asked: PlaceInstances,
    ) -> Result<Outcomes, GroupFault> {
        let mut new = Vec::new();
        let mut placed = Vec::new();
        for wanted in asked.instances {
            let known = self.node_of(&wanted.spec.instance);
            let node = match known {
                Some(node) => Some(node),
                None => {
                    let chosen = self.choose(&wanted.spec.instance, wanted.spec.resources, &[]);
                    new.extend(chosen.clone());
                    chosen.map(|placement| placement.node)
                }
            };
            placed.push((wanted, node));
        }
        self.record(&new).await?;
        let outcomes = join_all(placed.into_iter().map(|(wanted, node)| {
            let core = self.clone();
            let context = context.clone();
            async move {
                let (instance, revision) = (wanted.spec.instance.clone(), wanted.revision);
                let outcome = match node {
                    Some(node) => core.boot(context, wanted, node).await,
                    None => core.no_room(),
                };
                Done { instance, revision, outcome }
            }
        }))
        .await;
        Ok(Outcomes { outcomes })
    }

    /// That there is no room can be said only when every node has said what it has.
    fn no_room(&self) -> Outcome {
        let book = self.book.borrow();
        match book.nodes.keys().all(|node| book.reports.contains_key(node)) {
            true => Outcome::NoRoom,
            false => Outcome::Unanswered,
        }
    }

    /// Takes room on the first node that has it and is not among `except`.
    fn choose(
        &self,
        instance: &InstanceId,
        resources: Resources,
        except: &[NodeName],
    ) -> Option<Placement> {
        let node = {
            let book = self.book.borrow();
            let except: BTreeSet<_> = except.iter().collect();
            let free = book
                .capacity
                .nodes_of(&self.name)
                .filter(|(node, _)| !except.contains(node))
                .map(|(node, capacity)| (node, capacity.free()));
            placement::first_fit(free, resources)?.clone()
        };
        let placement = Placement { instance: instance.clone(), node, resources };
        self.place(placement.clone());
        Some(placement)
    }

    /// Asks the node; if it has no room after all, the next one with room.
    async fn boot(&self, context: CallContext, wanted: Wanted, first: NodeName) -> Outcome {
        let Wanted { spec, revision } = wanted;
        let (instance, resources) = (spec.instance.clone(), spec.resources);
        let mut tried = Vec::new();
        let mut node = first;
        loop {
            let Some(address) = self.node(&node) else { return Outcome::Unanswered };
            let boot = BootInstance { spec: Box::new(spec.clone()), revision };
            match address.ask(context.clone(), boot).await {
                Ok(accepted) => {
                    return Outcome::Accepted { node, generation: accepted.generation };
                }
                Err(AskError::Refused(NodeFault::InsufficientCapacity { .. })) => {
                    self.give_up(std::slice::from_ref(&instance)).await;
                }
                Err(AskError::Refused(NodeFault::Overtaken(_))) => return Outcome::Unanswered,
                Err(AskError::Refused(NodeFault::NotRecorded(why))) => {
                    log::error!("node `{node}`: {why}");
                    self.give_up(std::slice::from_ref(&instance)).await;
                }
                Err(AskError::Refused(fault)) => return Outcome::Refused(fault.to_string()),
                // Certainly not done: the room can be given to others, and another node asked.
                Err(AskError::NotDelivered) => {
                    self.give_up(std::slice::from_ref(&instance)).await;
                }
                // Perhaps done: the room stays taken until the node says.
                Err(AskError::Unanswered | AskError::Garbled(_)) => return Outcome::Unanswered,
            }
            tried.push(node);
            let Some(next) = self.choose(&instance, resources, &tried) else {
                return self.no_room();
            };
            if let Err(fault) = self.record(std::slice::from_ref(&next)).await {
                return Outcome::Refused(fault.to_string());
            }
            node = next.node;
        }
    }
}
