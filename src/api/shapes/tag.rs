//! Tags as requests and answers write them: `Tag.1.Key`, `TagSpecification.1.Tag.1.Key`,
//! `<tagSet><item><key/><value/></item></tagSet>`.
//!
//! What a tag may be is the domain's business (`domain::tag`); here is only how it is written.

use crate::{
    api::{
        error::{ApiError, Code, echo},
        response::Set,
    },
    domain::{
        cloud_state::ScopeState,
        id::{
            AllocationId, InstanceId, InterfaceId, KeyPairId, PrefixedId, ReservationId,
            SecurityGroupId, SecurityGroupRuleId, SubnetId, VolumeId, VpcId,
        },
        tag::Tags,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A tag in a request that puts it on something.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct TagParameter {
    #[serde(rename = "Key")]
    pub key: String,
    /// A tag without a value has the empty one.
    #[serde(rename = "Value", default)]
    pub value: String,
}

/// The tags of one kind of resource that a request makes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct TagSpecification {
    #[serde(rename = "ResourceType")]
    pub resource_type: String,
    #[serde(rename = "Tag", alias = "Tags", default)]
    pub tags: Vec<TagParameter>,
}

/// A tag in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Tag {
    pub key: String,
    pub value: String,
}

/// A tag in an answer that is written straight from the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BorrowedTag<'a> {
    key: &'a str,
    value: &'a str,
}

pub fn borrowed_tags(tags: Option<&Tags>) -> Set<BorrowedTag<'_>> {
    tags.into_iter().flatten().map(|(key, value)| BorrowedTag { key, value }).collect()
}

/// The tags of a request by the kind of resource they are for.
#[derive(Debug, Default)]
pub struct SpecifiedTags(BTreeMap<String, Tags>);

impl SpecifiedTags {
    /// Takes the specifications of a request that makes resources of the kinds in `taggable`
    /// (EC2's words: `instance`, `volume`, `security-group`, …).
    pub fn read(given: &[TagSpecification], taggable: &[&str]) -> Result<Self, ApiError> {
        let mut by_type = BTreeMap::new();
        for specification in given {
            let resource_type = &specification.resource_type;
            if !taggable.contains(&resource_type.as_str()) {
                return Err(invalid(format!(
                    "'{}' is not a valid taggable resource type for this operation.",
                    echo(resource_type)
                )));
            }
            if specification.tags.is_empty() {
                return Err(invalid("Tag specification must have at least one tag".to_owned()));
            }
            let tags = read_tags(&specification.tags)?;
            if by_type.insert(resource_type.clone(), tags).is_some() {
                return Err(invalid(format!(
                    "The same resource type may not be specified more than once in tag \
                     specifications: '{resource_type}'"
                )));
            }
        }
        Ok(Self(by_type))
    }

    /// The tags for one kind; none if the request has none.
    pub fn take(&mut self, resource_type: &str) -> Tags {
        self.0.remove(resource_type).unwrap_or_default()
    }
}

/// Refuses a key that is given twice: which of its values was meant, nobody can tell.
pub fn read_tags(given: &[TagParameter]) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for tag in given {
        if tags.insert(tag.key.clone(), tag.value.clone()).is_some() {
            let key = echo(&tag.key);
            return Err(invalid(format!("Duplicate tag key '{key}' specified.")));
        }
    }
    Ok(tags)
}

/// A resource's tags for an answer.
pub fn tag_set(own: &ScopeState, resource: &str) -> Set<Tag> {
    own.tags_of(resource).map(tags_shown).unwrap_or_default()
}

pub fn tags_shown(tags: &Tags) -> Set<Tag> {
    tags.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() }).collect()
}

/// A resource's tags for `domain::filter::tag_facts`.
pub fn tag_pairs(tags: &Set<Tag>) -> impl Iterator<Item = (&str, &str)> {
    tags.item.iter().map(|tag| (tag.key.as_str(), tag.value.as_str()))
}

/// EC2's word for the kind of resource that has this id; `None` for what is no id of ours.
pub fn resource_type(id: &str) -> Option<&'static str> {
    // `eni-attach-` before `eni-` would matter if attachments could be tagged; they cannot.
    const KINDS: [(&str, &str); 10] = [
        (InstanceId::PREFIX, InstanceId::KIND),
        (ReservationId::PREFIX, ReservationId::KIND),
        (VolumeId::PREFIX, VolumeId::KIND),
        (SecurityGroupId::PREFIX, SecurityGroupId::KIND),
        (SecurityGroupRuleId::PREFIX, SecurityGroupRuleId::KIND),
        (KeyPairId::PREFIX, KeyPairId::KIND),
        (VpcId::PREFIX, VpcId::KIND),
        (SubnetId::PREFIX, SubnetId::KIND),
        (InterfaceId::PREFIX, InterfaceId::KIND),
        (AllocationId::PREFIX, AllocationId::KIND),
    ];
    if id.parse::<crate::domain::id::ImageId>().is_ok() {
        return Some("image");
    }
    KINDS.iter().find(|(prefix, _)| id.starts_with(prefix)).map(|(_, kind)| *kind)
}

fn invalid(message: String) -> ApiError {
    ApiError::new(Code::InvalidParameterValue, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{parameters::Parameters, query};

    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Create {
        #[serde(default)]
        tag_specification: Vec<TagSpecification>,
    }

    fn read(request: &str, taggable: &[&str]) -> Result<SpecifiedTags, ApiError> {
        let create: Create = query::read(&Parameters::parse(request, b"").unwrap())?;
        SpecifiedTags::read(&create.tag_specification, taggable)
    }

    fn check_refused(request: &str, code: Code, message: &str) {
        let error = read(request, &["instance", "volume"]).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (code, message), "{request}");
    }

    #[test]
    fn tags_are_sorted_by_the_kind_of_resource_they_are_for() {
        let mut tags = read(
            "TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Name\
             &TagSpecification.1.Tag.1.Value=one&TagSpecification.1.Tag.2.Key=empty\
             &TagSpecification.2.ResourceType=volume&TagSpecification.2.Tag.1.Key=disk",
            &["instance", "volume"],
        )
        .unwrap();
        let instance = tags.take("instance");
        assert_eq!((instance["Name"].as_str(), instance["empty"].as_str()), ("one", ""));
        assert!(tags.take("volume").contains_key("disk"));
        assert!(tags.take("volume").is_empty(), "taken");
    }

    #[test]
    fn a_kind_that_the_action_does_not_make_is_refused() {
        check_refused(
            "TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=a",
            Code::InvalidParameterValue,
            "'vpc' is not a valid taggable resource type for this operation.",
        );
    }

    #[test]
    fn a_specification_is_complete_and_says_everything_once() {
        check_refused(
            "TagSpecification.1.Tag.1.Key=a",
            Code::MissingParameter,
            "The request must contain the parameter TagSpecification.1.ResourceType",
        );
        check_refused(
            "TagSpecification.1.ResourceType=volume",
            Code::InvalidParameterValue,
            "Tag specification must have at least one tag",
        );
        check_refused(
            "TagSpecification.1.ResourceType=volume&TagSpecification.1.Tag.1.Key=a\
             &TagSpecification.1.Tag.2.Key=a",
            Code::InvalidParameterValue,
            "Duplicate tag key 'a' specified.",
        );
        check_refused(
            "TagSpecification.1.ResourceType=volume&TagSpecification.1.Tag.1.Key=a\
             &TagSpecification.2.ResourceType=volume&TagSpecification.2.Tag.1.Key=b",
            Code::InvalidParameterValue,
            "The same resource type may not be specified more than once in tag specifications: \
             'volume'",
        );
    }

    #[test]
    fn an_id_tells_the_kind_of_its_resource() {
        for (id, kind) in [
            ("i-12345678", "instance"),
            ("vol-12345678", "volume"),
            ("sg-12345678", "security-group"),
            ("sgr-12345678", "security-group-rule"),
            ("key-12345678", "key-pair"),
            ("eni-12345678", "network-interface"),
            ("emi-12345678", "image"),
        ] {
            assert_eq!(resource_type(id), Some(kind));
        }
        assert_eq!(resource_type("x-12345678"), None);
    }
}
