//! Group commit: many askers, one writer, one sync for all who wait.
//!
//! A thread of its own takes everything queued, makes one `Store::commit` of it and answers all.
//! Batches land in the order in which `commit` was called, and whole groups land or do not.
//!
//! When a group fails, its owner's state in memory is ahead of the disk, and so is every batch
//! made from that state. So a failure ends the *epoch*:
//!
//! ```text
//!            commit ok                     group fails
//!          ┌──────────┐                 ┌──────────────►┐
//!          └─► open ──┘    epoch n      │               ▼
//!                ▲                      open          broken ── commit ──► Superseded
//!                └───────── resume(): epoch n+1 ────────┘
//! ```
//!
//! - The failed group is answered with the cause; everything queued behind it, and everything
//!   handed in until `resume`, is answered `Superseded`. None of it is ever written.
//! - The owner learns of the failure, sets its memory back to what was last acknowledged, and calls
//!   `resume`, which begins the next epoch and returns it.
//!
//! Why the race is closed: the phase, the epoch and the queue sit under one lock. A commit joins
//! the queue only while the phase is open; the writer leaves that phase and empties the queue in
//! one step; `resume` is the only way back. So when `resume` returns, no batch handed in before the
//! failure is queued, and none can be written later. What the lock cannot see is an owner with
//! several threads of which one still holds a batch made before the failure: such a caller keeps
//! the epoch it made the batch in and uses `commit_in`, which refuses all others.
//!
//! Memory: `commit` never refuses for lack of room, because the change it carries has already
//! happened in its owner's memory and must reach the disk or fail. Back-pressure belongs before the
//! decision: `room` waits until less than `QUEUE_BYTES` are queued, and whoever admits requests
//! awaits it first. The queue then exceeds that by at most what was admitted at once.
//!
//! Dropping the journal writes what is queued, answers it, and ends the thread.
//!
//! A simulated store (`Store::virtual_latency`) is written to by a task of the caller's, so that a
//! seed repeats what becomes one group, and a process that is ended takes the writer with it.

use super::{Batch, Store, StoreFault};
use std::{
    collections::VecDeque,
    future::Future,
    io, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::JoinHandle,
};
use tokio::sync::{Notify, oneshot};

/// `room` waits while this much is queued, counting keys and values.
pub const QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// A group stops growing here, so that one commit stays small beside the free-space floor.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A span of commits between two failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl Journal {
    pub fn start(store: Arc<dyn Store>) -> io::Result<Journal> {
        let shared = Arc::new(Shared {
            handed_in: Notify::new(),
            queue: Mutex::new(Queue {
                phase: Phase::Open,
                epoch: Epoch(0),
                failure: None,
                waiting: VecDeque::new(),
                bytes: 0,
                closing: false,
            }),
            changed: Condvar::new(),
            room: Notify::new(),
        });
        if store.virtual_latency().is_some() {
            tokio::task::spawn_local(write_in_virtual_time(shared.clone(), store));
            return Ok(Journal { shared, writer: None });
        }
        let writer = std::thread::Builder::new().name("journal".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || write_until_closed(&shared, &*store)
        })?;
        Ok(Journal { shared, writer: Some(writer) })
    }

    /// Queues the batch at once, in the order of calling; the answer comes when it is durable.
    /// Dropping the answer does not take the batch back.
    pub fn commit(
        &self,
        batch: Batch,
    ) -> impl Future<Output = Result<(), StoreFault>> + Send + use<> {
        self.shared.hand_in(batch, None)
    }

    /// Like `commit`, for a batch that was made in `epoch`: in any other it is `Superseded`.
    pub fn commit_in(
        &self,
        epoch: Epoch,
        batch: Batch,
    ) -> impl Future<Output = Result<(), StoreFault>> + Send + use<> {
        self.shared.hand_in(batch, Some(epoch))
    }

    pub fn epoch(&self) -> Epoch {
        self.shared.queue().epoch
    }

    /// Begins the next epoch after a failure, once the owner's memory is what the disk holds;
    /// without a failure the epoch goes on.
    pub fn resume(&self) -> Epoch {
        let mut queue = self.shared.queue();
        if queue.phase == Phase::Broken {
            queue.phase = Phase::Open;
            queue.epoch.0 += 1;
        }
        queue.epoch
    }

    /// Waits until less than `QUEUE_BYTES` are queued.
    pub async fn room(&self) {
        loop {
            let mut freed = std::pin::pin!(self.shared.room.notified());
            // Listening before looking, so that no wake-up falls in between.
            freed.as_mut().enable();
            if self.shared.queue().bytes < QUEUE_BYTES {
                return;
            }
            freed.await;
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.queue().closing = true;
        self.shared.changed.notify_one();
        self.shared.handed_in.notify_one();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            log::error!("the journal's writer panicked");
        }
    }
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// The same as `changed`, for a writer that is a task.
    handed_in: Notify,
    room: Notify,
}

/// Invariant: `waiting` is empty unless the phase is open; `bytes` is the size of its batches.
#[derive(Debug)]
struct Queue {
    phase: Phase,
    epoch: Epoch,
    /// What ended the epoch before this one, or this one if it is broken.
    failure: Option<StoreFault>,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    closing: bool,
}

impl Queue {
    fn superseded(&self) -> StoreFault {
        let failure = self.failure.clone().expect("only a failure ends an epoch");
        StoreFault::Superseded(Box::new(failure))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// A group failed, and the owner has not resumed.
    Broken,
    /// The writer is gone.
    Closed,
}

#[derive(Debug)]
struct Waiting {
    batch: Batch,
    bytes: usize,
    answer: Answer,
}

/// The asker may have gone away, so a failed send is no failure.
type Answer = oneshot::Sender<Result<(), StoreFault>>;

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nothing panics while it holds the queue")
    }

    fn hand_in(
        &self,
        batch: Batch,
        made_in: Option<Epoch>,
    ) -> impl Future<Output = Result<(), StoreFault>> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        let bytes = batch.size_bytes();
        let mut queue = self.queue();
        let stale = made_in.is_some_and(|epoch| epoch != queue.epoch);
        match queue.phase {
            Phase::Closed => _ = answer.send(Err(StoreFault::Closed)),
            Phase::Broken => _ = answer.send(Err(queue.superseded())),
            Phase::Open if stale => _ = answer.send(Err(queue.superseded())),
            Phase::Open => {
                queue.bytes += bytes;
                queue.waiting.push_back(Waiting { batch, bytes, answer });
                self.changed.notify_one();
                self.handed_in.notify_one();
            }
        }
        drop(queue);
        async move {
            match answered.await {
                Ok(result) => result,
                Err(_) => Err(StoreFault::Unknown("the journal's writer died".to_owned())),
            }
        }
    }

    /// Waits for something to write; false when the journal closes and nothing is left.
    fn wait(&self) -> bool {
        let mut queue = self.queue();
        while queue.waiting.is_empty() {
            if queue.closing {
                return false;
            }
            queue = self.changed.wait(queue).expect("nothing panics while it holds the queue");
        }
        true
    }

    /// The same for a writer that is a task: the only one, so no wake-up is another's.
    async fn wait_in_virtual_time(&self) -> bool {
        loop {
            {
                let queue = self.queue();
                if !queue.waiting.is_empty() {
                    return true;
                }
                if queue.closing {
                    return false;
                }
            }
            self.handed_in.notified().await;
        }
    }

    /// The next group, oldest first.
    fn next_group(&self) -> (Batch, Vec<Answer>) {
        let mut queue = self.queue();
        let mut group = Batch::default();
        let mut answers = Vec::new();
        let mut bytes = 0;
        // The first always joins, however large: it must go out some time.
        while let Some(next) = queue.waiting.front()
            && (answers.is_empty() || bytes + next.bytes <= GROUP_BYTES_MAX)
        {
            let next = queue.waiting.pop_front().expect("the front was there a line ago");
            bytes += next.bytes;
            group.writes.extend(next.batch.writes);
            answers.push(next.answer);
        }
        queue.bytes -= bytes;
        drop(queue);
        self.room.notify_waiters();
        (group, answers)
    }

    /// Leaves the open phase and empties the queue in one step.
    fn leave_open(&self, phase: Phase, failure: Option<StoreFault>) -> VecDeque<Waiting> {
        let mut queue = self.queue();
        queue.phase = phase;
        queue.failure = failure;
        queue.bytes = 0;
        let waiting = mem::take(&mut queue.waiting);
        drop(queue);
        self.room.notify_waiters();
        waiting
    }
}

fn write_until_closed(shared: &Shared, store: &dyn Store) {
    let _closing = Closing(shared);
    while shared.wait() {
        let (group, answers) = shared.next_group();
        write(shared, store, group, answers);
    }
}

async fn write_in_virtual_time(shared: Arc<Shared>, store: Arc<dyn Store>) {
    let _closing = Closing(&shared);
    while shared.wait_in_virtual_time().await {
        let (group, answers) = shared.next_group();
        tokio::time::sleep(store.virtual_latency().unwrap_or_default()).await;
        write(&shared, &*store, group, answers);
    }
}

fn write(shared: &Shared, store: &dyn Store, group: Batch, answers: Vec<Answer>) {
    // An empty group only asks whether all before it is durable, and it is.
    let result = if group.is_empty() { Ok(()) } else { store.commit(group) };
    let behind = match &result {
        Ok(()) => VecDeque::new(),
        Err(fault) => {
            log::error!("a group of {} commits failed: {fault}", answers.len());
            // Before anybody is answered, so that who hears of the failure finds it there.
            shared.leave_open(Phase::Broken, Some(fault.clone()))
        }
    };
    for answer in answers {
        _ = answer.send(result.clone());
    }
    let Err(fault) = result else { return };
    for waiting in behind {
        _ = waiting.answer.send(Err(StoreFault::Superseded(Box::new(fault.clone()))));
    }
}

/// However the writer ends, nobody waits for it any more.
struct Closing<'a>(&'a Shared);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        for waiting in self.0.leave_open(Phase::Closed, None) {
            _ = waiting.answer.send(Err(StoreFault::Closed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Entry, Table, memory::MemoryStore};
    use futures_util::FutureExt;
    use proptest::{collection::vec, prelude::*};
    use std::sync::mpsc;

    /// A memory store whose every commit waits to be let through, so that a test decides what is
    /// queued behind what.
    #[derive(Debug)]
    struct Gated {
        store: MemoryStore,
        entered: mpsc::Sender<usize>,
        let_through: Mutex<mpsc::Receiver<()>>,
    }

    impl Store for Gated {
        fn scan(&self, table: Table) -> Result<Vec<Entry>, StoreFault> {
            self.store.scan(table)
        }

        fn commit(&self, batch: Batch) -> Result<(), StoreFault> {
            self.entered.send(batch.writes.len()).unwrap();
            // A gate that is gone stands open.
            _ = self.let_through.lock().unwrap().recv();
            self.store.commit(batch)
        }
    }

    struct Gate {
        store: Arc<Gated>,
        journal: Journal,
        entered: mpsc::Receiver<usize>,
        let_through: mpsc::Sender<()>,
    }

    fn gated() -> Gate {
        let (entered_in, entered) = mpsc::channel();
        let (let_through, gate) = mpsc::channel();
        let store = Arc::new(Gated {
            store: MemoryStore::default(),
            entered: entered_in,
            let_through: Mutex::new(gate),
        });
        let journal = Journal::start(Arc::clone(&store) as Arc<dyn Store>).unwrap();
        Gate { store, journal, entered, let_through }
    }

    fn put(key: u32) -> Batch {
        let mut batch = Batch::default();
        batch.put("t", key.to_be_bytes(), "x");
        batch
    }

    fn keys(store: &dyn Store) -> Vec<u32> {
        let key = |(key, _): Entry| u32::from_be_bytes(key.try_into().unwrap());
        store.scan("t").unwrap().into_iter().map(key).collect()
    }

    #[tokio::test]
    async fn what_queues_up_during_one_commit_becomes_the_next_group() {
        let gate = gated();
        let first = gate.journal.commit(put(0));
        assert_eq!(gate.entered.recv().unwrap(), 1);
        let waiting: Vec<_> = (1..=64).map(|key| gate.journal.commit(put(key))).collect();
        gate.let_through.send(()).unwrap();
        assert_eq!(gate.entered.recv().unwrap(), 64);
        gate.let_through.send(()).unwrap();
        first.await.unwrap();
        for answer in waiting {
            answer.await.unwrap();
        }
        assert_eq!(gate.store.store.commits(), 2);
    }

    #[tokio::test]
    async fn a_failure_supersedes_all_that_waits_and_all_that_comes_until_resume() {
        let gate = gated();
        gate.store.store.fail_next([Some(StoreFault::Full("no room".to_owned()))]);
        let made_in = gate.journal.epoch();
        let failing = gate.journal.commit(put(0));
        gate.entered.recv().unwrap();
        let behind = gate.journal.commit(put(1));
        gate.let_through.send(()).unwrap();
        let full = StoreFault::Full("no room".to_owned());
        assert_eq!(failing.await, Err(full.clone()));
        let superseded = StoreFault::Superseded(Box::new(full));
        assert_eq!(superseded.to_string(), "an earlier write failed: the disk is full: no room");
        assert_eq!(behind.await, Err(superseded.clone()));
        assert_eq!(gate.journal.commit(put(2)).await, Err(superseded.clone()));

        let resumed = gate.journal.resume();
        assert!(resumed > made_in);
        assert_eq!(gate.journal.commit_in(made_in, put(3)).await, Err(superseded));
        gate.let_through.send(()).unwrap();
        assert_eq!(gate.journal.commit_in(resumed, put(4)).await, Ok(()));
        assert_eq!(keys(&*gate.store), [4]);
    }

    #[tokio::test]
    async fn resuming_without_a_failure_changes_nothing() {
        let journal = Journal::start(Arc::new(MemoryStore::default())).unwrap();
        let epoch = journal.epoch();
        assert_eq!(journal.resume(), epoch);
        assert_eq!(journal.commit_in(epoch, put(0)).await, Ok(()));
    }

    #[tokio::test]
    async fn dropping_the_journal_writes_and_answers_what_is_queued() {
        let gate = gated();
        let answers: Vec<_> = (0..10).map(|key| gate.journal.commit(put(key))).collect();
        drop(gate.let_through);
        drop(gate.journal);
        for answer in answers {
            // Already there: closing waited for it.
            assert_eq!(answer.now_or_never(), Some(Ok(())));
        }
        assert_eq!(keys(&*gate.store), (0..10).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn an_asker_who_went_away_does_not_take_the_batch_along() {
        let journal_store = Arc::new(MemoryStore::default());
        let journal = Journal::start(Arc::clone(&journal_store) as Arc<dyn Store>).unwrap();
        drop(journal.commit(put(7)));
        journal.commit(Batch::default()).await.unwrap();
        assert_eq!(keys(&*journal_store), [7]);
    }

    #[tokio::test]
    async fn room_is_given_when_the_queue_has_shrunk_and_not_before() {
        let gate = gated();
        let first = gate.journal.commit(put(0));
        gate.entered.recv().unwrap();
        let mut large = Batch::default();
        large.put("t", 1u32.to_be_bytes(), vec![0; 200_000]);
        let mut answers = Vec::new();
        while gate.journal.shared.queue().bytes < QUEUE_BYTES {
            answers.push(gate.journal.commit(large.clone()));
        }
        let mut room = std::pin::pin!(gate.journal.room());
        assert_eq!(room.as_mut().now_or_never(), None);
        gate.let_through.send(()).unwrap();
        first.await.unwrap();
        room.await;
        drop(gate.let_through);
        for answer in answers {
            answer.await.unwrap();
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Commit,
        CommitOfOldEpoch,
        Settle,
        Resume,
    }

    fn a_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => Just(Step::Commit),
            1 => Just(Step::CommitOfOldEpoch),
            2 => Just(Step::Settle),
            3 => Just(Step::Resume),
        ]
    }

    proptest! {
        /// The writer runs freely beside the steps, so every run also tries another interleaving.
        #[test]
        fn what_is_acknowledged_and_nothing_else_is_in_the_store(
            steps in vec(a_step(), 0..80),
            failures in vec(proptest::bool::weighted(0.3), 0..40),
        ) {
            let store = Arc::new(MemoryStore::default());
            let fault = |fails: bool| fails.then(|| StoreFault::Io("scripted".to_owned()));
            store.fail_next(failures.into_iter().map(fault));
            let journal = Journal::start(Arc::clone(&store) as Arc<dyn Store>).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut answers = Vec::new();
            let mut old_epoch = None;
            for (step, key) in steps.into_iter().zip(0u32..) {
                match step {
                    Step::Commit => {
                        let epoch = journal.epoch();
                        answers.push((key, epoch, journal.commit_in(epoch, put(key)).boxed()));
                    }
                    Step::CommitOfOldEpoch => if let Some(epoch) = old_epoch {
                        answers.push((key, epoch, journal.commit_in(epoch, put(key)).boxed()));
                    },
                    Step::Settle => _ = runtime.block_on(journal.commit(Batch::default())),
                    Step::Resume => {
                        let before = journal.epoch();
                        if journal.resume() != before {
                            old_epoch = Some(before);
                        }
                    }
                }
            }
            drop(journal);
            let mut acknowledged = Vec::new();
            let mut failed_epoch = None;
            for (key, epoch, answer) in answers {
                match runtime.block_on(answer) {
                    Ok(()) => {
                        prop_assert_ne!(failed_epoch, Some(epoch), "{} landed late", key);
                        acknowledged.push(key);
                    }
                    Err(_) => failed_epoch = failed_epoch.max(Some(epoch)),
                }
            }
            prop_assert_eq!(keys(&*store), acknowledged);
        }
    }
}
