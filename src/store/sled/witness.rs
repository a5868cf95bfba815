//! A number beside the records that says how many commits they hold at least.
//!
//! It is written after a commit's sync and not synced itself: after a crash it may lag, and it never
//! leads.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

/// How many commits were durable, at least.
#[derive(Debug)]
pub(super) struct Witness(File);

impl Witness {
    pub(super) fn open(directory: &Path) -> io::Result<Witness> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        Ok(Witness(options.open(directory.join("commits"))?))
    }

    pub(super) fn read(&self) -> io::Result<u64> {
        let mut number = [0; 8];
        match self.0.read_exact_at(&mut number, 0) {
            Ok(()) => Ok(u64::from_be_bytes(number)),
            // Created, and lost before its first number reached the disk.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Only after what it counts is durable, or it would lead.
    pub(super) fn write(&self, commits: u64) -> io::Result<()> {
        self.0.write_all_at(&commits.to_be_bytes(), 0)
    }
}
