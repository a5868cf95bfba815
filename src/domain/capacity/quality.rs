//! How far figures can be trusted (the paper: "the likelihood and nature of the inaccuracies can be
//! quantified and considered"): how old they are, how much of what is held nobody has confirmed, and
//! how often they were contradicted.
//!
//! The cloud's own measurements, and not recorded: after a restart it learns them anew.

use crate::domain::{resources::Resources, time::Timestamp};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// A node that says nothing for longer is silent. It is not dead for that: nothing of it is ended.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Of a node's figures, or of those of a group's nodes together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quality {
    /// When it was last heard of; `None` before the first time.
    pub reported_at: Option<Timestamp>,
    pub outstanding: Outstanding,
    pub observed: Observed,
}

/// Reservations that no node has confirmed: held for instances that no node says to run yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outstanding {
    pub count: u64,
    pub resources: Resources,
}

impl Outstanding {
    pub(super) fn add(&mut self, resources: Resources) {
        self.count += 1;
        self.resources += resources;
    }

    pub(super) fn take(&mut self, resources: Resources) {
        self.count = self.count.saturating_sub(1);
        self.resources -= resources;
    }
}

/// What became of an instance that was to be started where the figures said there was room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// A node says that it runs.
    Started,
    /// There was no room after all.
    NoRoom,
    /// It was refused, or did not come to run, and not by its owner's or its own doing.
    Failed,
    /// Nobody could say. A question that is asked again counts again.
    Unanswered,
}

/// The latest observations: at most [`Observed::COUNT_MAX`], none older than [`Observed::AGE_MAX`],
/// so that what was bad is not held bad for ever when nothing is tried there any more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed(Arc<VecDeque<(Timestamp, Observation)>>);

/// Of the latest observations, how many there are of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record {
    pub started: u64,
    pub no_room: u64,
    pub failed: u64,
    pub unanswered: u64,
}

impl Observed {
    pub const COUNT_MAX: usize = 64;
    pub const AGE_MAX: Duration = Duration::from_secs(600);

    pub(super) fn note(&mut self, observation: Observation, now: Timestamp) {
        let observed = Arc::make_mut(&mut self.0);
        if observed.len() == Self::COUNT_MAX {
            observed.pop_front();
        }
        observed.push_back((now, observation));
    }

    pub fn record(&self, now: Timestamp) -> Record {
        let mut record = Record::default();
        let recent = self.0.iter().filter(|(at, _)| now.since(*at) <= Self::AGE_MAX);
        for (_, observation) in recent {
            match observation {
                Observation::Started => record.started += 1,
                Observation::NoRoom => record.no_room += 1,
                Observation::Failed => record.failed += 1,
                Observation::Unanswered => record.unanswered += 1,
            }
        }
        record
    }
}

impl Record {
    pub fn in_all(self) -> u64 {
        self.started + self.contradicted()
    }

    /// Where the figures said that there was room, and it was not so.
    pub fn contradicted(self) -> u64 {
        self.no_room + self.failed + self.unanswered
    }

    /// The observed error rate, in whole per cent; `None` of nothing.
    pub fn error_percent(self) -> Option<u64> {
        (100 * self.contradicted()).checked_div(self.in_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(observations: &[(i64, Observation)], now: i64) -> Record {
        let mut observed = Observed::default();
        for (at, observation) in observations {
            observed.note(*observation, Timestamp(*at));
        }
        observed.record(Timestamp(now))
    }

    #[test]
    fn the_error_rate_is_the_share_of_starts_that_contradicted_the_figures() {
        use Observation::{Failed, NoRoom, Started, Unanswered};
        let kinds = [(0, Started), (1, NoRoom), (2, Failed), (3, Unanswered), (4, Started)];
        let record = record(&kinds, 5);
        assert_eq!((record.contradicted(), record.in_all()), (3, 5));
        assert_eq!(record.error_percent(), Some(60));
        assert_eq!(Record::default().error_percent(), None, "nothing was observed");
    }

    #[test]
    fn old_observations_do_not_count_and_of_many_only_the_latest() {
        let limit = Observed::AGE_MAX.as_millis() as i64;
        let failed = [(0, Observation::Failed), (1, Observation::Failed)];
        assert_eq!(record(&failed, limit + 1).failed, 1);
        assert_eq!(record(&failed, limit + 2), Record::default());
        let mut many = vec![(0, Observation::Failed); 9];
        many.extend(vec![(1, Observation::Started); Observed::COUNT_MAX - 1]);
        let record = record(&many, 2);
        assert_eq!((record.failed, record.in_all()), (1, Observed::COUNT_MAX as u64));
    }
}
