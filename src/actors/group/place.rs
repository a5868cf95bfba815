//! Which node gets an instance: the one that the group's policy chooses.

use super::{Core, placements::Placement};
use crate::{
    actors::address::AskError,
    domain::{
        id::{InstanceId, NodeName},
        resources::Resources,
    },
    messages::{
        CallContext,
        group::{Done, GroupFault, Outcome, Outcomes, PlaceInstances, Wanted},
        node::{BootInstance, NodeFault},
    },
};
use futures_util::future::join_all;
use std::{rc::Rc, time::Duration};
use tracing::{Instrument, Span, debug_span};

/// How long a node is waited for: one that has not said what it has since the group began, or one that
/// was there a moment ago.
const NODES_AWAITED: Duration = Duration::from_secs(30);

/// Whom to ask for an instance.
enum Boot {
    /// The one that an earlier request, which is choosing, comes to place it on.
    Later,
    /// The node on record.
    Where(NodeName),
    /// The one chosen; others may follow.
    First(NodeName),
    Nowhere,
    /// It is over, and this request came late.
    Never,
}

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
            let boot = match self.node_of(&wanted.spec.instance) {
                None if self.is_forgotten(&wanted.spec.instance) => Boot::Never,
                _ if self.is_being_chosen_for(&wanted.spec.instance) => Boot::Later,
                Some(node) => Boot::Where(node),
                None => {
                    match self.choose(&context, &wanted.spec.instance, wanted.spec.resources, &[]) {
                        Some(placement) => {
                            new.push(placement.clone());
                            Boot::First(placement.node)
                        }
                        None => Boot::Nowhere,
                    }
                }
            };
            placed.push((wanted, boot));
        }
        let of = |boot: fn(&Boot) -> bool| {
            let those = placed.iter().filter(move |(_, asked)| boot(asked));
            those.map(|(wanted, _)| wanted.spec.instance.clone()).collect()
        };
        let chosen: Vec<InstanceId> = of(|boot| matches!(boot, Boot::First(_)));
        let _placing = self.placing(of(|boot| !matches!(boot, Boot::Later)), chosen);
        self.record(&new).await?;
        let outcomes = join_all(placed.into_iter().map(|(wanted, boot)| {
            let core = self.clone();
            let (context, cause) = (context.clone(), context.cause());
            async move {
                let (instance, revision) = (wanted.spec.instance.clone(), wanted.revision);
                let outcome = match boot {
                    Boot::Later => core.boot_later(context, wanted).await,
                    Boot::Where(node) => core.boot_there(context, wanted, node).await,
                    Boot::First(node) => core.boot(context, wanted, node).await,
                    Boot::Nowhere => core.no_room(),
                    Boot::Never => Outcome::Unanswered,
                };
                core.tell_outcome(&cause, &instance, &outcome);
                Done { instance, revision, outcome }
            }
        }))
        .await;
        Ok(Outcomes { outcomes })
    }

    /// One request for an instance at a time chooses a node: if the earlier one's node does not have
    /// it after all, that one gives the place up, and must not do so to this one's guest.
    async fn boot_later(&self, context: CallContext, wanted: Wanted) -> Outcome {
        self.chosen(&wanted.spec.instance).await;
        match self.node_of(&wanted.spec.instance) {
            Some(node) => self.boot_there(context, wanted, node).await,
            None => Outcome::Unanswered,
        }
    }

    /// That there is no room can be said only when every node has said what it has, or has been
    /// waited for long enough: a launch is not to wait for a host that is gone.
    fn no_room(&self) -> Outcome {
        let book = self.book.borrow();
        let waited = self.begun.elapsed() >= NODES_AWAITED;
        match waited || book.nodes.keys().all(|node| book.reports.contains_key(node)) {
            true => Outcome::NoRoom,
            false => Outcome::Unanswered,
        }
    }

    /// A node that was there a moment ago will be there again in a moment, or is gone.
    fn was_heard_lately(&self, node: &NodeName) -> bool {
        let book = self.book.borrow();
        book.reports.get(node).is_some_and(|reported| reported.silence() < NODES_AWAITED)
    }

    /// Takes room on a node that has it and is not among `except`.
    fn choose(
        &self,
        context: &CallContext,
        instance: &InstanceId,
        resources: Resources,
        except: &[NodeName],
    ) -> Option<Placement> {
        let node =
            self.book.borrow_mut().capacity.reserve(instance, &self.name, resources, except)?;
        let placement = Placement { instance: instance.clone(), node, resources };
        self.place(placement.clone());
        self.tell_choice(&context.cause(), &placement, except);
        Some(placement)
    }

    /// Asks the node that has it, or has been asked before: its disk may be there, so no other node
    /// will do.
    async fn boot_there(&self, context: CallContext, wanted: Wanted, node: NodeName) -> Outcome {
        let Wanted { spec, revision } = wanted;
        let Some(address) = self.node(&node) else { return Outcome::Unanswered };
        let span = placement_span(&context, &spec.instance, &node);
        let boot = BootInstance { spec: Box::new(spec), revision };
        match address.ask(context, boot).instrument(span).await {
            Ok(accepted) => Outcome::Accepted { node, generation: accepted.generation },
            Err(AskError::Refused(NodeFault::InsufficientCapacity { .. })) => Outcome::NoRoom,
            Err(AskError::Refused(
                NodeFault::Overtaken(_) | NodeFault::NotRecorded(_) | NodeFault::InDoubt(_),
            )) => Outcome::Unanswered,
            Err(AskError::Refused(fault)) => Outcome::Refused(fault.to_string()),
            Err(AskError::NotDelivered | AskError::Unanswered | AskError::Garbled(_)) => {
                Outcome::Unanswered
            }
        }
    }

    /// Asks a node that never had it; if that has no room after all, the next one with room.
    async fn boot(&self, context: CallContext, wanted: Wanted, first: NodeName) -> Outcome {
        let Wanted { spec, revision } = wanted;
        let (instance, resources) = (spec.instance.clone(), spec.resources);
        let mut tried = Vec::new();
        let mut failed = None;
        let mut out_of_reach = false;
        let mut node = first;
        loop {
            let Some(address) = self.node(&node) else { return Outcome::Unanswered };
            let span = placement_span(&context, &instance, &node);
            let boot = BootInstance { spec: Box::new(spec.clone()), revision };
            match address.ask(context.clone(), boot).instrument(span).await {
                Ok(accepted) => {
                    return Outcome::Accepted { node, generation: accepted.generation };
                }
                Err(AskError::Refused(NodeFault::InsufficientCapacity { .. })) => {
                    self.give_up(std::slice::from_ref(&instance)).await;
                }
                Err(AskError::Refused(NodeFault::Overtaken(_) | NodeFault::InDoubt(_))) => {
                    return Outcome::Unanswered;
                }
                Err(AskError::Refused(NodeFault::NotRecorded(why))) => {
                    failed = Some(format!("node `{node}` could not record it: {why}"));
                    self.give_up(std::slice::from_ref(&instance)).await;
                }
                Err(AskError::Refused(fault)) => return Outcome::Refused(fault.to_string()),
                // Certainly not done: the room can be given to others, and another node asked.
                Err(AskError::NotDelivered) => {
                    out_of_reach |= self.was_heard_lately(&node);
                    self.give_up(std::slice::from_ref(&instance)).await;
                }
                // Perhaps done: the room stays taken until the node says.
                Err(AskError::Unanswered | AskError::Garbled(_)) => return Outcome::Unanswered,
            }
            tried.push(node);
            let Some(next) = self.choose(&context, &instance, resources, &tried) else {
                return match failed {
                    // One with room may be reached again in a moment, or be evicted.
                    _ if out_of_reach => Outcome::Unanswered,
                    Some(why) => Outcome::Refused(why),
                    None => self.no_room(),
                };
            };
            if let Err(fault) = self.record(std::slice::from_ref(&next)).await {
                return Outcome::Refused(fault.to_string());
            }
            node = next.node;
        }
    }
}

/// While one node is asked for one instance.
fn placement_span(context: &CallContext, instance: &InstanceId, node: &NodeName) -> Span {
    debug_span!("placement", request_id = %context.request_id, %instance, %node)
}
