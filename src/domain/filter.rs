//! Filters of the describe calls: which of the things that exist were asked for.
//!
//! A filter names a property and a few patterns. Filters are joined by *and*, the patterns of one
//! filter by *or*, and a property with several values (a security group per interface, say)
//! satisfies a pattern if any of its values does. Matching is case-sensitive, `*` stands for any
//! run of characters, `?` for exactly one, and a backslash takes the next character literally.
//!
//! What a filter's name means is each resource's own business: it implements [`Described`].
//! How filters are written in a request is the API's.

use std::borrow::Cow;

/// Something a describe call lists.
pub trait Described {
    /// The filter names this kind of resource understands. A name ending in `:` stands for every
    /// name that begins so, as in `tag:`. Listed here so that a wrong name is refused even when
    /// nothing exists that could be asked.
    const FILTERS: &'static [&'static str];

    /// The values this resource has for the filter named; `None` if it knows no such filter.
    fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>>;
}

/// A filter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFilter {
    #[error("`{0}` is not a filter of this resource")]
    Unknown(String),
    #[error("the filter `{0}` has no value")]
    WithoutValue(String),
    #[error("the filter `{0}` has more than {max} values", max = Filter::VALUES_MAX)]
    TooManyValues(String),
    #[error("a value of the filter `{0}` is longer than {max} bytes", max = Pattern::BYTES_MAX)]
    ValueTooLong(String),
}

/// One property and the patterns of which it must satisfy at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    name: String,
    values: Vec<Pattern>,
}

impl Filter {
    /// EC2's own limit.
    pub const VALUES_MAX: usize = 200;

    pub fn new(name: String, values: &[String]) -> Result<Self, InvalidFilter> {
        if values.is_empty() {
            return Err(InvalidFilter::WithoutValue(name));
        }
        if values.len() > Self::VALUES_MAX {
            return Err(InvalidFilter::TooManyValues(name));
        }
        if values.iter().any(|value| value.len() > Pattern::BYTES_MAX) {
            return Err(InvalidFilter::ValueTooLong(name));
        }
        Ok(Self { name, values: values.iter().map(|value| Pattern::new(value)).collect() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn values(&self) -> &[Pattern] {
        &self.values
    }

    fn admits<D: Described>(&self, resource: &D) -> Result<bool, InvalidFilter> {
        let facts =
            resource.facts(&self.name).ok_or_else(|| InvalidFilter::Unknown(self.name.clone()))?;
        Ok(facts.iter().any(|fact| self.values.iter().any(|value| value.matches(fact))))
    }
}

/// The filters of one call, all of which must admit a resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(pub Vec<Filter>);

impl Filters {
    /// Refuses a name that resources of this kind do not understand.
    pub fn check_names<D: Described>(&self) -> Result<(), InvalidFilter> {
        let known = |name: &str| {
            D::FILTERS.iter().any(|filter| match filter.strip_suffix(':') {
                Some(_) => name.len() > filter.len() && name.starts_with(filter),
                None => name == *filter,
            })
        };
        match self.0.iter().find(|filter| !known(&filter.name)) {
            Some(filter) => Err(InvalidFilter::Unknown(filter.name.clone())),
            None => Ok(()),
        }
    }

    pub fn admit<D: Described>(&self, resource: &D) -> Result<bool, InvalidFilter> {
        for filter in &self.0 {
            if !filter.admits(resource)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What `tag:KEY`, `tag-key` and `tag-value` see of a resource's tags; `None` for other names.
pub fn tag_facts<'a>(
    name: &str,
    tags: impl Iterator<Item = (&'a str, &'a str)>,
) -> Option<Vec<Cow<'a, str>>> {
    let facts = match name {
        "tag-key" => tags.map(|(key, _)| Cow::Borrowed(key)).collect(),
        "tag-value" => tags.map(|(_, value)| Cow::Borrowed(value)).collect(),
        _ => {
            let wanted = name.strip_prefix("tag:")?;
            tags.filter(|(key, _)| *key == wanted).map(|(_, value)| Cow::Borrowed(value)).collect()
        }
    };
    Some(facts)
}

/// A text with wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Piece>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Exactly(char),
    AnyOne,
    AnyRun,
}

impl Pattern {
    /// Matching takes time in proportion to pattern times text, so neither may be unbounded. No
    /// value EC2 can hold for a filterable property comes near this.
    pub const BYTES_MAX: usize = 1024;

    pub fn new(text: &str) -> Self {
        let mut pieces = Vec::with_capacity(text.len());
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                // `**` matches what `*` does, and would only cost time.
                '*' if pieces.last() == Some(&Piece::AnyRun) => {}
                '*' => pieces.push(Piece::AnyRun),
                '?' => pieces.push(Piece::AnyOne),
                // A backslash at the very end has nothing to escape and stands for itself.
                '\\' => pieces.push(Piece::Exactly(characters.next().unwrap_or('\\'))),
                other => pieces.push(Piece::Exactly(other)),
            }
        }
        Self(pieces)
    }

    /// The only text this pattern matches, if it has no wildcard: lets a describe by id look up
    /// instead of searching.
    pub fn literal(&self) -> Option<String> {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Exactly(character) => Some(*character),
                Piece::AnyOne | Piece::AnyRun => None,
            })
            .collect()
    }

    /// Walks pattern and text together. Only the last `*` is ever returned to: if the rest cannot
    /// match after giving it more text, giving more to an earlier one cannot help either.
    pub fn matches(&self, text: &str) -> bool {
        let mut rest = text;
        let mut at = 0;
        let mut last_run: Option<(usize, &str)> = None;
        loop {
            let next = rest.chars().next();
            match (self.0.get(at), next) {
                (None, None) => return true,
                (Some(Piece::AnyRun), _) => {
                    last_run = Some((at, rest));
                    at += 1;
                    continue;
                }
                (Some(Piece::AnyOne), Some(character)) => {
                    rest = &rest[character.len_utf8()..];
                    at += 1;
                    continue;
                }
                (Some(Piece::Exactly(wanted)), Some(character)) if *wanted == character => {
                    rest = &rest[character.len_utf8()..];
                    at += 1;
                    continue;
                }
                (Some(Piece::AnyOne | Piece::Exactly(_)), _) | (None, Some(_)) => {}
            }
            // A mismatch: let the last run take one character more, if there is one to take.
            let Some((run, taken_from)) = last_run else { return false };
            let Some(taken) = taken_from.chars().next() else { return false };
            rest = &taken_from[taken.len_utf8()..];
            last_run = Some((run, rest));
            at = run + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    struct Machine {
        state: &'static str,
        groups: Vec<&'static str>,
        tags: Vec<(&'static str, &'static str)>,
    }

    impl Described for Machine {
        const FILTERS: &'static [&'static str] =
            &["instance-state-name", "instance.group-name", "tag:", "tag-key", "tag-value"];
        fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
            match name {
                "instance-state-name" => Some(vec![self.state.into()]),
                "instance.group-name" => {
                    Some(self.groups.iter().map(|g| Cow::Borrowed(*g)).collect())
                }
                _ => tag_facts(name, self.tags.iter().copied()),
            }
        }
    }

    fn machine() -> Machine {
        Machine {
            state: "running",
            groups: vec!["default", "web"],
            tags: vec![("Name", "front one"), ("empty", "")],
        }
    }

    fn filters(filters: &[(&str, &[&str])]) -> Filters {
        let filter = |(name, values): &(&str, &[&str])| {
            let values: Vec<String> = values.iter().map(|v| v.to_string()).collect();
            Filter::new(name.to_string(), &values).unwrap()
        };
        Filters(filters.iter().map(filter).collect())
    }

    fn admits(wanted: &[(&str, &[&str])]) -> Result<bool, InvalidFilter> {
        let filters = filters(wanted);
        filters.check_names::<Machine>()?;
        filters.admit(&machine())
    }

    #[test]
    fn no_filter_admits_everything() {
        assert_eq!(admits(&[]), Ok(true));
    }

    #[test]
    fn values_are_joined_by_or_and_filters_by_and() {
        assert_eq!(admits(&[("instance-state-name", &["pending", "running"])]), Ok(true));
        assert_eq!(
            admits(&[("instance-state-name", &["running"]), ("instance.group-name", &["db"])]),
            Ok(false)
        );
    }

    #[test]
    fn any_value_of_a_property_with_several_is_enough() {
        assert_eq!(admits(&[("instance.group-name", &["web"])]), Ok(true));
    }

    #[test]
    fn matching_is_case_sensitive() {
        assert_eq!(admits(&[("instance-state-name", &["Running"])]), Ok(false));
        assert_eq!(admits(&[("tag:name", &["*"])]), Ok(false));
    }

    #[test]
    fn tags_are_found_by_key_by_value_and_by_both() {
        assert_eq!(admits(&[("tag:Name", &["front*"])]), Ok(true));
        assert_eq!(admits(&[("tag:empty", &[""])]), Ok(true));
        assert_eq!(admits(&[("tag-key", &["Name"])]), Ok(true));
        assert_eq!(admits(&[("tag-value", &["front one"])]), Ok(true));
        assert_eq!(admits(&[("tag-value", &["Name"])]), Ok(false));
    }

    #[test]
    fn a_name_the_resource_does_not_know_is_refused() {
        for name in ["colour", "tag:", "tag", ""] {
            assert_eq!(admits(&[(name, &["x"])]), Err(InvalidFilter::Unknown(name.into())));
        }
        let unchecked = filters(&[("colour", &["x"])]);
        assert_eq!(unchecked.admit(&machine()), Err(InvalidFilter::Unknown("colour".into())));
    }

    #[test]
    fn a_filter_has_between_one_and_two_hundred_values_of_bounded_length() {
        let values = |n| vec!["x".to_owned(); n];
        assert!(Filter::new("f".into(), &values(200)).is_ok());
        assert_eq!(
            Filter::new("f".into(), &values(201)),
            Err(InvalidFilter::TooManyValues("f".into()))
        );
        assert_eq!(Filter::new("f".into(), &[]), Err(InvalidFilter::WithoutValue("f".into())));
        assert_eq!(
            Filter::new("f".into(), &["x".repeat(1025)]),
            Err(InvalidFilter::ValueTooLong("f".into()))
        );
    }

    #[test]
    fn wildcards_match_as_in_ec2() {
        let matching = [
            ("", ""),
            ("*", ""),
            ("*", "anything"),
            ("a*c", "ac"),
            ("a*c", "abcbc"),
            ("?", "ß"),
            ("a?c", "abc"),
            ("*.?", "x.y.z"),
            (r"\*", "*"),
            (r"a\?", "a?"),
            (r"a\\b", r"a\b"),
            (r"end\", r"end\"),
            ("*amazon?\\?", "an amazonX?"),
            ("**a**", "bab"),
        ];
        for (pattern, text) in matching {
            assert!(Pattern::new(pattern).matches(text), "{pattern} {text}");
        }
        let others = [
            ("", "a"),
            ("?", ""),
            ("?", "ab"),
            ("a*c", "abd"),
            (r"\*", "a"),
            (r"\?", "a"),
            ("abc", "abcd"),
            ("abc", "ab"),
            ("*a", "ab"),
        ];
        for (pattern, text) in others {
            assert!(!Pattern::new(pattern).matches(text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_without_wildcards_has_a_literal() {
        assert_eq!(Pattern::new(r"i-1\*").literal().as_deref(), Some("i-1*"));
        assert_eq!(Pattern::new("i-*").literal(), None);
    }

    proptest! {
        #[test]
        fn a_pattern_is_matched_by_the_text_it_was_cut_from(
            text in any::<String>(), cuts in prop::collection::vec(any::<bool>(), 0..40)
        ) {
            let mut pattern = String::new();
            for (position, character) in text.chars().enumerate() {
                match cuts.get(position) {
                    Some(true) if position % 2 == 0 => pattern.push('*'),
                    Some(true) => pattern.push('?'),
                    _ => pattern.extend(['\\', character]),
                }
            }
            assert!(Pattern::new(&pattern).matches(&text));
        }
    }
}
