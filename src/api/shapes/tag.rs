//! Tags: as a request gives them, and as an answer lists them.

use crate::{
    api::{
        error::{ApiError, Code},
        response::Set,
    },
    domain::tag::Tags,
};
use serde::{Deserialize, Serialize};

/// `Tag.1.Key`, `Tag.1.Value`; a tag may have no value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagParameter {
    pub key: String,
    #[serde(default)]
    pub value: String,
}

/// `TagSpecification.1.ResourceType` and the tags for what is made of that type.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagSpecification {
    pub resource_type: String,
    #[serde(default, rename = "Tag")]
    pub tags: Vec<TagParameter>,
}

/// Refuses types that the action makes nothing of.
pub fn check_types(specifications: &[TagSpecification], made: &[&str]) -> Result<(), ApiError> {
    match specifications.iter().find(|given| !made.contains(&given.resource_type.as_str())) {
        None => Ok(()),
        Some(given) => Err(ApiError::new(
            Code::InvalidParameterValue,
            format!(
                "'{}' is not a valid taggable resource type for this operation.",
                given.resource_type
            ),
        )),
    }
}

/// The tags given for one type. Naming a key twice is refused, since which was meant is unknown.
pub fn tags_for(
    specifications: &[TagSpecification],
    resource_type: &str,
) -> Result<Tags, ApiError> {
    let given = specifications.iter().filter(|given| given.resource_type == resource_type);
    read_tags(given.flat_map(|given| &given.tags))
}

pub fn read_tags<'a>(given: impl IntoIterator<Item = &'a TagParameter>) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for tag in given {
        if tags.insert(tag.key.clone(), tag.value.clone()).is_some() {
            return Err(ApiError::new(
                Code::InvalidParameterValue,
                format!("Duplicate tag key '{}' specified.", tag.key),
            ));
        }
    }
    Ok(tags)
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Tag<'a> {
    key: &'a str,
    value: &'a str,
}

pub fn tag_set(tags: Option<&Tags>) -> Set<Tag<'_>> {
    tags.into_iter().flatten().map(|(key, value)| Tag { key, value }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specification(resource_type: &str, tags: &[(&str, &str)]) -> TagSpecification {
        let tag = |(key, value): &(&str, &str)| TagParameter {
            key: key.to_string(),
            value: value.to_string(),
        };
        TagSpecification {
            resource_type: resource_type.into(),
            tags: tags.iter().map(tag).collect(),
        }
    }

    #[test]
    fn tags_are_for_the_type_they_were_given_for() {
        let given = [
            specification("instance", &[("Name", "a")]),
            specification("volume", &[("Name", "b")]),
            specification("instance", &[("stage", "")]),
        ];
        let tags = tags_for(&given, "instance").unwrap();
        let want = [("Name", "a"), ("stage", "")].map(|(k, v)| (k.to_string(), v.to_string()));
        assert_eq!(tags, Tags::from(want));
        assert_eq!(tags_for(&given, "network-interface"), Ok(Tags::new()));
    }

    #[test]
    fn a_key_given_twice_and_a_type_that_is_not_made_are_refused() {
        let twice = [specification("instance", &[("a", "1"), ("a", "2")])];
        assert!(tags_for(&twice, "instance").unwrap_err().message.contains("'a'"));
        let error = check_types(&twice, &["volume"]).unwrap_err();
        assert_eq!(error.code, Code::InvalidParameterValue);
        assert_eq!(check_types(&twice, &["volume", "instance"]), Ok(()));
    }
}
