//! The Image element, for machine images, kernels and ramdisks, and what filters see of it.

use super::tag::{BorrowedTag, borrowed_tags};
use crate::{
    api::{response::Set, shape::schemas::written_as, time::DateTime},
    domain::{
        cloud_state::CloudState,
        filter::{Described, tag_facts},
        image::{Image, ImageKind},
        scope::Scope,
        tag::Tags,
    },
};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use std::{borrow::Cow, sync::Arc};

/// An image in an answer: its record, and whose tags on it are shown.
#[derive(Debug, Clone)]
pub struct ImageElement {
    pub image: Arc<Image>,
    pub state: Arc<CloudState>,
    pub scope: Scope,
}

impl ImageElement {
    /// Tags belong to the image's owner, as in EC2.
    fn tags(&self) -> Option<&Tags> {
        if self.image.owner != self.scope.account {
            return None;
        }
        self.state.scope(&self.scope)?.tags_of(self.image.id.as_str())
    }

    /// Public images are the cloud's own, since administrators alone register any: they take the
    /// place that Amazon's have in EC2, and scripts ask for them by that name.
    pub fn owner_alias(&self) -> Option<&'static str> {
        self.image.public.then_some("amazon")
    }

    fn location(&self) -> String {
        format!("{}/{}", self.image.owner, self.image.name)
    }

    /// Kernels and ramdisks are no disks.
    fn root_device_name(&self) -> Option<&str> {
        match self.image.kind {
            ImageKind::Machine => Some(&self.image.root_device_name),
            ImageKind::Kernel | ImageKind::Ramdisk => None,
        }
    }

    fn root_device_type(&self) -> &'static str {
        match self.image.kind {
            ImageKind::Machine => "ebs",
            ImageKind::Kernel | ImageKind::Ramdisk => "instance-store",
        }
    }
}

written_as!(ImageElement => Fields<'static>);

impl Serialize for ImageElement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let image = &*self.image;
        Fields {
            image_id: image.id.as_str(),
            image_location: self.location(),
            image_state: "available",
            image_owner_id: image.owner.as_str(),
            creation_date: image.created_at.into(),
            is_public: image.public,
            product_codes: Set::default(),
            architecture: &image.architecture,
            image_type: image.kind.as_str(),
            kernel_id: image.kernel.as_ref().map(|kernel| kernel.as_str()),
            ramdisk_id: image.ramdisk.as_ref().map(|ramdisk| ramdisk.as_str()),
            platform_details: "Linux/UNIX",
            usage_operation: "RunInstances",
            image_owner_alias: self.owner_alias(),
            name: &image.name,
            description: image.description.as_deref(),
            root_device_type: self.root_device_type(),
            root_device_name: self.root_device_name(),
            block_device_mapping: block_devices(image),
            virtualization_type: "hvm",
            tag_set: borrowed_tags(self.tags()),
            hypervisor: "xen",
            ena_support: false,
        }
        .serialize(serializer)
    }
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    image_id: &'a str,
    image_location: String,
    image_state: &'static str,
    image_owner_id: &'a str,
    creation_date: DateTime,
    is_public: bool,
    product_codes: Set<()>,
    architecture: &'a str,
    image_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ramdisk_id: Option<&'a str>,
    platform_details: &'static str,
    usage_operation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_owner_alias: Option<&'static str>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    root_device_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_device_name: Option<&'a str>,
    block_device_mapping: Set<BlockDevice<&'a str>>,
    virtualization_type: &'static str,
    tag_set: Set<BorrowedTag<'a>>,
    /// EC2's word for all of its hypervisors.
    hypervisor: &'static str,
    ena_support: bool,
}

/// The root disk an instance of the image gets. It names no snapshot, since there are none.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlockDevice<T> {
    device_name: T,
    ebs: Volume,
}

impl BlockDevice<&str> {
    pub fn to_owned(self) -> BlockDevice<String> {
        BlockDevice { device_name: self.device_name.to_owned(), ebs: self.ebs }
    }
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Volume {
    volume_size: u64,
    volume_type: &'static str,
    delete_on_termination: bool,
    encrypted: bool,
}

pub fn block_devices(image: &Image) -> Set<BlockDevice<&str>> {
    let root = || BlockDevice {
        device_name: &*image.root_device_name,
        ebs: Volume {
            volume_size: image.size_gib,
            volume_type: "gp2",
            delete_on_termination: true,
            encrypted: false,
        },
    };
    (image.kind == ImageKind::Machine).then(root).into_iter().collect()
}

impl Described for ImageElement {
    const FILTERS: &'static [&'static str] = &[
        "architecture",
        "block-device-mapping.delete-on-termination",
        "block-device-mapping.device-name",
        "block-device-mapping.encrypted",
        "block-device-mapping.snapshot-id",
        "block-device-mapping.volume-size",
        "block-device-mapping.volume-type",
        "creation-date",
        "description",
        "ena-support",
        "hypervisor",
        "image-id",
        "image-type",
        "is-public",
        "kernel-id",
        "manifest-location",
        "name",
        "owner-alias",
        "owner-id",
        "platform",
        "product-code",
        "product-code.type",
        "ramdisk-id",
        "root-device-name",
        "root-device-type",
        "source-image-id",
        "source-image-region",
        "source-instance-id",
        "state",
        "state-reason-code",
        "state-reason-message",
        "sriov-net-support",
        "tag:",
        "tag-key",
        "tag-value",
        "virtualization-type",
    ];

    fn facts(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let image = &*self.image;
        let truth = |fact: bool| if fact { "true" } else { "false" };
        let of_disk = |fact: String| match image.kind {
            ImageKind::Machine => Some(Cow::Owned(fact)),
            ImageKind::Kernel | ImageKind::Ramdisk => None,
        };
        let fact: Option<Cow<'_, str>> = match name {
            "architecture" => Some(Cow::Borrowed(&image.architecture)),
            "block-device-mapping.delete-on-termination" => of_disk("true".into()),
            "block-device-mapping.device-name" => of_disk(image.root_device_name.clone()),
            "block-device-mapping.encrypted" => of_disk("false".into()),
            "block-device-mapping.volume-size" => of_disk(image.size_gib.to_string()),
            "block-device-mapping.volume-type" => of_disk("gp2".into()),
            "creation-date" => Some(DateTime(image.created_at).to_string().into()),
            "description" => image.description.as_deref().map(Cow::Borrowed),
            "ena-support" => Some("false".into()),
            "hypervisor" => Some("xen".into()),
            "image-id" => Some(image.id.as_str().into()),
            "image-type" => Some(image.kind.as_str().into()),
            "is-public" => Some(truth(image.public).into()),
            "kernel-id" => image.kernel.as_ref().map(|kernel| kernel.as_str().into()),
            "manifest-location" => Some(self.location().into()),
            "name" => Some(Cow::Borrowed(&image.name)),
            "owner-alias" => self.owner_alias().map(Cow::Borrowed),
            "owner-id" => Some(image.owner.as_str().into()),
            "ramdisk-id" => image.ramdisk.as_ref().map(|ramdisk| ramdisk.as_str().into()),
            "root-device-name" => self.root_device_name().map(Cow::Borrowed),
            "root-device-type" => Some(self.root_device_type().into()),
            "state" => Some("available".into()),
            "virtualization-type" => Some("hvm".into()),
            // Things that no image here has.
            "block-device-mapping.snapshot-id"
            | "platform"
            | "product-code"
            | "product-code.type"
            | "source-image-id"
            | "source-image-region"
            | "source-instance-id"
            | "state-reason-code"
            | "state-reason-message"
            | "sriov-net-support" => None,
            _ => {
                let tags = self.tags().into_iter().flatten();
                return tag_facts(name, tags.map(|(key, value)| (key.as_str(), value.as_str())));
            }
        };
        Some(fact.into_iter().collect())
    }
}
