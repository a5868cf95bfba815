//! The demo image: a Linux small enough for every test, which does on its own what cloud-init does.
//!
//! Debian's cloud kernel, busybox and dropbear. It takes an address for every network interface,
//! asks the instance metadata service for its name, keys and user data, lets people in by ssh as
//! `root` and `ec2-user`, grows into its disk, survives power cuts and ends cleanly when asked.
//! It comes as kernel, ramdisk and root, and as one disk that starts by itself. It is no
//! distribution: there is no package manager, and `#!` scripts are the only user data it knows.

mod system;

use super::ext4::{self, DEBUGFS, MKE2FS, Shape};
use super::grub::{self, GRUB_MKIMAGE};
use super::packages::{self, APT_CACHE, APT_GET, DPKG_DEB, Package, Unpacked};
use super::{ImageFiles, ImagingFault, Step, cpio, require, require_architecture};
use crate::blobs::tool::QEMU_IMG;
use ring::digest::{Context, SHA256};
use std::fs;
use std::path::{Path, PathBuf};

/// A kernel and ramdisk are told to look here for their root; a whole disk has it built in.
pub const COMMAND_LINE: &str = "root=LABEL=mallee-root console=ttyS0";
/// As [`COMMAND_LINE`], for a disk that starts by itself: a copy of it, attached as a second disk,
/// has the same label.
const DISK_COMMAND_LINE: &str = "root=/dev/vda1 console=ttyS0";

/// What the guest prints on its console when it is ready for people.
pub const READY: &str = "mallee-demo: ready";

pub const KERNEL_PACKAGE: &str = "linux-image-cloud-amd64";
const LABEL: &str = "mallee-root";
const ROOT_MIB: u64 = 32;
const PARTITION_MIB: u64 = 63;

#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Where packages are kept between builds, and scratch files during one.
    pub work: PathBuf,
    /// Where the four files are put.
    pub output: PathBuf,
}

/// Builds the image, unless the output holds one made of the very same inputs.
pub fn build_demo(options: &DemoOptions, step: Step<'_>) -> Result<ImageFiles, ImagingFault> {
    require_architecture()?;
    require(&[APT_GET, APT_CACHE, DPKG_DEB, MKE2FS, DEBUGFS, GRUB_MKIMAGE, QEMU_IMG])?;
    packages::require_lists(KERNEL_PACKAGE, step)?;
    let packages = wanted_packages()?;
    let image = ImageFiles::inside(&options.output);
    let inputs = inputs_digest(&packages);
    let stamp = options.output.join("inputs");
    if fs::read_to_string(&stamp).is_ok_and(|built| built == inputs) {
        step("the image is there already");
        return Ok(image);
    }
    let unpacked = packages::obtain(&packages, &options.work, step)?;
    fs::create_dir_all(&options.output).map_err(ImagingFault::io("created", &options.output))?;
    // The stamp vouches for the files: it goes first and comes back last.
    if stamp.exists() {
        fs::remove_file(&stamp).map_err(ImagingFault::io("removed", &stamp))?;
    }
    let scratch = options.work.join("scratch");
    let outcome = build(&unpacked, &image, &scratch, step);
    if scratch.exists() {
        fs::remove_dir_all(&scratch).map_err(ImagingFault::io("removed", &scratch))?;
    }
    outcome?;
    fs::write(&stamp, inputs).map_err(ImagingFault::io("written", &stamp))?;
    Ok(image)
}

fn wanted_packages() -> Result<Vec<Package>, ImagingFault> {
    let mut names = packages::with_dependencies(&["dropbear-bin", "e2fsprogs"])?;
    names.insert(packages::real_package(KERNEL_PACKAGE)?);
    names.extend(["busybox-static", "grub-pc-bin"].map(str::to_owned));
    packages::resolve(&names)
}

/// Changes when a package does, or this builder.
fn inputs_digest(packages: &[Package]) -> String {
    let mut context = Context::new(&SHA256);
    context.update(format!("{packages:?}").as_bytes());
    for source in system::GUEST_FILES {
        context.update(source.as_bytes());
    }
    for source in [
        include_str!("mod.rs"),
        include_str!("system.rs"),
        include_str!("../cpio.rs"),
        include_str!("../ext4.rs"),
        include_str!("../grub.rs"),
        include_str!("../tree.rs"),
    ] {
        context.update(source.as_bytes());
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn build(
    packages: &Unpacked,
    image: &ImageFiles,
    scratch: &Path,
    step: Step<'_>,
) -> Result<(), ImagingFault> {
    step("making the kernel and the ramdisk");
    let kernel = system::kernel(packages)?;
    let ramdisk = cpio::archive(&system::ramdisk(packages)?);
    fs::write(&image.kernel, &kernel).map_err(ImagingFault::io("written", &image.kernel))?;
    fs::write(&image.ramdisk, &ramdisk).map_err(ImagingFault::io("written", &image.ramdisk))?;

    let mut root = system::root(packages, ROOT_MIB)?;
    let shape = Shape { label: LABEL, size_mib: ROOT_MIB };
    ext4::make(&root, shape, &image.root, &scratch.join("root"), step)?;

    system::note_size(&mut root, PARTITION_MIB);
    root.file("boot/vmlinuz", 0o644, kernel);
    root.file("boot/initrd.img", 0o644, ramdisk);
    root.file("boot/grub/grub.cfg", 0o644, grub::configuration(DISK_COMMAND_LINE));
    let partition = scratch.join("partition.img");
    let shape = Shape { label: LABEL, size_mib: PARTITION_MIB };
    ext4::make(&root, shape, &partition, &scratch.join("disk"), step)?;
    step("making the disk that starts by itself");
    let raw = scratch.join("disk.img");
    grub::make_disk(packages, &partition, &raw, &scratch.join("grub"))?;
    grub::compress(&raw, &image.disk)
}
