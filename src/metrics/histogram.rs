//! How long things took, counted without a lock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The upper bounds of the buckets, in microseconds: from a message in memory to a deadline.
const BOUNDS_US: [u64; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

#[derive(Debug, Default)]
pub struct Histogram {
    /// The last is for what takes longer than any bound.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

/// A histogram at one moment, or nearly: what is observed meanwhile may be in one figure and not in
/// the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub sum_seconds: f64,
    pub count: u64,
    /// Upper bounds in seconds, and how many were in each bucket alone.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    pub fn observe(&self, took: Duration) {
        let index = BOUNDS_US.partition_point(|bound| u128::from(*bound) < took.as_micros());
        self.buckets[index].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.sum_ns.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// None of what never happened.
    pub fn read(&self) -> Option<Reading> {
        let bounds = BOUNDS_US.iter().map(|bound| *bound as f64 / 1e6);
        let bounds = bounds.chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum_seconds = self.sum_ns.load(Ordering::Relaxed) as f64 / 1e9;
        (count > 0).then_some(Reading { sum_seconds, count, buckets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_in_the_first_bucket_that_it_is_not_above() {
        let histogram = Histogram::default();
        assert_eq!(histogram.read(), None);
        for took in [0, 100, 101, 30_000_000, 31_000_000] {
            histogram.observe(Duration::from_micros(took));
        }
        let reading = histogram.read().unwrap();
        let filled: Vec<_> = reading.buckets.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [&(0.0001, 2), &(0.00025, 1), &(30.0, 1), &(f64::INFINITY, 1)]);
        assert_eq!((reading.count, reading.sum_seconds), (5, 61.000201));
    }
}
