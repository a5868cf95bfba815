//! The thread that takes down what is told.

use super::{EventLog, Intake, WAITING_MAX, event, event::Event, segments::Segments};
use crate::ambient::Ambient;
use std::{
    io::{self, Write},
    path::Path,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
};

/// Ends the log when it is dropped: what was told before is taken down first.
#[derive(Debug)]
pub struct Writer {
    log: EventLog,
    thread: Option<JoinHandle<()>>,
}

/// Written at a time.
const BATCH_MAX: usize = 512;

/// A log kept in the directory, of as many bytes at most.
pub fn begin(
    directory: &Path,
    keep_bytes: u64,
    ambient: Ambient,
) -> io::Result<(EventLog, Writer)> {
    let segments = Segments::open(directory, keep_bytes)?;
    let (log, intake) = EventLog::with_room_for(WAITING_MAX, ambient);
    Ok((log.clone(), write(log, intake, segments)?))
}

fn write(log: EventLog, intake: Intake, segments: Segments) -> io::Result<Writer> {
    let thread = thread::Builder::new().name("events".to_owned());
    let thread = thread.spawn(move || intake.take_down(segments))?;
    Ok(Writer { log, thread: Some(thread) })
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Some(inlet) = &self.log.0 else { return };
        // Waits for room, of which the thread makes some. It fails only if that is gone.
        let _ = inlet.sender.send(None);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            log::error!("the thread of the event log panicked");
        }
    }
}

impl Intake {
    fn take_down(self, mut segments: Segments) {
        let by = Arc::new(event::By { role: "process", name: "events".to_owned() });
        let mut failing = false;
        let mut lines = Vec::new();
        while let Ok(first) = self.receiver.recv() {
            lines.clear();
            let mut count = 0;
            let mut ended = false;
            for told in std::iter::once(first).chain(self.receiver.try_iter().take(BATCH_MAX)) {
                let Some(told) = told else {
                    ended = true;
                    break;
                };
                count += u64::from(add(&mut lines, &told));
            }
            // They were told before what is told from now on, and after what was in the queue.
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                let event = Event::Dropped { count: dropped };
                let at = self.ambient.now();
                add(&mut lines, &event::Told { at, by: by.clone(), cause: None, event });
            }
            // The end is no line.
            let appended = if lines.is_empty() { Ok(()) } else { segments.append(&lines) };
            match appended {
                Ok(()) => failing = false,
                Err(error) => {
                    self.dropped.fetch_add(count + dropped, Ordering::Relaxed);
                    if !std::mem::replace(&mut failing, true) {
                        log::error!("events are lost, since they cannot be written: {error}");
                    }
                }
            }
            if ended {
                return;
            }
        }
    }
}

/// A line of its own, and whether it became one.
fn add(lines: &mut Vec<u8>, told: &event::Told) -> bool {
    let before = lines.len();
    match serde_json::to_writer(&mut *lines, told).map_err(io::Error::from) {
        Ok(()) => writeln!(lines).is_ok(),
        Err(error) => {
            lines.truncate(before);
            log::error!("an event that is no JSON: {error}");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::trace::Cause, events::reader::Reader};

    fn lines(directory: &Path) -> Vec<serde_json::Value> {
        let mut reader = Reader::of(directory);
        let next = || reader.next_line().unwrap();
        std::iter::from_fn(next).map(|line| serde_json::from_str(&line).unwrap()).collect()
    }

    #[test]
    fn what_was_told_before_the_end_is_in_the_files_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let (log, writer) = begin(directory.path(), 1 << 20, Ambient::system()).unwrap();
        let teller = log.teller("cloud", "c");
        for number in 0..1000 {
            let cause = Cause::occasion(number.to_string());
            teller.tell(Some(&cause), || Event::Stopping);
        }
        drop(writer);
        let told: Vec<String> = lines(directory.path())
            .iter()
            .map(|line| line["request_id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(told, (0..1000).map(|number| number.to_string()).collect::<Vec<_>>());
        // Whoever is still there tells nobody, and is not held up.
        teller.tell(None, || Event::Stopping);
    }

    #[test]
    fn what_there_was_no_room_for_is_counted_in_the_log_itself() {
        let directory = tempfile::tempdir().unwrap();
        let (log, intake) = EventLog::with_room_for(2, Ambient::system());
        let teller = log.teller("cloud", "c");
        for _ in 0..5 {
            teller.tell(None, || Event::Stopping);
        }
        let segments = Segments::open(directory.path(), 1 << 20).unwrap();
        drop(write(log, intake, segments).unwrap());
        let told = lines(directory.path());
        let kinds: Vec<_> = told.iter().map(|line| line["event"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["stopping", "stopping", "dropped"]);
        assert_eq!(told[2]["count"], 3);
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_what_can_be_again_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let kept = directory.path().join("events");
        std::fs::create_dir(&kept).unwrap();
        // Every event needs a file of its own, and without a directory there is none.
        let (log, writer) = begin(&kept, 8, Ambient::system()).unwrap();
        let teller = log.teller("cloud", "c");
        teller.tell(None, || Event::Stopping);
        let written = || lines(&kept).len();
        while written() < 1 {
            thread::yield_now();
        }
        std::fs::rename(&kept, directory.path().join("away")).unwrap();
        teller.tell(None, || Event::Stopping);
        let inlet = log.0.as_ref().unwrap();
        while inlet.dropped.load(Ordering::Relaxed) < 1 {
            thread::yield_now();
        }
        std::fs::rename(directory.path().join("away"), &kept).unwrap();
        teller.tell(None, || Event::Stopping);
        drop(writer);
        let kinds: Vec<_> = lines(&kept).iter().map(|line| line["event"].to_string()).collect();
        assert_eq!(kinds, ["\"stopping\"", "\"dropped\""]);
    }
}
