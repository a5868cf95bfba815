//! Key pairs: decisions. The keys themselves are made and read by
//! `api::key_material`.

use super::command::Decide;
use crate::domain::{
    cloud_state::Entry,
    draft::Draft,
    fault::CloudFault,
    id::{KeyPairId, PrefixedId},
    key_pair::{KeyPair, check_name},
    tag::{self, TagSet, Tags},
};
use crate::messages::cloud::{DeleteKeyPair, RecordKeyPair};
use std::sync::Arc;

impl Decide for RecordKeyPair {
    fn decide(self, draft: &mut Draft<'_>) -> Result<KeyPairId, CloudFault> {
        check_name(&self.name)?;
        if draft.own().key_pairs.contains_key(&self.name) {
            return Err(CloudFault::KeyPairExists(self.name));
        }
        let pair = KeyPair {
            scope: draft.scope.clone(),
            id: KeyPairId::random(draft.chance),
            name: self.name,
            key_type: self.key_type,
            fingerprint: self.fingerprint,
            public_key: self.public_key,
            created_at: draft.now,
        };
        let id = pair.id.clone();
        put_tags(id.as_str(), self.tags, draft)?;
        draft.put(Entry::KeyPair(Arc::new(pair)));
        Ok(id)
    }
}

impl Decide for DeleteKeyPair {
    fn decide(self, draft: &mut Draft<'_>) -> Result<Option<KeyPairId>, CloudFault> {
        let own = draft.own();
        let pair = match &self {
            DeleteKeyPair::Named(name) => own.key_pairs.get(name),
            DeleteKeyPair::Id(id) => own.key_pairs.values().find(|pair| pair.id == *id),
        };
        let Some(pair) = pair.cloned() else { return Ok(None) };
        let id = pair.id.clone();
        if let Some(tags) = own.tags.get(id.as_str()) {
            draft.remove(Entry::Tags(tags.clone()));
        }
        draft.remove(Entry::KeyPair(pair));
        Ok(Some(id))
    }
}

/// The tags a resource is born with.
pub fn put_tags(resource: &str, new: Tags, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
    if new.is_empty() {
        return Ok(());
    }
    let mut tags = Tags::new();
    tag::merge(&mut tags, new)?;
    let set = TagSet { scope: draft.scope.clone(), resource: resource.to_owned(), tags };
    draft.put(Entry::Tags(Arc::new(set)));
    Ok(())
}
