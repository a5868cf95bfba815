//! A small map that outlives the process: what a simulated machine has, as a kernel would keep it.
//!
//! One file, a line a change, and a change is one `write`, so that a process killed at any moment
//! leaves all of it or nothing. Nothing is synced: a power cut ends real guests too. Records do not
//! belong here but in `store`.

use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

#[derive(Debug)]
pub struct Ledger<K, V> {
    entries: BTreeMap<K, V>,
    /// None: in memory only.
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    path: PathBuf,
    file: File,
    length: u64,
    lines: usize,
}

/// A file is written anew when it has more lines than this, and more than twice as many as entries.
const LINES_MIN: usize = 1000;

impl<K, V> Default for Ledger<K, V> {
    fn default() -> Ledger<K, V> {
        Ledger { entries: BTreeMap::new(), kept: None }
    }
}

impl<K, V> Ledger<K, V>
where
    K: Ord + Clone + Serialize + DeserializeOwned,
    V: Serialize + DeserializeOwned,
{
    /// Takes up what an earlier process left.
    pub fn open(path: &Path) -> io::Result<Ledger<K, V>> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let entries = Self::read(path)?;
        let kept = Some(write_anew(path, &entries)?);
        Ok(Ledger { entries, kept })
    }

    /// What is in a file, which may be another process's.
    pub fn read(path: &Path) -> io::Result<BTreeMap<K, V>> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let mut entries = BTreeMap::new();
        // A last line without an end was not written whole: the disk was full.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for (number, line) in whole.lines().enumerate() {
            let (key, value): (K, Option<V>) = serde_json::from_str(line).map_err(|error| {
                io::Error::other(format!("`{}` line {}: {error}", path.display(), number + 1))
            })?;
            match value {
                Some(value) => entries.insert(key, value),
                None => entries.remove(&key),
            };
        }
        Ok(entries)
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter()
    }

    /// An entry that cannot be written is not there.
    pub fn insert(&mut self, key: K, value: V) -> io::Result<()> {
        if let Some(kept) = &mut self.kept {
            kept.append(&key, Some(&value))?;
        }
        self.entries.insert(key, value);
        self.tidy()
    }

    pub fn remove(&mut self, key: &K) -> io::Result<Option<V>> {
        if !self.entries.contains_key(key) {
            return Ok(None);
        }
        if let Some(kept) = &mut self.kept {
            kept.append::<K, V>(key, None)?;
        }
        let removed = self.entries.remove(key);
        self.tidy()?;
        Ok(removed)
    }

    /// Takes the file away.
    pub fn purge(&mut self) -> io::Result<()> {
        self.entries.clear();
        match self.kept.take().map(|kept| fs::remove_file(kept.path)) {
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn tidy(&mut self) -> io::Result<()> {
        if let Some(kept) = &mut self.kept
            && kept.lines > LINES_MIN.max(2 * self.entries.len())
        {
            *kept = write_anew(&kept.path, &self.entries)?;
        }
        Ok(())
    }
}

impl Kept {
    fn append<K: Serialize, V: Serialize>(&mut self, key: &K, value: Option<&V>) -> io::Result<()> {
        let line = line(key, value)?;
        if let Err(error) = self.file.write_all(&line) {
            // Half a line would spoil the next.
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += line.len() as u64;
        self.lines += 1;
        Ok(())
    }
}

fn line<K: Serialize, V: Serialize>(key: &K, value: Option<&V>) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&(key, value))?;
    line.push(b'\n');
    Ok(line)
}

fn write_anew<K: Serialize, V: Serialize>(
    path: &Path,
    entries: &BTreeMap<K, V>,
) -> io::Result<Kept> {
    let partial = path.with_extension("partial");
    let mut text = Vec::new();
    for (key, value) in entries {
        text.extend(line(key, Some(value))?);
    }
    fs::write(&partial, &text)?;
    fs::rename(&partial, path)?;
    let file = fs::OpenOptions::new().append(true).open(path)?;
    let length = text.len() as u64;
    Ok(Kept { path: path.to_owned(), file, length, lines: entries.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Ledger<String, u32> {
        Ledger::open(path).unwrap()
    }

    fn entries(ledger: &Ledger<String, u32>) -> Vec<(&str, u32)> {
        ledger.iter().map(|(key, value)| (key.as_str(), *value)).collect()
    }

    #[test]
    fn entries_outlive_whoever_made_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made too").join("ledger");
        let mut before = open(&path);
        before.insert("a".into(), 1).unwrap();
        before.insert("b".into(), 2).unwrap();
        before.insert("a".into(), 3).unwrap();
        assert_eq!(before.remove(&"b".into()).unwrap(), Some(2));
        assert_eq!(before.remove(&"b".into()).unwrap(), None);
        before.insert("c".into(), 4).unwrap();
        assert_eq!(entries(&before), [("a", 3), ("c", 4)]);
        drop(before);
        assert_eq!(entries(&open(&path)), [("a", 3), ("c", 4)]);
    }

    #[test]
    fn a_line_that_was_not_written_whole_is_no_entry_and_spoils_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        open(&path).insert("a".into(), 1).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"[\"b\", 2").unwrap();
        let mut after = open(&path);
        assert_eq!(entries(&after), [("a", 1)]);
        after.insert("c".into(), 3).unwrap();
        assert_eq!(entries(&open(&path)), [("a", 1), ("c", 3)]);
    }

    #[test]
    fn a_file_that_is_something_else_is_refused_with_its_name_and_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        fs::write(&path, "[\"a\",1]\nhello\n").unwrap();
        let refusal = Ledger::<String, u32>::open(&path).unwrap_err().to_string();
        assert!(refusal.contains("ledger` line 2"), "{refusal}");
    }

    #[test]
    fn a_file_grows_with_its_entries_and_not_with_their_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        let mut ledger = open(&path);
        for round in 0..10_000 {
            ledger.insert("a".into(), round).unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() < 20_000);
        assert_eq!(entries(&open(&path)), [("a", 9999)]);
    }

    #[test]
    fn a_purge_takes_the_file_away_and_may_be_repeated() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        let mut ledger = open(&path);
        ledger.insert("a".into(), 1).unwrap();
        ledger.purge().unwrap();
        ledger.purge().unwrap();
        assert!(!path.exists() && entries(&ledger).is_empty());
    }
}
