//! Typed, versioned records over a store's bytes.
//!
//! A record is JSON, `{"v":1,"record":{…}}`: an operator can read it, and a field added with a
//! serde default needs no new version. A change that old data does not fit raises `VERSION` and
//! gives `upgrade` one more step.
//!
//! Loading is all or nothing: a record that cannot be read is an error that names it, never a
//! record less, because a forgotten instance would run on unowned. A record of a newer program is
//! refused too, as writing it back would lose what this program does not know.

use super::{Batch, Store, StoreFault, Table, readable};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Serializing must not fail: plain data, maps with string keys.
pub trait Record: Serialize + DeserializeOwned {
    const TABLE: Table;
    const VERSION: u16;

    /// Which record of its table it is; a part of what is serialized, and never changed.
    fn key(&self) -> Vec<u8>;

    /// Makes a record of version `from` into one of version `from + 1`.
    fn upgrade(from: u16, _old: Value) -> Result<Value, String> {
        Err(format!("there is no way from version {from} to the next"))
    }
}

impl Batch {
    pub fn put_record<T: Record>(&mut self, record: &T) {
        self.put(T::TABLE, record.key(), encode(record));
    }

    pub fn remove_record<T: Record>(&mut self, record: &T) {
        self.remove(T::TABLE, record.key());
    }
}

/// All records of a table, in key order.
pub fn load_all<T: Record>(store: &dyn Store) -> Result<Vec<T>, StoreFault> {
    let entries = store.scan(T::TABLE)?;
    entries.into_iter().map(|(key, value)| decode(&key, &value)).collect()
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u16,
    record: T,
}

#[derive(Deserialize)]
struct VersionAlone {
    v: u16,
}

fn encode<T: Record>(record: &T) -> Vec<u8> {
    serde_json::to_vec(&Versioned { v: T::VERSION, record })
        .expect("a record is plain data with string keys, as its trait demands")
}

fn decode<T: Record>(key: &[u8], value: &[u8]) -> Result<T, StoreFault> {
    let corrupt = |cause: String| {
        let (table, key) = (T::TABLE, readable(key));
        StoreFault::Corrupt(format!("`{table}` record `{key}`: {cause}"))
    };
    let record = match serde_json::from_slice::<Versioned<T>>(value) {
        // One pass over the bytes in the usual case; the version alone only when this fails.
        Ok(current) if current.v == T::VERSION => current.record,
        other => {
            let version: VersionAlone =
                serde_json::from_slice(value).map_err(|error| corrupt(error.to_string()))?;
            match (version.v, other) {
                (found, _) if found > T::VERSION => {
                    return Err(StoreFault::TooNew {
                        table: T::TABLE,
                        key: readable(key),
                        found,
                        known: T::VERSION,
                    });
                }
                (found, Err(error)) if found == T::VERSION => {
                    return Err(corrupt(error.to_string()));
                }
                _ => upgraded(value).map_err(corrupt)?,
            }
        }
    };
    if record.key() != key {
        return Err(corrupt(format!("it says it is record `{}`", readable(&record.key()))));
    }
    Ok(record)
}

fn upgraded<T: Record>(value: &[u8]) -> Result<T, String> {
    let old: Versioned<Value> = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    let mut record = old.record;
    for from in old.v..T::VERSION {
        record = T::upgrade(from, record)?;
    }
    serde_json::from_value(record).map_err(|error| format!("after its upgrade: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    /// Version 1 had `size_gib` as text, version 2 called the name `title`.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Volume {
        name: String,
        size_gib: u32,
    }

    impl Record for Volume {
        const TABLE: Table = "volume";
        const VERSION: u16 = 3;

        fn key(&self) -> Vec<u8> {
            self.name.clone().into_bytes()
        }

        fn upgrade(from: u16, mut old: Value) -> Result<Value, String> {
            match from {
                1 => {
                    let size = old["size_gib"].as_str().ok_or("`size_gib` is not text")?;
                    let size: u32 = size.parse().map_err(|_| "`size_gib` is not a number")?;
                    old["size_gib"] = size.into();
                    Ok(old)
                }
                2 => {
                    old["name"] = old["title"].take();
                    Ok(old)
                }
                _ => Err(format!("version {from} never was")),
            }
        }
    }

    fn check(key: &str, stored: &str) -> Result<Vec<Volume>, StoreFault> {
        let store = MemoryStore::default();
        let mut batch = Batch::default();
        batch.put("volume", key, stored);
        store.commit(batch).unwrap();
        load_all(&store)
    }

    fn volume(name: &str) -> Volume {
        Volume { name: name.to_owned(), size_gib: 8 }
    }

    #[test]
    fn a_record_comes_back_as_it_was_put_until_it_is_removed() {
        let store = MemoryStore::default();
        let mut batch = Batch::default();
        batch.put_record(&volume("b"));
        batch.put_record(&volume("a"));
        store.commit(batch).unwrap();
        assert_eq!(load_all(&store), Ok(vec![volume("a"), volume("b")]));
        let mut batch = Batch::default();
        batch.remove_record(&volume("a"));
        store.commit(batch).unwrap();
        assert_eq!(load_all(&store), Ok(vec![volume("b")]));
    }

    #[test]
    fn the_stored_form_does_not_change_by_accident() {
        let stored = String::from_utf8(encode(&volume("a"))).unwrap();
        assert_eq!(stored, r#"{"v":3,"record":{"name":"a","size_gib":8}}"#);
    }

    #[test]
    fn old_versions_are_upgraded_step_by_step() {
        let first = r#"{"v":1,"record":{"title":"a","size_gib":"8"}}"#;
        assert_eq!(check("a", first), Ok(vec![volume("a")]));
        let second = r#"{"v":2,"record":{"title":"a","size_gib":8}}"#;
        assert_eq!(check("a", second), Ok(vec![volume("a")]));
    }

    #[test]
    fn a_newer_version_is_refused_even_where_it_looks_readable() {
        let newer = r#"{"v":4,"record":{"name":"a","size_gib":8,"sealed":true}}"#;
        assert_eq!(
            check("a", newer).unwrap_err().to_string(),
            "`volume` record `a` has version 4, this program knows up to 3: run the newer program \
             that wrote it"
        );
    }

    #[test]
    fn what_cannot_be_read_is_an_error_that_names_table_and_key() {
        let damaged = [
            "",
            "{",
            "[]",
            r#"{"record":{"name":"a","size_gib":8}}"#,
            r#"{"v":3}"#,
            r#"{"v":3,"record":{"name":"a"}}"#,
            r#"{"v":3,"record":{"name":"b","size_gib":8}}"#,
            r#"{"v":0,"record":{"name":"a","size_gib":8}}"#,
            r#"{"v":1,"record":{"title":"a","size_gib":"large"}}"#,
            r#"{"v":2,"record":{"size_gib":8}}"#,
        ];
        for stored in damaged {
            match check("a", stored) {
                Err(StoreFault::Corrupt(text)) => {
                    assert!(text.starts_with("`volume` record `a`: "), "{text}");
                }
                other => panic!("{stored}: {other:?}"),
            }
        }
    }
}
