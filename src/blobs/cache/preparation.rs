//! Fetching a blob and making of it what a guest starts from.
//!
//! Everything happens in unfinished files, which go away by themselves when something fails.

use super::entry::Record;
use super::{Form, Key};
use crate::blobs::digest::{Digesting, Sparse};
use crate::blobs::repository::Unfinished;
use crate::blobs::tool::QEMU_IMG;
use crate::blobs::vmlinux::{self, Extraction, Kept};
use crate::blobs::{BlobFault, BlobSource, Progress, qcow2};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// An image prepared, but not yet in its place.
#[derive(Debug)]
pub(super) struct Staged {
    file: Unfinished,
    remark: Option<String>,
    pub disk_bytes: u64,
}

impl Staged {
    /// Puts the image in its place; the record comes last, for it vouches for the image.
    pub(super) fn settle(self, directory: &Path, key: Key) -> Result<Record, BlobFault> {
        let place = directory.join(key.to_string());
        self.file.become_file(&place)?;
        let record = Record::of(&place, self.remark)?;
        record.save(directory, key)?;
        Ok(record)
    }
}

pub(super) fn stage(
    directory: &Path,
    limit_bytes: u64,
    source: &dyn BlobSource,
    key: Key,
    progress: Progress<'_>,
) -> Result<Staged, BlobFault> {
    let fetched = fetch(directory, limit_bytes, source, key, progress)?;
    let (file, remark) = match key.form {
        Form::RootBase => (plain_disk(directory, key, fetched)?, None),
        Form::Kernel => unpacked_kernel(directory, key, fetched)?,
        Form::Ramdisk => (fetched, None),
    };
    let metadata = fs::metadata(file.path()).map_err(BlobFault::io("examined", file.path()))?;
    let disk_bytes = metadata.blocks() * 512;
    if disk_bytes > limit_bytes {
        return Err(BlobFault::TooLarge { blob: key.blob, limit_bytes });
    }
    Ok(Staged { file, remark, disk_bytes })
}

/// Brings the bytes here and checks that they are the ones asked for.
fn fetch(
    directory: &Path,
    limit_bytes: u64,
    source: &dyn BlobSource,
    key: Key,
    progress: Progress<'_>,
) -> Result<Unfinished, BlobFault> {
    let (unfinished, file) = Unfinished::create(directory, &format!("{key}.fetched"))?;
    let landing = Landing { file: Sparse::new(file), dense_bytes: 0, limit_bytes, fault: None };
    let mut into = Digesting::new(landing);
    let outcome = source.fetch(&key.blob, &mut into, progress);
    let (landing, actual) = into.finish();
    match landing.fault {
        Some(Overflow::Limit) => return Err(BlobFault::TooLarge { blob: key.blob, limit_bytes }),
        Some(Overflow::Disk(error)) => {
            return Err(BlobFault::io("written", unfinished.path())(error));
        }
        None => outcome?,
    }
    if actual != key.blob {
        return Err(BlobFault::DigestMismatch { expected: key.blob, actual });
    }
    landing.file.finish().map_err(BlobFault::io("written", unfinished.path()))?;
    Ok(unfinished)
}

/// Where fetched bytes arrive. Remembers why it refused some, which a source may not pass on.
struct Landing {
    file: Sparse,
    dense_bytes: u64,
    limit_bytes: u64,
    fault: Option<Overflow>,
}

enum Overflow {
    Limit,
    Disk(io::Error),
}

impl Write for Landing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_hole = bytes.iter().all(|byte| *byte == 0);
        self.dense_bytes += if is_hole { 0 } else { bytes.len() as u64 };
        if self.dense_bytes > self.limit_bytes {
            self.fault = Some(Overflow::Limit);
            return Err(io::Error::other("the image cache is too small"));
        }
        self.file.write(bytes).map_err(|error| {
            let told = io::Error::new(error.kind(), error.to_string());
            self.fault = Some(Overflow::Disk(error));
            told
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A qcow2 image is unpacked once, here, and not again at each guest's reads.
fn plain_disk(directory: &Path, key: Key, fetched: Unfinished) -> Result<Unfinished, BlobFault> {
    let mut start = Vec::new();
    File::open(fetched.path())
        .and_then(|file| file.take(qcow2::HEADER_BYTES as u64).read_to_end(&mut start))
        .map_err(BlobFault::io("read", fetched.path()))?;
    if !start.starts_with(qcow2::MAGIC) {
        return Ok(fetched);
    }
    // Checked again although it was when the image was added: `qemu-img` would open whatever file
    // of this host the header names.
    qcow2::read(&start).map_err(|refusal| BlobFault::Refused(refusal.to_string()))?;
    let (plain, _) = Unfinished::create(directory, &format!("{key}.plain"))?;
    let arguments = ["convert", "-q", "-f", "qcow2", "-O", "raw", "--"].map(AsRef::as_ref);
    let files = [fetched.path().as_os_str(), plain.path().as_os_str()];
    match QEMU_IMG.run(&[&arguments[..], &files].concat()) {
        Ok(_) => Ok(plain),
        Err(BlobFault::ToolFailed { output, .. }) if output.contains("No space left") => {
            Err(BlobFault::DiskFull { path: plain.path().display().to_string() })
        }
        Err(fault) => Err(fault),
    }
}

fn unpacked_kernel(
    directory: &Path,
    key: Key,
    fetched: Unfinished,
) -> Result<(Unfinished, Option<String>), BlobFault> {
    let kernel = fs::read(fetched.path()).map_err(BlobFault::io("read", fetched.path()))?;
    match vmlinux::extract(&kernel) {
        Extraction::Extracted(vmlinux) => {
            let (unpacked, mut file) = Unfinished::create(directory, &format!("{key}.unpacked"))?;
            file.write_all(&vmlinux).map_err(BlobFault::io("written", unpacked.path()))?;
            Ok((unpacked, None))
        }
        Extraction::Kept(Kept::AlreadyElf) => Ok((fetched, None)),
        Extraction::Kept(kept) => {
            log::warn!("kernel `{}` is used as it came: {kept}", key.blob);
            Ok((fetched, Some(kept.to_string())))
        }
    }
}
