//! What was logged, by all tests of this program together: look for names of your own.

use std::sync::{Mutex, Once};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Notes;

impl log::Log for Notes {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("mallee")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            LINES.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
        }
    }

    fn flush(&self) {}
}

pub fn begin() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        log::set_logger(&Notes).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
}

/// Waits for a line that holds all of these.
pub async fn logged(parts: &[&str]) {
    super::lab::until(&format!("a line with {parts:?} is logged"), || {
        let lines = LINES.lock().unwrap();
        lines.iter().any(|line| parts.iter().all(|part| line.contains(part)))
    })
    .await;
}
