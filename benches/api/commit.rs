//! The floor of a launch: as many bytes as its records have, written and synced on the same disk.

use super::bed::program::directory;
use std::{
    fs::File,
    io::Write,
    time::{Duration, Instant},
};

/// About what one launch of one instance puts on record.
pub const LAUNCH_BYTES: usize = 2048;

/// The median of that many durable writes, one after the other.
pub fn median(count: usize) -> Duration {
    let place = directory();
    let mut file = File::create(place.path().join("floor")).unwrap();
    let bytes = [b'x'; LAUNCH_BYTES];
    let mut times: Vec<Duration> = (0..count)
        .map(|_| {
            let begun = Instant::now();
            file.write_all(&bytes).unwrap();
            file.sync_data().unwrap();
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[count / 2]
}
