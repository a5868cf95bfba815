//! Machine images, kernels and ramdisks.
//!
//! Images belong to no region: a public image has one id everywhere.

use super::{
    blob::BlobId,
    id::{AccountId, ImageId},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ImageKind {
    Machine,
    Kernel,
    Ramdisk,
}

impl ImageKind {
    /// EC2's word.
    pub fn as_str(self) -> &'static str {
        match self {
            ImageKind::Machine => "machine",
            ImageKind::Kernel => "kernel",
            ImageKind::Ramdisk => "ramdisk",
        }
    }

    /// The prefix of ids of this kind, in the family of the setting.
    pub fn prefix(self, family: ImageIdFamily) -> &'static str {
        match (family, self) {
            (ImageIdFamily::Ami, ImageKind::Machine) => "ami-",
            (ImageIdFamily::Ami, ImageKind::Kernel) => "aki-",
            (ImageIdFamily::Ami, ImageKind::Ramdisk) => "ari-",
            (ImageIdFamily::Emi, ImageKind::Machine) => "emi-",
            (ImageIdFamily::Emi, ImageKind::Kernel) => "eki-",
            (ImageIdFamily::Emi, ImageKind::Ramdisk) => "eri-",
        }
    }
}

/// Which prefixes new image ids get. AWS clients validate `ami-`; Eucalyptus' own were `emi-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageIdFamily {
    #[default]
    Ami,
    Emi,
}

/// How a machine image's bytes are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskFormat {
    Raw,
    Qcow2,
}

/// The bytes a guest starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootSource {
    pub root: BlobId,
    pub format: DiskFormat,
    /// Booted straight into; without one the root disk boots itself.
    pub kernel: Option<BlobId>,
    pub ramdisk: Option<BlobId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub id: ImageId,
    pub kind: ImageKind,
    pub owner: AccountId,
    pub name: String,
    pub description: Option<String>,
    /// `x86_64`, `arm64`.
    pub architecture: String,
    pub blob: BlobId,
    /// Meaningful for machine images.
    pub format: DiskFormat,
    /// What the root disk must at least hold.
    pub size_gib: u64,
    /// Booted straight into, where the image has no boot sector of its own.
    pub kernel: Option<ImageId>,
    pub ramdisk: Option<ImageId>,
    /// EC2's name of the root device, `/dev/sda1`.
    pub root_device_name: String,
    pub public: bool,
    /// Accounts besides the owner that may launch it.
    pub launch_permissions: BTreeSet<AccountId>,
    pub created_at: Timestamp,
}

impl Image {
    pub fn visible_to(&self, account: &AccountId) -> bool {
        self.public || self.owner == *account || self.launch_permissions.contains(account)
    }
}
