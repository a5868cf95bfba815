//! A manager's records: they outlive its process, take virtual time to write, and fail when told.

use super::dice::Dice;
use crate::store::{Batch, Entry, Store, StoreFault, Table, memory::MemoryStore};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

#[derive(Debug)]
pub struct Disk {
    records: MemoryStore,
    /// What the next commit is to answer.
    failing: Mutex<Option<StoreFault>>,
    dice: Mutex<Dice>,
    commit_max: Duration,
}

impl Disk {
    /// A commit takes up to `commit_max`.
    pub fn new(seed: u64, whose: &str, commit_max: Duration) -> Disk {
        let dice = Mutex::new(Dice::new(seed, &format!("disk of {whose}")));
        Disk { records: MemoryStore::default(), failing: Mutex::default(), dice, commit_max }
    }

    /// The next commit fails so.
    pub fn fail_next(&self, fault: StoreFault) {
        *unpoisoned(&self.failing) = Some(fault);
    }

    /// Nothing fails.
    pub fn mend(&self) {
        *unpoisoned(&self.failing) = None;
    }

    pub fn size_bytes(&self) -> usize {
        self.records.size_bytes()
    }

    /// Another process begins with what is written.
    pub fn reopen(&self) {
        self.records.reopen();
    }
}

impl Store for Disk {
    fn scan(&self, table: Table) -> Result<Vec<Entry>, StoreFault> {
        self.records.scan(table)
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreFault> {
        if let Some(fault) = unpoisoned(&self.failing).take() {
            self.records.fail_next([Some(fault)]);
        }
        self.records.commit(batch)
    }

    fn virtual_latency(&self) -> Option<Duration> {
        Some(unpoisoned(&self.dice).between(Duration::ZERO, self.commit_max))
    }
}

fn unpoisoned<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
