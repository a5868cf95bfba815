//! How much may be held for a peer at one time: so many things, of so many bytes.
//!
//! What is taken is given back by dropping it, wherever it has got to by then.

use std::{cell::Cell, rc::Rc};

#[derive(Debug)]
pub(super) struct Budget {
    things_left: Cell<usize>,
    bytes_left: Cell<usize>,
}

impl Budget {
    pub fn new(things: usize, bytes: usize) -> Rc<Budget> {
        Rc::new(Budget { things_left: Cell::new(things), bytes_left: Cell::new(bytes) })
    }

    /// Room for one more thing, if there is room.
    pub fn take(self: &Rc<Self>, bytes: usize) -> Option<Held> {
        let things_left = self.things_left.get().checked_sub(1)?;
        let bytes_left = self.bytes_left.get().checked_sub(bytes)?;
        self.things_left.set(things_left);
        self.bytes_left.set(bytes_left);
        Some(Held { budget: self.clone(), bytes })
    }
}

/// Room taken.
#[derive(Debug)]
pub(super) struct Held {
    budget: Rc<Budget>,
    bytes: usize,
}

impl Held {
    /// The thing has become another, of another size, if there is room for that.
    #[must_use]
    pub fn resize(&mut self, bytes: usize) -> bool {
        let left = self.budget.bytes_left.get() + self.bytes;
        let Some(left) = left.checked_sub(bytes) else { return false };
        self.budget.bytes_left.set(left);
        self.bytes = bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.things_left.set(self.budget.things_left.get() + 1);
        self.budget.bytes_left.set(self.budget.bytes_left.get() + self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_until_things_or_bytes_run_out_and_comes_back() {
        let budget = Budget::new(2, 10);
        assert!(budget.take(11).is_none());
        let first = budget.take(4).unwrap();
        let second = budget.take(6).unwrap();
        assert!(budget.take(0).is_none(), "two things is all");
        drop(first);
        assert!(budget.take(5).is_none(), "six of ten bytes are held");
        let third = budget.take(4).unwrap();
        drop((second, third));
        assert!(budget.take(10).is_some());
    }

    #[test]
    fn what_is_held_may_change_its_size_within_the_room_there_is() {
        let budget = Budget::new(2, 10);
        let mut held = budget.take(4).unwrap();
        assert!(!held.resize(11));
        assert!(held.resize(10));
        assert!(budget.take(1).is_none());
        assert!(held.resize(1));
        assert!(budget.take(9).is_some());
    }
}
