//! The image repository: every blob the administrator added, under its own digest.
//!
//! A blob is there whole or not at all: bytes are gathered in a file of another kind of name, made
//! durable, and renamed. Blobs never change. Several processes may have the directory open: one
//! import at a time holds its lock, and what an import that died left behind is swept when the
//! directory is opened and nobody imports.

use super::digest::{Digesting, Sparse, copy};
use super::{BlobCheck, BlobFault, BlobSource, Progress};
use crate::domain::blob::BlobId;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Unfinished files end so; no blob does.
const UNFINISHED: &str = ".unfinished";

#[derive(Debug)]
pub struct Blobs {
    directory: PathBuf,
    lock: PathBuf,
}

impl Blobs {
    /// `lock` is a file outside the directory, the same for everybody who opens it.
    pub fn open(directory: &Path, lock: &Path) -> Result<Blobs, BlobFault> {
        fs::create_dir_all(directory).map_err(BlobFault::io("created", directory))?;
        let blobs = Blobs { directory: directory.to_owned(), lock: lock.to_owned() };
        let file = blobs.lock_file()?;
        match file.try_lock() {
            Ok(()) => sweep_unfinished(directory)?,
            // What is unfinished now is somebody's work. The next who opens sweeps what is not.
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(BlobFault::io("locked", lock)(error)),
        }
        Ok(blobs)
    }

    /// Takes a copy of a file in. With `expected`, other bytes than those are refused. Waits for an
    /// import that is going on.
    pub fn import(
        &self,
        path: &Path,
        expected: Option<BlobId>,
        progress: Progress<'_>,
    ) -> Result<BlobId, BlobFault> {
        let mut from = File::open(path).map_err(BlobFault::io("opened", path))?;
        let total = from.metadata().map_err(BlobFault::io("examined", path))?.len();
        let lock = self.lock_file()?;
        lock.lock().map_err(BlobFault::io("locked", &self.lock))?;
        let (unfinished, file) = Unfinished::create(&self.directory, "import")?;
        let mut into = Digesting::new(Sparse::new(file));
        copy(&mut from, &mut into, Some(total), progress).map_err(BlobFault::io("copied", path))?;
        let (sparse, actual) = into.finish();
        sparse.finish().map_err(BlobFault::io("written", unfinished.path()))?;
        if let Some(expected) = expected.filter(|expected| *expected != actual) {
            return Err(BlobFault::DigestMismatch { expected, actual });
        }
        unfinished.become_file(&self.place(&actual))?;
        Ok(actual)
    }

    /// Takes a blob in from elsewhere. Several may be on their way at one time, but each only once:
    /// that is the caller's to see to.
    pub fn receive(
        &self,
        blob: &BlobId,
        source: &dyn BlobSource,
        progress: Progress<'_>,
    ) -> Result<(), BlobFault> {
        let lock = self.lock_file()?;
        lock.lock_shared().map_err(BlobFault::io("locked", &self.lock))?;
        let (unfinished, file) = Unfinished::create(&self.directory, &blob.to_string())?;
        let mut into = Digesting::new(Sparse::new(file));
        source.fetch(blob, &mut into, progress)?;
        let (sparse, actual) = into.finish();
        sparse.finish().map_err(BlobFault::io("written", unfinished.path()))?;
        if actual != *blob {
            return Err(BlobFault::DigestMismatch { expected: *blob, actual });
        }
        unfinished.become_file(&self.place(blob))
    }

    /// Where a blob is while it is being received: bytes that were reported as done are there, zeroes
    /// perhaps beyond the file's end.
    pub fn receiving(&self, blob: &BlobId) -> PathBuf {
        self.directory.join(format!("{blob}{UNFINISHED}"))
    }

    /// The file of a blob, to be read and never written.
    pub fn path(&self, blob: &BlobId) -> Result<PathBuf, BlobFault> {
        let place = self.place(blob);
        match place.try_exists().map_err(BlobFault::io("examined", &place))? {
            true => Ok(place),
            false => Err(BlobFault::NotFound(*blob)),
        }
    }

    pub fn reader(&self, blob: &BlobId) -> Result<File, BlobFault> {
        let place = self.path(blob)?;
        File::open(&place).map_err(BlobFault::io("opened", &place))
    }

    /// Forgets a blob. Who has it open keeps reading the bytes.
    pub fn remove(&self, blob: &BlobId) -> Result<(), BlobFault> {
        let place = self.path(blob)?;
        fs::remove_file(&place).map_err(BlobFault::io("removed", &place))?;
        sync_directory(&self.directory)
    }

    /// All blobs with their lengths, in the order of their names.
    pub fn list(&self) -> Result<Vec<(BlobId, u64)>, BlobFault> {
        let mut blobs = Vec::new();
        for entry in entries(&self.directory)? {
            if let Ok(blob) = entry.file_name().to_string_lossy().parse::<BlobId>() {
                let length =
                    entry.metadata().map_err(BlobFault::io("examined", &entry.path()))?.len();
                blobs.push((blob, length));
            }
        }
        blobs.sort();
        Ok(blobs)
    }

    /// Who locks it holds the lock until the file is dropped, or the process ends.
    fn lock_file(&self) -> Result<File, BlobFault> {
        File::create(&self.lock).map_err(BlobFault::io("opened", &self.lock))
    }

    fn place(&self, blob: &BlobId) -> PathBuf {
        self.directory.join(blob.to_string())
    }
}

impl BlobSource for Blobs {
    fn fetch(
        &self,
        blob: &BlobId,
        into: &mut dyn Write,
        progress: Progress<'_>,
    ) -> Result<(), BlobFault> {
        let mut file = self.reader(blob)?;
        let total = file.metadata().map_err(BlobFault::io("examined", &self.place(blob)))?.len();
        copy(&mut file, into, Some(total), progress)
            .map(|_| ())
            .map_err(|error| BlobFault::Unreachable { blob: *blob, why: error.to_string() })
    }
}

impl BlobCheck for Blobs {
    fn length(&self, blob: &BlobId) -> Result<Option<u64>, BlobFault> {
        let place = self.place(blob);
        match fs::metadata(&place) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BlobFault::io("examined", &place)(error)),
        }
    }
}

/// A file on its way to its name; gone when it is dropped before it got there.
#[derive(Debug)]
pub(super) struct Unfinished(PathBuf);

impl Unfinished {
    pub(super) fn create(directory: &Path, stem: &str) -> Result<(Unfinished, File), BlobFault> {
        let path = directory.join(format!("{stem}{UNFINISHED}"));
        let file = File::create(&path).map_err(BlobFault::io("created", &path))?;
        Ok((Unfinished(path), file))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes bytes and name durable. The result is read-only: blobs are shared.
    pub(super) fn become_file(self, place: &Path) -> Result<(), BlobFault> {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&self.0, fs::Permissions::from_mode(0o444))
            .map_err(BlobFault::io("written", &self.0))?;
        rename_durably(&self.0, place)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After `become_file` nothing is there any more, and what cannot be removed now is swept at
        // the next start.
        let _ = fs::remove_file(&self.0);
    }
}

pub(super) fn sweep_unfinished(directory: &Path) -> Result<(), BlobFault> {
    for entry in entries(directory)? {
        if entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
            fs::remove_file(entry.path()).map_err(BlobFault::io("removed", &entry.path()))?;
        }
    }
    Ok(())
}

pub(super) fn entries(directory: &Path) -> Result<Vec<fs::DirEntry>, BlobFault> {
    let listing = fs::read_dir(directory).map_err(BlobFault::io("listed", directory))?;
    listing.collect::<io::Result<_>>().map_err(BlobFault::io("listed", directory))
}

/// Gives a finished file its name: after a power cut there is the whole file, or no such name.
pub(super) fn rename_durably(from: &Path, place: &Path) -> Result<(), BlobFault> {
    let file = File::open(from).map_err(BlobFault::io("opened", from))?;
    file.sync_all().map_err(BlobFault::io("written", from))?;
    fs::rename(from, place).map_err(BlobFault::io("renamed", from))?;
    sync_directory(place.parent().expect("a file's place is inside a directory"))
}

/// A rename is durable only when the directory is.
pub(super) fn sync_directory(directory: &Path) -> Result<(), BlobFault> {
    let opened = File::open(directory).map_err(BlobFault::io("opened", directory))?;
    opened.sync_all().map_err(BlobFault::io("written", directory))
}

#[cfg(test)]
mod tests {
    use super::{Blobs, rename_durably};
    use crate::blobs::{BlobCheck, BlobFault, BlobSource};
    use crate::domain::blob::BlobId;
    use std::fs;
    use std::io::Read;
    use std::path::Path;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn repository() -> (tempfile::TempDir, Blobs) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("abc"), b"abc").unwrap();
        let blobs = open(dir.path());
        (dir, blobs)
    }

    fn open(dir: &Path) -> Blobs {
        Blobs::open(&dir.join("blobs"), &dir.join("lock")).unwrap()
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn an_imported_file_is_found_under_the_digest_of_its_bytes() {
        let (dir, blobs) = repository();
        let mut last = (0, None);
        let file = dir.path().join("abc");
        let blob = blobs.import(&file, None, &mut |done, total| last = (done, total)).unwrap();
        assert_eq!((blob.to_string().as_str(), last), (ABC, (3, Some(3))));
        let mut text = String::new();
        blobs.reader(&blob).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        assert_eq!(blobs.list().unwrap(), [(blob, 3)]);
        assert_eq!(blobs.length(&blob), Ok(Some(3)));
        let mut fetched = Vec::new();
        blobs.fetch(&blob, &mut fetched, &mut |_, _| {}).unwrap();
        assert_eq!(fetched, b"abc");
    }

    #[test]
    fn importing_the_same_bytes_twice_keeps_one_blob() {
        let (dir, blobs) = repository();
        let file = dir.path().join("abc");
        let first = blobs.import(&file, None, &mut |_, _| {}).unwrap();
        assert_eq!(blobs.import(&file, Some(first), &mut |_, _| {}), Ok(first));
        assert_eq!(blobs.list().unwrap().len(), 1);
    }

    #[test]
    fn bytes_other_than_the_expected_ones_are_refused_and_leave_nothing() {
        let (dir, blobs) = repository();
        let expected = BlobId::of_digest([7; 32]);
        let refusal = blobs.import(&dir.path().join("abc"), Some(expected), &mut |_, _| {});
        let actual = ABC.parse().unwrap();
        assert_eq!(refusal, Err(BlobFault::DigestMismatch { expected, actual }));
        assert_eq!(names(&dir.path().join("blobs")), Vec::<String>::new());
    }

    #[test]
    fn a_removed_blob_is_not_found() {
        let (dir, blobs) = repository();
        let blob = blobs.import(&dir.path().join("abc"), None, &mut |_, _| {}).unwrap();
        blobs.remove(&blob).unwrap();
        assert_eq!(blobs.path(&blob), Err(BlobFault::NotFound(blob)));
        assert_eq!(blobs.length(&blob), Ok(None));
        assert_eq!(blobs.remove(&blob), Err(BlobFault::NotFound(blob)));
    }

    #[test]
    fn what_a_crashed_import_left_is_swept_at_open() {
        let (dir, blobs) = repository();
        let blob = blobs.import(&dir.path().join("abc"), None, &mut |_, _| {}).unwrap();
        let directory = dir.path().join("blobs");
        fs::write(directory.join("import.unfinished"), b"half").unwrap();
        let blobs = open(dir.path());
        assert_eq!(names(&directory), [ABC]);
        assert_eq!(blobs.list().unwrap(), [(blob, 3)]);
    }

    #[test]
    fn who_opens_while_another_imports_does_not_sweep_its_work_away() {
        let (dir, blobs) = repository();
        let mut opened = Vec::new();
        let mut half_way = |_, _| {
            opened.push(open(dir.path()));
            assert_eq!(names(&dir.path().join("blobs")), ["import.unfinished"]);
        };
        let blob = blobs.import(&dir.path().join("abc"), None, &mut half_way).unwrap();
        assert_eq!(opened.len(), 1, "copied in one piece");
        assert_eq!(opened[0].list().unwrap(), [(blob, 3)]);
    }
    #[test]
    fn what_cannot_be_made_durable_does_not_get_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let [from, place] = ["from", "place"].map(|name| dir.path().join(name));
        // It can be opened and renamed, and refuses to be synced.
        std::os::unix::fs::symlink("/dev/null", &from).unwrap();
        let fault = rename_durably(&from, &place).unwrap_err();
        assert!(matches!(fault, BlobFault::Io { doing: "written", .. }), "{fault}");
        assert_eq!(names(dir.path()), ["from"]);
        fs::remove_file(&from).unwrap();
        fs::write(&from, "bytes").unwrap();
        rename_durably(&from, &place).unwrap();
        assert_eq!(names(dir.path()), ["place"]);
    }
}
