//! What the describe calls share: the ids they name, and the selection of what they show.

use super::{
    error::ApiError,
    pagination::{Page, PageRequest},
};
use crate::domain::{
    account::Caller,
    filter::{Described, Filters},
    id::MalformedId,
};
use std::{fmt::Display, str::FromStr};

/// Eucalyptus' word for "of every account", for administrators.
const EVERYBODYS: &str = "verbose";

/// The things a request names by id; none means all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<I> {
    pub ids: Vec<I>,
    /// Besides the caller's own, everybody's.
    pub everybodys: bool,
}

impl<I: FromStr<Err = MalformedId> + Ord> Asked<I> {
    /// Each id once. `verbose` from anybody but an administrator is a malformed id.
    pub fn read(texts: &[String], caller: &Caller) -> Result<Self, ApiError> {
        let mut asked = Self { ids: Vec::new(), everybodys: false };
        for text in texts {
            if text == EVERYBODYS && caller.is_administrator() {
                asked.everybodys = true;
            } else {
                asked.ids.push(text.parse()?);
            }
        }
        asked.ids.sort();
        asked.ids.dedup();
        Ok(asked)
    }

    pub fn all(&self) -> bool {
        self.ids.is_empty()
    }
}

/// The ids that a filter on the id itself leaves possible, if it says so without wildcards: they
/// are looked up, and nothing is searched. Sorted, each once; a text that is no id matches nothing.
pub fn ids_in<I: FromStr + Ord>(filters: &Filters, name: &str) -> Option<Vec<I>> {
    let filter = filters.0.iter().find(|filter| filter.name() == name)?;
    let literals: Option<Vec<String>> =
        filter.values().iter().map(|pattern| pattern.literal()).collect();
    let mut ids: Vec<I> = literals?.iter().filter_map(|text| text.parse().ok()).collect();
    ids.sort();
    ids.dedup();
    Some(ids)
}

/// The page of those that the filters admit, from candidates sorted by key.
pub fn select<K, D>(
    candidates: impl IntoIterator<Item = (K, D)>,
    filters: &Filters,
    page: &PageRequest<K>,
) -> Result<Page<D>, ApiError>
where
    K: Ord + Display + FromStr,
    D: Described,
{
    let admitted = candidates.into_iter().filter_map(|(key, thing)| match filters.admit(&thing) {
        Ok(true) => Some((key, Ok(thing))),
        Ok(false) => None,
        Err(invalid) => Some((key, Err(invalid))),
    });
    let Page { results, next_token } = page.cut(admitted);
    let results = results.into_iter().collect::<Result<_, _>>()?;
    Ok(Page { results, next_token })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::error::Code,
        domain::{account::Role, filter::Filter, id::InstanceId},
    };

    fn read(texts: &[&str], role: Role) -> Result<Asked<InstanceId>, ApiError> {
        let texts: Vec<String> = texts.iter().map(|text| text.to_string()).collect();
        Asked::read(&texts, &Caller { account: "123456789012".parse().unwrap(), role })
    }

    #[test]
    fn only_an_administrator_sees_everybodys() {
        let asked = read(&["verbose"], Role::Administrator).unwrap();
        assert!(asked.everybodys && asked.all());
        assert_eq!(
            read(&["verbose"], Role::User).unwrap_err().code,
            Code::InvalidInstanceIdMalformed
        );
    }

    #[test]
    fn an_id_named_twice_is_asked_for_once() {
        let asked = read(&["i-00000002", "i-00000001", "I-00000002"], Role::User).unwrap();
        assert_eq!(asked.ids.len(), 2);
    }

    #[test]
    fn a_filter_on_the_id_without_wildcards_names_what_to_look_up() {
        let filters = |values: &[&str]| {
            let values: Vec<String> = values.iter().map(|value| value.to_string()).collect();
            Filters(vec![Filter::new("instance-id".into(), &values).unwrap()])
        };
        let ids = |values| ids_in::<InstanceId>(&filters(values), "instance-id");
        assert_eq!(ids(&["i-00000001", "nonsense"]).unwrap().len(), 1);
        assert_eq!(ids(&["i-00000001", "i-*"]), None);
        assert_eq!(ids_in::<InstanceId>(&Filters::default(), "instance-id"), None);
    }
}
