//! Questions that roles ask one another: how long until the answer, seen by who asks; how many wait
//! and how long they are worked on, seen by who answers.

use super::histogram::{Histogram, Reading};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

/// How a question ended for who asked it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    Refused,
    Unanswered,
    NotDelivered,
}

impl Outcome {
    const ALL: [(Outcome, &str); 4] = [
        (Outcome::Answered, "answered"),
        (Outcome::Refused, "refused"),
        (Outcome::Unanswered, "unanswered"),
        (Outcome::NotDelivered, "not-delivered"),
    ];
}

/// What is asked from this process, by the name of the question and by outcome.
#[derive(Debug)]
pub struct Asked(BTreeMap<&'static str, [Histogram; 4]>);

impl Asked {
    /// The questions there are.
    pub fn of(names: impl IntoIterator<Item = &'static str>) -> Asked {
        Asked(names.into_iter().map(|name| (name, Default::default())).collect())
    }

    pub fn ended(&self, name: &str, outcome: Outcome, took: Duration) {
        if let Some(outcomes) = self.0.get(name) {
            outcomes[outcome as usize].observe(took);
        }
    }

    pub fn read(&self) -> Vec<(&'static str, &'static str, Reading)> {
        let each = self.0.iter().flat_map(|(name, outcomes)| {
            Outcome::ALL.iter().zip(outcomes).map(move |((_, word), took)| (*name, *word, took))
        });
        each.filter_map(|(name, word, took)| Some((name, word, took.read()?))).collect()
    }
}

/// One role's mailbox in this process.
#[derive(Debug)]
pub struct Mailbox {
    pub role: &'static str,
    pub name: String,
    waiting: AtomicI64,
    in_progress: AtomicI64,
    handled: BTreeMap<&'static str, Histogram>,
}

impl Mailbox {
    pub fn of(
        role: &'static str,
        name: impl Into<String>,
        questions: impl IntoIterator<Item = &'static str>,
    ) -> Mailbox {
        Mailbox {
            role,
            name: name.into(),
            waiting: AtomicI64::new(0),
            in_progress: AtomicI64::new(0),
            handled: questions.into_iter().map(|name| (name, Histogram::default())).collect(),
        }
    }

    /// A question is put into it.
    pub fn receive(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self.clone())
    }

    pub fn waiting(&self) -> i64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Taken out and not answered yet.
    pub fn in_progress(&self) -> i64 {
        self.in_progress.load(Ordering::Relaxed)
    }

    pub fn handled(&self) -> impl Iterator<Item = (&'static str, Reading)> {
        self.handled.iter().filter_map(|(name, took)| Some((*name, took.read()?)))
    }
}

/// A question in the mailbox, until it is dropped with it or taken out.
#[derive(Debug)]
pub struct Waiting(Arc<Mailbox>);

impl Waiting {
    /// It is taken out of the mailbox, and worked on until what is returned is dropped.
    pub fn begin(self, name: &'static str) -> Handling {
        self.0.in_progress.fetch_add(1, Ordering::Relaxed);
        Handling { mailbox: self.0.clone(), name, begun: Instant::now() }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub struct Handling {
    mailbox: Arc<Mailbox>,
    name: &'static str,
    begun: Instant,
}

impl Drop for Handling {
    fn drop(&mut self) {
        self.mailbox.in_progress.fetch_sub(1, Ordering::Relaxed);
        if let Some(took) = self.mailbox.handled.get(self.name) {
            took.observe(self.begun.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_waits_is_worked_on_and_is_over() {
        let mailbox = Arc::new(Mailbox::of("node", "n", ["node.boot"]));
        let figures = || (mailbox.waiting(), mailbox.in_progress(), mailbox.handled().count());
        let (first, second) = (mailbox.receive(), mailbox.receive());
        assert_eq!(figures(), (2, 0, 0));
        let handling = first.begin("node.boot");
        assert_eq!(figures(), (1, 1, 0));
        drop(handling);
        assert_eq!(figures(), (1, 0, 1));
        // Its mailbox closed before it was taken out.
        drop(second);
        assert_eq!(figures(), (0, 0, 1));
    }

    #[test]
    fn outcomes_are_told_apart() {
        for (index, (outcome, _)) in Outcome::ALL.iter().enumerate() {
            assert_eq!(*outcome as usize, index);
        }
        let asked = Asked::of(["a", "b"]);
        asked.ended("b", Outcome::Refused, Duration::ZERO);
        asked.ended("not a question", Outcome::Refused, Duration::ZERO);
        let read: Vec<_> = asked.read().into_iter().map(|(a, b, c)| (a, b, c.count)).collect();
        assert_eq!(read, [("b", "refused", 1)]);
    }
}
