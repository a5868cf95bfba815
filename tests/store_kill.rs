//! The store beside `kill -9`: what a writer acknowledged is there, whole, whenever it is killed.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What fits into some fifteen seconds of a slow machine.
const ROUNDS: u64 = 30;

#[test]
fn a_killed_writer_loses_nothing_acknowledged_and_leaves_no_half_batch() {
    let writer = built_writer();
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        // Now after one acknowledgement, now after many; never at the same place.
        acknowledged = write_and_kill(&writer, directory.path(), acknowledged, round * 37 % 101);
    }
    assert!(acknowledged > ROUNDS);
}

/// Lets a writer acknowledge `batches` more, kills it, and says what it acknowledged last.
fn write_and_kill(writer: &Path, directory: &Path, before: u64, batches: u64) -> u64 {
    let mut child =
        Command::new(writer).arg(directory).stdout(Stdio::piped()).spawn().expect("writer starts");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().expect("the writer says what it found").unwrap();
    let found: u64 = match first.split_once(' ') {
        Some(("found", number)) => number.parse().unwrap(),
        _ => panic!("after {before} acknowledged batches: {first}"),
    };
    assert!(found >= before, "{before} batches were acknowledged, {found} are left");
    for _ in 0..batches {
        lines.next().expect("the writer goes on for ever").unwrap();
    }
    child.kill().unwrap();
    // What was said before the kill may still be in the pipe, and counts.
    let last = lines.map_while(Result::ok).filter_map(|line| acked(&line)).max();
    child.wait().unwrap();
    last.unwrap_or(found + batches)
}

/// A line cut off by the kill acknowledges nothing.
fn acked(line: &str) -> Option<u64> {
    line.strip_prefix("acked ")?.parse().ok()
}

/// Built here, because `cargo test --test` does not build examples.
fn built_writer() -> PathBuf {
    let build = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--example", "store_writer"])
        .status()
        .expect("cargo starts");
    assert!(build.success(), "the writer must compile");
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("../debug/examples/store_writer")
}
