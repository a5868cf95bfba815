//! How long to wait before trying again: twice as long each time, and never just as long as others.
//!
//! A parent that comes back is not met by all its children at once.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    max: Duration,
    next: Duration,
    chance: ChaCha20Rng,
}

impl Backoff {
    pub fn new(first: Duration, max: Duration, seed: u64) -> Backoff {
        Backoff { first, max, next: first, chance: ChaCha20Rng::seed_from_u64(seed) }
    }

    /// Between half and all of what is due.
    pub fn pause(&mut self) -> Duration {
        let due = self.next;
        self.next = (due * 2).min(self.max);
        let share = f64::from(self.chance.next_u32()) / f64::from(u32::MAX);
        due.mul_f64(0.5 + share / 2.0)
    }

    /// Things went well for a while.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(1);

    fn pauses(seed: u64) -> Vec<Duration> {
        let mut backoff = Backoff::new(FIRST, MAX, seed);
        (0..8).map(|_| backoff.pause()).collect()
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_vary_by_half() {
        for seed in 0..50 {
            let due = [100, 200, 400, 800, 1000, 1000, 1000, 1000].map(Duration::from_millis);
            for (pause, due) in pauses(seed).into_iter().zip(due) {
                assert!(pause >= due / 2 && pause <= due, "{pause:?} of {due:?}");
            }
        }
    }

    #[test]
    fn the_same_seed_waits_the_same_and_another_does_not() {
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2));
    }

    #[test]
    fn after_a_reset_pauses_begin_anew() {
        let mut backoff = Backoff::new(FIRST, MAX, 3);
        let longest = (0..5).map(|_| backoff.pause()).max();
        assert!(longest > Some(FIRST));
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }
}
