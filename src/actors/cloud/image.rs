//! Images: decisions. Whether an image's bytes are in the blob repository was asked before.
//!
//! A deregistered image is gone for new launches only: instances keep what they boot from in their
//! own records.

use super::{command::Decide, key_pair::put_tags};
use crate::domain::{
    cloud_state::Entry,
    draft::Draft,
    fault::CloudFault,
    id::ImageId,
    image::{Image, ImageKind},
};
use crate::messages::cloud::{DeregisterImage, ImageChange, ModifyImage, RegisterImage};
use std::{collections::BTreeSet, sync::Arc};

impl Decide for RegisterImage {
    fn decide(self, draft: &mut Draft<'_>) -> Result<ImageId, CloudFault> {
        draft.require_administrator("register images")?;
        let owner = draft.scope.account.clone();
        let same_name = |image: &&Arc<Image>| image.owner == owner && image.name == self.name;
        if let Some(image) = draft.state.images.values().find(same_name) {
            let (name, image) = (self.name, image.id.clone());
            return Err(CloudFault::ImageNameExists { name, image });
        }
        check_part(self.kernel.as_ref(), ImageKind::Kernel, self.kind, draft)?;
        check_part(self.ramdisk.as_ref(), ImageKind::Ramdisk, self.kind, draft)?;
        let prefix = self.kind.prefix(draft.settings.image_id_family);
        let id = ImageId::random(prefix, draft.chance);
        put_tags(id.as_str(), self.tags, draft)?;
        let image = Image {
            id: id.clone(),
            kind: self.kind,
            owner,
            name: self.name,
            description: self.description,
            architecture: self.architecture,
            blob: self.blob,
            format: self.format,
            size_gib: self.size_gib,
            kernel: self.kernel,
            ramdisk: self.ramdisk,
            root_device_name: self.root_device_name,
            public: self.public,
            launch_permissions: BTreeSet::new(),
            created_at: draft.now,
        };
        draft.put(Entry::Image(Arc::new(image)));
        Ok(id)
    }
}

/// A kernel or ramdisk that a machine image names.
fn check_part(
    part: Option<&ImageId>,
    kind: ImageKind,
    of: ImageKind,
    draft: &Draft<'_>,
) -> Result<(), CloudFault> {
    let Some(id) = part else { return Ok(()) };
    if of != ImageKind::Machine {
        return Err(CloudFault::InvalidCombination(format!(
            "A {} image cannot name a {} of its own",
            of.as_str(),
            kind.as_str()
        )));
    }
    match draft.state.images.get(id) {
        Some(image) if image.kind == kind => Ok(()),
        Some(image) => Err(CloudFault::InvalidParameter(format!(
            "The image '{id}' is a {}, where a {} is expected",
            image.kind.as_str(),
            kind.as_str()
        ))),
        None => Err(CloudFault::ImagesNotFound(vec![id.clone()])),
    }
}

impl Decide for DeregisterImage {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        let image = owned(&self.image, draft)?;
        let tags: Vec<_> = draft
            .state
            .scopes
            .values()
            .filter_map(|scope| scope.tags.get(image.id.as_str()))
            .cloned()
            .collect();
        for tags in tags {
            draft.remove(Entry::Tags(tags));
        }
        draft.remove(Entry::Image(image));
        Ok(())
    }
}

impl Decide for ModifyImage {
    fn decide(self, draft: &mut Draft<'_>) -> Result<(), CloudFault> {
        let mut image = Image::clone(&*owned(&self.image, draft)?);
        match self.change {
            ImageChange::Description(text) => {
                image.description = Some(text).filter(|text| !text.is_empty());
            }
            ImageChange::Launch { add, remove } => {
                for who in remove {
                    match who {
                        None => image.public = false,
                        Some(account) => _ = image.launch_permissions.remove(&account),
                    }
                }
                for who in add {
                    match who {
                        None => image.public = true,
                        Some(account) => {
                            if !draft.state.accounts.contains_key(&account) {
                                return Err(CloudFault::AccountNotFound(account));
                            }
                            image.launch_permissions.insert(account);
                        }
                    }
                }
            }
        }
        draft.put(Entry::Image(Arc::new(image)));
        Ok(())
    }
}

/// Only an owner or an administrator changes an image. To those who may not even launch it, it
/// does not exist.
fn owned(id: &ImageId, draft: &Draft<'_>) -> Result<Arc<Image>, CloudFault> {
    let not_found = || CloudFault::ImagesNotFound(vec![id.clone()]);
    let image = draft.state.images.get(id).ok_or_else(not_found)?;
    if draft.caller.may_control(&image.owner) {
        return Ok(image.clone());
    }
    match image.visible_to(&draft.caller.account) {
        true => Err(CloudFault::NotAuthorized(format!("image `{id}` is another account's"))),
        false => Err(not_found()),
    }
}
