//! RegisterImage: an image from bytes that are in the cloud's blob repository already.
//!
//! EC2 has two ways to say where an image's bytes are, a manifest in S3 and a snapshot, and this
//! cloud has neither. `mallee image add` puts the bytes into the repository, where they are named by
//! their digest, and then registers them here with this `ImageLocation`:
//!
//! ```text
//! blob:<sha256>?format=raw|qcow2&size=<GiB>&kind=machine|kernel|ramdisk&public=true|false
//! ```
//!
//! `format` (raw), `kind` (machine) and `public` (false) may be left out; `size` is what the root
//! disk must at least hold, and may be left out of a kernel or ramdisk. A location of any other
//! form is refused with a sentence that says what to do.

use crate::{
    api::{
        action::{Action, Exchange},
        error::{ApiError, Code},
        shapes::{
            not_honoured::{NotHonoured, refuse_given, require_one_of, unsupported},
            root_volume::{self, BlockDeviceParameter},
            tag::{SpecifiedTags, TagSpecification},
        },
    },
    domain::{
        blob::BlobId,
        id::ImageId,
        image::{DiskFormat, ImageKind},
    },
    messages::cloud,
};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

const DEFAULT_ROOT_DEVICE: &str = "/dev/sda1";
const NAME_CHARACTERS: RangeInclusive<usize> = 3..=128;
const DESCRIPTION_CHARACTERS: usize = 255;
const GIB: u64 = 1 << 30;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RegisterImage {
    name: String,
    image_location: Option<String>,
    description: Option<String>,
    architecture: Option<String>,
    kernel_id: Option<ImageId>,
    ramdisk_id: Option<ImageId>,
    root_device_name: Option<String>,
    #[serde(default)]
    block_device_mapping: Vec<BlockDeviceParameter>,
    virtualization_type: Option<String>,
    boot_mode: Option<String>,
    sriov_net_support: Option<String>,
    /// Guests' network cards are virtio whatever else they could drive.
    #[serde(default, rename = "EnaSupport")]
    _ena_support: Option<bool>,
    #[serde(default)]
    tag_specification: Vec<TagSpecification>,
    billing_product: Option<NotHonoured>,
    imds_support: Option<NotHonoured>,
    tpm_support: Option<NotHonoured>,
    uefi_data: Option<NotHonoured>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    image_id: String,
}

impl Action for RegisterImage {
    const NAME: &'static str = "RegisterImage";
    type Response = Response;

    async fn perform(self, exchange: &Exchange) -> Result<Response, ApiError> {
        // Before anything is told of what the repository holds.
        if !exchange.caller.is_administrator() {
            return Err(ApiError::unauthorized());
        }
        let register = self.into_command()?;
        check_blob(&register, exchange)?;
        let image = exchange.command(register).await?;
        Ok(Response { image_id: image.to_string() })
    }
}

impl RegisterImage {
    fn into_command(self) -> Result<cloud::RegisterImage, ApiError> {
        refuse_given(&[
            ("BillingProduct", self.billing_product),
            ("ImdsSupport", self.imds_support),
            ("TpmSupport", self.tpm_support),
            ("UefiData", self.uefi_data),
        ])?;
        require_one_of("VirtualizationType", self.virtualization_type.as_deref(), &["hvm"])?;
        require_one_of("BootMode", self.boot_mode.as_deref(), &["legacy-bios"])?;
        require_one_of("SriovNetSupport", self.sriov_net_support.as_deref(), &["simple"])?;
        let mut tags = SpecifiedTags::read(&self.tag_specification, &["image"])?;
        check_name(&self.name)?;
        if let Some(text) = &self.description {
            check_description(text)?;
        }
        let location = match &self.image_location {
            Some(text) => Location::parse(text)?,
            None if self.block_device_mapping.is_empty() => {
                return Err(ApiError::missing_parameter("ImageLocation"));
            }
            None => return Err(elsewhere()),
        };
        let root_device_name =
            self.root_device_name.unwrap_or_else(|| DEFAULT_ROOT_DEVICE.to_owned());
        let mapped = root_volume::root_gib(&self.block_device_mapping, Some(&root_device_name))?;
        Ok(cloud::RegisterImage {
            kind: location.kind,
            name: self.name,
            description: self.description.filter(|text| !text.is_empty()),
            architecture: architecture(self.architecture)?,
            blob: location.blob,
            format: location.format,
            size_gib: mapped.unwrap_or(0).max(location.size_gib),
            kernel: self.kernel_id,
            ramdisk: self.ramdisk_id,
            root_device_name,
            public: location.public,
            tags: tags.take("image"),
        })
    }
}

/// What the bytes' own length says about the size stated.
fn check_blob(register: &cloud::RegisterImage, exchange: &Exchange) -> Result<(), ApiError> {
    let length = exchange.blobs.length(&register.blob).map_err(|fault| {
        log::error!("request {}: {fault}", exchange.request_id);
        ApiError::internal()
    })?;
    let Some(length) = length else {
        return Err(ApiError::new(
            Code::InvalidManifest,
            format!(
                "There is no blob '{}' in this cloud. Add the image with 'mallee image add'.",
                register.blob
            ),
        ));
    };
    let whole_disk = register.kind == ImageKind::Machine && register.format == DiskFormat::Raw;
    if whole_disk && length > register.size_gib.saturating_mul(GIB) {
        return Err(ApiError::new(
            Code::InvalidParameterValue,
            format!("The image has {length} bytes, more than its size={} GiB.", register.size_gib),
        ));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "()[] ./-'@_".contains(c);
    if NAME_CHARACTERS.contains(&name.chars().count()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(ApiError::new(
        Code::InvalidAmiNameMalformed,
        "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, \
         spaces, '(', ')', '[', ']', '.', '/', '-', ''', '@' and '_'",
    ))
}

pub fn check_description(text: &str) -> Result<(), ApiError> {
    if text.chars().count() <= DESCRIPTION_CHARACTERS {
        return Ok(());
    }
    Err(ApiError::new(
        Code::InvalidParameterValue,
        format!("Invalid description: it may have up to {DESCRIPTION_CHARACTERS} characters."),
    ))
}

fn architecture(given: Option<String>) -> Result<String, ApiError> {
    match given.as_deref() {
        // EC2's default is `i386`, whose time is over.
        None => Ok("x86_64".to_owned()),
        Some(name @ ("i386" | "x86_64" | "arm64")) => Ok(name.to_owned()),
        Some(other) => {
            Err(ApiError::invalid_value("Architecture", other, "Valid: i386, x86_64, arm64."))
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Location {
    blob: BlobId,
    format: DiskFormat,
    size_gib: u64,
    kind: ImageKind,
    public: bool,
}

impl Location {
    fn parse(text: &str) -> Result<Location, ApiError> {
        let rest = text.strip_prefix("blob:").ok_or_else(elsewhere)?;
        let (blob, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut location = Location {
            blob: blob.parse().map_err(|_| malformed("a blob is named by 64 hex digits"))?,
            format: DiskFormat::Raw,
            size_gib: 0,
            kind: ImageKind::Machine,
            public: false,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            location.take(pair)?;
        }
        if location.kind == ImageKind::Machine && location.size_gib == 0 {
            return Err(malformed("a machine image needs size=<GiB>, at least 1"));
        }
        Ok(location)
    }

    fn take(&mut self, pair: &str) -> Result<(), ApiError> {
        match pair.split_once('=').ok_or_else(|| malformed("expected name=value"))? {
            ("format", "raw") => self.format = DiskFormat::Raw,
            ("format", "qcow2") => self.format = DiskFormat::Qcow2,
            ("kind", "machine") => self.kind = ImageKind::Machine,
            ("kind", "kernel") => self.kind = ImageKind::Kernel,
            ("kind", "ramdisk") => self.kind = ImageKind::Ramdisk,
            ("public", "true") => self.public = true,
            ("public", "false") => self.public = false,
            ("size", gib) => {
                self.size_gib = gib.parse().map_err(|_| malformed("size is a number of GiB"))?;
            }
            _ => return Err(malformed(&format!("'{pair}' is not understood"))),
        }
        Ok(())
    }
}

fn malformed(why: &str) -> ApiError {
    ApiError::new(
        Code::InvalidParameterValue,
        format!(
            "Invalid ImageLocation: {why}. Expected \
             blob:<sha256>?format=raw|qcow2&size=<GiB>&kind=machine|kernel|ramdisk&public=true|false"
        ),
    )
}

/// A manifest in S3, or a snapshot.
fn elsewhere() -> ApiError {
    unsupported(
        "This cloud has no object store or snapshots to register an image from. Add the image's \
         file with 'mallee image add'.",
    )
}
