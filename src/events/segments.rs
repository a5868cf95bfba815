//! The files of the log: numbered, of bounded size, the oldest removed as new ones begin.
//!
//! A file is only added to until the next begins, and never renamed, so that whoever reads along
//! needs to know nothing but the numbers. A line that was not written whole (a crash, a full disk) is
//! followed by no other in its file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Into how many files what is kept is divided: the oldest eighth goes at a time.
const KEPT_FILES: u64 = 8;

#[derive(Debug)]
pub struct Segments {
    directory: PathBuf,
    keep_bytes: u64,
    current: File,
    number: u64,
    length: u64,
    /// The current file ends in the middle of a line.
    torn: bool,
}

impl Segments {
    /// Goes on where an earlier process ended. The directory must be there.
    pub fn open(directory: &Path, keep_bytes: u64) -> io::Result<Segments> {
        let newest = numbers(directory)?.pop().unwrap_or(1);
        let mut current = open(&path(directory, newest))?;
        let length = current.seek(SeekFrom::End(0))?;
        let torn = length > 0 && last_byte(&mut current, length)? != b'\n';
        let mut segments = Segments {
            directory: directory.to_owned(),
            keep_bytes,
            current,
            number: newest,
            length,
            torn,
        };
        // What is kept may be configured to be less than it was.
        segments.remove_oldest()?;
        Ok(segments)
    }

    /// Adds whole lines, all of them or none.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let full =
            self.length > 0 && self.length + lines.len() as u64 > self.keep_bytes / KEPT_FILES;
        if full || self.torn {
            self.begin_next()?;
        }
        match self.current.write_all(lines) {
            Ok(()) => {
                self.length += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.torn = self.current.set_len(self.length).is_err();
                Err(error)
            }
        }
    }

    fn begin_next(&mut self) -> io::Result<()> {
        self.current = open(&path(&self.directory, self.number + 1))?;
        self.number += 1;
        self.length = 0;
        self.torn = false;
        self.remove_oldest()
    }

    /// Leaves room for the current file to grow within what may be kept.
    fn remove_oldest(&mut self) -> io::Result<()> {
        let mut older = numbers(&self.directory)?;
        older.retain(|number| *number < self.number);
        let mut kept = self.length.max(self.keep_bytes / KEPT_FILES);
        for number in older.into_iter().rev() {
            let path = path(&self.directory, number);
            kept += fs::metadata(&path)?.len();
            if kept > self.keep_bytes {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// The files there are, the oldest first.
pub fn numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

pub fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:010}{SUFFIX}"))
}

const SUFFIX: &str = ".jsonl";

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)
}

fn last_byte(file: &mut File, length: u64) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(directory: &Path) -> Vec<(u64, u64)> {
        let size = |number| fs::metadata(path(directory, number)).unwrap().len();
        numbers(directory).unwrap().into_iter().map(|number| (number, size(number))).collect()
    }

    #[test]
    fn the_oldest_goes_when_there_is_more_than_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let mut segments = Segments::open(directory.path(), 80).unwrap();
        for _ in 0..20 {
            segments.append(b"12345678\n").unwrap();
        }
        let kept = sizes(directory.path());
        assert!(kept.iter().map(|(_, size)| size).sum::<u64>() <= 80, "{kept:?}");
        assert_eq!(kept.last(), Some(&(20, 9)));
        assert_eq!(kept.len(), 8, "{kept:?}");
    }

    #[test]
    fn a_restart_goes_on_in_the_same_file_unless_its_last_line_is_torn() {
        let directory = tempfile::tempdir().unwrap();
        Segments::open(directory.path(), 800).unwrap().append(b"one\n").unwrap();
        Segments::open(directory.path(), 800).unwrap().append(b"two\nthr").unwrap();
        assert_eq!(sizes(directory.path()), [(1, 11)]);
        Segments::open(directory.path(), 800).unwrap().append(b"four\n").unwrap();
        assert_eq!(sizes(directory.path()), [(1, 11), (2, 5)]);
    }

    #[test]
    fn less_may_be_kept_from_a_restart_on() {
        let directory = tempfile::tempdir().unwrap();
        let mut segments = Segments::open(directory.path(), 80).unwrap();
        for _ in 0..20 {
            segments.append(b"12345678\n").unwrap();
        }
        Segments::open(directory.path(), 24).unwrap();
        assert_eq!(sizes(directory.path()), [(18, 9), (19, 9), (20, 9)][1..]);
    }
}
