//! The store beside a power cut: what a writer acknowledged is on the disk, not in a cache.
//!
//! A guest boots, checks the store that the last cut left (its own kernel replays the file system's
//! journal), and writes on; its power is cut at once after an acknowledgement. Without the `fsync`
//! in `Store::commit` this fails, mostly in the first round.

mod guest;

use guest::Guest;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// How many batches each round acknowledges before the cut; the last boot only looks.
const ROUNDS: [u64; 5] = [45, 120, 1, 260, 0];

#[test]
fn nothing_acknowledged_is_lost_when_the_power_is_cut() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let guest = Guest::build(&built_writer(), directory.path());
    let mut acknowledged = 0;
    for batches in ROUNDS {
        acknowledged = write_and_cut(&guest, acknowledged, batches);
    }
    assert!(acknowledged >= ROUNDS.iter().sum());
}

/// Answers the last batch that was acknowledged before the power went.
fn write_and_cut(guest: &Guest, before: u64, batches: u64) -> u64 {
    let mut running = guest.boot();
    let first = running.next_line().unwrap_or_default();
    let Some(found) = number(&first, "found ") else {
        panic!("after {before} acknowledged batches: `{first}`\n{}", guest.console());
    };
    assert!(found >= before, "{before} batches were acknowledged, {found} are left");
    for _ in 0..batches {
        let line = running.next_line().unwrap_or_default();
        assert!(number(&line, "acked ").is_some(), "`{line}`\n{}", guest.console());
    }
    running.cut_power();
    // What left the guest before the cut was acknowledged too. The cut may split a last line,
    // which then reads as a smaller number or none.
    let rest = std::iter::from_fn(|| running.next_line());
    let last = rest.filter_map(|line| number(&line, "acked ")).max().unwrap_or(0);
    last.max(found + batches)
}

fn number(line: &str, word: &str) -> Option<u64> {
    line.strip_prefix(word)?.parse().ok()
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
