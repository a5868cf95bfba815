//! A zip archive with one directory at the top, all of it for its owner only.
//!
//! Nothing is compressed: the files are small. The archive's own file is there whole or not at all.

use crate::cli::fault::Fault;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Cursor, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};
use zip::{CompressionMethod, DateTime, ZipWriter, result::ZipResult, write::SimpleFileOptions};

pub struct Archive {
    directory: String,
    modified: DateTime,
    out: ZipWriter<Cursor<Vec<u8>>>,
}

/// What becomes of a file that is where the archive is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    Kept,
    Replaced,
}

impl Archive {
    pub fn of(directory: &str) -> Result<Archive, Fault> {
        let mut archive = Archive {
            directory: directory.to_owned(),
            modified: modified(jiff::Timestamp::now()),
            out: ZipWriter::new(Cursor::new(Vec::new())),
        };
        let options = archive.options(0o700);
        archive.out.add_directory(directory, options).map_err(unfit)?;
        Ok(archive)
    }

    pub fn add(&mut self, name: &str, text: &str) -> Result<(), Fault> {
        let path = format!("{}/{name}", self.directory);
        let options = self.options(0o600);
        let added: ZipResult<()> = self
            .out
            .start_file(path, options)
            .and_then(|()| Ok(self.out.write_all(text.as_bytes())?));
        added.map_err(unfit)
    }

    pub fn finish(self) -> Result<Vec<u8>, Fault> {
        Ok(self.out.finish().map_err(unfit)?.into_inner())
    }

    fn options(&self, mode: u32) -> SimpleFileOptions {
        SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(self.modified)
            .unix_permissions(mode)
    }
}

impl Existing {
    pub fn check(self, path: &Path) -> Result<(), Fault> {
        match fs::symlink_metadata(path) {
            Ok(_) if self == Existing::Kept => Err(there_is(path)),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Fault::io("look at", path)(error)),
        }
    }
}

/// Puts the archive where it is to be, for its owner only.
pub fn place(bytes: &[u8], path: &Path, existing: Existing) -> Result<(), Fault> {
    let Some(name) = path.file_name() else {
        return Err(Fault::usage(format!("`{}` is no name for a file", path.display())));
    };
    let mut unfinished = name.to_owned();
    unfinished.push(format!(".{}", std::process::id()));
    let unfinished = path.with_file_name(unfinished);
    let mut file = create_new(&unfinished).map_err(Fault::io("write", &unfinished))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let placed = written.map_err(Fault::io("write", &unfinished)).and_then(|()| match existing {
        Existing::Replaced => fs::rename(&unfinished, path).map_err(Fault::io("write", path)),
        // Unlike a rename, a link does not replace what came there meanwhile.
        Existing::Kept => fs::hard_link(&unfinished, path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => there_is(path),
            _ => Fault::io("write", path)(error),
        }),
    });
    // It has the archive's own name now, or is of no use; the fault worth telling is another.
    let _ = fs::remove_file(&unfinished);
    placed
}

fn there_is(path: &Path) -> Fault {
    Fault::failed(format!("there is a `{}` already", path.display()))
        .remedy("name another file, or replace it with `--force`")
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Zip knows no time zones; UTC it is.
fn modified(now: jiff::Timestamp) -> DateTime {
    let now = now.to_zoned(jiff::tz::TimeZone::UTC);
    let [month, day, hour, minute, second] =
        [now.month(), now.day(), now.hour(), now.minute(), now.second()].map(|part| part as u8);
    // A clock that is not of our century gets the first day that zip knows.
    DateTime::from_date_and_time(now.year() as u16, month, day, hour, minute, second)
        .unwrap_or_default()
}

fn unfit(error: zip::result::ZipError) -> Fault {
    Fault::failed(format!("the archive cannot be made: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Read, os::unix::fs::PermissionsExt};

    #[test]
    fn an_archive_has_one_directory_and_files_for_their_owner() {
        let mut archive = Archive::of("mallee-alice").unwrap();
        archive.add("eucarc", "text\n").unwrap();
        let bytes = archive.finish().unwrap();
        let mut read = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let names: Vec<_> = read.file_names().map(|name| name.unwrap().into_owned()).collect();
        assert_eq!(names, ["mallee-alice/", "mallee-alice/eucarc"]);
        let mut text = String::new();
        let mut file = read.by_name("mallee-alice/eucarc").unwrap();
        assert_eq!(file.unix_mode().unwrap() & 0o777, 0o600);
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text\n");
    }

    #[test]
    fn a_file_is_replaced_only_on_demand_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.zip");
        place(b"one", &path, Existing::Kept).unwrap();
        let fault = place(b"two", &path, Existing::Kept).unwrap_err();
        assert!(fault.to_string().contains("--force"), "{fault}");
        assert!(Existing::Kept.check(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        place(b"two", &path, Existing::Replaced).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        place(b"three", &directory.path().join("none/a.zip"), Existing::Kept).unwrap_err();
        place(b"three", Path::new("/"), Existing::Replaced).unwrap_err();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_to_nowhere_is_a_file_that_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.zip");
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(Existing::Kept.check(&path).is_err());
        place(b"one", &path, Existing::Kept).unwrap_err();
    }

    #[test]
    fn the_time_of_the_files_is_that_of_the_archive() {
        let shown = modified("2026-01-02T03:04:06Z".parse().unwrap());
        assert_eq!((shown.year(), shown.month(), shown.day()), (2026, 1, 2));
        assert_eq!((shown.hour(), shown.minute(), shown.second()), (3, 4, 6));
    }
}
