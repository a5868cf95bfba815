//! A store whose commits are timed. The journal commits in groups, so these are what its askers wait
//! for.

use crate::{
    metrics::Commits,
    store::{Batch, Entry, Store, StoreFault, Table},
};
use std::{sync::Arc, time::Instant};

#[derive(Debug)]
pub struct MeasuredStore {
    pub store: Arc<dyn Store>,
    pub commits: Arc<Commits>,
}

impl Store for MeasuredStore {
    fn scan(&self, table: Table) -> Result<Vec<Entry>, StoreFault> {
        self.store.scan(table)
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreFault> {
        let begun = Instant::now();
        let outcome = self.store.commit(batch);
        let counted = match outcome {
            Ok(()) => &self.commits.durable,
            Err(_) => &self.commits.failed,
        };
        counted.observe(begun.elapsed());
        outcome
    }
}
