//! Figures for Prometheus: how much, how many and how long, in this process.
//!
//! What happens often is counted where it happens, by atomics that were there from the start: no
//! lock, and nothing that grows with what strangers send ([`requests`], [`questions`],
//! [`histogram`]). What is a state (capacity, instances, links) is read when somebody looks
//! ([`scrape`]). `boot` makes a [`Meters`] if the configuration has metrics served, and hands its parts
//! to whoever is to count; without, nobody counts. `docs/metrics.md` is the manual of the names.

pub mod histogram;
pub mod overlay;
pub mod questions;
pub mod requests;
pub mod scrape;

use histogram::Histogram;
use questions::{Asked, Mailbox};
use requests::Requests;
use std::sync::{Arc, Mutex, PoisonError};

/// All that is counted in this process.
#[derive(Debug)]
pub struct Meters {
    pub requests: Arc<Requests>,
    pub asked: Arc<Asked>,
    /// As roles begin; not asked for while they count.
    roles: Mutex<Roles>,
}

#[derive(Debug, Default)]
struct Roles {
    mailboxes: Vec<Arc<Mailbox>>,
    commits: Vec<Arc<Commits>>,
}

/// What one role commits to its store: groups of batches, as the journal makes them.
#[derive(Debug)]
pub struct Commits {
    pub role: &'static str,
    pub name: String,
    pub durable: Histogram,
    pub failed: Histogram,
}

impl Meters {
    pub fn new(requests: Requests, asked: Asked) -> Meters {
        Meters { requests: Arc::new(requests), asked: Arc::new(asked), roles: Mutex::default() }
    }

    pub fn mailbox(&self, mailbox: Mailbox) -> Arc<Mailbox> {
        let mailbox = Arc::new(mailbox);
        self.with(|roles| roles.mailboxes.push(mailbox.clone()));
        mailbox
    }

    pub fn commits(&self, role: &'static str, name: impl Into<String>) -> Arc<Commits> {
        let (durable, failed) = (Histogram::default(), Histogram::default());
        let commits = Arc::new(Commits { role, name: name.into(), durable, failed });
        self.with(|roles| roles.commits.push(commits.clone()));
        commits
    }

    fn with<T>(&self, f: impl FnOnce(&mut Roles) -> T) -> T {
        // Nothing is half done in the lists if somebody panics.
        f(&mut self.roles.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
