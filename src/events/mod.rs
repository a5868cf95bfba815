//! What happens, told for researchers: every request, decision and transition, with its reason.
//!
//! Managers and the API tell ([`Teller`]); a thread of its own writes lines of JSON into files of
//! bounded size ([`writer`], [`segments`]), which `mallee events` reads ([`reader`]). Telling never
//! blocks: what there is no room for is dropped and counted, and the log itself says how many. A log
//! that is off costs a comparison, and nothing that a manager does depends on whether it is.
//!
//! It is no record: what managers must not lose is in their stores. The last lines before a power cut
//! may be missing. `docs/events.md` is the manual of the fields.

pub mod event;
pub mod reader;
pub mod segments;
pub mod writer;

use crate::{ambient::Ambient, domain::trace::Cause};
use event::{By, Event, Told};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
    mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
};

/// Where it is told what happens. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct EventLog(Option<Arc<Inlet>>);

/// One manager's voice, or the API's.
#[derive(Debug, Clone, Default)]
pub struct Teller(Option<(Arc<Inlet>, Arc<By>)>);

#[derive(Debug)]
struct Inlet {
    /// Without an event: this is the end.
    sender: SyncSender<Option<Told>>,
    dropped: Arc<AtomicU64>,
    ambient: Ambient,
}

/// What was told, to be taken down.
#[derive(Debug)]
pub struct Intake {
    receiver: Receiver<Option<Told>>,
    /// How many there was no room for since it was said last.
    dropped: Arc<AtomicU64>,
    ambient: Ambient,
}

/// What may wait to be taken down: a burst of a second or two.
pub const WAITING_MAX: usize = 8192;

impl EventLog {
    pub fn off() -> EventLog {
        EventLog(None)
    }

    /// One in which so many events may wait, and where they come out.
    pub fn with_room_for(waiting_max: usize, ambient: Ambient) -> (EventLog, Intake) {
        let (sender, receiver) = sync_channel(waiting_max);
        let dropped = Arc::new(AtomicU64::new(0));
        let inlet = Inlet { sender, dropped: dropped.clone(), ambient: ambient.clone() };
        (EventLog(Some(Arc::new(inlet))), Intake { receiver, dropped, ambient })
    }

    pub fn teller(&self, role: &'static str, name: impl Into<String>) -> Teller {
        let by = || Arc::new(By { role, name: name.into() });
        Teller(self.0.as_ref().map(|inlet| (inlet.clone(), by())))
    }
}

impl Teller {
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Tells what `event` makes, which is asked only if somebody listens.
    pub fn tell(&self, cause: Option<&Cause>, event: impl FnOnce() -> Event) {
        let Some((inlet, by)) = &self.0 else { return };
        let at = inlet.ambient.now();
        let told = Told { at, by: by.clone(), cause: cause.cloned(), event: event() };
        match inlet.sender.try_send(Some(told)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                inlet.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Intake {
    /// What has been told so far.
    #[cfg(test)]
    pub fn so_far(&self) -> Vec<Told> {
        self.receiver.try_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    #[test]
    fn a_log_that_is_off_asks_for_nothing() {
        let teller = EventLog::off().teller("cloud", "c");
        assert!(!teller.is_on());
        teller.tell(None, || unreachable!("nobody listens"));
    }

    #[test]
    fn telling_does_not_wait_for_room() {
        let (ambient, _) = Ambient::seeded(1, Timestamp(7));
        let (log, intake) = EventLog::with_room_for(2, ambient);
        let teller = log.teller("cloud", "c");
        for _ in 0..5 {
            teller.tell(None, || Event::Stopping);
        }
        let told = intake.so_far();
        assert_eq!(told.len(), 2);
        assert_eq!((told[0].at, told[0].by.role), (Timestamp(7), "cloud"));
        assert_eq!(intake.dropped.load(Ordering::Relaxed), 3);
    }
}
