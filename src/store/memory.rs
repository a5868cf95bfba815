//! A store without a disk, for tests and simulations.
//!
//! It promises what the store on disk promises, except to outlive the process. `fail_next` makes
//! coming commits fail, so that owners can show what they do then.

use super::{Batch, Entry, Store, StoreFault, Table};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard},
};

#[derive(Debug, Default)]
pub struct MemoryStore {
    contents: Mutex<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    entries: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    /// What the coming commits answer: `None` lets one pass.
    script: VecDeque<Option<StoreFault>>,
    /// After a commit of unknown outcome nothing is taken, as with the disk, until `reopen`.
    doubt: Option<StoreFault>,
    commits: u64,
}

impl MemoryStore {
    /// The coming commits answer these, in order; `None` lets one pass. A scripted `Unknown`
    /// writes nothing and closes the store, until `reopen`.
    pub fn fail_next(&self, script: impl IntoIterator<Item = Option<StoreFault>>) {
        self.contents().script.extend(script);
    }

    /// What opening the store again is to the one on disk.
    pub fn reopen(&self) {
        self.contents().doubt = None;
    }

    /// How many commits have succeeded.
    pub fn commits(&self) -> u64 {
        self.contents().commits
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().expect("nothing panics while it holds the contents")
    }
}

impl Store for MemoryStore {
    fn scan(&self, table: Table) -> Result<Vec<Entry>, StoreFault> {
        let contents = self.contents();
        if let Some(doubt) = &contents.doubt {
            return Err(doubt.clone());
        }
        let of_table = contents.entries.range((table, Vec::new())..);
        Ok(of_table
            .take_while(|((name, _), _)| *name == table)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreFault> {
        let settled = batch.settled()?;
        let mut contents = self.contents();
        if let Some(doubt) = &contents.doubt {
            return Err(doubt.clone());
        }
        if let Some(Some(fault)) = contents.script.pop_front() {
            if matches!(fault, StoreFault::Unknown(_)) {
                contents.doubt = Some(fault.clone());
            }
            return Err(fault);
        }
        for (key, value) in settled {
            match value {
                Some(value) => contents.entries.insert(key, value),
                None => contents.entries.remove(&key),
            };
        }
        contents.commits += 1;
        Ok(())
    }
}
