//! Writes to a store for ever, and says what is durable, so that somebody else can kill it.
//!
//! `store_writer <directory>` first checks what an earlier run left and prints `found <n>`, or
//! `bad <why>` and stops. Then it commits batches `n + 1`, `n + 2`, …, each over three tables, and
//! prints `acked <n>` after each. A killer that saw `acked 7` must find at least 7.

use mallee::store::{
    Batch, Store,
    sled::{Options, SledStore},
};
use std::{
    io::{Write, stdout},
    path::Path,
    process::ExitCode,
};

const TABLES: [&str; 3] = ["address", "instance", "volume"];
/// Batch `n` writes key `n % KEYS`, so what must be there follows from the last `n` alone.
const KEYS: u64 = 200;

fn main() -> ExitCode {
    let directory = std::env::args().nth(1).expect("usage: store_writer <directory>");
    match write_for_ever(Path::new(&directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&format!("bad {why}"));
            ExitCode::FAILURE
        }
    }
}

fn write_for_ever(directory: &Path) -> Result<(), String> {
    let small_disk = Options { free_bytes_floor: 4 * 1024 * 1024, ..Options::default() };
    let store = SledStore::open(directory, small_disk).map_err(|fault| fault.to_string())?;
    let mut last = checked(&store)?;
    say(&format!("found {last}"));
    loop {
        last += 1;
        let mut batch = Batch::default();
        for table in TABLES {
            batch.put(table, (last % KEYS).to_be_bytes(), value(last));
        }
        store.commit(batch).map_err(|fault| fault.to_string())?;
        say(&format!("acked {last}"));
    }
}

/// The last batch in the store, if the store holds exactly what batches `1..=last` leave.
fn checked(store: &SledStore) -> Result<u64, String> {
    let found: Vec<_> = TABLES
        .iter()
        .map(|table| store.scan(table).map_err(|fault| fault.to_string()))
        .collect::<Result<_, _>>()?;
    let number = |value: &[u8]| value.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let last = found[0].iter().map(|(_, value)| number(value)).max().unwrap_or(0);
    for (table, entries) in TABLES.iter().zip(&found) {
        let first = last.saturating_sub(KEYS - 1).max(1);
        let mut expected: Vec<_> = (first..=last)
            .map(|batch| ((batch % KEYS).to_be_bytes().to_vec(), value(batch)))
            .collect();
        expected.sort();
        if *entries != expected {
            return Err(format!("table `{table}` is not what batches 1 to {last} leave"));
        }
    }
    Ok(last)
}

/// Mostly a usual record; now and then one of many parts.
fn value(batch: u64) -> Vec<u8> {
    let length = if batch.is_multiple_of(40) { 60_000 } else { 430 };
    let mut value = batch.to_be_bytes().to_vec();
    value.resize(length, batch as u8);
    value
}

fn say(line: &str) {
    let mut out = stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the killer reads to the end");
}
