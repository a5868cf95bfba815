//! Image bytes: named by their digest, copied with care, prepared once per node.
//!
//! `repository` keeps the bytes an administrator added. `cache` is a node's own copy, in the form a
//! guest is started from. `root_disk` is what one instance writes to. Bytes never travel inside a
//! message: a message carries a [`BlobId`](crate::domain::blob::BlobId) and a [`BlobSource`] fetches it.

pub mod cache;
pub mod disks;
pub mod repository;
pub mod root_disk;

pub mod digest;
pub mod qcow2;
pub mod tool;
pub mod vmlinux;

use crate::domain::blob::BlobId;
use std::io::{self, Write};
use std::path::Path;

/// Why bytes could not be had. Cloneable, so that everybody waiting for one fetch hears the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobFault {
    #[error("there is no blob `{0}`")]
    NotFound(BlobId),
    #[error("the bytes that came for blob `{expected}` have the digest `{actual}`")]
    DigestMismatch { expected: BlobId, actual: BlobId },
    #[error("blob `{blob}` needs more than the image cache may hold (`{limit_bytes}` bytes)")]
    TooLarge { blob: BlobId, limit_bytes: u64 },
    #[error(
        "the image cache has no room for `{needed_bytes}` bytes: `{pinned_bytes}` of `{limit_bytes}` \
         belong to images that instances are using"
    )]
    NoRoom { needed_bytes: u64, pinned_bytes: u64, limit_bytes: u64 },
    #[error("the disk that holds `{path}` is full")]
    DiskFull { path: String },
    #[error("`{tool}` is not installed (Debian package `{package}`)")]
    ToolMissing { tool: &'static str, package: &'static str },
    #[error("`{tool}` failed: {output}")]
    ToolFailed { tool: &'static str, output: String },
    #[error("the image is refused: {0}")]
    Refused(String),
    #[error("blob `{blob}` could not be fetched: {why}")]
    Unreachable { blob: BlobId, why: String },
    #[error("`{path}` could not be {doing}: {why}")]
    Io { doing: &'static str, path: String, why: String },
}

impl BlobFault {
    /// For `map_err` around a file operation; a full disk is told apart from all else.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BlobFault {
        let path = path.display().to_string();
        move |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                BlobFault::DiskFull { path }
            }
            _ => BlobFault::Io { doing, path, why: error.to_string() },
        }
    }
}

/// Told now and then how far a copy has come: bytes done, and the total when it is known.
pub type Progress<'a> = &'a mut dyn FnMut(u64, Option<u64>);

/// Somewhere blobs come from. The bytes are checked by the asker, so a source need not be trusted.
pub trait BlobSource: Send + Sync {
    /// Writes the whole blob. An error of `into` itself is passed back as [`BlobFault::Unreachable`];
    /// the asker knows better what went wrong with its own writer.
    fn fetch(
        &self,
        blob: &BlobId,
        into: &mut dyn Write,
        progress: Progress<'_>,
    ) -> Result<(), BlobFault>;
}

/// Which blobs are there: for those who are to record a blob's name and never read its bytes.
pub trait BlobCheck: std::fmt::Debug + Send + Sync {
    /// The blob's length in bytes; `None` if there is no such blob.
    fn length(&self, blob: &BlobId) -> Result<Option<u64>, BlobFault>;
}
