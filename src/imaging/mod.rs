//! Disk images made and checked: the small demo system, a full Debian with cloud-init, and a look at
//! what an administrator adds.
//!
//! Everything is built from Debian's packages without root, loop devices or installing anything.
//! Who calls shows the progress; nothing here prints. Images become blobs elsewhere.

pub mod demo;
pub mod full;
pub mod inspect;

mod cpio;
mod ext4;
mod grub;
mod packages;
mod tree;

use crate::blobs::BlobFault;
use crate::blobs::tool::Tool;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ImagingFault {
    #[error("these tools are needed and not installed: {}", named(.0))]
    ToolsMissing(Vec<Tool>),
    #[error("apt knows no packages yet: run `apt-get update` as root first")]
    PackageListsMissing,
    #[error("the package `{package}` is not what the package list says: its digest is `{actual}`")]
    PackageDamaged { package: String, actual: String },
    #[error("no downloaded package holds `{0}`")]
    FileMissing(String),
    #[error("the file system does not hold what was put into it: {0}")]
    FileSystem(String),
    #[error("images are built for `x86_64` only, and this host is `{0}`")]
    Architecture(&'static str),
    #[error(transparent)]
    Bytes(#[from] BlobFault),
}

impl ImagingFault {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ImagingFault {
        let fault = BlobFault::io(doing, path);
        move |error| ImagingFault::Bytes(fault(error))
    }
}

/// Told what is being done now, in words for the administrator.
pub type Step<'a> = &'a mut dyn FnMut(&str);

/// The files of one image: a kernel, ramdisk and root that belong together, and the same system as
/// a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFiles {
    pub kernel: PathBuf,
    pub ramdisk: PathBuf,
    /// A raw file system without a partition table.
    pub root: PathBuf,
    /// A compressed qcow2 disk that starts by itself.
    pub disk: PathBuf,
}

impl ImageFiles {
    fn inside(directory: &Path) -> ImageFiles {
        let place = |name: &str| directory.join(name);
        ImageFiles {
            kernel: place("vmlinuz"),
            ramdisk: place("initrd.img"),
            root: place("root.img"),
            disk: place("disk.qcow2"),
        }
    }
}

/// GRUB for the BIOS and the names of the libraries are this architecture's.
fn require_architecture() -> Result<(), ImagingFault> {
    match std::env::consts::ARCH {
        "x86_64" => Ok(()),
        other => Err(ImagingFault::Architecture(other)),
    }
}

/// All that is missing, in one refusal.
fn require(tools: &[Tool]) -> Result<(), ImagingFault> {
    let missing: Vec<Tool> = tools.iter().copied().filter(|tool| !tool.is_installed()).collect();
    if missing.is_empty() { Ok(()) } else { Err(ImagingFault::ToolsMissing(missing)) }
}

fn named(tools: &[Tool]) -> String {
    let each =
        tools.iter().map(|tool| format!("`{}` (Debian package `{}`)", tool.name, tool.package));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{ImagingFault, require};
    use crate::blobs::tool::{GZIP, Tool};

    #[test]
    fn all_missing_tools_are_named_at_once_with_their_packages() {
        let [one, two] = ["no-tool-one", "no-tool-two"].map(|name| Tool { name, package: "pkg" });
        let fault = require(&[one, GZIP, two]).unwrap_err();
        assert!(matches!(&fault, ImagingFault::ToolsMissing(tools) if *tools == [one, two]));
        let text = fault.to_string();
        assert!(text.contains("`no-tool-one` (Debian package `pkg`), `no-tool-two`"), "{text}");
        require(&[GZIP]).unwrap();
    }
}
