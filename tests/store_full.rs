//! The store beside a disk that really ends, as far as a process can make one: no file of this one may
//! grow beyond a limit, until the limit is raised.

use mallee::store::{
    Batch, Store, StoreFault,
    sled::{Options, SledStore},
};
use std::{path::Path, time::Duration};

const LIMIT_BYTES: u64 = 6 << 20;

fn limit_files(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: system calls on this process alone; `limit` outlives them.
    unsafe {
        // A write beyond the limit is to be an error, not the end.
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
}

fn put(key: &str, bytes: usize) -> Batch {
    let mut batch = Batch::default();
    batch.put("t", key, vec![b'x'; bytes]);
    batch
}

fn keys(store: &SledStore) -> Vec<String> {
    let entries = store.scan("t").unwrap();
    entries.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
}

fn open(directory: &Path) -> SledStore {
    let options = Options { rebuild_every: Duration::ZERO, ..Options::default() };
    SledStore::open(directory, options).unwrap()
}

#[test]
fn a_disk_that_ends_refuses_and_takes_again_when_it_has_room_and_loses_nothing_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    limit_files(LIMIT_BYTES);
    let mut acknowledged = Vec::new();
    let mut refusals = Vec::new();
    for number in 0..100 {
        let key = format!("{number:03}");
        match store.commit(put(&key, 200_000)) {
            Ok(()) => acknowledged.push(key),
            Err(refusal) => refusals.push(refusal),
        }
    }
    assert!(refusals.len() > 50, "{refusals:?}");
    let in_doubt = |refusal: &&StoreFault| matches!(refusal, StoreFault::Unknown(_));
    assert!(refusals.iter().filter(in_doubt).count() >= 1, "{refusals:?}");
    limit_files(libc::RLIM_INFINITY);
    store.commit(put("after", 1)).unwrap();
    acknowledged.push("after".to_owned());
    assert_eq!(keys(&store), acknowledged);
    drop(store);
    assert_eq!(keys(&open(directory.path())), acknowledged);
}
