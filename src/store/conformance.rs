//! What every store promises, run over each of them.

use super::{
    Batch, KEY_BYTES_MAX, Store, StoreFault, VALUE_BYTES_LIMIT,
    memory::MemoryStore,
    sled::{Options, SledStore},
};
use proptest::{collection::vec, prelude::*};
use std::collections::BTreeMap;

const TABLES: [&str; 3] = ["a", "ab", "instance"];

fn check(promise: impl Fn(&dyn Store)) {
    promise(&MemoryStore::default());
    let directory = tempfile::tempdir().unwrap();
    promise(&SledStore::open(directory.path(), Options::default()).unwrap());
}

fn entry(key: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (key.to_vec(), value.to_vec())
}

#[test]
fn a_scan_lists_one_table_in_key_order() {
    check(|store| {
        let mut batch = Batch::default();
        for key in [&b"b"[..], b"", b"a\0", b"a", b"a\0\xff", b"a\x01", b"\xff", b"\0\x01\0"] {
            batch.put("a", key, key);
        }
        batch.put("ab", "elsewhere", "x");
        store.commit(batch).unwrap();
        let keys: Vec<_> = store.scan("a").unwrap().into_iter().map(|(key, _)| key).collect();
        let ordered: [&[u8]; 8] =
            [b"", b"\0\x01\0", b"a", b"a\0", b"a\0\xff", b"a\x01", b"b", b"\xff"];
        assert_eq!(keys, ordered);
        assert_eq!(store.scan("ab").unwrap(), [entry(b"elsewhere", b"x")]);
        assert_eq!(store.scan("instance").unwrap(), []);
    });
}

#[test]
fn of_two_writes_to_one_key_in_a_batch_the_later_counts() {
    check(|store| {
        let mut batch = Batch::default();
        batch.put("a", "k", vec![1; 20_000]);
        batch.put("a", "k", vec![2; 5_000]);
        batch.put("a", "gone", "x");
        batch.remove("a", "gone");
        batch.remove("a", "back");
        batch.put("a", "back", "x");
        store.commit(batch).unwrap();
        assert_eq!(store.scan("a").unwrap(), [entry(b"back", b"x"), entry(b"k", &[2; 5_000])]);
    });
}

#[test]
fn values_of_every_size_below_the_limit_come_back_whole_and_shrink_without_remains() {
    check(|store| {
        for size in [VALUE_BYTES_LIMIT - 1, 8193, 8192, 4097, 4096, 4095, 1, 0, 100_000] {
            let value: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let mut batch = Batch::default();
            batch.put("a", "k", value.clone());
            store.commit(batch).unwrap();
            assert_eq!(store.scan("a").unwrap(), [entry(b"k", &value)]);
        }
    });
}

#[test]
fn a_batch_with_an_oversized_value_or_key_is_refused_whole() {
    check(|store| {
        let mut batch = Batch::default();
        batch.put("a", "small", "x");
        batch.put("a", "large", vec![0; VALUE_BYTES_LIMIT]);
        let refusal = store.commit(batch).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "the value of `a` record `large` has 262144 bytes: more than a record may"
        );
        let mut batch = Batch::default();
        batch.put("a", "small", "x");
        batch.remove("a", vec![b'k'; KEY_BYTES_MAX + 1]);
        assert!(matches!(store.commit(batch), Err(StoreFault::TooLarge { part: "key", .. })));
        assert_eq!(store.scan("a").unwrap(), []);
    });
}

#[test]
fn removing_what_is_not_there_and_writing_nothing_are_harmless() {
    check(|store| {
        let mut batch = Batch::default();
        batch.remove("a", "absent");
        store.commit(batch).unwrap();
        store.commit(Batch::default()).unwrap();
        assert_eq!(store.scan("a").unwrap(), []);
    });
}

fn a_write() -> impl Strategy<Value = (usize, Vec<u8>, Option<usize>)> {
    let key = vec(prop_oneof![Just(0u8), Just(1), Just(255), Just(b'k')], 0..3);
    (0..TABLES.len(), key, proptest::option::of(0usize..10_000))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_history_of_batches_leaves_what_a_map_would(history in vec(vec(a_write(), 0..8), 0..12)) {
        check(|store| {
            let mut expected = BTreeMap::new();
            for writes in &history {
                let mut batch = Batch::default();
                for (table, key, value) in writes {
                    let table = TABLES[*table];
                    match value {
                        Some(size) => {
                            let value = vec![*size as u8; *size];
                            batch.put(table, key.clone(), value.clone());
                            expected.insert((table, key.clone()), value);
                        }
                        None => {
                            batch.remove(table, key.clone());
                            expected.remove(&(table, key.clone()));
                        }
                    }
                }
                store.commit(batch).unwrap();
            }
            for table in TABLES {
                let of_table: Vec<_> = expected
                    .iter()
                    .filter(|((name, _), _)| *name == table)
                    .map(|((_, key), value)| (key.clone(), value.clone()))
                    .collect();
                assert_eq!(store.scan(table).unwrap(), of_table);
            }
        });
    }
}
