//! Why a request could not be read, and how that is told in EC2's words.

use super::tree::Node;
use crate::api::error::ApiError;
use crate::api::parameters::given_twice;
use serde::de::Unexpected;
use std::fmt;

/// Why a request could not be read, and where. The place grows on the way out: each enclosing
/// structure or list puts its own part in front.
#[derive(Debug)]
pub(super) struct ReadError {
    problem: Problem,
    /// The parts of the name, innermost first.
    place: Vec<String>,
}

#[derive(Debug)]
pub(super) enum Problem {
    Missing,
    Unknown,
    GivenTwice,
    Invalid {
        value: String,
        reason: String,
    },
    /// What a type's own conversion had to say, about a value not known yet.
    Conversion(String),
    MalformedId(ApiError),
}

impl ReadError {
    pub(super) fn new(problem: Problem) -> Self {
        Self { problem, place: Vec::new() }
    }

    pub(super) fn invalid(value: &str, reason: &str) -> Self {
        Self::new(Problem::Invalid { value: value.to_owned(), reason: reason.to_owned() })
    }

    pub(super) fn within(mut self, part: impl ToString) -> Self {
        let part = part.to_string();
        if !part.is_empty() {
            self.place.push(part);
        }
        self
    }

    /// Adds the value that a conversion refused: serde's errors do not know it.
    pub(super) fn about(mut self, node: &Node<'_>) -> Self {
        if let Problem::Conversion(reason) = &self.problem
            && let [value] = node.values[..]
        {
            self.problem = match ApiError::malformed_id_behind(reason, value) {
                Some(error) => Problem::MalformedId(error),
                None => Problem::Invalid { value: value.to_owned(), reason: sentence(reason) },
            };
        }
        self
    }

    pub(super) fn into_api_error(self) -> ApiError {
        let mut place = self.place;
        place.reverse();
        let name = place.join(".");
        match self.problem {
            Problem::Missing => ApiError::missing_parameter(&name),
            Problem::Unknown => ApiError::unknown_parameter(&name),
            Problem::GivenTwice => given_twice(&name),
            Problem::Invalid { value, reason } => ApiError::invalid_value(&name, &value, &reason),
            Problem::Conversion(reason) => ApiError::invalid_value(&name, "", &sentence(&reason)),
            Problem::MalformedId(error) => error,
        }
    }
}

/// An error's text (lower case, no full stop, values in backticks) as EC2 would put it.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), characters.as_str()),
        None => String::new(),
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:?}", self.problem, self.place)
    }
}

impl std::error::Error for ReadError {}

impl serde::de::Error for ReadError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(Problem::Conversion(text.to_string()))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Problem::Missing).within(field)
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self::new(Problem::Unknown).within(field)
    }

    /// Two spellings of one field (`#[serde(alias)]`), both given.
    fn duplicate_field(field: &'static str) -> Self {
        Self::new(Problem::GivenTwice).within(field)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let reason = format!("Valid values are: {}.", expected.join(", "));
        Self::invalid(variant, &reason)
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::custom(format_args!("{unexpected} is not {expected}"))
    }
}
