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
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

const DEFAULT_ROOT_DEVICE: &str = "/dev/sda1";
const NAME_CHARACTERS: RangeInclusive<usize> = 3..=128;
const DESCRIPTION_CHARACTERS: usize = 255;
const GIB: u64 = 1 << 30;

#[derive(Debug, Deserialize, JsonSchema)]
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

#[derive(Debug, Serialize, JsonSchema)]
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
        log::error!("request {}: {fault}", exchange.cause.request_id);
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

#[cfg(test)]
mod tests {
    use crate::{
        api::actions::testing::{ALICE, BLOB, BOB, TestCloud},
        domain::image::DiskFormat,
    };

    fn request(location: &str, more: &str) -> String {
        // As in a URL: the location has its own `?` and `&`.
        let location = location.replace('?', "%3F").replace('&', "%26").replace('=', "%3D");
        format!("Name=image one&ImageLocation={location}{more}")
    }

    fn blob(query: &str) -> String {
        format!("blob:{BLOB}?{query}")
    }

    #[actix_web::test]
    async fn an_administrator_registers_bytes_that_are_there_under_a_name_of_their_own() {
        let cloud = TestCloud::start().await;
        let root = cloud.administrator();
        let location = blob("format=qcow2&size=4&kind=machine&public=true");
        let register = request(&location, "&Description=one&RootDeviceName=/dev/xvda");
        let answer = "<imageId>ami-1</imageId>";
        root.check("RegisterImage", &register, answer).await;
        let state = cloud.state();
        let image = state.images.values().find(|image| image.name == "image one").unwrap();
        assert_eq!((image.blob, image.format, image.size_gib), (BLOB, DiskFormat::Qcow2, 4));
        assert!(image.public && image.root_device_name == "/dev/xvda");
        let twice = "InvalidAMIName.Duplicate";
        root.check_refused("RegisterImage", &register, twice, "in use by AMI ami-1").await;
    }

    #[actix_web::test]
    async fn kernels_and_ramdisks_have_ids_of_their_kind_and_serve_a_machine_image() {
        let cloud = TestCloud::start().await;
        let root = cloud.administrator();
        for (kind, id) in [("kernel", "aki-1"), ("ramdisk", "ari-1")] {
            let location = blob(&format!("kind={kind}"));
            let register = request(&location, "").replace("image one", kind);
            root.check("RegisterImage", &register, &format!("<imageId>{id}</imageId>")).await;
        }
        let location = blob("size=3&public=true");
        let machine = request(&location, "&KernelId=aki-1&RamdiskId=ari-1");
        root.check("RegisterImage", &machine, "<imageId>ami-1</imageId>").await;
        let short = machine.replace("image one", "im");
        root.check_refused("RegisterImage", &short, "InvalidAMIName.Malformed", "").await;
        let swapped = machine.replace("aki-1", "ari-1").replace("image one", "image two");
        root.check_refused("RegisterImage", &swapped, "InvalidParameterValue", "kernel").await;
        // The parts are not public, and need not be.
        let run = "ImageId=ami-1&MinCount=1&MaxCount=1";
        cloud.of(BOB).call("RunInstances", run).await.unwrap();
        let state = cloud.state();
        let instance = state.instances().next().unwrap();
        assert_eq!(instance.boot.kernel, Some(BLOB));
        let run = "ImageId=ami-0000000a&KernelId=aki-1&MinCount=1&MaxCount=1";
        cloud.of(BOB).check_refused("RunInstances", run, "InvalidAMIID.NotFound", "").await;
    }

    #[actix_web::test]
    async fn what_is_not_there_or_not_understood_is_refused_with_what_to_do() {
        let cloud = TestCloud::start().await;
        let root = cloud.administrator();
        let absent = format!("blob:{}?size=1", "0".repeat(64));
        for (location, code, part) in [
            (absent.as_str(), "InvalidManifest", "mallee image add"),
            ("bucket/image.manifest.xml", "UnsupportedOperation", "mallee image add"),
            ("blob:12?size=1", "InvalidParameterValue", "64 hex digits"),
            (&blob("size=0"), "InvalidParameterValue", "at least 1"),
            (&blob(""), "InvalidParameterValue", "at least 1"),
            (&blob("size=-1"), "InvalidParameterValue", "number of GiB"),
            (&blob("size=1&kind=floppy"), "InvalidParameterValue", "kind=floppy"),
            (&blob("size=1&format"), "InvalidParameterValue", "name=value"),
            (&blob("size=2"), "InvalidParameterValue", "more than its size"),
        ] {
            root.check_refused("RegisterImage", &request(location, ""), code, part).await;
        }
        for (more, code) in [
            ("&Architecture=vax", "InvalidParameterValue"),
            ("&VirtualizationType=paravirtual", "UnsupportedOperation"),
            ("&KernelId=aki-00000000", "InvalidAMIID.NotFound"),
            ("&TpmSupport=v2.0", "UnsupportedOperation"),
        ] {
            let register = request(&blob("size=3"), more);
            root.check_refused("RegisterImage", &register, code, "").await;
        }
        for (register, code) in [
            ("Name=image one", "MissingParameter"),
            ("ImageLocation=x", "MissingParameter"),
            ("Name=snap&BlockDeviceMapping.1.DeviceName=/dev/sda1", "UnsupportedOperation"),
        ] {
            root.check_refused("RegisterImage", register, code, "").await;
        }
        assert_eq!(cloud.state().images.size(), 1);
    }

    #[actix_web::test]
    async fn nobody_else_registers_images_or_learns_what_bytes_there_are() {
        let cloud = TestCloud::start().await.of(ALICE);
        for location in [blob("size=3"), format!("blob:{}?size=1", "0".repeat(64))] {
            let register = request(&location, "");
            cloud.check_refused("RegisterImage", &register, "UnauthorizedOperation", "").await;
        }
    }

    #[actix_web::test]
    async fn a_deregistered_image_is_gone_for_launches_and_its_instances_go_on() {
        let cloud = TestCloud::start().await;
        cloud.launch(1).await;
        cloud.settle().await;
        cloud.call("DescribeInstances", "").await.unwrap();
        let image = "ImageId=ami-0000000a";
        let unauthorized = "UnauthorizedOperation";
        cloud.check_refused("DeregisterImage", image, unauthorized, "").await;
        cloud.administrator().check("DeregisterImage", image, "<return>true</return>").await;
        let gone = "InvalidAMIID.NotFound";
        cloud.administrator().check_refused("DeregisterImage", image, gone, "").await;
        cloud.check_refused("DescribeImages", "ImageId.1=ami-0000000a", gone, "").await;
        let run = "ImageId=ami-0000000a&MinCount=1&MaxCount=1";
        cloud.check_refused("RunInstances", run, gone, "").await;
        cloud.call("StopInstances", "InstanceId.1=i-1").await.unwrap();
        cloud.settle().await;
        cloud.call("StartInstances", "InstanceId.1=i-1").await.unwrap();
        cloud.settle().await;
        assert_eq!(cloud.value("DescribeInstances", "", "imageId").await, "ami-0000000a");
        assert_eq!(cloud.values("DescribeInstances", "", "name").await[0], "running");
    }
}
