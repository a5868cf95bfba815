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
//! cut (`tests/power_cut` shows it). So every commit is `apply_batch`, `flush`, then `fsync`.
//!
//! What it does not do: repair by itself. A store that cannot be read is refused, with the remedy
//! named: `restore` puts the newest export in its place, which may be older than what was
//! acknowledged, and so is the operator's decision.
//!
//! ```text
//! <directory>/lock            held while the store is open
//! <directory>/records/        sled's own files
//! <directory>/exports/        plain copies: every so often, and when the store is closed
//! <directory>/records.corrupt-<time>/   what `restore` moved aside
//! ```

use super::{Batch, Store, StoreFault, Table, VALUE_BYTES_LIMIT, export, readable};
use std::{
    fmt,
    fs::{self, File, TryLockError},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

/// Free bytes under a directory, as the file system reports them.
pub type FreeBytes = fn(&Path) -> io::Result<u64>;

#[derive(Debug, Clone)]
pub struct Options {
    /// Commits are refused as `Full` while the disk has less than this free: sled must never meet
    /// the end of the disk midway.
    pub free_bytes_floor: u64,
    pub free_bytes: FreeBytes,
    pub export_every: Duration,
}

/// Records on disk. Dropping it closes it: the last export is written, then the lock is released.
#[derive(Debug)]
pub struct SledStore {
    records: Arc<Records>,
    exporter: Option<(Sender<()>, JoinHandle<()>)>,
}

/// What `restore` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    pub export: PathBuf,
    pub records: usize,
    pub moved_aside_to: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            free_bytes_floor: 64 * 1024 * 1024,
            free_bytes: statvfs_free_bytes,
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
        let db = open_sled(&path).map_err(|cause| refuse_with_remedy(directory, &cause))?;
        let db_file = File::open(path.join("db")).map_err(io_fault)?;
        // The names must be as durable as the contents, up to the directory that holds ours.
        let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
        for named in [Some(path.as_path()), Some(directory), parent].into_iter().flatten() {
            File::open(named).and_then(|file| file.sync_all()).map_err(io_fault)?;
        }
        let state =
            State { doubt: None, changed: export::list(&exports).map_err(io_fault)?.is_empty() };
        let records = Arc::new(Records {
            state: Mutex::new(state),
            db,
            db_file,
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
        fill(&fresh, entries)?;
        let path = directory.join("records");
        let moved_aside_to = match path.exists() {
            true => Some(move_aside(directory, &path)?),
            false => None,
        };
        fs::rename(&fresh, &path).map_err(io_fault)?;
        File::open(directory).and_then(|file| file.sync_all()).map_err(io_fault)?;
        log::warn!("`{}` was restored from `{}`", path.display(), export.display());
        Ok(Restored { export, records: count, moved_aside_to })
    }

    /// Writes an export now, and says where.
    pub fn export(&self) -> Result<PathBuf, StoreFault> {
        self.records.export()
    }
}

impl Store for SledStore {
    fn scan(&self, table: Table) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreFault> {
        let _state = self.records.sound()?;
        let prefix = table_prefix(table);
        let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for entry in self.records.db.scan_prefix(&prefix) {
            let (sled_key, chunk) =
                entry.map_err(|error| StoreFault::Corrupt(error.to_string()))?;
            let corrupt = || {
                let key = readable(&sled_key[prefix.len()..]);
                StoreFault::Corrupt(format!("table `{table}` has a damaged part at `{key}`"))
            };
            let (key, part) = parse_key(&sled_key[prefix.len()..]).ok_or_else(corrupt)?;
            match (part, entries.last_mut()) {
                (0, _) => entries.push((key, chunk.to_vec())),
                // Parts follow each other without a gap, all but the last of them full.
                (part, Some((last, value)))
                    if *last == key && value.len() == usize::from(part) * PART_BYTES =>
                {
                    value.extend_from_slice(&chunk);
                }
                _ => return Err(corrupt()),
            }
        }
        Ok(entries)
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreFault> {
        let needed = batch.size_bytes() as u64;
        let settled = batch.settled()?;
        let mut state = self.records.sound()?;
        self.records.demand_free_bytes(needed)?;
        let mut writes = sled::Batch::default();
        for ((table, key), value) in settled {
            self.records.add_parts(&mut writes, table, &key, value)?;
        }
        match self.records.write_durably(writes) {
            Ok(()) => {
                state.changed = true;
                Ok(())
            }
            // After a failed sync the kernel may have dropped the pages and call the next sync a
            // success, so nothing that happens in this process can be trusted any more.
            Err(cause) => {
                log::error!("writing to `{}` failed: {cause}", self.records.directory.display());
                state.doubt = Some(cause.clone());
                Err(StoreFault::Unknown(cause))
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

/// A value is cut into parts of this size.
const PART_BYTES: usize = 4096;
// Part numbers are one byte.
const _: () = assert!(VALUE_BYTES_LIMIT / PART_BYTES <= u8::MAX as usize);

/// Dropped in this order: sled lets go of its files before the lock is released.
struct Records {
    /// Held by every commit, scan and copy: sled iterates without isolation.
    state: Mutex<State>,
    db: sled::Db,
    db_file: File,
    directory: PathBuf,
    options: Options,
    _lock: File,
}

#[derive(Debug)]
struct State {
    /// Why the records in memory may differ from those on disk.
    doubt: Option<String>,
    /// Whether anything was written since the last export.
    changed: bool,
}

impl Records {
    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a panic while writing records ends the process")
    }

    fn sound(&self) -> Result<MutexGuard<'_, State>, StoreFault> {
        let state = self.lock_state();
        match &state.doubt {
            None => Ok(state),
            Some(cause) => Err(StoreFault::Unknown(cause.clone())),
        }
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

    fn add_parts(
        &self,
        writes: &mut sled::Batch,
        table: Table,
        key: &[u8],
        value: Option<Vec<u8>>,
    ) -> Result<(), StoreFault> {
        let mut prefix = table_prefix(table);
        append_key(&mut prefix, key);
        for old in self.db.scan_prefix(&prefix).keys() {
            writes.remove(old.map_err(|error| StoreFault::Corrupt(error.to_string()))?);
        }
        // A later insert replaces the removal of the same part: a sled batch is a map.
        let Some(value) = value else { return Ok(()) };
        let parts = value.len().div_ceil(PART_BYTES).max(1);
        for part in 0..parts {
            let mut part_key = prefix.clone();
            part_key.push(part as u8);
            let chunk = &value[part * PART_BYTES..value.len().min((part + 1) * PART_BYTES)];
            writes.insert(part_key, chunk);
        }
        Ok(())
    }

    fn write_durably(&self, writes: sled::Batch) -> Result<(), String> {
        self.db.apply_batch(writes).map_err(|error| error.to_string())?;
        self.db.flush().map_err(|error| error.to_string())?;
        self.db_file.sync_all().map_err(|error| error.to_string())
    }

    fn export(&self) -> Result<PathBuf, StoreFault> {
        let entries = {
            let mut state = self.sound()?;
            // Only references are taken here, so commits wait for a walk, not for a disk.
            let entries: Vec<_> = self
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

fn refuse_with_remedy(directory: &Path, cause: &str) -> StoreFault {
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

fn fill(path: &Path, entries: export::Entries) -> Result<(), StoreFault> {
    let db = open_sled(path).map_err(StoreFault::Io)?;
    let written = (|| {
        for (key, value) in entries {
            db.insert(key, value)?;
        }
        db.flush()
    })();
    written.map_err(|error| StoreFault::Io(error.to_string()))?;
    let synced = File::open(path.join("db")).and_then(|file| file.sync_all());
    synced.and_then(|()| File::open(path)?.sync_all()).map_err(io_fault)
}

fn move_aside(directory: &Path, path: &Path) -> Result<PathBuf, StoreFault> {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let aside = directory.join(format!("records.corrupt-{}", time.as_millis()));
    fs::rename(path, &aside).map_err(io_fault)?;
    Ok(aside)
}

fn table_prefix(table: Table) -> Vec<u8> {
    debug_assert!(!table.as_bytes().contains(&0), "a table's name holds no zero byte");
    let mut prefix = table.as_bytes().to_vec();
    prefix.push(0);
    prefix
}

/// Escapes zero bytes and ends with one, so that no key is the beginning of another and the order
/// of keys is kept.
fn append_key(to: &mut Vec<u8>, key: &[u8]) {
    for &byte in key {
        to.push(byte);
        if byte == 0 {
            to.push(0xff);
        }
    }
    to.extend([0, 1]);
}

fn parse_key(escaped: &[u8]) -> Option<(Vec<u8>, u8)> {
    let mut key = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.iter().copied();
    loop {
        match bytes.next()? {
            0 => match bytes.next()? {
                0xff => key.push(0),
                1 => break,
                _ => return None,
            },
            byte => key.push(byte),
        }
    }
    let part = bytes.next()?;
    bytes.next().is_none().then_some((key, part))
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
    use std::os::unix::ffi::OsStrExt;
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
