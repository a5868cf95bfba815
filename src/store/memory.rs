//! A store without a disk, for tests and simulations.
//!
//! It promises what the store on disk promises, except to outlive the process. `fail_next` makes
//! coming commits fail, so that owners can show what they do then.

use super::{Batch, Entry, Settled, Store, StoreFault, Table};
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
    /// What a commit of unknown outcome changed, as it was before.
    doubt: Option<Settled>,
    commits: u64,
}

impl MemoryStore {
    /// The coming commits answer these, in order; `None` lets one pass. One that answers `Unknown`
    /// is written, which nobody is told; the next that passes takes it back first.
    pub fn fail_next(&self, script: impl IntoIterator<Item = Option<StoreFault>>) {
        self.contents().script.extend(script);
    }

    /// What a restart of the process is to the one on disk: what is written counts.
    pub fn reopen(&self) {
        self.contents().doubt = None;
    }

    /// How many commits have succeeded.
    pub fn commits(&self) -> u64 {
        self.contents().commits
    }

    /// Of all records, keys and values.
    pub fn size_bytes(&self) -> usize {
        let contents = self.contents();
        let sizes = contents.entries.iter().map(|((_, key), value)| key.len() + value.len());
        sizes.sum()
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().expect("nothing panics while it holds the contents")
    }
}

impl Contents {
    /// Answers what was there before.
    fn apply(&mut self, settled: Settled) -> Settled {
        let mut before = Settled::new();
        for (key, value) in settled {
            let previous = match value {
                Some(value) => self.entries.insert(key.clone(), value),
                None => self.entries.remove(&key),
            };
            before.insert(key, previous);
        }
        before
    }
}

impl Store for MemoryStore {
    fn scan(&self, table: Table) -> Result<Vec<Entry>, StoreFault> {
        let contents = self.contents();
        let of_table = contents.entries.range((table, Vec::new())..);
        Ok(of_table
            .take_while(|((name, _), _)| *name == table)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreFault> {
        let settled = batch.settled()?;
        let mut contents = self.contents();
        let fault = contents.script.pop_front().flatten();
        if let Some(fault) = &fault
            && !matches!(fault, StoreFault::Unknown(_))
        {
            return Err(fault.clone());
        }
        if let Some(before) = contents.doubt.take() {
            contents.apply(before);
        }
        let before = contents.apply(settled);
        if let Some(unknown) = fault {
            contents.doubt = Some(before);
            return Err(unknown);
        }
        contents.commits += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_commits_of_unknown_outcome_only_the_later_may_be_found() {
        let store = MemoryStore::default();
        let unknown = || Some(StoreFault::Unknown("scripted".to_owned()));
        store.fail_next([unknown(), unknown()]);
        assert!(store.commit(put("first")).is_err());
        assert!(store.commit(put("second")).is_err());
        assert_eq!(store.scan("t").unwrap(), [(b"second".to_vec(), b"x".to_vec())]);
        store.commit(put("after")).unwrap();
        store.reopen();
        assert_eq!(store.scan("t").unwrap(), [(b"after".to_vec(), b"x".to_vec())]);
    }

    fn put(key: &str) -> Batch {
        let mut batch = Batch::default();
        batch.put("t", key, "x");
        batch
    }

    #[test]
    fn a_commit_of_unknown_outcome_is_taken_back_by_the_next_or_found_by_a_restart() {
        for (restarted, left) in [(false, 1), (true, 2)] {
            let store = MemoryStore::default();
            store.fail_next([Some(StoreFault::Unknown("scripted".to_owned()))]);
            assert!(store.commit(put("in doubt")).is_err());
            if restarted {
                store.reopen();
            }
            store.commit(put("after")).unwrap();
            assert_eq!(store.scan("t").unwrap().len(), left);
        }
    }
}
