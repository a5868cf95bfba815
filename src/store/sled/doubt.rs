//! A commit whose outcome is unknown, and the end of that: the records as last acknowledged, in new
//! files.
//!
//! What is in memory tells what was acknowledged, once the doubted batch is taken out again. Sled's
//! memory cannot be read after an error of its own; then the old files are read again, which have
//! everything that was synced. They are let go afterwards, since a kernel that failed to write a page
//! may have dropped it.
//!
//! ```text
//! records.rebuilding ─ whole and synced ─► records.rebuilt
//! records ─► records.doubted        then  records.rebuilt ─► records
//! ```

use super::{
    Files, Records, State, io_fault,
    layout::{self, COMMITS_KEY, Parts},
    restoration, sled_fault,
};
use crate::store::StoreFault;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io, mem,
    path::{Path, PathBuf},
    time::Instant,
};

#[derive(Debug)]
pub(super) struct Doubt {
    /// What the batch changed, as it was before.
    before: Vec<Parts>,
    /// When taking it back failed last, and why.
    failed: Option<(Instant, StoreFault)>,
}

impl Doubt {
    pub fn new(before: Vec<Parts>) -> Doubt {
        Doubt { before, failed: None }
    }
}

impl Records {
    /// Takes back what is in doubt, if anything is. On an error it still is.
    pub(super) fn dispel_doubt(&self, state: &mut State) -> Result<(), StoreFault> {
        let Some(doubt) = &state.doubt else { return Ok(()) };
        if let Some((at, why)) = &doubt.failed
            && at.elapsed() < self.options.rebuild_every
        {
            return Err(why.clone());
        }
        match self.rebuild(state) {
            Ok(files) => {
                if let Some(old) = state.files.replace(files) {
                    let_go(old.db);
                }
                state.doubt = None;
                let directory = self.directory.display();
                log::warn!("the records in `{directory}` are as last acknowledged, in new files");
                Ok(())
            }
            Err(why) => {
                if let Some(doubt) = &mut state.doubt {
                    doubt.failed = Some((Instant::now(), why.clone()));
                }
                Err(why)
            }
        }
    }

    fn rebuild(&self, state: &mut State) -> Result<Files, StoreFault> {
        let names = Names::of(&self.directory);
        self.demand_free_bytes(0)?;
        finish_change_of_files(&self.directory).map_err(io_fault)?;
        let entries = match acknowledged(state) {
            Some(Ok(entries)) => entries,
            Some(Err(_)) | None => {
                // Sled does nothing to its files when it is dropped after an error.
                state.files = None;
                let files = Files::open(&names.records).map_err(StoreFault::Io)?;
                let found = layout::commits_in(&files.db)?;
                if found < state.commits {
                    let cause = format!("only {found} of {} commits are left", state.commits);
                    return Err(StoreFault::Corrupt(cause));
                }
                state.files = Some(files);
                acknowledged(state).expect("the files were opened a line ago")?
            }
        };
        let size: usize = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
        self.demand_free_bytes(size as u64)?;
        restoration::fill(&names.rebuilding, entries, self.options.sync)?;
        // A witness that leads would have the new files refused.
        self.witness.write(state.commits).map_err(io_fault)?;
        names.change().map_err(io_fault)?;
        if let Err(error) = fs::remove_dir_all(&names.doubted) {
            log::warn!("`{}` is left over: {error}", names.doubted.display());
        }
        Files::open(&names.records).map_err(StoreFault::Io)
    }
}

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// Everything that is open, without the doubted batch; `None` if nothing is open.
fn acknowledged(state: &State) -> Option<Result<Entries, StoreFault>> {
    let db = &state.files.as_ref()?.db;
    let read = || {
        let mut entries = BTreeMap::new();
        for entry in db.iter() {
            let (key, value) = entry.map_err(sled_fault)?;
            entries.insert(key.to_vec(), value.to_vec());
        }
        for place in state.doubt.iter().flat_map(|doubt| &doubt.before) {
            let from = entries.range(place.prefix.clone()..).map(|(key, _)| key.clone());
            let now: Vec<_> = from.take_while(|key| key.starts_with(&place.prefix)).collect();
            for key in &now {
                entries.remove(key);
            }
            entries.extend(place.parts.iter().cloned());
        }
        entries.insert(COMMITS_KEY.to_vec(), state.commits.to_be_bytes().to_vec());
        Ok(entries.into_iter().collect())
    };
    Some(read())
}

/// Sled syncs its file when it is dropped, and panics if that fails. After an error of its own it
/// does not, which `flush` tells; otherwise it is never dropped: its file has no name any more.
pub(super) fn let_go(db: sled::Db) {
    if db.flush().is_ok() {
        mem::forget(db);
    }
}

struct Names {
    records: PathBuf,
    rebuilding: PathBuf,
    rebuilt: PathBuf,
    doubted: PathBuf,
}

impl Names {
    fn of(directory: &Path) -> Names {
        Names {
            records: directory.join("records"),
            rebuilding: directory.join("records.rebuilding"),
            rebuilt: directory.join("records.rebuilt"),
            doubted: directory.join("records.doubted"),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let directory = self.records.parent().expect("the records are in a directory");
        File::open(directory)?.sync_all()
    }

    fn change(&self) -> io::Result<()> {
        fs::rename(&self.rebuilding, &self.rebuilt)?;
        self.sync()?;
        fs::rename(&self.records, &self.doubted)?;
        fs::rename(&self.rebuilt, &self.records)?;
        self.sync()
    }
}

/// A change of files that was cut off between its two names is finished; one that had not come so
/// far, or was done, is cleared away.
pub(super) fn finish_change_of_files(directory: &Path) -> io::Result<()> {
    let names = Names::of(directory);
    if !names.records.exists() && names.rebuilt.exists() {
        fs::rename(&names.rebuilt, &names.records)?;
        names.sync()?;
    }
    if names.records.exists() {
        for left in [&names.rebuilding, &names.rebuilt, &names.doubted] {
            if left.exists() {
                fs::remove_dir_all(left)?;
            }
        }
    }
    Ok(())
}
