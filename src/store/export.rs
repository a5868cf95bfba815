//! The plain copy of all records that stands beside a sled store, for the day sled cannot read its
//! own files.
//!
//! An export is whole or absent: it is written beside its name, synced, then renamed, and a
//! SHA-256 at its end tells a torn one. The two newest are kept. An export may be older than
//! what was acknowledged, so nothing here is ever used without being asked for by name.

use super::Entry;
use ring::digest;
use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

const MAGIC: &[u8] = b"mallee export 1\n";
const KEPT: usize = 2;
const SUFFIX: &str = ".export";
/// Longer than any key or chunk: a length above it is damage, not an allocation to try.
const PIECE_BYTES_MAX: usize = 1 << 20;

pub type Entries = Vec<Entry>;

/// The exports in `directory`, oldest first.
pub fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut exports = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if number(&path).is_some() {
            exports.push(path);
        }
    }
    exports.sort_by_key(|path| number(path));
    Ok(exports)
}

/// Writes the next export and forgets all but the newest two.
pub fn write<K, V>(directory: &Path, entries: &[(K, V)]) -> io::Result<PathBuf>
where
    K: AsRef<[u8]>,
    V: AsRef<[u8]>,
{
    let older = list(directory)?;
    let next = older.last().and_then(|path| number(path)).unwrap_or(0) + 1;
    let path = directory.join(format!("{next:08}{SUFFIX}"));
    let unfinished = directory.join("unfinished");
    let mut out = Sealing { out: BufWriter::new(File::create(&unfinished)?), seal: seal() };
    out.write(MAGIC)?;
    out.write(&(entries.len() as u64).to_be_bytes())?;
    for (key, value) in entries {
        for piece in [key.as_ref(), value.as_ref()] {
            out.write(&(piece.len() as u32).to_be_bytes())?;
            out.write(piece)?;
        }
    }
    out.finish()?.sync_all()?;
    fs::rename(&unfinished, &path)?;
    File::open(directory)?.sync_all()?;
    let surplus = (older.len() + 1).saturating_sub(KEPT);
    for old in &older[..surplus] {
        fs::remove_file(old)?;
    }
    Ok(path)
}

pub fn read(path: &Path) -> io::Result<Entries> {
    let mut input = Checking { input: BufReader::new(File::open(path)?), seal: seal() };
    if input.take(MAGIC.len())? != MAGIC {
        return Err(io::Error::other("not an export"));
    }
    let count = u64::from_be_bytes(input.array()?);
    let mut entries = Entries::new();
    for _ in 0..count {
        entries.push((input.piece()?, input.piece()?));
    }
    input.finish()?;
    Ok(entries)
}

fn number(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_suffix(SUFFIX)?.parse().ok()
}

fn seal() -> digest::Context {
    digest::Context::new(&digest::SHA256)
}

struct Sealing {
    out: BufWriter<File>,
    seal: digest::Context,
}

impl Sealing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.seal.update(bytes);
        self.out.write_all(bytes)
    }

    fn finish(mut self) -> io::Result<File> {
        self.out.write_all(self.seal.finish().as_ref())?;
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

struct Checking {
    input: BufReader<File>,
    seal: digest::Context,
}

impl Checking {
    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.input.read_exact(&mut bytes)?;
        self.seal.update(&bytes);
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        self.seal.update(&bytes);
        Ok(bytes)
    }

    fn piece(&mut self) -> io::Result<Vec<u8>> {
        let length = u32::from_be_bytes(self.array()?) as usize;
        if length > PIECE_BYTES_MAX {
            return Err(io::Error::other("a length is damaged"));
        }
        self.take(length)
    }

    fn finish(mut self) -> io::Result<()> {
        let mut expected = Vec::new();
        self.input.read_to_end(&mut expected)?;
        if self.seal.finish().as_ref() != expected {
            return Err(io::Error::other("the checksum does not match"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(value: u8) -> Entries {
        vec![(b"a".to_vec(), vec![value; 3]), (b"b".to_vec(), Vec::new())]
    }

    #[test]
    fn an_export_reads_back_as_written_and_two_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        for value in 1..=3 {
            write(directory.path(), &entries(value)).unwrap();
        }
        let kept = list(directory.path()).unwrap();
        let read: Vec<_> = kept.iter().map(|path| read(path).unwrap()).collect();
        assert_eq!(read, [entries(2), entries(3)]);
    }

    #[test]
    fn every_damaged_byte_and_every_missing_tail_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = write(directory.path(), &entries(1)).unwrap();
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut damaged = good.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            assert!(read(&path).is_err(), "byte {at} damaged");
            fs::write(&path, &good[..at]).unwrap();
            assert!(read(&path).is_err(), "cut at {at}");
        }
    }
}
