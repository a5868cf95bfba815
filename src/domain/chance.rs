//! Chance, handed in from the top so that a seed replays a history.

use std::fmt::Debug;

/// A source of bytes nobody can guess (in production) or everybody can repeat (in tests).
pub trait Chance: Debug + Send {
    fn fill(&mut self, bytes: &mut [u8]);
}

/// Counts upwards: for tests that want distinct, readable ids.
#[derive(Debug, Default)]
pub struct Counting(u64);

impl Chance for Counting {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.0 += 1;
        bytes.fill(0);
        for (to, from) in bytes.iter_mut().zip(self.0.to_be_bytes()) {
            *to = from;
        }
    }
}
