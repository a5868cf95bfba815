//! Where in a file's text something stands.

use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One step from a table to what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Key(String),
    Index(usize),
}

/// Line numbers count from 1.
pub fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}

/// The line of what the path leads to, or of the last step that is written at all: a value left to
/// its default has no line of its own.
pub fn line_of(text: &str, path: &[Step]) -> Option<usize> {
    let table = DeTable::parse(text).ok()?.into_inner();
    let value = DeValue::Table(table);
    let (mut here, mut span) = (&value, None);
    for step in path {
        let next = match (step, here) {
            (Step::Key(key), DeValue::Table(table)) => table.get(key.as_str()),
            (Step::Index(index), DeValue::Array(values)) => values.get(*index),
            (Step::Key(_) | Step::Index(_), _) => None,
        };
        let Some(next) = next else { break };
        span = Some(next.span());
        here = next.get_ref();
    }
    span.map(|span| line_at(text, span.start))
}

/// The dotted name of the key whose value begins at the offset or around it, innermost first.
pub fn key_at(text: &str, offset: usize) -> Option<String> {
    let table = DeTable::parse(text).ok()?.into_inner();
    let mut names = Vec::new();
    descend(&table, offset, &mut names);
    (!names.is_empty()).then(|| names.join("."))
}

fn descend(table: &DeTable<'_>, offset: usize, names: &mut Vec<String>) {
    for (key, value) in table {
        if covers(&key.span(), offset) || holds(value, offset) {
            names.push(key.get_ref().to_string());
            match value.get_ref() {
                DeValue::Table(inner) => descend(inner, offset, names),
                DeValue::Array(values) => {
                    let tables = values.iter().filter_map(|value| value.get_ref().as_table());
                    for inner in tables {
                        descend(inner, offset, names);
                    }
                }
                _ => {}
            }
            return;
        }
    }
}

/// A table's own span is its header's, so the values in it are asked too.
fn holds(value: &Spanned<DeValue<'_>>, offset: usize) -> bool {
    let inside = match value.get_ref() {
        DeValue::Table(table) => {
            table.iter().any(|(key, value)| covers(&key.span(), offset) || holds(value, offset))
        }
        DeValue::Array(values) => values.iter().any(|value| holds(value, offset)),
        _ => false,
    };
    inside || covers(&value.span(), offset)
}

fn covers(span: &Range<usize>, offset: usize) -> bool {
    span.contains(&offset)
}
