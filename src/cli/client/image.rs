//! Images, and how their bytes are named to RegisterImage.
//!
//! The bytes are in the cloud's blob store before the call. EC2 has no parameters for where, in
//! which format and for whom, so the `ImageLocation` says it, as a URL would:
//!
//! ```text
//!   blob:<sha256>?format=raw|qcow2&size=<GiB>&kind=machine|kernel|ramdisk&public=true|false
//! ```
//!
//! What DescribeImages gives back as a location is EC2's `<owner>/<name>`, so the digest is kept in
//! a tag as well: by it an image that is there already is known.

use super::{Client, ClientFault, Items, Request, TagAnswer};
use crate::domain::{
    blob::BlobId,
    image::{DiskFormat, ImageKind},
};
use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageAnswer {
    pub image_id: String,
    #[serde(default)]
    pub image_state: String,
    #[serde(default)]
    pub image_owner_id: String,
    #[serde(default)]
    pub is_public: bool,
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub image_type: String,
    #[serde(default)]
    pub kernel_id: Option<String>,
    #[serde(default)]
    pub ramdisk_id: Option<String>,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub tag_set: Items<TagAnswer>,
}

/// The tag that has the digest of an image's bytes.
const BLOB_TAG: &str = "mallee:blob";

impl ImageAnswer {
    /// Whether it was registered with these bytes.
    pub fn is_of(&self, blob: &BlobId) -> bool {
        let blob = blob.to_string();
        self.tag_set.item.iter().any(|tag| tag.key == BLOB_TAG && tag.value == blob)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    #[serde(default)]
    images_set: Items<ImageAnswer>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registered {
    image_id: String,
}

/// Bytes to be registered.
#[derive(Debug, Clone, Copy)]
pub struct Location {
    pub blob: BlobId,
    pub format: DiskFormat,
    pub size_gib: u64,
    pub kind: ImageKind,
    pub public: bool,
}

impl Location {
    pub fn text(&self) -> String {
        let format = match self.format {
            DiskFormat::Raw => "raw",
            DiskFormat::Qcow2 => "qcow2",
        };
        let Location { blob, size_gib, public, .. } = self;
        let kind = self.kind.as_str();
        format!("blob:{blob}?format={format}&size={size_gib}&kind={kind}&public={public}")
    }
}

impl Client {
    /// The images with this name that the caller can see.
    pub fn images_named(&self, name: &str) -> Result<Vec<ImageAnswer>, ClientFault> {
        // A filter's `*` and `?` are wildcards, and a name may have them.
        let pattern: String = name
            .chars()
            .flat_map(|c| matches!(c, '*' | '?' | '\\').then_some('\\').into_iter().chain([c]))
            .collect();
        self.describe_images(&Request::new("DescribeImages").filtered("name", pattern))
    }

    pub fn describe_images(&self, request: &Request) -> Result<Vec<ImageAnswer>, ClientFault> {
        let described: Described = self.call(request)?;
        Ok(described.images_set.item)
    }

    pub fn deregister_image(&self, id: &str) -> Result<(), ClientFault> {
        let request = Request::new("DeregisterImage").with("ImageId", id);
        self.call::<super::Done>(&request).map(|_| ())
    }

    /// The new image's id.
    pub fn register_image(&self, request: &Request) -> Result<String, ClientFault> {
        let registered: Registered = self.call(request)?;
        Ok(registered.image_id)
    }
}

/// The call that registers `location` under `name`.
pub fn register_image(name: &str, location: &Location) -> Request {
    let request = Request::new("RegisterImage")
        .with("Name", name)
        .with("ImageLocation", location.text())
        .with("TagSpecification.1.ResourceType", "image")
        .with("TagSpecification.1.Tag.1.Key", BLOB_TAG)
        .with("TagSpecification.1.Tag.1.Value", location.blob);
    match location.kind {
        ImageKind::Machine => {
            request.with("RootDeviceName", "/dev/sda1").with("VirtualizationType", "hvm")
        }
        ImageKind::Kernel | ImageKind::Ramdisk => request,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::read_answer;

    fn location() -> Location {
        Location {
            blob: BlobId::of_digest([0xab; 32]),
            format: DiskFormat::Qcow2,
            size_gib: 3,
            kind: ImageKind::Machine,
            public: true,
        }
    }

    #[test]
    fn a_location_says_everything_ec2_has_no_parameter_for() {
        let expected =
            format!("blob:{}?format=qcow2&size=3&kind=machine&public=true", "ab".repeat(32));
        assert_eq!(location().text(), expected);
    }

    #[test]
    fn an_image_knows_its_bytes() {
        let xml = format!(
            "<DescribeImagesResponse><requestId>1</requestId><imagesSet><item>\
             <imageId>ami-1</imageId><imageLocation>123456789012/demo</imageLocation>\
             <imageState>available</imageState><imageOwnerId>123456789012</imageOwnerId>\
             <isPublic>true</isPublic><architecture>x86_64</architecture>\
             <imageType>machine</imageType><name>demo</name><blockDeviceMapping/>\
             <tagSet><item><key>mallee:blob</key><value>{}</value></item></tagSet>\
             </item></imagesSet></DescribeImagesResponse>",
            location().blob
        );
        let described: Described = read_answer("DescribeImages", &xml).unwrap();
        let [image] = &described.images_set.item[..] else { panic!("there is one") };
        assert!(image.is_public && image.name == "demo" && image.kernel_id.is_none());
        assert!(image.is_of(&location().blob));
        assert!(!image.is_of(&BlobId::of_digest([0; 32])));
    }
}
