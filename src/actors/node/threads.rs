//! Where a node's blocking work is done.
//!
//! On threads made for blocking, so that actors stay responsive; or, on a machine that is simulated
//! and never blocks, among the tasks of the node itself, in as much virtual time as the simulator
//! says. There it begins and ends in an order that a seed repeats, and what is under way dies with
//! the node's process, before it was done or before anybody knew that it was.

use std::{fmt, sync::Arc, time::Duration};
use tokio::task::{self, JoinHandle};

/// How long a piece of work is waited for before it is done, and then until it is known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    pub before: Duration,
    pub after: Duration,
}

#[derive(Clone)]
pub enum Threads {
    OfTokio,
    /// None. The function is asked anew for each piece of work.
    Simulated(Arc<dyn Fn() -> Pace + Send + Sync>),
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Threads::OfTokio => "OfTokio",
            Threads::Simulated(_) => "Simulated",
        })
    }
}

impl Threads {
    /// Begins at once; goes on though nobody waits for it.
    pub fn run<T, W>(&self, work: W) -> JoinHandle<T>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        match self {
            Threads::OfTokio => task::spawn_blocking(work),
            Threads::Simulated(pace) => {
                let Pace { before, after } = pace();
                task::spawn_local(async move {
                    tokio::time::sleep(before).await;
                    let outcome = work();
                    tokio::time::sleep(after).await;
                    outcome
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::time::{Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn simulated_work_is_done_in_its_virtual_time_and_is_known_later() {
        let tasks = task::LocalSet::new();
        let pace = Pace { before: Duration::from_secs(60), after: Duration::from_secs(5) };
        let threads = Threads::Simulated(Arc::new(move || pace));
        let done = Arc::new(AtomicBool::new(false));
        let mark = done.clone();
        let begun = Instant::now();
        let checked = async move {
            let work = threads.run(move || mark.store(true, Ordering::SeqCst));
            sleep(Duration::from_secs(59)).await;
            assert!(!done.load(Ordering::SeqCst));
            sleep(Duration::from_secs(2)).await;
            assert!(done.load(Ordering::SeqCst) && !work.is_finished());
            work.await.unwrap();
        };
        tasks.run_until(checked).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(65));
    }
}
