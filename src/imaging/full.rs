//! A full Debian with the real cloud-init, whose Ec2 datasource finds the cloud by itself.
//!
//! `mmdebstrap` installs the packages, which takes minutes; as root, or unprivileged through user
//! namespaces. Unlike the demo image the bytes differ from build to build: packages run scripts.
//! cloud-init looks for EC2 when the SMBIOS serial and uuid both begin with `ec2`, or, with a kernel
//! from outside, when the command line says so: [`COMMAND_LINE`].

use super::demo::KERNEL_PACKAGE;
use super::ext4::MKE2FS;
use super::grub::{self, GRUB_MKIMAGE};
use super::packages::{self, APT_CACHE, APT_GET, DPKG_DEB};
use super::{ImageFiles, ImagingFault, Step, require, require_architecture};
use crate::blobs::tool::{QEMU_IMG, Tool};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub const COMMAND_LINE: &str = "root=LABEL=mallee-root console=ttyS0 ci.ds=Ec2";
/// The disk takes its datasource from the SMBIOS alone.
const DISK_COMMAND_LINE: &str = "root=LABEL=mallee-root console=ttyS0";

const MMDEBSTRAP: Tool = Tool { name: "mmdebstrap", package: "mmdebstrap" };
const TAR: Tool = Tool { name: "tar", package: "tar" };
const SH: Tool = Tool { name: "sh", package: "dash" };
const UNSHARE: Tool = Tool { name: "unshare", package: "util-linux" };

const INITRAMFS: &str = include_str!("full/initramfs.sh");
const CUSTOMIZE: &str = include_str!("full/customize.sh");
const PACK: &str = include_str!("full/pack.sh");

const INCLUDED: [&str; 18] = [
    KERNEL_PACKAGE,
    "ca-certificates",
    "cloud-guest-utils",
    "cloud-init",
    "dbus",
    "e2fsprogs",
    "iproute2",
    "iputils-ping",
    "isc-dhcp-client",
    "libpam-systemd",
    "netplan.io",
    "openssh-server",
    "sudo",
    "systemd-resolved",
    "systemd-sysv",
    "tzdata",
    "udev",
    "zstd",
];

#[derive(Debug, Clone)]
pub struct FullOptions {
    /// Where packages for the boot loader are kept, and scratch files during the build (about 2 GiB).
    pub work: PathBuf,
    /// Where the four files are put.
    pub output: PathBuf,
    /// Debian's name for the release, such as `bookworm`.
    pub suite: String,
    /// The size of the root file system before it grows into its disk; the system needs 1 GiB.
    pub size_mib: u64,
}

pub fn build_full(options: &FullOptions, step: Step<'_>) -> Result<ImageFiles, ImagingFault> {
    require_architecture()?;
    require(&[
        MMDEBSTRAP,
        TAR,
        UNSHARE,
        APT_GET,
        APT_CACHE,
        DPKG_DEB,
        MKE2FS,
        GRUB_MKIMAGE,
        QEMU_IMG,
    ])?;
    packages::require_lists("grub-pc-bin", step)?;
    let scratch = options.work.join("full");
    for directory in [&options.output, &scratch] {
        fs::create_dir_all(directory).map_err(ImagingFault::io("created", directory))?;
    }
    let image = ImageFiles::inside(&options.output);
    let outcome = build(options, &image, &scratch, step);
    fs::remove_dir_all(&scratch).map_err(ImagingFault::io("removed", &scratch))?;
    outcome?;
    Ok(image)
}

fn build(
    options: &FullOptions,
    image: &ImageFiles,
    scratch: &Path,
    step: Step<'_>,
) -> Result<(), ImagingFault> {
    let archive = scratch.join("root.tar");
    step(&format!("installing Debian `{}` with cloud-init, which takes minutes", options.suite));
    install(options, scratch, &archive)?;
    step("making the root file system");
    pack(options, scratch, &archive)?;
    step("making the disk that starts by itself");
    let loader = packages::resolve(&BTreeSet::from(["grub-pc-bin".to_owned()]))?;
    let loader = packages::obtain(&loader, &options.work, step)?;
    let raw = scratch.join("disk.img");
    grub::make_disk(&loader, &image.root, &raw, &scratch.join("grub"))?;
    grub::compress(&raw, &image.disk)
}

/// The installed system as an archive, which keeps owners whoever runs this.
fn install(options: &FullOptions, scratch: &Path, archive: &Path) -> Result<(), ImagingFault> {
    let initramfs = script(scratch, "initramfs.sh", INITRAMFS)?;
    let customize = script(scratch, "customize.sh", CUSTOMIZE)?;
    let configuration = scratch.join("grub.cfg");
    fs::write(&configuration, grub::configuration(DISK_COMMAND_LINE))
        .map_err(ImagingFault::io("written", &configuration))?;
    let hooks = [
        format!("--essential-hook={}", initramfs.display()),
        format!("--customize-hook={}", customize.display()),
        format!("--customize-hook=upload {} /boot/grub/grub.cfg", configuration.display()),
    ];
    let mut arguments: Vec<String> = [
        "--quiet",
        "--variant=minbase",
        "--format=tar",
        "--aptopt=Acquire::Languages \"none\"",
        "--aptopt=APT::Install-Recommends \"false\"",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
    ]
    .map(str::to_owned)
    .into();
    arguments.push(format!("--include={}", INCLUDED.join(",")));
    arguments.extend(hooks);
    arguments.extend([options.suite.clone(), archive.display().to_string()]);
    MMDEBSTRAP.run(&arguments)?;
    Ok(())
}

/// Unpacks the archive where its owners are real and makes the file system of it.
fn pack(options: &FullOptions, scratch: &Path, archive: &Path) -> Result<(), ImagingFault> {
    let pack = script(scratch, "pack.sh", PACK)?;
    let size = (options.size_mib << 20).to_string();
    let tree = scratch.join("tree");
    let arguments = [
        pack.as_os_str(),
        archive.as_os_str(),
        options.output.as_os_str(),
        size.as_ref(),
        tree.as_os_str(),
    ];
    if packages::is_root() {
        SH.run(&arguments)?;
    } else {
        let namespace = ["--map-root-user", "--map-auto", "--mount", "sh"].map(AsRef::as_ref);
        UNSHARE.run(&[&namespace[..], &arguments].concat())?;
    }
    Ok(())
}

fn script(directory: &Path, name: &str, text: &str) -> Result<PathBuf, ImagingFault> {
    let directory = directory.canonicalize().map_err(ImagingFault::io("found", directory))?;
    let path = directory.join(name);
    fs::write(&path, text)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
        .map_err(ImagingFault::io("written", &path))?;
    Ok(path)
}
