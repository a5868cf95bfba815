//! What it takes to have a cloud at all: the binary's size, the time to the first signed answer,
//! the memory it idles in.

use super::{
    bed::{
        program::mallee,
        table::{self, Target},
    },
    cloud::Cloud,
};
use std::{fs, time::Duration};

const ROUNDS: usize = 5;

pub fn size() {
    table::title("the binary");
    let bytes = fs::metadata(mallee()).unwrap().len();
    table::figure("stripped", bytes as f64 / 1e6, "MB", Target::AtMost(15.0));
}

pub fn start() {
    table::title("from exec to the first signed answer, and memory when idle");
    let mut cloud = Cloud::start();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let took;
        (cloud, took) = cloud.restart();
        times.push(took);
    }
    times.sort();
    let seconds = times[ROUNDS / 2].as_secs_f64();
    table::figure("start, empty store", seconds, "s", Target::AtMost(0.15));
    table::figure("idle, empty store", cloud.program.resident_mb(), "MB", Target::AtMost(30.0));
    many(cloud);
}

/// With a hundred thousand instances on record, all running.
fn many(cloud: Cloud) {
    for region in 1..=25 {
        cloud.fill(&format!("us-east-{region}"), 4_000);
    }
    let grown = cloud.program.resident_mb();
    let (cloud, took) = cloud.restart();
    let seconds: Duration = took;
    table::figure("start, 100,000 instances", seconds.as_secs_f64(), "s", Target::AtMost(1.0));
    let resident = cloud.program.resident_mb();
    println!(
        "{:<44} {grown:.0} MB, {resident:.0} MB after the restart",
        "resident, 100,000 instances"
    );
}
