//! Our questions on a connection: those waiting for their turn, and those waiting for an answer.
//!
//! ```text
//!            room            turn             writer             peer
//!   asked ────────► waiting ────────► queued ────────► written ────────► answered
//!              └── no room, no turn or not written in time, or the connection ended:
//!                  `NotDelivered` up to here          │ from here: `Unanswered`
//! ```
//!
//! A question is written at most once, on one connection. It counts as written before its first
//! byte goes out, so `NotDelivered` is never said of one that the peer may have read.

use super::{
    super::{budget::Budget, limits::Limits},
    outbox::{Outbox, Parcel},
};
use crate::messages::envelope::{BODY_LIMIT_BYTES, Envelope, LinkFault};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    time::Duration,
};
use tokio::{
    sync::{Semaphore, oneshot},
    time::{Instant, timeout_at},
};

type Answer = Result<Vec<u8>, LinkFault>;

#[derive(Debug)]
pub(super) struct Questions {
    outbox: Rc<Outbox>,
    /// Of what is not written yet.
    room: Rc<Budget>,
    /// As many turns as the peer answers questions at one time.
    turns: Semaphore,
    asked: RefCell<HashMap<u64, Asked>>,
    next_id: Cell<u64>,
    ended: RefCell<Option<String>>,
}

#[derive(Debug)]
struct Asked {
    written: bool,
    tell: oneshot::Sender<Answer>,
}

impl Questions {
    pub fn new(outbox: Rc<Outbox>, limits: &Limits, turns: usize) -> Questions {
        Questions {
            outbox,
            room: Budget::new(limits.waiting_max, limits.held_bytes_max),
            turns: Semaphore::new(turns.min(Semaphore::MAX_PERMITS)),
            asked: RefCell::default(),
            next_id: Cell::new(0),
            ended: RefCell::default(),
        }
    }

    pub async fn ask(&self, envelope: Envelope) -> Answer {
        let not_delivered = |why: &str| Err(LinkFault::NotDelivered(why.to_owned()));
        if envelope.body.len() > BODY_LIMIT_BYTES {
            return not_delivered("the question is too large");
        }
        let deadline = deadline(envelope.context.time_left_ms);
        let Some(held) = self.room.take(envelope.body.len()) else {
            return not_delivered("too many questions are waiting to be written");
        };
        let _turn = match timeout_at(deadline, self.turns.acquire()).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(_)) => return self.never_written(),
            Err(_) => return not_delivered("its turn did not come in time"),
        };

        let id = self.next_id.get();
        self.next_id.set(id + 1);
        let (tell, answer) = oneshot::channel();
        self.asked.borrow_mut().insert(id, Asked { written: false, tell });
        // If the asker gives up here, the answer is nobody's.
        let _forget = Forget { questions: self, id };
        self.outbox.put(Parcel::Question { id, envelope, deadline, held });
        match timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => self.out_of_time(id),
        }
    }

    /// Whether a question is still waited for, which counts as written from now on. `false`: it
    /// must not be written.
    pub fn write(&self, id: u64, deadline: Instant) -> bool {
        let mut all = self.asked.borrow_mut();
        let Some(asked) = all.get_mut(&id) else { return false };
        asked.written = deadline > Instant::now();
        asked.written
    }

    /// The question cannot be put into a frame. Says so to the asker.
    pub fn unwritable(&self, id: u64, why: String) {
        self.answered(id, Err(LinkFault::NotDelivered(why)));
    }

    /// An answer to nobody's question came too late, and changes nothing.
    pub fn answered(&self, id: u64, answer: Answer) {
        if let Some(asked) = self.asked.borrow_mut().remove(&id) {
            // Nobody may be listening any more.
            let _ = asked.tell.send(answer);
        }
    }

    pub fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    pub fn is_idle(&self) -> bool {
        self.asked.borrow().is_empty()
    }

    /// Every question gets the answer that is true of it.
    pub fn end(&self, reason: &str) {
        self.ended.borrow_mut().get_or_insert_with(|| reason.to_owned());
        self.turns.close();
        for (_, asked) in self.asked.take() {
            let fault = if asked.written {
                LinkFault::Unanswered
            } else {
                LinkFault::NotDelivered(reason.to_owned())
            };
            let _ = asked.tell.send(Err(fault));
        }
    }

    fn never_written(&self) -> Answer {
        let reason = self.ended.borrow().clone().unwrap_or_default();
        Err(LinkFault::NotDelivered(reason))
    }

    fn out_of_time(&self, id: u64) -> Answer {
        match self.asked.borrow_mut().remove(&id) {
            Some(Asked { written: false, .. }) => {
                Err(LinkFault::NotDelivered("it was not written in time".into()))
            }
            Some(Asked { written: true, .. }) | None => Err(LinkFault::Unanswered),
        }
    }
}

struct Forget<'a> {
    questions: &'a Questions,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.questions.asked.borrow_mut().remove(&self.id);
    }
}

/// A clock cannot count to where some deadlines are; nobody waits for a day.
fn deadline(time_left_ms: u64) -> Instant {
    const LONGEST: Duration = Duration::from_secs(24 * 3600);
    Instant::now() + Duration::from_millis(time_left_ms).min(LONGEST)
}
