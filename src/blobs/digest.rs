//! Digests of files, and copies that are digested on the way.
//!
//! A blob's name is the plain SHA-256 of all its bytes. [`content_print`] is a private, quicker
//! fingerprint: zeroes are skipped, so checking a sparse disk costs what it holds, not its size.

use super::{BlobFault, Progress};
use crate::domain::blob::BlobId;
use ring::digest::{Context, SHA256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Large enough to make system calls rare, small enough to find the holes in a disk image.
const CHUNK: usize = 256 * 1024;

/// Passes bytes on and remembers their digest.
pub struct Digesting<W> {
    inner: W,
    context: Context,
    written: u64,
}

impl<W: Write> Digesting<W> {
    pub fn new(inner: W) -> Digesting<W> {
        Digesting { inner, context: Context::new(&SHA256), written: 0 }
    }

    pub fn written(&self) -> u64 {
        self.written
    }

    pub fn finish(self) -> (W, BlobId) {
        (self.inner, blob_id(self.context))
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.context.update(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A file writer that leaves holes where the bytes are zero.
pub struct Sparse {
    file: File,
    length: u64,
}

impl Sparse {
    /// `file` must be empty: what is skipped must read as zero.
    pub fn new(file: File) -> Sparse {
        Sparse { file, length: 0 }
    }

    /// Gives the file its full length, also when it ends in a hole, and makes it durable.
    pub fn finish(self) -> io::Result<File> {
        self.file.set_len(self.length)?;
        self.file.sync_all()?;
        Ok(self.file)
    }
}

impl Write for Sparse {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if is_zero(bytes) {
            self.file.seek(SeekFrom::Current(bytes.len() as i64))?;
        } else {
            self.file.write_all(bytes)?;
        }
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Copies `from` to the end.
pub fn copy(
    from: &mut dyn Read,
    into: &mut dyn Write,
    total: Option<u64>,
    progress: Progress<'_>,
) -> io::Result<u64> {
    let mut chunk = vec![0; CHUNK];
    let mut done = 0;
    loop {
        let count = fill(from, &mut chunk)?;
        if count == 0 {
            return Ok(done);
        }
        into.write_all(&chunk[..count])?;
        done += count as u64;
        progress(done, total);
    }
}

/// The name the bytes of a file have.
pub fn digest_file(path: &Path) -> Result<BlobId, BlobFault> {
    let mut file = File::open(path).map_err(BlobFault::io("opened", path))?;
    let mut into = Digesting::new(io::sink());
    copy(&mut file, &mut into, None, &mut |_, _| {}).map_err(BlobFault::io("read", path))?;
    Ok(into.finish().1)
}

/// A fingerprint of length and content that does not depend on where the file has holes.
pub fn content_print(path: &Path) -> Result<BlobId, BlobFault> {
    let mut file = File::open(path).map_err(BlobFault::io("opened", path))?;
    let print = print_of(&mut file).map_err(BlobFault::io("read", path))?;
    Ok(print)
}

fn print_of(file: &mut File) -> io::Result<BlobId> {
    let length = file.metadata()?.len();
    let mut context = Context::new(&SHA256);
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    while let Some(data) = next_data(file, at)? {
        // Chunks begin at multiples of their size, so that holes decide nothing but speed.
        at = data - data % CHUNK as u64;
        file.seek(SeekFrom::Start(at))?;
        let count = fill(file, &mut chunk)?;
        if count == 0 {
            break;
        }
        if !is_zero(&chunk[..count]) {
            context.update(&at.to_le_bytes());
            context.update(&chunk[..count]);
        }
        at += count as u64;
    }
    context.update(&length.to_le_bytes());
    Ok(blob_id(context))
}

/// Where the next data at or after `from` begin; nothing when only a hole is left.
fn next_data(file: &File, from: u64) -> io::Result<Option<u64>> {
    use std::os::fd::AsRawFd;
    // SAFETY: lseek takes a descriptor that `file` keeps open and no pointers; std has no SEEK_DATA.
    let found = unsafe { libc::lseek(file.as_raw_fd(), from as libc::off_t, libc::SEEK_DATA) };
    if found >= 0 {
        return Ok(Some(found as u64));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENXIO) => Ok(None),
        _ => Err(error),
    }
}

/// Reads until `chunk` is full or the input ends; short reads would spoil the chunking.
fn fill(from: &mut dyn Read, chunk: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < chunk.len() {
        match from.read(&mut chunk[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

fn is_zero(bytes: &[u8]) -> bool {
    // SAFETY: every bit pattern is a valid `u64`, and `align_to` keeps the three parts in bounds.
    let (before, words, after) = unsafe { bytes.align_to::<u64>() };
    words.iter().all(|word| *word == 0) && before.iter().chain(after).all(|byte| *byte == 0)
}

fn blob_id(context: Context) -> BlobId {
    let digest = context.finish();
    BlobId::of_digest(digest.as_ref().try_into().expect("a SHA-256 digest has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Digesting, Sparse, content_print, copy, digest_file};
    use std::fs::{self, File};
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_digest_is_the_plain_sha_256_of_the_bytes() {
        let mut into = Digesting::new(Vec::new());
        into.write_all(b"abc").unwrap();
        let (bytes, id) = into.finish();
        assert_eq!(bytes, b"abc");
        assert_eq!(
            id.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn zeroes_become_holes_and_read_back_as_zeroes() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = vec![0u8; 16 * CHUNK + 17];
        bytes[5 * CHUNK] = 7;
        let path = dir.path().join("sparse");
        let mut sparse = Sparse::new(File::create(&path).unwrap());
        copy(&mut bytes.as_slice(), &mut sparse, None, &mut |_, _| {}).unwrap();
        sparse.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert!(fs::metadata(&path).unwrap().blocks() * 512 <= 2 * CHUNK as u64);
    }

    #[test]
    fn a_content_print_sees_every_byte_and_the_length_but_not_the_holes() {
        let dir = tempfile::tempdir().unwrap();
        let [dense, holed] = ["dense", "holed"].map(|name| dir.path().join(name));
        let mut bytes = vec![0u8; 8 * CHUNK];
        bytes[3 * CHUNK + 5] = 1;
        fs::write(&dense, &bytes).unwrap();
        let mut sparse = Sparse::new(File::create(&holed).unwrap());
        copy(&mut bytes.as_slice(), &mut sparse, None, &mut |_, _| {}).unwrap();
        sparse.finish().unwrap();
        let print = content_print(&dense).unwrap();
        assert_eq!(print, content_print(&holed).unwrap());
        assert_eq!(digest_file(&dense).unwrap(), digest_file(&holed).unwrap());

        for changed in [0, 3 * CHUNK + 5, 8 * CHUNK - 1] {
            let mut other = bytes.clone();
            other[changed] ^= 0x80;
            fs::write(&dense, &other).unwrap();
            assert_ne!(print, content_print(&dense).unwrap(), "byte {changed}");
        }
        bytes.push(0);
        fs::write(&dense, &bytes).unwrap();
        assert_ne!(print, content_print(&dense).unwrap(), "one zero more");
    }
}
