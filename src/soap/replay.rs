//! The messages that were taken, for as long as they could be sent again.
//!
//! What is remembered of each is 16 bytes, in the set of those that end in the same minute; so
//! forgetting is dropping a set. A set is never dropped while one in it could still be accepted,
//! and nothing is forgotten to make room: when there is none, the next message is refused.
//! A clock that is set back does not bring forgotten messages back.
//!
//! It is not kept over a restart. Instead, what was made before it began is refused: that may have been
//! taken by whoever was here before. So a sender whose clock is behind is refused for as long as it is.

use super::refused::Refused;
use super::security::Verified;
use crate::domain::time::Timestamp;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Many write the time to the second only.
const WRITTEN_AS: Duration = Duration::from_secs(1);

/// Shared by all who take messages for the same holders.
#[derive(Debug)]
pub struct Seen {
    memory: Mutex<Memory>,
    remembered_max: usize,
    since: Timestamp,
}

#[derive(Debug, Default)]
struct Memory {
    /// By the minute in which its messages end.
    minutes: BTreeMap<i64, HashSet<u128>>,
    remembered: usize,
    /// What ends before this minute has been forgotten.
    forgotten_before: i64,
}

impl Seen {
    /// About 32 bytes are needed for each. What was made before `since` is not known here.
    pub fn new(remembered_max: usize, since: Timestamp) -> Self {
        Self { memory: Mutex::default(), remembered_max, since }
    }

    /// Remembers the message, unless it is known already.
    pub fn admit<H>(&self, message: &Verified<H>, now: Timestamp) -> Result<(), Refused> {
        if message.created + WRITTEN_AS < self.since {
            return Err(Refused::Time("the Timestamp is of before this service began"));
        }
        let half = message.signed.first_chunk().expect("32 bytes are more than 16");
        self.remember(u128::from_be_bytes(*half), message.until, now)
    }

    /// How many are remembered now.
    pub fn remembered(&self) -> usize {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).remembered
    }

    fn remember(&self, message: u128, until: Timestamp, now: Timestamp) -> Result<(), Refused> {
        // Nothing between lock and unlock can panic half-way, so a poisoned lock guards what is
        // whole.
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.forget_before(minute(now));
        let end = minute(until);
        if end < memory.forgotten_before {
            return Err(Refused::Time("the Timestamp is too old"));
        }
        if memory.minutes.get(&end).is_some_and(|ending| ending.contains(&message)) {
            return Err(Refused::Replayed);
        }
        if memory.remembered >= self.remembered_max {
            return Err(Refused::Unremembered);
        }
        memory.minutes.entry(end).or_default().insert(message);
        memory.remembered += 1;
        Ok(())
    }
}

impl Memory {
    fn forget_before(&mut self, minute: i64) {
        while let Some(first) = self.minutes.first_entry() {
            if *first.key() >= minute {
                break;
            }
            self.remembered -= first.remove().len();
        }
        self.forgotten_before = self.forgotten_before.max(minute);
    }
}

fn minute(time: Timestamp) -> i64 {
    time.as_millis().div_euclid(60_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_000_000_000);
    const QUARTER: Duration = Duration::from_secs(15 * 60);

    #[test]
    fn a_message_is_taken_once() {
        let seen = Seen::new(10, NOW);
        assert_eq!(seen.remember(1, NOW + QUARTER, NOW), Ok(()));
        assert_eq!(seen.remember(1, NOW + QUARTER, NOW + QUARTER), Err(Refused::Replayed));
        assert_eq!(seen.remember(2, NOW + QUARTER, NOW), Ok(()));
    }

    #[test]
    fn nothing_is_forgotten_while_it_could_be_accepted_and_everything_after() {
        let seen = Seen::new(10, NOW);
        let until = NOW + QUARTER;
        seen.remember(1, until, NOW).unwrap();
        assert_eq!(seen.remember(1, until, until), Err(Refused::Replayed));
        seen.remember(2, until + QUARTER, until + Duration::from_secs(60)).unwrap();
        assert_eq!(seen.remembered(), 1);
    }

    #[test]
    fn a_full_memory_refuses_rather_than_forgets() {
        let seen = Seen::new(2, NOW);
        seen.remember(1, NOW + QUARTER, NOW).unwrap();
        seen.remember(2, NOW + QUARTER, NOW).unwrap();
        assert_eq!(seen.remember(3, NOW + QUARTER, NOW), Err(Refused::Unremembered));
        assert_eq!(seen.remember(1, NOW + QUARTER, NOW), Err(Refused::Replayed));
        let later = NOW + QUARTER + Duration::from_secs(60);
        assert_eq!(seen.remember(3, later + QUARTER, later), Ok(()));
    }

    #[test]
    fn a_clock_that_is_set_back_brings_nothing_back() {
        let seen = Seen::new(10, NOW);
        let until = NOW + QUARTER;
        seen.remember(1, until, NOW).unwrap();
        let later = until + QUARTER;
        seen.remember(2, later + QUARTER, later).unwrap();
        assert!(matches!(seen.remember(1, until, NOW), Err(Refused::Time(_))));
    }

    #[test]
    fn of_many_that_bring_the_same_message_at_once_one_is_taken() {
        let seen = Seen::new(10, NOW);
        let taken = std::thread::scope(|scope| {
            let bring = || seen.remember(7, NOW + QUARTER, NOW).is_ok();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(bring)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(|taken| *taken).count()
        });
        assert_eq!(taken, 1);
    }
}
