//! What is wrong with a configuration file, and where.

use super::position;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFault {
    pub file: String,
    /// From 1; absent where the fault is that something is not there.
    pub line: Option<usize>,
    pub message: String,
    /// The known name most like the unknown one.
    pub nearest: Option<String>,
}

impl std::error::Error for ConfigFault {}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.message)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

impl ConfigFault {
    /// serde knows the names that would have been right and toml knows the place.
    pub(super) fn of_toml(file: &str, text: &str, error: &toml::de::Error) -> ConfigFault {
        let begin = error.span().map(|span| span.start);
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        let (unknown, known) = names_in(&message);
        let nearest = unknown.and_then(|unknown| nearest(unknown, &known)).map(str::to_owned);
        let key = begin.and_then(|begin| position::key_at(text, begin));
        let message = match (unknown, key) {
            (None, Some(key)) => format!("`{key}`: {message}"),
            (Some(_), _) | (None, None) => message,
        };
        ConfigFault {
            file: file.to_owned(),
            line: begin.map(|begin| position::line_at(text, begin)),
            message,
            nearest,
        }
    }
}

/// From "unknown field `a`, expected `b` or `c`": the unknown name and the known ones.
fn names_in(message: &str) -> (Option<&str>, Vec<&str>) {
    if !message.starts_with("unknown ") {
        return (None, Vec::new());
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    (quoted.next(), quoted.collect())
}

/// A name further away than half its length is another name, not a misspelling.
fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |name: &&'a str| strsim::damerau_levenshtein(unknown, name);
    let nearest = known.iter().copied().min_by_key(distance)?;
    (distance(&nearest) * 2 <= unknown.chars().count().max(2)).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_name_is_offered_only_if_it_is_near() {
        assert_eq!(nearest("lisen", &["listen", "region"]), Some("listen"));
        assert_eq!(nearest("reigon", &["listen", "region"]), Some("region"));
        assert_eq!(nearest("colour", &["listen", "region"]), None);
        assert_eq!(nearest("x", &[]), None);
    }
}
