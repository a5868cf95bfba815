//! Records that survive: what was acknowledged is there after a power cut.
//!
//! A store is a set of named tables of bytes, written in atomic batches. `commit` returns when the
//! batch is durable and not before. `journal` groups the commits of many askers into one.

pub mod journal;
pub mod memory;
pub mod record;
pub mod sled;

use std::fmt::Debug;

/// A table's name, fixed by the program.
pub type Table = &'static str;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    Put { table: Table, key: Vec<u8>, value: Vec<u8> },
    Remove { table: Table, key: Vec<u8> },
}

/// Writes that happen all or not at all.
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
    #[error("the records cannot be read: {0}")]
    Corrupt(String),
    #[error("the records cannot be written: {0}")]
    Io(String),
    /// A commit queued behind one that failed: nothing of it was written.
    #[error("an earlier write failed")]
    Superseded,
}

pub trait Store: Debug + Send + Sync {
    /// All entries of a table, in key order.
    fn scan(&self, table: Table) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreFault>;

    /// Writes the batch and makes it durable. On an error nothing of it is there, now or later.
    fn commit(&self, batch: Batch) -> Result<(), StoreFault>;
}
