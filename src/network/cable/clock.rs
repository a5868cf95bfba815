//! Time as cables live it: it never goes back, and never leaps.
//!
//! A host's clock may be stepped, and a process may be stopped for an hour. Neither says anything
//! about the far end, so neither may take a cable down.

use super::Moment;
use std::time::Duration;

/// More than this at once was not lived.
const LONGEST_STEP: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(super) struct Clock {
    told: Option<Moment>,
    lived: Moment,
}

impl Clock {
    pub fn advance(&mut self, now: Moment) -> Moment {
        let step = now.saturating_sub(self.told.unwrap_or(now));
        self.told = Some(now);
        self.lived += step.min(LONGEST_STEP);
        self.lived
    }

    pub fn now(&self) -> Moment {
        self.lived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_neither_goes_back_nor_leaps() {
        let mut clock = Clock::default();
        let lived: Vec<u64> = [5000, 5100, 1000, 1100, 999_999, 1_000_099]
            .map(|ms| clock.advance(Duration::from_millis(ms)).as_millis() as u64)
            .into();
        assert_eq!(lived, [0, 100, 100, 200, 700, 800]);
        assert_eq!(clock.now(), Duration::from_millis(800));
    }
}
