//! Requests of clients: how many of each action, how they ended, and how long they took.

use super::histogram::{Histogram, Reading};
use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The action of what was refused before it was known, and of actions that are none: what strangers
/// write is no label.
const UNKNOWN: &str = "unknown";

#[derive(Debug)]
pub struct Requests {
    /// Fixed from the start, so that counting needs no lock.
    actions: HashMap<&'static str, Action>,
    unknown: Action,
    /// Codes of refusals, and their places.
    codes: HashMap<&'static str, usize>,
}

#[derive(Debug)]
struct Action {
    granted: AtomicU64,
    refused: Vec<AtomicU64>,
    took: Histogram,
}

impl Requests {
    pub fn of(
        actions: impl IntoIterator<Item = &'static str>,
        codes: impl IntoIterator<Item = &'static str>,
    ) -> Requests {
        let codes: HashMap<_, _> =
            codes.into_iter().enumerate().map(|(index, code)| (code, index)).collect();
        let action = || Action {
            granted: AtomicU64::new(0),
            refused: codes.values().map(|_| AtomicU64::new(0)).collect(),
            took: Histogram::default(),
        };
        let actions = actions.into_iter().map(|name| (name, action())).collect();
        let unknown = action();
        Requests { actions, unknown, codes }
    }

    /// `code` is of a refusal.
    pub fn answered(&self, action: Option<&str>, code: Option<&str>, took: Duration) {
        let action = action.and_then(|name| self.actions.get(name)).unwrap_or(&self.unknown);
        action.took.observe(took);
        let counted = match code {
            None => Some(&action.granted),
            Some(code) => self.codes.get(code).map(|index| &action.refused[*index]),
        };
        if let Some(counted) = counted {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, &Action)> {
        let mut all: Vec<_> = self.actions.iter().map(|(name, action)| (*name, action)).collect();
        all.sort_by_key(|(name, _)| *name);
        all.into_iter().chain([(UNKNOWN, &self.unknown)])
    }

    /// Action, code (none was granted) and how many, of those that there were any.
    pub fn counts(&self) -> Vec<(&'static str, &'static str, u64)> {
        let mut codes: Vec<_> = self.codes.iter().collect();
        codes.sort();
        let mut counts = Vec::new();
        for (name, action) in self.all() {
            let refused = codes.iter().map(|(code, index)| (**code, &action.refused[**index]));
            for (code, count) in [("", &action.granted)].into_iter().chain(refused) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    counts.push((name, code, count));
                }
            }
        }
        counts
    }

    pub fn durations(&self) -> Vec<(&'static str, Reading)> {
        self.all().filter_map(|(name, action)| Some((name, action.took.read()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_action_and_code_and_what_strangers_write_is_no_label() {
        let requests = Requests::of(["Run", "Stop"], ["Bad", "Worse"]);
        let took = Duration::from_millis(1);
        requests.answered(Some("Run"), None, took);
        requests.answered(Some("Run"), Some("Worse"), took);
        requests.answered(Some("Run"), None, took);
        requests.answered(Some("\"} 1"), Some("Bad"), took);
        requests.answered(None, Some("Bad"), took);
        let expected = [("Run", "", 2), ("Run", "Worse", 1), ("unknown", "Bad", 2)];
        assert_eq!(requests.counts(), expected);
        let durations: Vec<_> =
            requests.durations().into_iter().map(|(name, took)| (name, took.count)).collect();
        assert_eq!(durations, [("Run", 3), ("unknown", 2)]);
    }
}
