//! One image the cache holds: its file, and the record that says what the file must look like.

use super::Key;
use crate::blobs::BlobFault;
use crate::blobs::digest::content_print;
use crate::blobs::repository::{Unfinished, sync_directory};
use crate::domain::blob::BlobId;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// A record's name is its image's with this at the end.
pub(super) const RECORD: &str = ".record";

#[derive(Debug)]
pub(super) struct Entry {
    pub record: Record,
    /// When it was last used, in uses of the cache.
    pub used: u64,
    /// Whether this process has compared the file's content with the record.
    pub verified: bool,
    pub pin: Arc<()>,
}

impl Entry {
    pub(super) fn is_pinned(&self) -> bool {
        Arc::strong_count(&self.pin) > 1
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The fingerprint of the prepared file, which is not the blob's digest: it was converted.
    pub print: BlobId,
    pub length: u64,
    pub modified_ns: i128,
    pub disk_bytes: u64,
    pub remark: Option<String>,
}

impl Record {
    pub(super) fn of(file: &Path, remark: Option<String>) -> Result<Record, BlobFault> {
        let print = content_print(file)?;
        let metadata = fs::metadata(file).map_err(BlobFault::io("examined", file))?;
        Ok(Record {
            print,
            length: metadata.len(),
            modified_ns: modified_ns(&metadata),
            disk_bytes: metadata.blocks() * 512,
            remark,
        })
    }

    /// The record of an image and when it was last used; nothing if either file is missing or the
    /// record cannot be understood, for then the image is not worth keeping.
    pub(super) fn load(
        directory: &Path,
        key: Key,
    ) -> Result<Option<(SystemTime, Record)>, BlobFault> {
        let (image, place) = (directory.join(key.to_string()), place(directory, &key));
        if !image.try_exists().map_err(BlobFault::io("examined", &image))? {
            return Ok(None);
        }
        let text = match fs::read(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(BlobFault::io("read", &place))?,
        };
        let modified = fs::metadata(&place).and_then(|metadata| metadata.modified());
        let last_use = modified.map_err(BlobFault::io("examined", &place))?;
        Ok(serde_json::from_slice(&text).ok().map(|record| (last_use, record)))
    }

    pub(super) fn save(&self, directory: &Path, key: Key) -> Result<(), BlobFault> {
        let (unfinished, mut file) = Unfinished::create(directory, &format!("{key}{RECORD}"))?;
        let text = serde_json::to_vec(self).expect("a record has only plain fields");
        file.write_all(&text).map_err(BlobFault::io("written", unfinished.path()))?;
        unfinished.become_file(&place(directory, &key))
    }

    /// A cheap check: length and time of change are as recorded.
    pub(super) fn looks_like(&self, file: &Path) -> Result<bool, BlobFault> {
        let metadata = match fs::metadata(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            metadata => metadata.map_err(BlobFault::io("examined", file))?,
        };
        Ok(metadata.len() == self.length && modified_ns(&metadata) == self.modified_ns)
    }

    /// The full check: the content is as recorded.
    pub(super) fn holds(&self, file: &Path) -> Result<bool, BlobFault> {
        Ok(self.looks_like(file)? && content_print(file)? == self.print)
    }
}

/// Marks an image as used now, for the order of eviction after a restart.
pub(super) fn touch(directory: &Path, key: &Key) {
    let place = place(directory, key);
    let touched = File::open(&place).and_then(|file| file.set_modified(SystemTime::now()));
    if let Err(error) = touched {
        // Costs nothing but the order of eviction, and only after a restart.
        log::warn!("the use of `{}` could not be recorded: {error}", place.display());
    }
}

/// Removes an image and its record, in the order in which a crash between leaves neither in use.
pub(super) fn remove(directory: &Path, key: &Key) -> Result<(), BlobFault> {
    for path in [place(directory, key), directory.join(key.to_string())] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(BlobFault::io("removed", &path)(error));
            }
            _ => {}
        }
    }
    sync_directory(directory)
}

fn place(directory: &Path, key: &Key) -> PathBuf {
    directory.join(format!("{key}{RECORD}"))
}

fn modified_ns(metadata: &fs::Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}
