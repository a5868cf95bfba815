//! Which broadcasts of a switch have been here already.
//!
//! A broadcast's number has the lowest bits of its source's incarnation before its sequence, so
//! that a switch that starts anew is not taken for its former self; of an incarnation that is not
//! the announced one nothing is accepted.

/// Numbers of frames to one station have this bit clear, so that they do not use up the window.
const BROADCAST: u32 = 1 << 31;
const SEQUENCE_BITS: u32 = 20;
const SEQUENCES: u32 = 1 << SEQUENCE_BITS;
const INCARNATIONS: u64 = 1 << 11;

/// How far behind the newest a broadcast may come.
const WINDOW: u32 = 2_048;

pub fn number(incarnation: u64, sequence: u32) -> u32 {
    let incarnation = (incarnation % INCARNATIONS) as u32;
    BROADCAST | incarnation << SEQUENCE_BITS | (sequence % SEQUENCES)
}

pub fn unicast_number(sequence: u32) -> u32 {
    sequence & !BROADCAST
}

#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    New,
    Before,
    /// Not of the incarnation known.
    Foreign,
}

/// The broadcasts seen of one incarnation of a switch.
#[derive(Debug)]
pub struct Window {
    incarnation: u64,
    newest: Option<u32>,
    /// The bit of a sequence is at its remainder.
    bits: Box<[u64; (WINDOW / 64) as usize]>,
}

impl Window {
    pub fn new(incarnation: u64) -> Window {
        Window { incarnation, newest: None, bits: Box::new([0; (WINDOW / 64) as usize]) }
    }

    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    pub fn see(&mut self, seen: u32) -> Seen {
        if number(self.incarnation, seen) != seen {
            return Seen::Foreign;
        }
        let sequence = seen % SEQUENCES;
        let newest = match self.newest {
            None => {
                self.newest = Some(sequence);
                self.mark(sequence);
                return Seen::New;
            }
            Some(newest) => newest,
        };
        let ahead = sequence.wrapping_sub(newest) % SEQUENCES;
        if (1..SEQUENCES / 2).contains(&ahead) {
            for passed in 1..ahead.min(WINDOW) {
                self.clear((newest + passed) % SEQUENCES);
            }
            self.newest = Some(sequence);
            self.mark(sequence);
            return Seen::New;
        }
        let behind = newest.wrapping_sub(sequence) % SEQUENCES;
        if behind >= WINDOW || self.is_marked(sequence) {
            return Seen::Before;
        }
        self.mark(sequence);
        Seen::New
    }

    fn place(sequence: u32) -> (usize, u64) {
        let place = sequence % WINDOW;
        ((place / 64) as usize, 1 << (place % 64))
    }
    fn mark(&mut self, sequence: u32) {
        let (word, bit) = Window::place(sequence);
        self.bits[word] |= bit;
    }
    fn clear(&mut self, sequence: u32) {
        let (word, bit) = Window::place(sequence);
        self.bits[word] &= !bit;
    }
    fn is_marked(&self, sequence: u32) -> bool {
        let (word, bit) = Window::place(sequence);
        self.bits[word] & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn each_broadcast_is_new_once_in_any_order_across_the_wrap(
            jumps in vec((0u32..5_000, 0u32..2_500), 1..300),
        ) {
            let mut window = Window::new(9);
            let mut newest: u64 = u64::from(SEQUENCES) - 3_000;
            prop_assert_eq!(window.see(number(9, newest as u32)), Seen::New);
            let mut seen = BTreeSet::from([newest]);
            for (forward, back) in jumps {
                newest += u64::from(forward);
                for sequence in [newest, newest - u64::from(back)] {
                    let highest = *seen.last().unwrap();
                    let is_old = highest.saturating_sub(sequence) >= u64::from(WINDOW);
                    // What is older than the first heard counts as heard unless the window has it.
                    let expected = !is_old && seen.insert(sequence);
                    let found = window.see(number(9, sequence as u32));
                    prop_assert_eq!(found == Seen::New, expected, "{} {}", sequence, highest);
                }
            }
        }
    }

    #[test]
    fn another_incarnation_is_foreign_and_a_new_one_begins_where_it_likes() {
        let mut window = Window::new(1);
        assert_eq!(window.see(number(1, 500)), Seen::New);
        assert_eq!(window.see(number(2, 500)), Seen::Foreign);
        assert_eq!(window.see(unicast_number(500)), Seen::Foreign);
        let mut window = Window::new(2);
        assert_eq!(window.see(number(2, 7)), Seen::New);
        assert_eq!(window.see(number(2, 7)), Seen::Before);
    }
}
