//! Instances that are over here and of which nothing else is kept, remembered for as long as a
//! request for one of them may still be on its way: a boot that comes late, or a second time, must
//! not raise what was ended.
//!
//! On record, since a request may be under way for longer than a process lives.

use crate::{
    domain::id::InstanceId,
    store::{
        Batch, Store, StoreFault, Table,
        record::{Record, load_all},
    },
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// Twice as long as anybody waits for an answer, and so as a link carries a question.
const KEPT: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Forgotten {
    instances: BTreeSet<InstanceId>,
    /// In the order in which they were forgotten.
    since: VecDeque<(Instant, InstanceId)>,
}

#[derive(Serialize, Deserialize)]
struct ForgottenRecord {
    instance: InstanceId,
}

impl Record for ForgottenRecord {
    const TABLE: Table = "forgotten";
    const VERSION: u16 = 1;
    fn key(&self) -> Vec<u8> {
        self.instance.to_string().into()
    }
}

impl Forgotten {
    /// Those of an earlier process are remembered as if they had been forgotten now.
    pub fn load(store: &dyn Store) -> Result<Forgotten, StoreFault> {
        let mut forgotten = Forgotten::default();
        for ForgottenRecord { instance } in load_all(store)? {
            forgotten.remember(instance);
        }
        Ok(forgotten)
    }

    pub fn contains(&self, instance: &InstanceId) -> bool {
        self.instances.contains(instance)
    }

    /// At once; the batch makes it last, and lets go of what was remembered long enough.
    pub fn add(&mut self, instances: impl IntoIterator<Item = InstanceId>, batch: &mut Batch) {
        while let Some((since, _)) = self.since.front()
            && since.elapsed() >= KEPT
            && let Some((_, instance)) = self.since.pop_front()
        {
            self.instances.remove(&instance);
            batch.remove_record(&ForgottenRecord { instance });
        }
        for instance in instances {
            if self.remember(instance.clone()) {
                batch.put_record(&ForgottenRecord { instance });
            }
        }
    }

    /// Whether it was not.
    fn remember(&mut self, instance: InstanceId) -> bool {
        let new = self.instances.insert(instance.clone());
        if new {
            self.since.push_back((Instant::now(), instance));
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    fn id(number: u8) -> InstanceId {
        format!("i-{number:017x}").parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_forgotten_is_known_for_a_while_over_restarts_and_then_no_more() {
        let store = MemoryStore::default();
        let forget = |forgotten: &mut Forgotten, number| {
            let mut batch = Batch::default();
            forgotten.add([id(number)], &mut batch);
            store.commit(batch).unwrap();
        };
        let mut before = Forgotten::load(&store).unwrap();
        forget(&mut before, 1);
        assert!(before.contains(&id(1)) && !before.contains(&id(2)));
        tokio::time::advance(KEPT / 2).await;
        let mut after = Forgotten::load(&store).unwrap();
        forget(&mut after, 2);
        assert!(after.contains(&id(1)));
        tokio::time::advance(KEPT).await;
        forget(&mut after, 3);
        assert!(!after.contains(&id(1)) && !after.contains(&id(2)) && after.contains(&id(3)));
        assert_eq!(store.scan("forgotten").unwrap().len(), 1);
    }
}
