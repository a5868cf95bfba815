//! Tags: a resource's labels, as its owner wrote them.
//!
//! Limits are EC2's ("Tag your Amazon EC2 resources", restrictions): 50 a resource, keys to 128
//! characters, values to 256, and no key that begins with `aws:`.

use super::{fault::CloudFault, scope::Scope};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const TAGS_PER_RESOURCE: usize = 50;
pub const KEY_CHARACTERS: usize = 128;
pub const VALUE_CHARACTERS: usize = 256;

pub type Tags = BTreeMap<String, String>;

/// The tags of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagSet {
    pub scope: Scope,
    /// The resource's id, of whatever kind.
    pub resource: String,
    pub tags: Tags,
}

/// Adds `new` to `tags`, replacing values of keys that are there already.
pub fn merge(tags: &mut Tags, new: Tags) -> Result<(), CloudFault> {
    for (key, value) in new {
        check(&key, &value)?;
        tags.insert(key, value);
    }
    if tags.len() > TAGS_PER_RESOURCE {
        return Err(CloudFault::TagLimitExceeded);
    }
    Ok(())
}

fn check(key: &str, value: &str) -> Result<(), CloudFault> {
    let invalid = |reason: String| Err(CloudFault::InvalidParameter(reason));
    if key.is_empty() {
        return invalid("Tag keys cannot be empty".into());
    }
    if key.chars().count() > KEY_CHARACTERS {
        return invalid(format!(
            "Tag key exceeds the maximum length of {KEY_CHARACTERS} characters"
        ));
    }
    if value.chars().count() > VALUE_CHARACTERS {
        return invalid(format!(
            "Tag value exceeds the maximum length of {VALUE_CHARACTERS} characters"
        ));
    }
    if key.to_ascii_lowercase().starts_with("aws:") {
        return invalid("Tag keys starting with 'aws:' are reserved for internal use".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn a_key_that_is_there_already_gets_the_new_value() {
        let mut have = tags(&[("Name", "a"), ("stage", "test")]);
        merge(&mut have, tags(&[("Name", "b")])).unwrap();
        assert_eq!(have, tags(&[("Name", "b"), ("stage", "test")]));
    }

    #[test]
    fn limits_are_ec2s() {
        let mut have = Tags::new();
        assert!(merge(&mut have, tags(&[("aws:x", "1")])).is_err());
        assert!(merge(&mut have, tags(&[("", "1")])).is_err());
        assert!(merge(&mut have, tags(&[(&"k".repeat(129), "1")])).is_err());
        assert!(merge(&mut have, tags(&[("k", &"v".repeat(257))])).is_err());
        let many: Tags = (0..51).map(|n| (format!("k{n}"), String::new())).collect();
        assert_eq!(merge(&mut have, many), Err(CloudFault::TagLimitExceeded));
    }
}
