//! Which life of this switch this is: a number that no earlier life had.
//!
//! Session salts begin with it, and keys are made with salts, so two lives never seal with one key.
//! The number is on the disk before anybody is told it. Should the file be lost, numbers begin anew,
//! and the random half of the salts still keeps lives apart.

use crate::domain::chance::Chance;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// This life's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(u64);

#[derive(Debug, thiserror::Error)]
pub enum IncarnationFault {
    #[error("cannot keep the number of incarnations in `{}`", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "`{}` does not hold a number of incarnations; remove it to begin anew", path.display()
    )]
    Malformed { path: PathBuf },
}

impl Incarnation {
    /// The next life: durable when this returns. At most one process may do so in a directory.
    pub fn begin(directory: &Path) -> Result<Incarnation, IncarnationFault> {
        let path = directory.join("incarnation");
        let last = match fs::read_to_string(&path) {
            Ok(text) => text
                .trim_end()
                .parse()
                .ok()
                .filter(|last: &u64| *last < u64::MAX)
                .ok_or_else(|| IncarnationFault::Malformed { path: path.clone() })?,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => 0,
            Err(source) if source.kind() == io::ErrorKind::InvalidData => {
                return Err(IncarnationFault::Malformed { path });
            }
            Err(source) => return Err(IncarnationFault::Io { path, source }),
        };
        let next = last + 1;
        write_durably(directory, &path, next)
            .map_err(|source| IncarnationFault::Io { path, source })?;
        Ok(Incarnation(next))
    }

    /// A life that was never written down: for histories told in memory only.
    pub fn imagined(number: u64) -> Incarnation {
        Incarnation(number)
    }

    pub fn number(self) -> u64 {
        self.0
    }

    /// A number for this life that is higher than those of all earlier ones; and another than
    /// theirs, as far as chance tells lives apart, should the file have been lost.
    pub fn distinct(self, chance: &mut dyn Chance) -> u64 {
        let mut bytes = [0; 8];
        chance.fill(&mut bytes);
        self.0 << 32 | u64::from_be_bytes(bytes) & u64::from(u32::MAX)
    }
}

/// Whole or not at all: a new file takes the old one's name.
fn write_durably(directory: &Path, path: &Path, number: u64) -> io::Result<()> {
    let fresh = directory.join("incarnation.new");
    let mut file = File::create(&fresh)?;
    writeln!(file, "{number}")?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_life_has_a_higher_number() {
        let directory = tempfile::tempdir().unwrap();
        let lives: Vec<u64> =
            (0..5).map(|_| Incarnation::begin(directory.path()).unwrap().number()).collect();
        assert_eq!(lives, [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_crash_between_any_two_steps_of_writing_repeats_no_number() {
        // What the disk may hold: the new file missing, empty, torn, whole; renamed or not.
        for left in [None, Some(""), Some("1"), Some("13\n"), Some("14\n")] {
            for kept in ["12\n", "13\n"] {
                let directory = tempfile::tempdir().unwrap();
                fs::write(directory.path().join("incarnation"), kept).unwrap();
                if let Some(left) = left {
                    fs::write(directory.path().join("incarnation.new"), left).unwrap();
                }
                let returned_before: u64 = kept.trim().parse().unwrap();
                let next = Incarnation::begin(directory.path()).unwrap();
                assert!(next.number() > returned_before, "{left:?} {kept:?}");
                assert!(Incarnation::begin(directory.path()).unwrap() > next);
            }
        }
    }

    #[test]
    fn later_lives_have_higher_numbers_and_those_of_lost_files_others() {
        let mut chance = crate::domain::chance::Counting::default();
        let (earlier, later) = (Incarnation(1), Incarnation(2));
        let mut draw = |life: Incarnation| life.distinct(&mut chance);
        let numbers = [draw(earlier), draw(earlier), draw(later)];
        assert!(numbers[0] != numbers[1] && numbers[0] < numbers[2] && numbers[1] < numbers[2]);
    }

    #[test]
    fn what_is_no_number_is_refused_and_not_guessed() {
        for text in ["", "x", "-1", "18446744073709551615", "\u{fffd}"] {
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join("incarnation"), text).unwrap();
            let fault = Incarnation::begin(directory.path()).unwrap_err();
            assert!(matches!(fault, IncarnationFault::Malformed { .. }), "{text:?}: {fault}");
        }
        let nowhere = Path::new("/nonexistent/place");
        assert!(matches!(Incarnation::begin(nowhere), Err(IncarnationFault::Io { .. })));
    }
}
