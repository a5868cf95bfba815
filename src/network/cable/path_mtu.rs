//! How large a datagram the path carries.
//!
//! Sizes on a ladder are probed, and only what was acknowledged is used. Routers need not tell when
//! a path narrows, so the size in use is proven again and again while it is used; when that fails,
//! it falls to the lowest, which is taken for granted, and the search begins anew.

use super::Moment;
use std::{sync::Arc, time::Duration};

/// What ordinary Ethernet can carry at most. Larger sizes are tried when all below have passed.
const ORDINARY: u16 = 1500;
const ROUNDS: u32 = 3;
const SEARCH_AGAIN: Duration = Duration::from_secs(60);
const SEARCH_JUMBO_AGAIN: Duration = Duration::from_secs(600);
const CHECK_AFTER: Duration = Duration::from_secs(1);
const CHECKS: u32 = 4;
const SLOWEST_ANSWER: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct PathMtu {
    sizes: Arc<[u16]>,
    /// The largest that was acknowledged, as its place on the ladder.
    proven: usize,
    number: u32,
    /// Acknowledgements of earlier probes are about another path.
    first_valid: u32,
    rounds_left: u32,
    search_at: Moment,
    checks: u32,
    check_at: Moment,
    carries_large: bool,
}

impl PathMtu {
    /// `sizes` ascend, and there is at least one.
    pub fn new(now: Moment, sizes: Arc<[u16]>) -> PathMtu {
        PathMtu {
            sizes,
            proven: 0,
            number: 0,
            first_valid: 1,
            rounds_left: ROUNDS,
            search_at: now,
            checks: 0,
            check_at: now + CHECK_AFTER,
            carries_large: false,
        }
    }

    /// The largest datagram to send, as UDP's payload.
    pub fn limit(&self) -> usize {
        usize::from(self.sizes[self.proven])
    }

    /// The path is another, or narrower than it was.
    pub fn forget(&mut self, now: Moment) {
        *self = PathMtu {
            number: self.number,
            first_valid: self.number + 1,
            ..PathMtu::new(now, self.sizes.clone())
        };
    }

    /// A datagram of this size was sent.
    pub fn sent(&mut self, size: usize) {
        self.carries_large |= size > usize::from(self.sizes[0]);
    }

    /// The sizes to probe now, each with its number.
    pub fn tick(&mut self, now: Moment, round_trip: Duration) -> Vec<(u16, u32)> {
        let patience = (Duration::from_millis(300) + 2 * round_trip).min(SLOWEST_ANSWER);
        let mut sizes = Vec::new();
        if self.proven > 0 && self.carries_large && now >= self.check_at {
            if self.checks == CHECKS {
                self.forget(now);
            } else {
                sizes.push(self.sizes[self.proven]);
                self.checks += 1;
                self.check_at = now + patience;
            }
        }
        if now >= self.search_at {
            let (search, again) = self.above();
            sizes.extend(search);
            self.rounds_left = self.rounds_left.saturating_sub(1);
            self.search_at = now + if self.rounds_left > 0 { patience } else { again };
        }
        let mut numbered = Vec::with_capacity(sizes.len());
        for size in sizes {
            self.number += 1;
            numbered.push((size, self.number));
        }
        numbered
    }

    /// A probe arrived at the far end.
    pub fn acknowledged(&mut self, now: Moment, size: u16, number: u32) {
        if number < self.first_valid || number > self.number {
            return;
        }
        let Some(place) = self.sizes.iter().position(|known| *known == size) else { return };
        if place > self.proven {
            self.proven = place;
            self.rounds_left = ROUNDS;
            self.search_at = now;
        }
        if place == self.proven {
            self.checks = 0;
            self.carries_large = false;
            self.check_at = now + CHECK_AFTER;
        }
    }

    /// The host itself cannot send so large a datagram on this path.
    pub fn too_large(&mut self, size: usize) {
        let carried = self.sizes.iter().rposition(|known| usize::from(*known) < size);
        self.proven = self.proven.min(carried.unwrap_or(0));
    }

    /// The sizes to search next, and after how long to search them again.
    fn above(&self) -> (Vec<u16>, Duration) {
        let above = &self.sizes[self.proven + 1..];
        let ordinary: Vec<u16> = above.iter().copied().filter(|size| *size <= ORDINARY).collect();
        match ordinary.is_empty() {
            false => (ordinary, SEARCH_AGAIN),
            true => (above.to_vec(), SEARCH_JUMBO_AGAIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(20);

    /// A path that carries so much, for so long, with a datagram of the proven size each tick.
    fn walk(path: &mut PathMtu, now: &mut Moment, carries: u16, ticks: u32) {
        for _ in 0..ticks {
            *now += Duration::from_millis(100);
            path.sent(path.limit());
            for (size, number) in path.tick(*now, RTT) {
                if size <= carries {
                    path.acknowledged(*now, size, number);
                }
            }
        }
    }

    fn path() -> PathMtu {
        PathMtu::new(Moment::ZERO, [508, 1200, 1400, 1472, 8900].into())
    }

    #[test]
    fn only_what_was_acknowledged_is_used() {
        for (carries, limit) in [(600, 508), (1300, 1200), (1472, 1472), (9000, 8900)] {
            let (mut path, mut now) = (path(), Moment::ZERO);
            assert_eq!(path.limit(), 508);
            walk(&mut path, &mut now, carries, 30);
            assert_eq!(path.limit(), limit);
        }
    }

    #[test]
    fn a_path_that_narrows_silently_is_found_out_while_it_is_used() {
        let (mut path, mut now) = (path(), Moment::ZERO);
        walk(&mut path, &mut now, 1472, 30);
        walk(&mut path, &mut now, 1300, 40);
        assert_eq!(path.limit(), 1200);
        walk(&mut path, &mut now, 1472, 700);
        assert_eq!(path.limit(), 1472, "and that it widened, after a while");
    }

    #[test]
    fn an_acknowledgement_of_another_path_proves_nothing() {
        let (mut path, now) = (path(), Duration::from_secs(1));
        let probes = path.tick(now, RTT);
        path.forget(now);
        for (size, number) in probes {
            path.acknowledged(now, size, number);
        }
        path.acknowledged(now, 1400, 77);
        assert_eq!(path.limit(), 508);
    }

    #[test]
    fn what_the_host_cannot_send_is_not_tried_again_at_once() {
        let (mut path, mut now) = (path(), Moment::ZERO);
        walk(&mut path, &mut now, 9000, 30);
        path.too_large(8900);
        assert_eq!(path.limit(), 1472);
        path.too_large(100);
        assert_eq!(path.limit(), 508);
    }

    #[test]
    fn a_path_that_is_not_used_is_not_probed_all_the_time() {
        let (mut path, mut now) = (path(), Moment::ZERO);
        walk(&mut path, &mut now, 1472, 30);
        let mut probes = 0;
        for _ in 0..500 {
            now += Duration::from_millis(100);
            for (size, number) in path.tick(now, RTT) {
                probes += 1;
                if size <= 1472 {
                    path.acknowledged(now, size, number);
                }
            }
        }
        assert!(probes <= 3, "{probes}");
        assert_eq!(path.limit(), 1472);
    }
}
