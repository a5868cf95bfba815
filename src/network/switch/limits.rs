//! How much of what is shared one port may take.

use super::Moment;
use std::time::Duration;

/// So many a second, and so many at once after a quiet time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub per_second: u32,
    pub burst: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Frames of one port to everybody.
    pub broadcasts: Rate,
    /// Frames of one port to an address that nobody has announced.
    pub unknown: Rate,
    /// Questions of one port that the switch answers itself: ARP, neighbour discovery, DHCP.
    pub answers: Rate,
    /// Stations behind one port that has no source check; of addresses, as many for each station.
    pub learned_per_port: usize,
    /// Changes of what is learned behind one port: others are told of each.
    pub learned: Rate,
    /// How long a learned station is remembered that is not heard.
    pub learned_for: Duration,
    /// Tracked flows of one port.
    pub flows_per_port: usize,
    /// Datagrams of one port whose later fragments are expected.
    pub fragmented_per_port: usize,
    /// How long after its start a switch takes a TCP flow in its midst for one that began before
    /// it, if the filter admits it.
    pub picks_up_for: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            broadcasts: Rate { per_second: 500, burst: 1_000 },
            unknown: Rate { per_second: 500, burst: 1_000 },
            answers: Rate { per_second: 2_000, burst: 4_000 },
            learned_per_port: 64,
            learned: Rate { per_second: 20, burst: 200 },
            learned_for: Duration::from_secs(300),
            flows_per_port: 16_384,
            fragmented_per_port: 1_024,
            picks_up_for: Duration::from_secs(120),
        }
    }
}

/// A token bucket. Counts in thousandths, so that slow rates fill it too.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    thousandths: u64,
    filled_at: Moment,
}

impl Bucket {
    pub fn new(rate: Rate) -> Bucket {
        Bucket { rate, thousandths: u64::from(rate.burst) * 1_000, filled_at: Moment::ZERO }
    }

    /// Takes one token, if there is one.
    pub fn take(&mut self, now: Moment) -> bool {
        let passed = now.saturating_sub(self.filled_at);
        let passed = passed.as_secs() * 1_000 + u64::from(passed.subsec_millis());
        if passed > 0 {
            let full = u64::from(self.rate.burst) * 1_000;
            let more = passed.saturating_mul(u64::from(self.rate.per_second));
            self.thousandths = self.thousandths.saturating_add(more).min(full);
            self.filled_at += Duration::from_millis(passed);
        }
        let is_granted = self.thousandths >= 1_000;
        if is_granted {
            self.thousandths -= 1_000;
        }
        is_granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_then_its_rate() {
        let mut bucket = Bucket::new(Rate { per_second: 10, burst: 5 });
        let mut granted = |now: Duration| (0..100).filter(|_| bucket.take(now)).count();
        assert_eq!(granted(Duration::from_millis(7)), 5);
        assert_eq!(granted(Duration::from_millis(50)), 0);
        assert_eq!(granted(Duration::from_millis(107)), 1);
        assert_eq!(granted(Duration::from_secs(1)), 5, "no more than the burst is saved up");
    }

    #[test]
    fn tokens_come_at_the_rate_however_often_one_asks() {
        let mut bucket = Bucket::new(Rate { per_second: 7, burst: 1 });
        let asked = (0..1_000_000u64).map(|n| Duration::from_micros(10 * n));
        let granted = asked.filter(|now| bucket.take(*now)).count();
        assert!((69..=71).contains(&granted), "{granted} in ten seconds");
    }
}
