//! The parameters of a Query request, decoded and in order.
//!
//! They may stand in the URL, in a form body, or in both, whatever the method: boto3 with
//! `v4-query` signatures sends `POST` with an empty body and everything in the URL. Promises: no
//! more pairs than [`Parameters::PAIRS_MAX`], names no deeper than [`Parameters::DEPTH_MAX`],
//! and text that an XML answer can repeat. Does not know what any parameter means.

use super::error::{ApiError, echo};
use std::borrow::Cow;

/// Decoded name and value pairs: those of the URL first, then those of the body.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Parameters {
    pairs: Vec<(String, String)>,
}

/// Names only: a value may be user data, key material or a session token.
impl std::fmt::Debug for Parameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.pairs.iter().map(|(name, _)| name)).finish()
    }
}

impl Parameters {
    pub const PAIRS_MAX: usize = 10_000;
    /// Dots in a name. EC2's deepest shapes (`SpotFleetRequestConfig…Ebs.…`) have fewer than 12.
    pub const DEPTH_MAX: usize = 16;

    pub fn parse(query: &str, body: &[u8]) -> Result<Self, ApiError> {
        let body = std::str::from_utf8(body)
            .map_err(|_| ApiError::malformed_query("The request body is not valid UTF-8."))?;
        let mut parameters = Self::default();
        for pair in raw_pairs(query).chain(raw_pairs(body)) {
            let (name, value) = decode_pair(pair)?;
            parameters.add(name, value)?;
        }
        Ok(parameters)
    }

    /// Takes one more, if the promises still hold with it.
    pub fn add(&mut self, name: String, value: String) -> Result<(), ApiError> {
        let refused = |reason: String| Err(ApiError::malformed_query(reason));
        if self.pairs.len() == Self::PAIRS_MAX {
            return refused(format!("The request has more than {} parameters.", Self::PAIRS_MAX));
        }
        if name.bytes().filter(|byte| *byte == b'.').count() > Self::DEPTH_MAX {
            return refused("A parameter's name has too many parts.".into());
        }
        if !name.chars().all(representable) {
            return refused("A parameter's name has an invalid character.".into());
        }
        if !value.chars().all(representable) {
            return refused(invalid_character(&name));
        }
        self.pairs.push((name, value));
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The value of the parameter named; the first, if it was given more than once.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(given, _)| *given == name).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Refuses a parameter that decides *what* is asked and was given more than once, lest two
    /// readers of the request see two different requests.
    pub fn get_once(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self.iter().filter(|(given, _)| *given == name);
        let first = values.next();
        match values.next() {
            Some(_) => Err(given_twice(name)),
            None => Ok(first.map(|(_, value)| value)),
        }
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Parameters {
    /// For tests and in-process clients, who keep the limits themselves.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self { pairs: pairs.into_iter().map(|(n, v)| (n.into(), v.into())).collect() }
    }
}

pub(super) fn given_twice(name: &str) -> ApiError {
    ApiError::invalid_combination(format!("The parameter {name} may be given only once"))
}

/// The pairs of a query string as they stand, undecoded. Empty pairs (`a=1&&b=2`, a trailing `&`)
/// mean nothing and are passed over; a name without `=` has an empty value.
pub(super) fn raw_pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn decode_pair((name, value): (&str, &str)) -> Result<(String, String), ApiError> {
    let name = decode(name)
        .ok_or_else(|| ApiError::malformed_query("A parameter's name is not properly encoded."))?;
    let value = decode(value).ok_or_else(|| ApiError::malformed_query(invalid_character(&name)))?;
    Ok((name.into_owned(), value.into_owned()))
}

fn invalid_character(name: &str) -> String {
    format!("The value of the parameter {} has an invalid character.", echo(name))
}

/// Undoes form encoding: `+` is a space, `%XX` a byte. `None` if an escape is broken or the bytes
/// are not UTF-8.
pub(super) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| matches!(byte, b'+' | b'%')) {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// Whether XML 1.0 can carry the character. One that it cannot, stored as a tag's value, would
/// make every later answer that lists the tag unreadable.
pub(super) fn representable(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        other => other >= ' ',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::error::Code;
    use proptest::prelude::{any, prop, proptest};

    fn check(query: &str, body: &str, expected: &[(&str, &str)]) {
        let parameters = Parameters::parse(query, body.as_bytes()).unwrap();
        assert_eq!(parameters.iter().collect::<Vec<_>>(), expected);
    }

    fn check_refused(query: &str, body: &[u8]) {
        let error = Parameters::parse(query, body).unwrap_err();
        assert_eq!(error.code, Code::MalformedQueryString, "{error}");
    }

    #[test]
    fn url_and_body_are_read_as_one_in_that_order() {
        check("A=1", "B=2", &[("A", "1"), ("B", "2")]);
        check("A=1&B=2", "", &[("A", "1"), ("B", "2")]);
        check("", "A=1&B=2", &[("A", "1"), ("B", "2")]);
        check("", "", &[]);
    }

    #[test]
    fn plus_and_percent_twenty_are_both_a_space_and_percent_2b_is_a_plus() {
        check("a+b=c+d%20e%2Bf", "", &[("a b", "c d e+f")]);
        check("", "a=%C3%9f", &[("a", "ß")]);
    }

    #[test]
    fn empty_pairs_are_passed_over_and_empty_values_kept() {
        check("&&A&B=&C==x&", "", &[("A", ""), ("B", ""), ("C", "=x")]);
    }

    #[test]
    fn broken_encodings_are_refused() {
        for text in ["a=%", "a=%1", "a=%zz", "%=b", "a=%+1", "a=%ff", "a=%C3", "a=%-1"] {
            check_refused(text, b"");
            check_refused("", text.as_bytes());
        }
        check_refused("", b"a=\xff");
    }

    #[test]
    fn characters_that_no_xml_answer_could_repeat_are_refused() {
        for text in ["a=%00", "a=%1b", "a=%EF%BF%BF", "%01=a"] {
            check_refused(text, b"");
        }
        check("a=%09%0d%0a", "", &[("a", "\t\r\n")]);
    }

    #[test]
    fn ten_thousand_pairs_are_accepted_and_not_one_more() {
        let pairs = |n| "a=b&".repeat(n);
        assert!(Parameters::parse(&pairs(5_000), pairs(5_000).as_bytes()).is_ok());
        check_refused(&pairs(5_000), pairs(5_001).as_bytes());
    }

    #[test]
    fn a_name_has_bounded_depth() {
        assert!(Parameters::parse(&format!("a{}=1", ".1".repeat(16)), b"").is_ok());
        check_refused(&format!("a{}=1", ".1".repeat(17)), b"");
    }

    #[test]
    fn what_decides_the_request_is_given_once_or_refused() {
        let parameters = Parameters::parse("Action=A", b"Action=B&C=1").unwrap();
        assert_eq!(parameters.get("Action"), Some("A"));
        let error = parameters.get_once("Action").unwrap_err();
        assert_eq!(error.code, Code::InvalidParameterCombination);
        assert_eq!(parameters.get_once("C"), Ok(Some("1")));
        assert_eq!(parameters.get_once("D"), Ok(None));
    }

    #[test]
    fn values_do_not_reach_the_log_through_debug() {
        let parameters = Parameters::parse("UserData=secret", b"").unwrap();
        assert_eq!(format!("{parameters:?}"), r#"["UserData"]"#);
    }

    proptest! {
        #[test]
        fn no_input_causes_a_panic(
            query in any::<String>(), body in prop::collection::vec(any::<u8>(), 0..300)
        ) {
            let _ = Parameters::parse(&query, &body);
        }

        #[test]
        fn no_input_made_of_the_format_s_own_characters_causes_a_panic(query in "[a%&=+.0-9é]{0,60}") {
            let _ = Parameters::parse(&query, query.as_bytes());
        }
    }
}
