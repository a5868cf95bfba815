//! Decisions by the seed. Each asker throws dice of its own, so that what one throws does not depend
//! on how often others did.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use std::time::Duration;

#[derive(Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    pub fn new(seed: u64, whose: &str) -> Dice {
        let digest = ring::digest::digest(&ring::digest::SHA256, whose.as_bytes());
        let mut key: [u8; 32] = digest.as_ref().try_into().expect("SHA-256 has 32 bytes");
        for (byte, of_seed) in key.iter_mut().zip(seed.to_le_bytes()) {
            *byte ^= of_seed;
        }
        Dice(ChaCha8Rng::from_seed(key))
    }

    /// From 0 to one less than `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n.max(1) as u64) as usize
    }

    /// True so many times in a thousand.
    pub fn in_thousand(&mut self, times: u32) -> bool {
        self.0.next_u32() % 1000 < times
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(self.below(of.len())) }
    }

    pub fn between(&mut self, shortest: Duration, longest: Duration) -> Duration {
        let span = longest.saturating_sub(shortest).as_micros() as u64 + 1;
        shortest + Duration::from_micros(self.0.next_u64() % span)
    }

    pub fn millis(&mut self, shortest: u64, longest: u64) -> Duration {
        self.between(Duration::from_millis(shortest), Duration::from_millis(longest))
    }
}
