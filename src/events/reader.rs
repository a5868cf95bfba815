//! Reading the log, also while it is written: line after line, from file to file.

use super::segments;
use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    current: Option<(u64, BufReader<File>)>,
    /// What there is of the line that is being written.
    partial: Vec<u8>,
    missed: bool,
}

impl Reader {
    /// From the oldest line that is kept. The directory may come later.
    pub fn of(directory: &Path) -> Reader {
        let directory = directory.to_owned();
        Reader { directory, current: None, partial: Vec::new(), missed: false }
    }

    /// `None` at the end, after which there may be more later.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(line) = self.read_on()? {
                return Ok(Some(line));
            }
            let Some(next) = self.next_file()? else { return Ok(None) };
            // The one before is finished when the next is there: what came since the last look.
            if let Some(line) = self.read_on()? {
                return Ok(Some(line));
            }
            let before = self.current.as_ref().map(|(number, _)| *number);
            self.missed |= before.is_some_and(|before| next > before + 1);
            match File::open(segments::path(&self.directory, next)) {
                Ok(file) => {
                    self.partial.clear();
                    self.current = Some((next, BufReader::new(file)));
                }
                // It was the oldest, and is gone by now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether files were removed before they were read, since this was asked last.
    pub fn has_missed(&mut self) -> bool {
        std::mem::take(&mut self.missed)
    }

    fn read_on(&mut self) -> io::Result<Option<String>> {
        let Some((_, file)) = &mut self.current else { return Ok(None) };
        file.read_until(b'\n', &mut self.partial)?;
        if self.partial.pop_if(|last| *last == b'\n').is_none() {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.partial);
        String::from_utf8(line).map(Some).map_err(io::Error::other)
    }

    fn next_file(&self) -> io::Result<Option<u64>> {
        let numbers = match segments::numbers(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            numbers => numbers?,
        };
        let after = self.current.as_ref().map_or(0, |(number, _)| *number);
        Ok(numbers.into_iter().find(|number| *number > after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::segments::Segments;

    #[test]
    fn a_reader_follows_from_file_to_file_and_waits_for_the_end_of_a_line() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("events");
        let mut reader = Reader::of(&place);
        assert_eq!(reader.next_line().unwrap(), None);
        std::fs::create_dir(&place).unwrap();
        let mut segments = Segments::open(&place, 80).unwrap();
        let mut next = || reader.next_line().unwrap();
        segments.append(b"one\ntw").unwrap();
        assert_eq!((next().as_deref(), next()), (Some("one"), None));
        segments.append(b"o\n").unwrap();
        assert_eq!((next().as_deref(), next()), (Some("two"), None));
        segments.append(b"in another file\n").unwrap();
        segments.append(b"and another\n").unwrap();
        assert_eq!(next().as_deref(), Some("in another file"));
        assert_eq!((next().as_deref(), next()), (Some("and another"), None));
        assert!(!reader.has_missed());
    }

    #[test]
    fn a_torn_line_is_left_out_and_what_was_removed_unread_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let mut segments = Segments::open(directory.path(), 80).unwrap();
        let mut reader = Reader::of(directory.path());
        segments.append(b"one\ntor").unwrap();
        assert_eq!(reader.next_line().unwrap().as_deref(), Some("one"));
        drop(segments);
        let mut segments = Segments::open(directory.path(), 80).unwrap();
        segments.append(b"two\n").unwrap();
        assert_eq!(reader.next_line().unwrap().as_deref(), Some("two"));
        assert!(!reader.has_missed());
        for _ in 0..20 {
            segments.append(b"12345678\n").unwrap();
        }
        assert_eq!(reader.next_line().unwrap().as_deref(), Some("12345678"));
        assert!(reader.has_missed() && !reader.has_missed());
    }
}
