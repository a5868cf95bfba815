//! Records that survive: what was acknowledged is there after a power cut.
//!
//! A store is a set of named tables of bytes, written in atomic batches. `commit` returns when the
//! batch is durable and not before. `journal` groups the commits of many askers into one, `record`
//! puts types and versions over the bytes.
//!
//! Deliberately absent: queries, indexes and single reads. An owner loads its tables once, keeps
//! its state in memory and writes what changed; bytes of images and volumes live in `blobs`.

pub mod record;

pub mod journal;
pub mod starts;

pub mod memory;
pub mod sled;

mod export;

#[cfg(test)]
mod conformance;

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

/// A table's name, fixed by the program.
pub type Table = &'static str;

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// What a batch leaves of a key: a value, or nothing.
type Settled = BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>;

/// A value must be smaller than this: what is larger is a blob, not a record.
pub const VALUE_BYTES_LIMIT: usize = 256 * 1024;

/// A key may be this long, so that sled's index pages stay small.
pub const KEY_BYTES_MAX: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    Put { table: Table, key: Vec<u8>, value: Vec<u8> },
    Remove { table: Table, key: Vec<u8> },
}

/// Writes that happen all or not at all. Of two writes to one key the later counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    pub writes: Vec<Write>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    #[error("the state directory `{directory}` is in use by another process")]
    InUse { directory: String },
    #[error("the disk is full: {0}")]
    Full(String),
    #[error("the {part} of `{table}` record `{key}` has {bytes} bytes: more than a record may")]
    TooLarge { table: Table, key: String, part: &'static str, bytes: usize },
    #[error("the records cannot be read: {0}")]
    Corrupt(String),
    #[error(
        "`{table}` record `{key}` has version {found}, this program knows up to {known}: run the \
         newer program that wrote it"
    )]
    TooNew { table: Table, key: String, found: u16, known: u16 },
    #[error("the records cannot be written: {0}")]
    Io(String),
    /// The disk failed while the batch was on its way, and does not let it be taken back yet. The
    /// next commit that succeeds has taken it back; a process that ends before may find it there
    /// when it begins again.
    #[error("it is unknown whether the records were written: {0}")]
    Unknown(String),
    /// A commit behind one that failed: nothing of it was written.
    #[error("an earlier write failed: {0}")]
    Superseded(Box<StoreFault>),
    /// The journal or store has been closed: nothing of the commit was written.
    #[error("the store is closed")]
    Closed,
}

pub trait Store: Debug + Send + Sync {
    /// All entries of a table, in key order.
    fn scan(&self, table: Table) -> Result<Vec<Entry>, StoreFault>;

    /// Writes the batch and makes it durable. On an error nothing of it is there, now or later,
    /// except on `Unknown`: then it may be found by the next process, and never by a later commit
    /// of this one. A store goes on when its disk does.
    fn commit(&self, batch: Batch) -> Result<(), StoreFault>;

    /// How long the next commit is to take in virtual time, of a store that is simulated: it never
    /// blocks, so a journal writes to it without a thread. `None`: a commit takes as long as it
    /// takes, and blocks.
    fn virtual_latency(&self) -> Option<Duration> {
        None
    }
}

impl Batch {
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.writes.push(Write::Put { table, key: key.into(), value: value.into() });
    }

    pub fn remove(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.writes.push(Write::Remove { table, key: key.into() });
    }

    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Keys and values together.
    pub fn size_bytes(&self) -> usize {
        let size = |write: &Write| match write {
            Write::Put { table, key, value } => table.len() + key.len() + value.len(),
            Write::Remove { table, key } => table.len() + key.len(),
        };
        self.writes.iter().map(size).sum()
    }

    /// The last word on each key; refuses what no store takes.
    fn settled(self) -> Result<Settled, StoreFault> {
        let mut settled = Settled::new();
        for write in self.writes {
            let (table, key, value) = match write {
                Write::Put { table, key, value } => (table, key, Some(value)),
                Write::Remove { table, key } => (table, key, None),
            };
            let too_large =
                |part, bytes| StoreFault::TooLarge { table, key: readable(&key), part, bytes };
            if key.len() > KEY_BYTES_MAX {
                return Err(too_large("key", key.len()));
            }
            if let Some(value) = &value
                && value.len() >= VALUE_BYTES_LIMIT
            {
                return Err(too_large("value", value.len()));
            }
            settled.insert((table, key), value);
        }
        Ok(settled)
    }
}

/// A key as an operator may read it in an error.
fn readable(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}
