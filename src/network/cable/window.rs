//! Which datagrams of a session came already: a window that slides with the highest counter seen
//! (RFC 6479). What is behind the window counts as seen, because nobody can tell any more.

/// Tells counters apart that are at most `64 * (WORDS - 1)` behind the highest.
#[derive(Debug, Clone)]
pub(super) struct Window<const WORDS: usize> {
    /// One more than the highest counter seen.
    next: u64,
    seen: [u64; WORDS],
}

impl<const WORDS: usize> Window<WORDS> {
    pub fn new() -> Window<WORDS> {
        Window { next: 0, seen: [0; WORDS] }
    }

    /// One more than the highest counter seen: how many datagrams the far end has sealed at least.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Whether a datagram with this counter was not seen yet, for certain.
    pub fn admits(&self, counter: u64) -> bool {
        if counter >= self.next {
            return counter < u64::MAX;
        }
        self.next - counter <= 64 * (WORDS as u64 - 1)
            && self.seen[word(counter, WORDS)] & bit(counter) == 0
    }

    /// To be called with what was admitted, once it is known to be genuine.
    pub fn mark(&mut self, counter: u64) {
        debug_assert!(self.admits(counter));
        if counter >= self.next {
            let newest = self.next.saturating_sub(1) / 64;
            let words_passed = (counter / 64 - newest).min(WORDS as u64);
            for passed in 1..=words_passed {
                self.seen[((newest + passed) % WORDS as u64) as usize] = 0;
            }
            self.next = counter + 1;
        }
        self.seen[word(counter, WORDS)] |= bit(counter);
    }
}

fn word(counter: u64, words: usize) -> usize {
    (counter / 64 % words as u64) as usize
}

fn bit(counter: u64) -> u64 {
    1 << (counter % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, prop_assert, proptest};
    use std::collections::BTreeSet;

    #[test]
    fn a_counter_is_admitted_once_in_any_order() {
        let mut window = Window::<64>::new();
        for counter in [5, 0, 3, 4095, 65, 64, 4032] {
            assert!(window.admits(counter), "{counter}");
            window.mark(counter);
            assert!(!window.admits(counter), "{counter}");
        }
    }

    #[test]
    fn what_is_behind_the_window_counts_as_seen() {
        let mut window = Window::<64>::new();
        window.mark(10_000);
        assert!(window.admits(10_001 - 4032));
        assert!(!window.admits(10_000 - 4032));
        assert!(!window.admits(u64::MAX), "no counter comes after it");
    }

    proptest! {
        #[test]
        fn no_counter_is_admitted_twice_and_none_in_the_window_is_refused(
            steps in prop::collection::vec((any::<bool>(), 0u64..400), 1..300)
        ) {
            let mut window = Window::<3>::new();
            let mut seen = BTreeSet::new();
            let mut highest = 0u64;
            for (forward, by) in steps {
                let counter = if forward { highest + by } else { highest.saturating_sub(by) };
                let admitted = window.admits(counter);
                prop_assert!(!(admitted && seen.contains(&counter)));
                let is_in_window = window.next() <= counter || window.next() - counter <= 128;
                prop_assert!(admitted || seen.contains(&counter) || !is_in_window);
                if admitted {
                    window.mark(counter);
                    seen.insert(counter);
                    highest = highest.max(counter);
                }
            }
        }
    }
}
