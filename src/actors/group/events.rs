//! What the group manager tells: which node it chose and why, and what came of it.

use super::{Core, placements::Placement};
use crate::{
    domain::{
        id::{InstanceId, NodeName},
        trace::Cause,
    },
    events::event::{self, Event, Eviction},
    messages::group::Outcome,
};

impl Core {
    pub(super) fn tell_choice(&self, cause: &Cause, chosen: &Placement, except: &[NodeName]) {
        self.teller.tell(Some(cause), || {
            Event::Placement(event::Placement {
                outcome: "chosen",
                instance: chosen.instance.clone(),
                node: Some(chosen.node.clone()),
                policy: self.policy,
                except: except.to_vec(),
                why: None,
            })
        });
    }

    pub(super) fn tell_outcome(&self, cause: &Cause, instance: &InstanceId, outcome: &Outcome) {
        self.teller.tell(Some(cause), || {
            let (outcome, node, why) = match outcome {
                Outcome::Accepted { node, .. } => ("accepted", Some(node.clone()), None),
                Outcome::NoRoom => ("no-room", None, None),
                Outcome::NotPlaced => ("not-placed", None, None),
                Outcome::Refused(why) => ("refused", self.node_of(instance), Some(why.clone())),
                Outcome::Unanswered => ("unanswered", self.node_of(instance), None),
            };
            let (instance, policy, except) = (instance.clone(), self.policy, Vec::new());
            Event::Placement(event::Placement { outcome, instance, node, policy, except, why })
        });
    }

    pub(super) fn tell_eviction(&self, cause: &Cause, node: &NodeName) {
        self.teller.tell(Some(cause), || {
            let (group, node) = (Some(self.name.clone()), node.clone());
            Event::Eviction(Eviction { outcome: "taken", group, node })
        });
    }
}
