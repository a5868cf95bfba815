//! Standard output: for people or for programs.

use super::fault::Fault;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::io::{self, Write};

#[derive(Debug, Args)]
pub struct OutputArguments {
    /// For people (text) or for programs (json)
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Text,
    Json,
}

impl Output {
    /// Shows `value` as JSON, or as `text` puts it.
    pub fn show<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Fault> {
        match self {
            Output::Text => print(&text(value)),
            Output::Json => {
                let mut json = serde_json::to_string_pretty(value).map_err(|e| Fault::of(&e))?;
                json.push('\n');
                print(&json)
            }
        }
    }
}

/// A reader that has seen enough (`| head`) is no failure.
pub fn print(text: &str) -> Result<(), Fault> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Fault::failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Rows in columns as wide as they need to be, each line indented by two.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(&format!("  {}\n", line.trim_end()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_have_no_tails() {
        let rows = [vec!["a".into(), "bb".into(), "c".into()], vec!["aaa".into(), "b".into()]];
        assert_eq!(table(&rows), "  a    bb  c\n  aaa  b\n");
        assert_eq!(table(&[]), "");
    }
}
