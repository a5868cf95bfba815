//! Long answers in pages: `MaxResults` and `NextToken`.
//!
//! A token names the key of the last thing shown, and the next page begins after it. So what comes
//! and goes between two pages is shown or not, but nothing that stays is shown twice or left out.
//! A token holds no secret and gives no access: each page is selected anew for its caller. It is
//! checked only for being one of ours and of the right kind.

use super::error::{ApiError, Code};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The pages EC2 cuts for most describes.
pub const RESULTS: RangeInclusive<u32> = 5..=1000;

/// Marks our tokens, with the version of their form.
const TOKEN_PREFIX: &str = "page1:";

/// Longer than any key's token, short enough to decode without thought.
const TOKEN_BYTES_MAX: usize = 1024;

/// The page a client asks for, over things with keys `K`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest<K> {
    after: Option<K>,
    results_max: Option<usize>,
}

/// Some of the things asked for, and the token for more if there are more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub results: Vec<T>,
    pub next_token: Option<String>,
}

/// The key of what has no id of its own: a name without spaces, and another within it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PairKey(pub String, pub String);

impl Display for PairKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.1)
    }
}

impl FromStr for PairKey {
    type Err = ();
    fn from_str(text: &str) -> Result<PairKey, ()> {
        let (name, within) = text.split_once(' ').ok_or(())?;
        Ok(PairKey(name.to_owned(), within.to_owned()))
    }
}

impl<K: Ord + Display + FromStr> PageRequest<K> {
    pub fn new(
        results_max: Option<u32>,
        next_token: Option<&str>,
        allowed: RangeInclusive<u32>,
    ) -> Result<Self, ApiError> {
        if let Some(wanted) = results_max {
            check_results_max(wanted, &allowed)?;
        }
        // Clients that loop "until the token is empty" send the empty one first.
        let after = next_token.filter(|token| !token.is_empty()).map(key_of).transpose()?;
        Ok(Self { after, results_max: results_max.map(|wanted| wanted as usize) })
    }

    /// The key after which the page begins; to start a range scan there.
    pub fn after(&self) -> Option<&K> {
        self.after.as_ref()
    }

    /// Takes the page from things sorted by key, already filtered. Reads one more than it shows,
    /// to know whether there are more.
    pub fn cut<T>(&self, sorted: impl IntoIterator<Item = (K, T)>) -> Page<T> {
        let begun = |key: &K| self.after.as_ref().is_none_or(|after| key > after);
        let rest = sorted.into_iter().filter(|(key, _)| begun(key));
        let results_max = self.results_max.unwrap_or(usize::MAX);
        let (mut results, mut last) = (Vec::new(), None);
        for (key, result) in rest {
            if results.len() == results_max {
                return Page { results, next_token: last.map(token_for::<K>) };
            }
            results.push(result);
            last = Some(key);
        }
        Page { results, next_token: None }
    }
}

fn check_results_max(wanted: u32, allowed: &RangeInclusive<u32>) -> Result<(), ApiError> {
    let expected = if wanted < *allowed.start() {
        // The text is AWS's; 5 itself is accepted there as it is here.
        format!("greater than {}", allowed.start())
    } else if wanted > *allowed.end() {
        format!("smaller than or equal to {}", allowed.end())
    } else {
        return Ok(());
    };
    Err(ApiError::new(
        Code::InvalidParameterValue,
        format!(
            "Value ( {wanted} ) for parameter maxResults is invalid. Expecting a value {expected}."
        ),
    ))
}

fn token_for<K: Display>(key: K) -> String {
    URL_SAFE_NO_PAD.encode(format!("{TOKEN_PREFIX}{key}"))
}

fn key_of<K: FromStr>(token: &str) -> Result<K, ApiError> {
    let refused = || ApiError::new(Code::InvalidNextToken, "The token is not valid.");
    if token.len() > TOKEN_BYTES_MAX {
        return Err(refused());
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| refused())?;
    let text = String::from_utf8(bytes).map_err(|_| refused())?;
    let key = text.strip_prefix(TOKEN_PREFIX).ok_or_else(refused)?;
    key.parse().map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{InstanceId, VolumeId};
    use std::collections::BTreeMap;

    fn things(numbers: impl IntoIterator<Item = u32>) -> BTreeMap<InstanceId, u32> {
        let thing = |n| (format!("i-{n:08x}").parse().unwrap(), n);
        numbers.into_iter().map(thing).collect()
    }

    fn page(
        things: &BTreeMap<InstanceId, u32>,
        max: Option<u32>,
        token: Option<&str>,
    ) -> Page<u32> {
        let request = PageRequest::new(max, token, RESULTS).unwrap();
        request.cut(things.iter().map(|(key, n)| (key.clone(), *n)))
    }

    #[test]
    fn pages_follow_each_other_until_nothing_is_left() {
        let things = things(0..12);
        let first = page(&things, Some(5), None);
        assert_eq!(first.results, [0, 1, 2, 3, 4]);
        let second = page(&things, Some(5), first.next_token.as_deref());
        assert_eq!(second.results, [5, 6, 7, 8, 9]);
        let third = page(&things, Some(5), second.next_token.as_deref());
        assert_eq!((third.results, third.next_token), (vec![10, 11], None));
    }

    #[test]
    fn a_last_page_that_is_exactly_full_has_no_token() {
        let things = things(0..5);
        assert_eq!(page(&things, Some(5), None).next_token, None);
    }

    #[test]
    fn without_a_limit_everything_is_one_page() {
        let things = things(0..3000);
        let page = page(&things, None, Some(""));
        assert_eq!((page.results.len(), page.next_token), (3000, None));
    }

    #[test]
    fn what_stays_is_shown_once_while_other_things_come_and_go() {
        let first = page(&things([10, 20, 30, 40, 50, 60, 70]), Some(5), None);
        let changed = things([5, 15, 55, 60, 70]);
        let second = page(&changed, Some(5), first.next_token.as_deref());
        assert_eq!(second.results, [55, 60, 70]);
    }

    #[test]
    fn a_limit_outside_the_range_is_refused_in_aws_s_words() {
        let refused = |max| PageRequest::<InstanceId>::new(Some(max), None, RESULTS).unwrap_err();
        assert_eq!(
            refused(4).message,
            "Value ( 4 ) for parameter maxResults is invalid. Expecting a value greater than 5."
        );
        assert_eq!(
            refused(1001).message,
            "Value ( 1001 ) for parameter maxResults is invalid. \
             Expecting a value smaller than or equal to 1000."
        );
        for max in [5, 1000] {
            assert!(PageRequest::<InstanceId>::new(Some(max), None, RESULTS).is_ok());
        }
    }

    #[test]
    fn a_token_that_is_not_ours_or_of_another_kind_is_refused() {
        let other_kind = token_for("vol-12345678".parse::<VolumeId>().unwrap());
        let unmarked = URL_SAFE_NO_PAD.encode("i-12345678");
        for token in ["x", "é", "====", &unmarked, &other_kind, &"A".repeat(5000)] {
            let error = PageRequest::<InstanceId>::new(None, Some(token), RESULTS).unwrap_err();
            assert_eq!(error.code, Code::InvalidNextToken, "{token}");
        }
    }
}
