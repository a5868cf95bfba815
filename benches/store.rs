//! What durability costs: commits beside a plain write and fsync of the same bytes on the same
//! disk in the same run. The ratio printed at the end of each group is the result.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mallee::store::{
    Batch, Store, Table,
    record::{Record, load_all},
    sled::{Options, SledStore},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    hint::black_box,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

#[derive(Debug, Serialize, Deserialize)]
struct Instance {
    id: String,
    number: u64,
    state: String,
    addresses: Vec<String>,
    tags: Vec<(String, String)>,
    user_data: String,
}

impl Record for Instance {
    const TABLE: Table = "instance";
    const VERSION: u16 = 1;

    fn key(&self) -> Vec<u8> {
        self.id.clone().into_bytes()
    }
}

/// About 1.5 KB as stored.
fn instance(number: u64) -> Instance {
    let tag = |at: u64| (format!("tag-{at}"), format!("value {at} of instance {number}"));
    Instance {
        id: format!("i-{number:017x}"),
        number,
        state: "running".to_owned(),
        addresses: (0..4)
            .map(|at| format!("10.{at}.{}.{}", number / 250 % 250, number % 250))
            .collect(),
        tags: (0..8).map(tag).collect(),
        user_data: "x".repeat(960),
    }
}

fn batch(numbers: impl Iterator<Item = u64>) -> Batch {
    let mut batch = Batch::default();
    for number in numbers {
        batch.put_record(&instance(number));
    }
    batch
}

/// Beside the build, because the system's temporary directory may be memory.
fn directory() -> tempfile::TempDir {
    let beside: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    tempfile::tempdir_in(beside).unwrap()
}

fn commits(criterion: &mut Criterion) {
    for size in [1, 16, 64] {
        let (place, floor_place) = (directory(), directory());
        let store = SledStore::open(place.path(), Options::default()).unwrap();
        let mut floor = File::create(floor_place.path().join("floor")).unwrap();
        let bytes = vec![b'x'; batch(0..size).size_bytes()];
        let (mut next, mut ours, mut theirs) = (0, Vec::new(), Vec::new());
        let mut group = criterion.benchmark_group(format!("commit of {size}"));
        group.throughput(Throughput::Elements(size));
        group.bench_function("store", |bencher| {
            bencher.iter_custom(|rounds| {
                let mut total = Duration::ZERO;
                for _ in 0..rounds {
                    // In turns, so that both meet the same disk.
                    let writes = batch(next..next + size);
                    next = (next + size) % 100_000;
                    let begun = Instant::now();
                    store.commit(writes).unwrap();
                    ours.push(begun.elapsed());
                    total += begun.elapsed();
                    let begun = Instant::now();
                    floor.write_all(&bytes).unwrap();
                    floor.sync_all().unwrap();
                    theirs.push(begun.elapsed());
                }
                total
            });
        });
        group.finish();
        let (ours, theirs) = (median(&mut ours), median(&mut theirs));
        println!(
            "commit of {size}: {:.3} ms, write + fsync of the same {} bytes {:.3} ms, ratio {:.2}",
            ours.as_secs_f64() * 1e3,
            bytes.len(),
            theirs.as_secs_f64() * 1e3,
            ours.as_secs_f64() / theirs.as_secs_f64(),
        );
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn load(criterion: &mut Criterion) {
    let place = directory();
    let store = SledStore::open(place.path(), Options::default()).unwrap();
    for first in (0..100_000).step_by(1000) {
        store.commit(batch(first..first + 1000)).unwrap();
    }
    drop(store);
    let mut group = criterion.benchmark_group("100000 records of 1.5 KB");
    group.sample_size(10);
    group.bench_function("open and load", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                let begun = Instant::now();
                let store = SledStore::open(place.path(), Options::default()).unwrap();
                let records: Vec<Instance> = load_all(&store).unwrap();
                total += begun.elapsed();
                assert_eq!(records.len(), 100_000);
                black_box(records);
            }
            total
        });
    });
    let store = SledStore::open(place.path(), Options::default()).unwrap();
    group.bench_function("load alone", |bencher| {
        bencher.iter(|| load_all::<Instance>(&store).unwrap().len());
    });
    group.finish();
}

criterion_group!(benches, commits, load);
criterion_main!(benches);
