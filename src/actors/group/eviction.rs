//! A node that is gone for good: its room is nobody's, and what was placed there is placed no more.

use super::{Core, arrival::Arrived, placements::Placement};
use crate::{
    domain::id::NodeName,
    messages::{
        CallContext,
        group::{EvictNode, GroupFault},
    },
    store::Batch,
};
use std::{rc::Rc, sync::Arc, time::Duration};

/// How often it is looked whether the node's last reports have come through.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Core {
    /// Answered when this is on the disk and nothing that the node said is on its way to the cloud
    /// any more.
    pub(super) async fn evict_node(
        self: &Rc<Self>,
        context: CallContext,
        asked: EvictNode,
    ) -> Result<(), GroupFault> {
        let node = asked.node;
        {
            let mut book = self.book.borrow_mut();
            book.nodes.remove(&node);
            book.reports.remove(&node);
            book.untold.remove(&node);
            // At once, so that nothing is placed there while its last words are waited for.
            book.capacity.forget_node(&self.name, &node);
        }
        while self.is_passing_on(&node) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let placed: Vec<Placement> = {
            let book = self.book.borrow();
            book.placements.values().filter(|placed| placed.node == node).cloned().collect()
        };
        let mut batch = Batch::default();
        for placement in &placed {
            batch.remove_record(placement);
        }
        batch.remove_record(&Arrived { node: node.clone() });
        if let Err(fault) = self.journal.commit(batch).await {
            self.journal.resume();
            return Err(GroupFault::NotRecorded(fault.to_string()));
        }
        let mut book = self.book.borrow_mut();
        for placement in &placed {
            if book.placements.get(&placement.instance) == Some(placement) {
                book.placements.remove(&placement.instance);
            }
        }
        self.tell_eviction(&context.cause(), &node);
        Ok(())
    }

    fn is_passing_on(&self, node: &NodeName) -> bool {
        let mut book = self.book.borrow_mut();
        let on_their_way =
            book.passing.get(node).map_or(0, |passing| Arc::strong_count(passing) - 1);
        if on_their_way == 0 {
            book.passing.remove(node);
        }
        on_their_way > 0
    }
}
