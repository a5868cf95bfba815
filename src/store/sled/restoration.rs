//! Records that cannot be read: the refusal that names the remedy, and the remedy.
//!
//! Deliberately absent: doing it unasked. An export may be older than what was acknowledged.

use super::{
    SledStore, Sync, doubt::let_go, io_fault, layout, lock, open_sled, sled_fault, witness::Witness,
};
use crate::store::{StoreFault, export};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// What `restore` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub export: PathBuf,
    /// Sled's entries, of which a large record has several.
    pub entries: usize,
    pub moved_aside_to: Option<PathBuf>,
}

impl SledStore {
    /// Puts the newest readable export in the place of the records, which are moved aside, never
    /// deleted. Whatever was acknowledged after that export is not in it.
    pub fn restore(directory: &Path) -> Result<Restored, StoreFault> {
        let _lock = lock(directory)?;
        let (export, entries) = newest_readable_export(directory)?;
        let fresh = directory.join("records.restoring");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(io_fault)?;
        }
        let count = entries.len();
        let commits = fill(&fresh, entries, File::sync_all)?;
        let path = directory.join("records");
        let moved_aside_to = match path.exists() {
            true => Some(move_aside(directory, &path)?),
            false => None,
        };
        fs::rename(&fresh, &path).map_err(io_fault)?;
        File::open(directory).and_then(|file| file.sync_all()).map_err(io_fault)?;
        // Last: until it is done the witness leads, and opening is refused.
        Witness::open(directory).and_then(|witness| witness.write(commits)).map_err(io_fault)?;
        log::warn!("`{}` was restored from `{}`", path.display(), export.display());
        Ok(Restored { export, entries: count, moved_aside_to })
    }
}

pub(super) fn refuse_with_remedy(directory: &Path, cause: &str) -> StoreFault {
    let remedy = match newest_readable_export(directory) {
        Ok((export, entries)) => {
            let written = fs::metadata(&export).and_then(|metadata| metadata.modified());
            let age = written.ok().and_then(|at| at.elapsed().ok()).unwrap_or_default().as_secs();
            format!(
                "restoring brings back `{}` ({} entries, {age} s old), without what was written since",
                export.display(),
                entries.len()
            )
        }
        Err(_) => "there is no export to restore from".to_owned(),
    };
    StoreFault::Corrupt(format!("`{}`: {cause}; {remedy}", directory.display()))
}

fn newest_readable_export(directory: &Path) -> Result<(PathBuf, export::Entries), StoreFault> {
    let exports = export::list(&directory.join("exports")).map_err(io_fault)?;
    for path in exports.into_iter().rev() {
        match export::read(&path) {
            Ok(entries) => return Ok((path, entries)),
            Err(error) => log::error!("export `{}` cannot be read: {error}", path.display()),
        }
    }
    let directory = directory.display();
    Err(StoreFault::Corrupt(format!("`{directory}` holds no readable export")))
}

/// Makes a store of the entries; answers their number of commits.
pub(super) fn fill(path: &Path, entries: export::Entries, sync: Sync) -> Result<u64, StoreFault> {
    let db = open_sled(path).map_err(StoreFault::Io)?;
    let written = write_all(&db, path, entries, sync);
    match written {
        Ok(()) => layout::commits_in(&db),
        Err(fault) => {
            let_go(db);
            Err(fault)
        }
    }
}

fn write_all(
    db: &sled::Db,
    path: &Path,
    entries: export::Entries,
    sync: Sync,
) -> Result<(), StoreFault> {
    for (key, value) in entries {
        db.insert(key, value).map_err(sled_fault)?;
    }
    db.flush().map_err(sled_fault)?;
    let synced = File::open(path.join("db")).and_then(|file| sync(&file));
    synced.and_then(|()| File::open(path)?.sync_all()).map_err(io_fault)
}

fn move_aside(directory: &Path, path: &Path) -> Result<PathBuf, StoreFault> {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let aside = directory.join(format!("records.corrupt-{}", time.as_millis()));
    fs::rename(path, &aside).map_err(io_fault)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Batch, Store, sled::Options};

    fn put(key: &str, value: &str) -> Batch {
        let mut batch = Batch::default();
        batch.put("t", key, value);
        batch
    }

    fn open(directory: &Path) -> Result<SledStore, StoreFault> {
        SledStore::open(directory, Options::default())
    }

    fn keys(store: &SledStore) -> Vec<String> {
        let entries = store.scan("t").unwrap();
        entries.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
    }

    /// Closed, with one export of `a` and `b`, and damaged at the beginning of sled's log.
    fn damaged_store(directory: &Path) {
        let store = open(directory).unwrap();
        store.commit(put("a", &"x".repeat(200_000))).unwrap();
        store.commit(put("b", "x")).unwrap();
        drop(store);
        let db = directory.join("records/db");
        let mut bytes = fs::read(&db).unwrap();
        for byte in &mut bytes[..4096] {
            *byte ^= 0x55;
        }
        fs::write(&db, bytes).unwrap();
    }

    #[test]
    fn a_damaged_store_is_refused_with_its_remedy_every_time() {
        let directory = tempfile::tempdir().unwrap();
        damaged_store(directory.path());
        for _ in 0..2 {
            let refusal = open(directory.path()).unwrap_err();
            let StoreFault::Corrupt(text) = refusal else { panic!("{refusal:?}") };
            assert!(text.contains("restoring brings back"), "{text}");
            assert!(text.contains("00000001.export"), "{text}");
        }
    }

    #[test]
    fn records_that_have_vanished_are_refused_and_not_begun_anew() {
        let directory = tempfile::tempdir().unwrap();
        damaged_store(directory.path());
        fs::remove_dir_all(directory.path().join("records")).unwrap();
        let refusal = open(directory.path()).unwrap_err().to_string();
        assert!(refusal.contains("only 0 of at least 2 commits are left"), "{refusal}");
    }

    #[test]
    fn a_store_that_sled_cannot_open_is_refused_with_its_remedy() {
        let directory = tempfile::tempdir().unwrap();
        damaged_store(directory.path());
        fs::write(directory.path().join("records/conf"), "damaged").unwrap();
        let refusal = open(directory.path()).unwrap_err().to_string();
        assert!(refusal.contains("restoring brings back"), "{refusal}");
    }

    #[test]
    fn a_restored_store_holds_the_export_and_the_damaged_files_are_kept_aside() {
        let directory = tempfile::tempdir().unwrap();
        damaged_store(directory.path());
        let restored = SledStore::restore(directory.path()).unwrap();
        assert!(restored.moved_aside_to.unwrap().join("db").exists());
        let store = open(directory.path()).unwrap();
        assert_eq!(keys(&store), ["a", "b"]);
        assert_eq!(store.scan("t").unwrap()[0].1.len(), 200_000);
    }

    #[test]
    fn a_damaged_newest_export_is_passed_over_for_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path()).unwrap();
        store.commit(put("a", "x")).unwrap();
        store.export().unwrap();
        store.commit(put("b", "x")).unwrap();
        let newest = store.export().unwrap();
        drop(store);
        fs::write(newest, "torn").unwrap();
        SledStore::restore(directory.path()).unwrap();
        assert_eq!(keys(&open(directory.path()).unwrap()), ["a"]);
    }

    #[test]
    fn without_a_readable_export_nothing_is_restored_or_moved() {
        let directory = tempfile::tempdir().unwrap();
        damaged_store(directory.path());
        for export in export::list(&directory.path().join("exports")).unwrap() {
            fs::remove_file(export).unwrap();
        }
        assert!(matches!(SledStore::restore(directory.path()), Err(StoreFault::Corrupt(_))));
        assert!(directory.path().join("records/db").exists());
        let refusal = open(directory.path()).unwrap_err().to_string();
        assert!(refusal.contains("there is no export to restore from"), "{refusal}");
    }
}
