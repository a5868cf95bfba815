//! Tags on resources that exist.

use super::command::Decide;
use crate::domain::{
    cloud_state::{self, Entry},
    draft::{Draft, Effect},
    fault::CloudFault,
    tag::{self, TagSet, Tags},
};
use crate::messages::cloud::{CreateTags, DeleteTags};
use std::sync::Arc;

impl Decide for CreateTags {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        for resource in &self.resources {
            let mut set = tags_of(resource, draft)?;
            tag::merge(&mut set.tags, self.tags.clone())?;
            draft.put(Entry::Tags(Arc::new(set)));
            show_to_guest(resource, draft);
        }
        Ok(())
    }
}

impl Decide for DeleteTags {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        for resource in &self.resources {
            let mut set = tags_of(resource, draft)?;
            if self.tags.is_empty() {
                set.tags.clear();
            }
            for (key, value) in &self.tags {
                let matches = |have: &String| value.as_ref().is_none_or(|value| value == have);
                if set.tags.get(key).is_some_and(matches) {
                    set.tags.remove(key);
                }
            }
            let set = Arc::new(set);
            if set.tags.is_empty() {
                draft.remove(Entry::Tags(set));
            } else {
                draft.put(Entry::Tags(set));
            }
            show_to_guest(resource, draft);
        }
        Ok(())
    }
}

/// Tags go with their resource.
pub fn remove_tags(resource: &str, draft: &mut Draft<'_>) {
    if let Some(tags) = draft.own().tags.get(resource) {
        draft.remove(Entry::Tags(tags.clone()));
    }
}

fn tags_of(resource: &str, draft: &Draft<'_>) -> Result<TagSet, CloudFault> {
    let scope = draft.scope.clone();
    if !cloud_state::resource_exists(&draft.state, &scope, resource) {
        return Err(CloudFault::ResourceNotFound(resource.to_owned()));
    }
    let own = draft.own();
    Ok(own.tags.get(resource).map(|set| TagSet::clone(set)).unwrap_or_else(|| TagSet {
        scope,
        resource: resource.to_owned(),
        tags: Tags::new(),
    }))
}

/// Guests may read their own tags.
fn show_to_guest(resource: &str, draft: &mut Draft<'_>) {
    if let Ok(id) = resource.parse() {
        draft.effect(Effect::Update(id));
    }
}
