//! `mallee events`: what happened in the processes of this host.
//!
//! Read from the files that the cloud keeps (`docs/events.md`), so it works while nothing runs, and
//! on each host of a cloud for what runs there. `--follow` goes on until it is interrupted.

use super::{Context, fault::Fault, output::OutputArguments};
use crate::{cli::output::Output, events::reader::Reader};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::ExitCode,
    thread,
    time::Duration,
};

#[derive(Debug, Args)]
pub struct Events {
    /// Go on with what happens from now on
    #[arg(long, short)]
    follow: bool,
    /// Only what happened since then (2026-01-02T03:04:05Z), or in the time before now (10m, 2h)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Instant(Timestamp),
    Ago(SignedDuration),
}

/// How often it is looked for news.
const LOOK_EVERY: Duration = Duration::from_millis(200);

fn since(text: &str) -> Result<Since, String> {
    let instant = text.parse().map(Since::Instant);
    let ago = || text.parse().ok().filter(|ago: &SignedDuration| !ago.is_negative());
    instant.or_else(|_| {
        ago().map(Since::Ago).ok_or_else(|| {
            "expected a time such as 2026-01-02T03:04:05Z, or how long ago, such as 10m".to_owned()
        })
    })
}

impl Events {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        let directory = context.state.events();
        if !self.follow && !directory.exists() {
            let fault = Fault::failed(format!("there are no events in `{}`", directory.display()));
            return Err(fault.remedy("a cloud that was started here keeps them, see `[events]`"));
        }
        let begin = match self.since {
            None => None,
            Some(Since::Instant(instant)) => Some(instant),
            // Before the beginning of time is everything.
            Some(Since::Ago(ago)) => Timestamp::now().checked_sub(ago).ok(),
        };
        let mut reader = Reader::of(&directory);
        let mut out = io::stdout().lock();
        loop {
            while let Some(line) = reader.next_line().map_err(Fault::io("read", &directory))? {
                if reader.has_missed() {
                    eprintln!("mallee: some events were removed before they were read");
                }
                let shown = show(&line, begin, self.output.output);
                if let Some(shown) = shown
                    && !put(&mut out, &shown)?
                {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            if !self.follow {
                return Ok(ExitCode::SUCCESS);
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// False when nobody reads any more, which is no failure.
fn put(out: &mut impl Write, line: &str) -> Result<bool, Fault> {
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Fault::failed(format!("cannot write to standard output: {error}"))),
    }
}

/// A line as it is wanted; none if it is too old, or is no event.
fn show(line: &str, begin: Option<Timestamp>, output: Output) -> Option<String> {
    let Ok(Value::Object(event)) = serde_json::from_str(line) else {
        eprintln!("mallee: a line of the log is no event: {line}");
        return None;
    };
    let at = || event.get("at").and_then(Value::as_str)?.parse::<Timestamp>().ok();
    if begin.is_some_and(|begin| at().is_none_or(|at| at < begin)) {
        return None;
    }
    Some(match output {
        Output::Json => line.to_owned(),
        Output::Text => text(event),
    })
}

/// When, who and what, and then the rest by name.
fn text(event: Map<String, Value>) -> String {
    const FIRST: [&str; 4] = ["at", "role", "name", "event"];
    let mut line = FIRST
        .iter()
        .filter_map(|field| event.get(*field).and_then(Value::as_str))
        .collect::<Vec<_>>()
        .join(" ");
    // A map of `serde_json`'s keeps the order of the log's line.
    let rest: BTreeMap<_, _> =
        event.iter().filter(|(field, _)| !FIRST.contains(&field.as_str())).collect();
    for (field, value) in rest {
        let value = match value {
            Value::String(word) if !word.contains([' ', '"']) && !word.is_empty() => word.clone(),
            other => other.to_string(),
        };
        line.push_str(&format!(" {field}={value}"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "{\"at\":\"2026-01-02T03:04:05.007Z\",\"role\":\"cloud\",\"name\":\"c\",\
                        \"event\":\"transition\",\"to\":\"running\",\"reason\":\"so it is\"}";

    #[test]
    fn a_line_for_people_begins_with_when_who_and_what() {
        let shown = show(LINE, None, Output::Text).unwrap();
        let expected = "2026-01-02T03:04:05.007Z cloud c transition reason=\"so it is\" to=running";
        assert_eq!(shown, expected);
        assert_eq!(show(LINE, None, Output::Json).unwrap(), LINE);
    }

    #[test]
    fn what_is_too_old_is_left_out() {
        let since = |text: &str| show(LINE, Some(text.parse().unwrap()), Output::Json);
        assert!(since("2026-01-02T03:04:05Z").is_some());
        assert!(since("2026-01-02T03:04:05.008Z").is_none());
        assert!(since("2026-01-02T04:04:05+01:00").is_some());
    }

    #[test]
    fn since_is_an_instant_or_a_time_before_now() {
        assert!(matches!(since("2026-01-02T03:04:05Z"), Ok(Since::Instant(_))));
        assert_eq!(since("10m"), Ok(Since::Ago(SignedDuration::from_mins(10))));
        for wrong in ["", "yesterday", "-10m", "10", "2026-01-02"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
