//! What is being done right now, on standard error.
//!
//! A terminal shows one line that changes; anything else gets a line for each new step and, of a
//! long copy, for each quarter, so that a log stays readable.

use std::io::{self, IsTerminal, Write};

#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    shown: String,
}

const BAR_WIDTH: u64 = 24;

impl Progress {
    pub fn begin() -> Progress {
        Progress { terminal: io::stderr().is_terminal(), shown: String::new() }
    }

    pub fn step(&mut self, doing: &str) {
        self.show(doing, doing.to_owned());
    }

    /// For copies: `done` of `total` bytes.
    pub fn bytes(&mut self, doing: &str, done: u64, total: Option<u64>) {
        let text = match total.filter(|total| *total > 0) {
            Some(total) => bar(doing, done.min(total), total),
            None => format!("{doing}: {} MiB", done >> 20),
        };
        self.show(&text, logged(doing, done, total));
    }

    /// Clears the changing line, so that what follows stands alone.
    pub fn end(&mut self) {
        if self.terminal && !self.shown.is_empty() {
            write_stderr("\r\x1b[K");
        }
        self.shown.clear();
    }

    fn show(&mut self, on_terminal: &str, in_log: String) {
        let shown = if self.terminal { on_terminal.to_owned() } else { in_log };
        if shown == self.shown {
            return;
        }
        match self.terminal {
            true => write_stderr(&format!("\r\x1b[K{shown}")),
            false => write_stderr(&format!("mallee: {shown}\n")),
        }
        self.shown = shown;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

/// Copies shorter than this are one line in a log.
const LONG_BYTES: u64 = 256 << 20;

fn logged(doing: &str, done: u64, total: Option<u64>) -> String {
    match total.filter(|total| *total >= LONG_BYTES) {
        Some(total) => format!("{doing}: {}%", done.min(total) / (total / 4) * 25),
        None => doing.to_owned(),
    }
}

fn bar(doing: &str, done: u64, total: u64) -> String {
    let filled = u128::from(done) * u128::from(BAR_WIDTH) / u128::from(total);
    let filled = u64::try_from(filled).expect("a part of the bar is no longer than the bar");
    let (full, empty) = ("#".repeat(filled as usize), "·".repeat((BAR_WIDTH - filled) as usize));
    format!("{doing} [{full}{empty}] {} of {} MiB", done >> 20, total.div_ceil(1 << 20))
}

/// Progress nobody can see is no reason to stop.
fn write_stderr(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::{bar, logged};

    #[test]
    fn in_a_log_a_short_copy_is_one_line_and_a_long_one_five() {
        assert_eq!(logged("copying", 1, Some(2)), "copying");
        assert_eq!(logged("copying", 1, None), "copying");
        let long = 1 << 40;
        let lines = [0, long / 4, long / 2 + 1, long - 1, long, long + 9];
        let lines = lines.map(|done| logged("copying", done, Some(long)));
        let expected = ["0%", "25%", "50%", "75%", "100%", "100%"];
        assert_eq!(lines, expected.map(|percent| format!("copying: {percent}")));
    }

    #[test]
    fn a_bar_fills_from_nothing_to_all() {
        assert_eq!(bar("copying", 0, 4 << 20), format!("copying [{}] 0 of 4 MiB", "·".repeat(24)));
        assert!(bar("copying", 2 << 20, 4 << 20).contains(&"#".repeat(12)));
        assert!(bar("copying", 4 << 20, 4 << 20).contains(&"#".repeat(24)));
        assert!(bar("copying", u64::MAX, u64::MAX).contains(&"#".repeat(24)));
        assert!(bar("copying", 3, 7).contains('#'));
    }
}
