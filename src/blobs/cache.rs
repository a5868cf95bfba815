//! A node's image cache: each image fetched once, checked, and kept in the form guests start from.
//!
//! Promises: bytes that do not have the digest they were asked by are never kept; however many ask
//! for an image at once, it is fetched once; the cache holds no more than its limit, giving up the
//! least recently used image first and never one that is in use; a file that changed behind the
//! cache's back is noticed and fetched anew. After a crash only unfinished files are left over,
//! and they are swept at open.
//!
//! Deliberately not counted against the limit: bytes still being fetched.

mod entry;
mod preparation;

use super::repository::{entries, sweep_unfinished};
use super::{BlobFault, BlobSource, Progress};
use crate::domain::blob::BlobId;
use entry::{Entry, Record};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What a blob is prepared to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// A plain sparse file to put overlays on.
    RootBase,
    /// An uncompressed kernel where that is possible.
    Kernel,
    /// The ramdisk as it came.
    Ramdisk,
}

impl Form {
    const ALL: [Form; 3] = [Form::RootBase, Form::Kernel, Form::Ramdisk];

    fn as_str(self) -> &'static str {
        match self {
            Form::RootBase => "root",
            Form::Kernel => "kernel",
            Form::Ramdisk => "ramdisk",
        }
    }
}

/// A blob in one form: `<digest>.<form>` is its file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    blob: BlobId,
    form: Form,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.blob, self.form.as_str())
    }
}

impl Key {
    fn parse(name: &str) -> Option<Key> {
        let (blob, form) = name.split_once('.')?;
        let form = Form::ALL.into_iter().find(|known| known.as_str() == form)?;
        Some(Key { blob: blob.parse().ok()?, form })
    }
}

/// An image ready to be used, and the pin that keeps it: the file stays while any clone lives.
#[derive(Debug, Clone)]
pub struct PreparedImage {
    path: PathBuf,
    remark: Option<String>,
    _pin: Arc<()>,
}

impl PreparedImage {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is worth telling about the preparation: why a kernel stayed compressed.
    pub fn remark(&self) -> Option<&str> {
        self.remark.as_deref()
    }
}

#[derive(Debug)]
pub struct ImageCache {
    directory: PathBuf,
    limit_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    flights: BTreeMap<Key, Arc<Flight>>,
    /// Counts uses; the entry with the smallest count was used longest ago.
    uses: u64,
}

/// One preparation that others may be waiting for.
#[derive(Debug, Default)]
struct Flight {
    outcome: Mutex<Option<Result<PreparedImage, BlobFault>>>,
    landed: Condvar,
}

impl Flight {
    fn wait(&self) -> Result<PreparedImage, BlobFault> {
        let mut outcome = lock(&self.outcome);
        loop {
            if let Some(outcome) = outcome.as_ref() {
                return outcome.clone();
            }
            outcome = self.landed.wait(outcome).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl ImageCache {
    /// Takes up what an earlier process left. Nothing is hashed yet: each image is at its first use.
    pub fn open(directory: &Path, limit_bytes: u64) -> Result<ImageCache, BlobFault> {
        fs::create_dir_all(directory).map_err(BlobFault::io("created", directory))?;
        sweep_unfinished(directory)?;
        let state = Mutex::new(State::take_up(directory)?);
        Ok(ImageCache { directory: directory.to_owned(), limit_bytes, state })
    }

    /// The blob in the form asked for: from the cache, or fetched, checked and prepared now.
    pub fn prepare(
        &self,
        source: &dyn BlobSource,
        blob: &BlobId,
        form: Form,
        progress: Progress<'_>,
    ) -> Result<PreparedImage, BlobFault> {
        let key = Key { blob: *blob, form };
        let flight = {
            let mut state = lock(&self.state);
            if let Some(prepared) = state.hit(&key, &self.directory)? {
                return Ok(prepared);
            }
            if let Some(flight) = state.flights.get(&key) {
                let flight = Arc::clone(flight);
                drop(state);
                return flight.wait();
            }
            let flight = Arc::new(Flight::default());
            state.flights.insert(key, Arc::clone(&flight));
            flight
        };
        let mut takeoff = Takeoff { cache: self, key, flight, outcome: None };
        let outcome = self.check_or_fetch(source, key, progress);
        takeoff.outcome = Some(outcome.clone());
        outcome
    }

    /// Pins an image that is in use already, without looking at its bytes: for the overlays an
    /// earlier process left running. Nothing when the cache does not hold it.
    pub fn pin(&self, blob: &BlobId, form: Form) -> Option<PreparedImage> {
        let key = Key { blob: *blob, form };
        lock(&self.state).use_entry(&key, &self.directory)
    }

    /// Bytes on the disk that the cache accounts for.
    pub fn used_bytes(&self) -> u64 {
        lock(&self.state).entries.values().map(|entry| entry.record.disk_bytes).sum()
    }

    fn check_or_fetch(
        &self,
        source: &dyn BlobSource,
        key: Key,
        progress: Progress<'_>,
    ) -> Result<PreparedImage, BlobFault> {
        let known = lock(&self.state).entries.get(&key).map(|entry| entry.record.clone());
        if let Some(record) = known {
            // Hashed without the lock: other images must not wait for this one.
            if record.holds(&self.directory.join(key.to_string()))? {
                let mut state = lock(&self.state);
                if let Some(entry) = state.entries.get_mut(&key) {
                    entry.verified = true;
                }
                if let Some(prepared) = state.use_entry(&key, &self.directory) {
                    return Ok(prepared);
                }
            } else {
                log::warn!("the cached image `{key}` is damaged and is fetched anew");
            }
        }
        let staged = preparation::stage(&self.directory, self.limit_bytes, source, key, progress)?;
        let mut state = lock(&self.state);
        // The damaged file's bytes are given back by the rename below.
        let pin = state.entries.remove(&key).map(|entry| entry.pin).unwrap_or_default();
        let evicted = state.make_room(staged.disk_bytes, self.limit_bytes)?;
        for victim in evicted {
            entry::remove(&self.directory, &victim)?;
        }
        let record = staged.settle(&self.directory, key)?;
        state.entries.insert(key, Entry { record, used: 0, verified: true, pin });
        let prepared = state.use_entry(&key, &self.directory);
        Ok(prepared.expect("the entry was inserted under the same lock"))
    }
}

/// Ends a flight whatever happens, so that nobody waits for a preparer that panicked.
struct Takeoff<'a> {
    cache: &'a ImageCache,
    key: Key,
    flight: Arc<Flight>,
    outcome: Option<Result<PreparedImage, BlobFault>>,
}

impl Drop for Takeoff<'_> {
    fn drop(&mut self) {
        let abandoned = || BlobFault::Unreachable {
            blob: self.key.blob,
            why: "its preparation was abandoned".to_owned(),
        };
        let outcome = self.outcome.take().unwrap_or_else(|| Err(abandoned()));
        lock(&self.cache.state).flights.remove(&self.key);
        *lock(&self.flight.outcome) = Some(outcome);
        self.flight.landed.notify_all();
    }
}

impl State {
    fn take_up(directory: &Path) -> Result<State, BlobFault> {
        let mut state = State::default();
        let mut found = Vec::new();
        for file in entries(directory)? {
            let name = file.file_name().to_string_lossy().into_owned();
            if let Some(key) = Key::parse(name.strip_suffix(entry::RECORD).unwrap_or(&name)) {
                match Record::load(directory, key)? {
                    Some((last_use, record)) => found.push((last_use, key, record)),
                    None => entry::remove(directory, &key)?,
                }
            }
        }
        found.sort_by_key(|(last_use, key, _)| (*last_use, *key));
        found.dedup_by_key(|(_, key, _)| *key);
        for (_, key, record) in found {
            state.uses += 1;
            let entry = Entry { record, used: state.uses, verified: false, pin: Arc::default() };
            state.entries.insert(key, entry);
        }
        Ok(state)
    }

    /// An entry that was hashed by this process and whose file looks untouched since.
    fn hit(&mut self, key: &Key, directory: &Path) -> Result<Option<PreparedImage>, BlobFault> {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.verified) else {
            return Ok(None);
        };
        entry.verified = entry.record.looks_like(&directory.join(key.to_string()))?;
        if entry.verified { Ok(self.use_entry(key, directory)) } else { Ok(None) }
    }

    fn use_entry(&mut self, key: &Key, directory: &Path) -> Option<PreparedImage> {
        self.uses += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used = self.uses;
        entry::touch(directory, key);
        Some(PreparedImage {
            path: directory.join(key.to_string()),
            remark: entry.record.remark.clone(),
            _pin: Arc::clone(&entry.pin),
        })
    }

    /// Chooses and forgets the images that must go so that `needed` bytes fit.
    fn make_room(&mut self, needed: u64, limit: u64) -> Result<Vec<Key>, BlobFault> {
        let pinned_bytes: u64 =
            self.entries.values().filter(|e| e.is_pinned()).map(|e| e.record.disk_bytes).sum();
        if pinned_bytes + needed > limit {
            let fault =
                BlobFault::NoRoom { needed_bytes: needed, pinned_bytes, limit_bytes: limit };
            return Err(fault);
        }
        let mut total: u64 = self.entries.values().map(|entry| entry.record.disk_bytes).sum();
        let mut evicted = Vec::new();
        while total + needed > limit {
            let idle = self.entries.iter().filter(|(_, entry)| !entry.is_pinned());
            let (victim, _) = idle
                .min_by_key(|(_, entry)| entry.used)
                .expect("what is not pinned is enough, as was checked above");
            let victim = *victim;
            total -= self.entries.remove(&victim).map_or(0, |entry| entry.record.disk_bytes);
            evicted.push(victim);
        }
        Ok(evicted)
    }
}

/// A panic while the lock was held cannot leave these maps half-changed in a way that matters: the
/// files are the truth, and are checked at use.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
