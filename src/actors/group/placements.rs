//! Where instances are: recorded before a node is asked, given up on its own word only.

use super::{Book, Core};
use crate::{
    domain::{
        id::{InstanceId, NodeName},
        resources::Resources,
    },
    messages::group::GroupFault,
    store::{Batch, record::Record},
};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    pub instance: InstanceId,
    pub node: NodeName,
    pub resources: Resources,
}

impl Record for Placement {
    const TABLE: &'static str = "placement";
    const VERSION: u16 = 1;
    fn key(&self) -> Vec<u8> {
        self.instance.to_string().into()
    }
}

impl Core {
    /// Writes placements down. The book holds them already, so that nobody else takes their room;
    /// if they cannot be recorded they are taken out again.
    pub(super) async fn record(&self, placed: &[Placement]) -> Result<(), GroupFault> {
        if placed.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        for placement in placed {
            batch.put_record(placement);
        }
        let outcome = self.journal.commit(batch).await;
        outcome.map_err(|fault| {
            self.journal.resume();
            for placement in placed {
                self.unplace(&placement.instance);
            }
            GroupFault::NotRecorded(fault.to_string())
        })
    }

    /// Takes a placement out of the book and off the disk. One that cannot be taken off the disk now
    /// is tried again with every tick, or a restart would find its room taken.
    pub(super) async fn give_up(&self, instances: &[InstanceId]) {
        for instance in instances {
            if let Some(placement) = self.unplace(instance) {
                self.book.borrow_mut().erasing.insert(instance.clone(), placement);
            }
        }
        self.erase().await;
    }

    pub(super) fn is_forgotten(&self, instance: &InstanceId) -> bool {
        self.book.borrow().forgotten.contains(instance)
    }

    /// Lets nothing of these begin any more. What cannot be recorded now is remembered at least as
    /// long as this process lives.
    pub(super) async fn forget(&self, over: Vec<InstanceId>) {
        let mut batch = Batch::default();
        self.book.borrow_mut().forgotten.add(over, &mut batch);
        if batch.is_empty() {
            return;
        }
        if let Err(fault) = self.journal.commit(batch).await {
            self.journal.resume();
            log::error!("instances that are over are not recorded as such: {fault}");
        }
    }

    /// Takes off the disk what is out of the book.
    pub(super) async fn erase(&self) {
        let erasing = self.book.borrow().erasing.clone();
        if erasing.is_empty() {
            return;
        }
        let mut batch = Batch::default();
        for placement in erasing.values() {
            batch.remove_record(placement);
        }
        let outcome = self.journal.commit(batch).await;
        match outcome {
            Ok(()) => {
                let mut book = self.book.borrow_mut();
                // One that was placed and given up anew meanwhile is erased anew, harmlessly.
                book.erasing.retain(|instance, _| !erasing.contains_key(instance));
            }
            Err(fault) => {
                self.journal.resume();
                log::error!("placements that ended are still recorded: {fault}");
            }
        }
    }

    /// Marks instances as being placed, and a node as being chosen for some, until what is returned
    /// is dropped.
    pub(super) fn placing(
        self: &Rc<Self>,
        instances: Vec<InstanceId>,
        chosen: Vec<InstanceId>,
    ) -> Placing {
        let mut book = self.book.borrow_mut();
        for instance in &instances {
            *book.placing.entry(instance.clone()).or_default() += 1;
        }
        book.choosing.extend(chosen.iter().cloned());
        Placing { core: self.clone(), instances, chosen }
    }

    /// Waits until no node is being asked to boot the instance, so that no later request overtakes
    /// its boot.
    pub(super) async fn placed(&self, instance: &InstanceId) {
        self.until(|book| !book.placing.contains_key(instance)).await;
    }

    pub(super) fn is_being_chosen_for(&self, instance: &InstanceId) -> bool {
        self.book.borrow().choosing.contains(instance)
    }

    /// Waits until no request is choosing a node for the instance.
    pub(super) async fn chosen(&self, instance: &InstanceId) {
        self.until(|book| !book.choosing.contains(instance)).await;
    }

    async fn until(&self, is: impl Fn(&Book) -> bool) {
        loop {
            let mut done = std::pin::pin!(self.placing_done.notified());
            // Listening before looking, so that no wake-up falls in between.
            done.as_mut().enable();
            if is(&self.book.borrow()) {
                return;
            }
            done.await;
        }
    }

    pub(super) fn place(&self, placement: Placement) {
        let mut book = self.book.borrow_mut();
        let Placement { instance, node, resources } = &placement;
        book.capacity.hold(instance, &self.name, node, *resources);
        // It is about to be recorded over whatever was to be erased.
        book.erasing.remove(instance);
        book.placements.insert(placement.instance.clone(), placement);
    }

    fn unplace(&self, instance: &InstanceId) -> Option<Placement> {
        let mut book = self.book.borrow_mut();
        book.capacity.release(instance);
        book.placements.remove(instance)
    }
}

/// Instances some node is being asked to boot.
pub(super) struct Placing {
    core: Rc<Core>,
    instances: Vec<InstanceId>,
    chosen: Vec<InstanceId>,
}

impl Drop for Placing {
    fn drop(&mut self) {
        let mut book = self.core.book.borrow_mut();
        for instance in &self.instances {
            if let Some(count) = book.placing.get_mut(instance) {
                *count -= 1;
                if *count == 0 {
                    book.placing.remove(instance);
                }
            }
        }
        for instance in &self.chosen {
            book.choosing.remove(instance);
        }
        drop(book);
        self.core.placing_done.notify_waiters();
    }
}
