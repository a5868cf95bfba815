//! What happened, line by line, with the virtual time of each: the same for the same seed.

use std::{cell::RefCell, fmt, rc::Rc};
use tokio::time::Instant;

/// Shared by everybody who has something to tell.
#[derive(Clone)]
pub struct Chronicle(Option<Rc<Lines>>);

struct Lines {
    begun: Instant,
    text: RefCell<String>,
}

impl fmt::Debug for Chronicle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chronicle")
    }
}

impl Chronicle {
    pub fn begin() -> Chronicle {
        Chronicle(Some(Rc::new(Lines { begun: Instant::now(), text: RefCell::default() })))
    }

    /// Of what is only measured.
    pub fn none() -> Chronicle {
        Chronicle(None)
    }

    pub fn note(&self, what: fmt::Arguments<'_>) {
        use fmt::Write;
        let Some(lines) = &self.0 else { return };
        let at = lines.begun.elapsed();
        let mut text = lines.text.borrow_mut();
        writeln!(text, "{:4}.{:06} {what}", at.as_secs(), at.subsec_micros())
            .expect("a string takes whatever is written");
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        self.0.as_ref().map(|lines| lines.text.borrow().clone()).unwrap_or_default()
    }

    /// The end of a history, for whoever is to find out why it went wrong.
    pub fn tail(text: &str, lines: usize) -> &str {
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        match ends.len().checked_sub(lines + 1) {
            Some(before) => &text[ends[before] + 1..],
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_last_lines_and_all_of_a_short_text() {
        assert_eq!(Chronicle::tail("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(Chronicle::tail("a\nb\n", 2), "a\nb\n");
        assert_eq!(Chronicle::tail("", 2), "");
    }
}
