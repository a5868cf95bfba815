//! Records on disk, in sled.
//!
//! All tables live in one sled tree, because one `apply_batch` on one tree is sled's plainest
//! atomic write; a transaction over several trees would need every table's tree at hand and may
//! run its closure more than once. A sled key is the table's name, the record's key (escaped, so
//! that order is kept) and a part number.
//!
//! Why parts: sled writes a page above 128 KiB to a file of its own under `blobs/`, which it never
//! syncs, and a leaf holds up to 17 values. Parts of 4 KiB keep every page below that, so `db` is
//! the only file that matters, and syncing it is enough.
//!
//! Why the sync: `flush` of sled 0.34 ends in `sync_file_range`, which does not survive a power
//! cut (`tests/power_cut` shows it). So every commit is `apply_batch`, `flush`, then `fdatasync`.
//!
//! Why the witness: sled takes damage in its log for the end of it, and opens with whatever came
//! before, even nothing. So every batch carries the commit's number, and after the sync the number
//! is also written to `commits`, unsynced: after a crash that file may lag, but it never leads, so
//! records behind it have lost commits and are refused.
//!
//! Why a doubt: after a failed write or sync nobody knows what is on the disk, and the kernel may
//! call the next sync a success. So the files are not used again: the records as last acknowledged
//! are written anew beside them (`doubt`), with the next commit if not at once, and the store goes on
//! there.
//!
//! What it does not do: repair what cannot be read. It is refused, with the remedy named: `restore` puts the newest export in its place, which may be older than what was
//! acknowledged, and so is the operator's decision.
//!
//! ```text
//! <directory>/lock            held while the store is open
//! <directory>/records/        sled's own files
//! <directory>/commits         the witness: how many commits were durable, at least
//! <directory>/exports/        plain copies: every so often, and when the store is closed
//! <directory>/records.corrupt-<time>/   what `restore` moved aside
//! <directory>/records.rebuilt/          for the moment of a change of files after a doubt
//! ```

mod doubt;
mod layout;
mod restoration;
mod witness;

pub use restoration::Restored;

use super::{Batch, Entry, Store, StoreFault, Table, export};
use doubt::Doubt;
use layout::COMMITS_KEY;
use restoration::refuse_with_remedy;
use std::{
    fmt,
    fs::{self, File, TryLockError},
    io,
    os::unix::ffi::OsStrExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};
use witness::Witness;

/// Free bytes under a directory, as the file system reports them.
pub type FreeBytes = fn(&Path) -> io::Result<u64>;

/// Makes what was written to a file durable. `fdatasync` does, a longer file's length included; what it
/// leaves out, such as times, costs a commit of the file system's journal each time.
pub type Sync = fn(&File) -> io::Result<()>;

#[derive(Debug, Clone)]
pub struct Options {
    /// Commits are refused as `Full` while the disk has less than this free: sled must never meet
    /// the end of the disk midway.
    pub free_bytes_floor: u64,
    pub free_bytes: FreeBytes,
    pub sync: Sync,
    /// What is in doubt is not tried to be taken back more often than this.
    pub rebuild_every: Duration,
    pub export_every: Duration,
}

/// Records on disk. Dropping it closes it: the last export is written, then the lock is released.
#[derive(Debug)]
pub struct SledStore {
    records: Arc<Records>,
    exporter: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            free_bytes_floor: 64 * 1024 * 1024,
            free_bytes: statvfs_free_bytes,
            sync: File::sync_data,
            rebuild_every: Duration::from_secs(1),
            export_every: Duration::from_secs(600),
        }
    }
}

impl SledStore {
    /// Opens or creates the store in `directory`, for this process alone.
    pub fn open(directory: &Path, options: Options) -> Result<SledStore, StoreFault> {
        let lock = lock(directory)?;
        let exports = directory.join("exports");
        fs::create_dir_all(&exports).map_err(io_fault)?;
        let path = directory.join("records");
        doubt::finish_change_of_files(directory).map_err(io_fault)?;
        let files = Files::open(&path).map_err(|cause| refuse_with_remedy(directory, &cause))?;
        let commits = layout::commits_in(&files.db)?;
        let witness = Witness::open(directory).map_err(io_fault)?;
        let witnessed = witness.read().map_err(io_fault)?;
        if commits < witnessed {
            let cause = format!("only {commits} of at least {witnessed} commits are left");
            return Err(refuse_with_remedy(directory, &cause));
        }
        // The names must be as durable as the contents, up to the directory that holds ours.
        let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
        for named in [Some(path.as_path()), Some(directory), parent].into_iter().flatten() {
            File::open(named).and_then(|file| file.sync_all()).map_err(io_fault)?;
        }
        let changed = export::list(&exports).map_err(io_fault)?.is_empty();
        let state = State { files: Some(files), doubt: None, commits, changed };
        let records = Arc::new(Records {
            state: Mutex::new(state),
            witness,
            directory: directory.to_owned(),
            options,
            _lock: lock,
        });
        let (close, closed) = channel();
        let exporter = std::thread::Builder::new()
            .name("store-export".to_owned())
            .spawn({
                let records = Arc::clone(&records);
                move || export_until_closed(&records, &closed)
            })
            .map_err(io_fault)?;
        Ok(SledStore { records, exporter: Some((close, exporter)) })
    }

    /// Writes an export now, and says where.
    pub fn export(&self) -> Result<PathBuf, StoreFault> {
        self.records.export()
    }
}

impl Store for SledStore {
    fn scan(&self, table: Table) -> Result<Vec<Entry>, StoreFault> {
        let state = self.records.sound()?;
        layout::entries_of(&state.files().db, table)
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreFault> {
        let needed = batch.size_bytes() as u64;
        let settled = batch.settled()?;
        let mut state = self.records.sound()?;
        self.records.demand_free_bytes(needed)?;
        let mut writes = sled::Batch::default();
        let mut before = Vec::new();
        for ((table, key), value) in settled {
            before.push(layout::parts_of(&state.files().db, table, &key)?);
            layout::add_parts(&state.files().db, &mut writes, table, &key, value)?;
        }
        let commits = state.commits + 1;
        writes.insert(COMMITS_KEY, &commits.to_be_bytes());
        match self.records.write_durably(state.files(), writes, commits) {
            Ok(()) => {
                state.commits = commits;
                state.changed = true;
                Ok(())
            }
            Err(cause) => {
                log::error!("writing to `{}` failed: {cause}", self.records.directory.display());
                state.doubt = Some(Doubt::new(before));
                match self.records.dispel_doubt(&mut state) {
                    Ok(()) => Err(cause),
                    Err(why) => {
                        log::error!("and cannot be taken back yet: {why}");
                        Err(StoreFault::Unknown(cause.to_string()))
                    }
                }
            }
        }
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        if let Some((close, exporter)) = self.exporter.take() {
            drop(close);
            if exporter.join().is_err() {
                log::error!("the store's export thread panicked");
            }
        }
    }
}

/// Dropped in this order: sled lets go of its files before the lock is released.
struct Records {
    /// Held by every commit, scan and copy: sled iterates without isolation.
    state: Mutex<State>,
    witness: Witness,
    directory: PathBuf,
    options: Options,
    _lock: File,
}

#[derive(Debug)]
struct State {
    /// None after an error of sled's, until its files could be opened again: a doubt.
    files: Option<Files>,
    /// The records in memory may differ from those on disk.
    doubt: Option<Doubt>,
    commits: u64,
    /// Whether anything was written since the last export.
    changed: bool,
}

impl State {
    fn files(&self) -> &Files {
        self.files.as_ref().expect("without a doubt the files are open")
    }
}

/// Sled, and the one file of its that matters.
struct Files {
    db: sled::Db,
    db_file: File,
}

impl Files {
    fn open(path: &Path) -> Result<Files, String> {
        let db = open_sled(path)?;
        let db_file = File::open(path.join("db")).map_err(|error| error.to_string())?;
        Ok(Files { db, db_file })
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Files")
    }
}

impl Records {
    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a panic while writing records ends the process")
    }

    fn sound(&self) -> Result<MutexGuard<'_, State>, StoreFault> {
        let mut state = self.lock_state();
        self.dispel_doubt(&mut state)?;
        Ok(state)
    }

    fn demand_free_bytes(&self, needed: u64) -> Result<(), StoreFault> {
        let free = (self.options.free_bytes)(&self.directory).map_err(io_fault)?;
        let floor = self.options.free_bytes_floor;
        // Sled rewrites the pages it touches, so a batch may cost a few times its size.
        if free < floor.saturating_add(needed.saturating_mul(4)) {
            let directory = self.directory.display();
            return Err(StoreFault::Full(format!(
                "`{directory}` has {free} bytes free, {floor} must remain"
            )));
        }
        Ok(())
    }

    fn write_durably(
        &self,
        files: &Files,
        writes: sled::Batch,
        commits: u64,
    ) -> Result<(), StoreFault> {
        files.db.apply_batch(writes).map_err(sled_fault)?;
        files.db.flush().map_err(sled_fault)?;
        (self.options.sync)(&files.db_file).map_err(io_fault)?;
        self.witness.write(commits).map_err(io_fault)
    }

    fn export(&self) -> Result<PathBuf, StoreFault> {
        let entries = {
            let mut state = self.sound()?;
            // Only references are taken here, so commits wait for a walk, not for a disk.
            let entries: Vec<_> = state
                .files()
                .db
                .iter()
                .collect::<Result<_, _>>()
                .map_err(|error| StoreFault::Corrupt(error.to_string()))?;
            state.changed = false;
            entries
        };
        let size: usize = entries.iter().map(|(key, value)| key.len() + value.len() + 8).sum();
        let written = self.demand_free_bytes(size as u64).and_then(|()| {
            export::write(&self.directory.join("exports"), &entries).map_err(io_fault)
        });
        if written.is_err() {
            self.lock_state().changed = true;
        }
        written
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("directory", &self.directory).finish_non_exhaustive()
    }
}

fn export_until_closed(records: &Records, closed: &Receiver<()>) {
    loop {
        let closing = closed.recv_timeout(records.options.export_every)
            == Err(RecvTimeoutError::Disconnected);
        let due = {
            let state = records.lock_state();
            state.changed && state.doubt.is_none()
        };
        if due && let Err(fault) = records.export() {
            log::warn!("no export of `{}` was written: {fault}", records.directory.display());
        }
        if closing {
            return;
        }
    }
}

fn lock(directory: &Path) -> Result<File, StoreFault> {
    fs::create_dir_all(directory).map_err(io_fault)?;
    let file = File::create(directory.join("lock")).map_err(io_fault)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(StoreFault::InUse { directory: directory.display().to_string() })
        }
        Err(TryLockError::Error(error)) => Err(io_fault(error)),
    }
}

/// Sled panics on some damaged files instead of answering.
fn open_sled(path: &Path) -> Result<sled::Db, String> {
    let config =
        sled::Config::new().path(path).cache_capacity(16 * 1024 * 1024).flush_every_ms(Some(500));
    // Unwind safety: nothing of a failed open is looked at afterwards.
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panic) => Err(match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
            (Some(text), _) => text.clone(),
            (None, Some(text)) => (*text).to_owned(),
            (None, None) => "sled panicked".to_owned(),
        }),
    }
}

fn sled_fault(error: sled::Error) -> StoreFault {
    match error {
        sled::Error::Io(error) => io_fault(error),
        error => StoreFault::Io(error.to_string()),
    }
}

fn io_fault(error: io::Error) -> StoreFault {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StoreFault::Full(error.to_string())
        }
        _ => StoreFault::Io(error.to_string()),
    }
}

fn statvfs_free_bytes(path: &Path) -> io::Result<u64> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let mut found = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // Needed because std has no statvfs. Sound: `path` ends in a zero byte and outlives the call,
    // and `found` is read only after the call said it filled it.
    let found = unsafe {
        if libc::statvfs(path.as_ptr(), found.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        found.assume_init()
    };
    Ok((found.f_bavail as u64).saturating_mul(found.f_frsize as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Batch {
        let mut batch = Batch::default();
        batch.put("t", key, value);
        batch
    }

    /// A process that another test is starting has copies of our locked files until it is another
    /// program: who meets one tries again.
    fn open(directory: &Path) -> Result<SledStore, StoreFault> {
        let deadline = std::time::Instant::now() + Duration::from_secs(2);
        loop {
            match SledStore::open(directory, Options::default()) {
                Err(fault) if fault.to_string().contains("lock") => {
                    assert!(std::time::Instant::now() < deadline, "{fault}");
                }
                Err(StoreFault::InUse { .. }) if std::time::Instant::now() < deadline => {}
                outcome => return outcome,
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    fn keys(store: &SledStore) -> Vec<String> {
        let entries = store.scan("t").unwrap();
        entries.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
    }

    #[test]
    fn a_store_can_be_opened_again_at_once_after_it_was_closed() {
        let directory = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let store = open(directory.path()).unwrap();
            assert_eq!(keys(&store).len(), round);
            store.commit(put(&format!("{round:02}"), "x")).unwrap();
        }
    }

    #[test]
    fn a_second_open_is_refused_with_the_directory_and_leaves_the_first_alone() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path()).unwrap();
        let in_use = StoreFault::InUse { directory: directory.path().display().to_string() };
        assert_eq!(open(directory.path()).unwrap_err(), in_use);
        assert_eq!(SledStore::restore(directory.path()).unwrap_err(), in_use);
        store.commit(put("a", "x")).unwrap();
    }

    #[test]
    fn a_full_disk_refuses_the_commit_and_keeps_what_was_there() {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path()).unwrap());
        let nearly_full =
            Options { free_bytes: |_| Ok(64 * 1024 * 1024 + 1000), ..Options::default() };
        let store = SledStore::open(directory.path(), nearly_full).unwrap();
        store.commit(put("small", "x")).unwrap();
        let refusal = store.commit(put("large", &"x".repeat(1000))).unwrap_err();
        let expected = format!(
            "the disk is full: `{}` has 67109864 bytes free, 67108864 must remain",
            directory.path().display()
        );
        assert_eq!(refusal.to_string(), expected);
        assert_eq!(keys(&store), ["small"]);
        store.commit(put("small", "y")).unwrap();
    }

    #[test]
    fn the_free_bytes_of_a_file_system_are_those_it_reports() {
        let free = statvfs_free_bytes(Path::new("/")).unwrap();
        assert!(free > 0);
        assert!(statvfs_free_bytes(Path::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn closing_writes_an_export_only_when_something_changed() {
        let directory = tempfile::tempdir().unwrap();
        let exports = || export::list(&directory.path().join("exports")).unwrap();
        let store = open(directory.path()).unwrap();
        store.commit(put("a", "x")).unwrap();
        drop(store);
        let after_first = exports();
        // The record and the number of commits.
        assert_eq!(export::read(&after_first[0]).unwrap().len(), 2);
        drop(open(directory.path()).unwrap());
        assert_eq!(exports(), after_first);
    }

    thread_local! {
        /// How many of the coming syncs fail, and what is free on the disk.
        static DISK: std::cell::Cell<(u32, u64)> = const { std::cell::Cell::new((0, u64::MAX)) };
    }

    /// A disk that does what `DISK` says, for this thread.
    fn on_a_fickle_disk(directory: &Path) -> SledStore {
        let options = Options {
            sync: |file| {
                let (failing, free) = DISK.get();
                DISK.set((failing.saturating_sub(1), free));
                match failing {
                    0 => file.sync_all(),
                    _ => Err(io::Error::other("told to fail")),
                }
            },
            free_bytes: |_| Ok(DISK.get().1),
            rebuild_every: Duration::ZERO,
            ..Options::default()
        };
        SledStore::open(directory, options).unwrap()
    }

    #[test]
    fn a_commit_whose_sync_failed_is_taken_back_and_the_store_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let store = on_a_fickle_disk(directory.path());
        store.commit(put("a", &"x".repeat(10_000))).unwrap();
        store.commit(put("b", "x")).unwrap();
        DISK.set((1, u64::MAX));
        let mut batch = put("a", "short");
        batch.remove("t", "b");
        batch.put("t", "c", "new");
        assert_eq!(store.commit(batch), Err(StoreFault::Io("told to fail".to_owned())));
        assert_eq!(keys(&store), ["a", "b"]);
        assert_eq!(store.scan("t").unwrap()[0].1.len(), 10_000);
        store.commit(put("d", "x")).unwrap();
        drop(store);
        let store = open(directory.path()).unwrap();
        assert_eq!(keys(&store), ["a", "b", "d"]);
        assert_eq!(store.scan("t").unwrap()[0].1.len(), 10_000);
        let left = |name: &str| directory.path().join(name).exists();
        assert!(!left("records.rebuilt") && !left("records.doubted"));
    }

    #[test]
    fn a_commit_that_cannot_be_taken_back_is_in_doubt_until_the_disk_has_room() {
        let directory = tempfile::tempdir().unwrap();
        let store = on_a_fickle_disk(directory.path());
        store.commit(put("a", "x")).unwrap();
        // The rebuilding fails as well.
        DISK.set((2, u64::MAX));
        let doubted = store.commit(put("b", "x"));
        assert!(matches!(doubted, Err(StoreFault::Unknown(_))), "{doubted:?}");
        DISK.set((0, 1000));
        for _ in 0..2 {
            let refused = store.commit(put("c", "x"));
            assert!(matches!(refused, Err(StoreFault::Full(_))), "{refused:?}");
        }
        DISK.set((0, u64::MAX));
        store.commit(put("d", "x")).unwrap();
        assert_eq!(keys(&store), ["a", "d"]);
        drop(store);
        assert_eq!(keys(&open(directory.path()).unwrap()), ["a", "d"]);
    }

    #[test]
    fn a_process_that_ends_in_doubt_has_lost_nothing_acknowledged() {
        let directory = tempfile::tempdir().unwrap();
        let store = on_a_fickle_disk(directory.path());
        store.commit(put("a", "x")).unwrap();
        DISK.set((2, u64::MAX));
        assert!(store.commit(put("b", "x")).is_err());
        drop(store);
        let store = open(directory.path()).unwrap();
        assert!(keys(&store).contains(&"a".to_owned()));
        store.commit(put("c", "x")).unwrap();
    }

    #[test]
    fn a_change_of_files_that_was_cut_off_is_finished_by_the_next_open() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path()).unwrap();
        store.commit(put("a", "x")).unwrap();
        drop(store);
        let path = |name: &str| directory.path().join(name);
        fs::rename(path("records"), path("records.rebuilt")).unwrap();
        fs::create_dir(path("records.doubted")).unwrap();
        assert_eq!(keys(&open(directory.path()).unwrap()), ["a"]);
        // One that had not begun is begun anew when it is needed.
        fs::create_dir(path("records.rebuilt")).unwrap();
        assert_eq!(keys(&open(directory.path()).unwrap()), ["a"]);
        assert!(!path("records.rebuilt").exists() && !path("records.doubted").exists());
    }
}
