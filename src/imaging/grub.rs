//! A disk that starts by itself: GRUB in the boot sectors, one partition after them.
//!
//! The sectors are written here, byte by byte, because `grub-install` wants root and a block device.

use super::ImagingFault;
use super::packages::Unpacked;
use crate::blobs::digest::{Sparse, copy};
use crate::blobs::tool::{QEMU_IMG, Tool};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

pub const GRUB_MKIMAGE: Tool = Tool { name: "grub-mkimage", package: "grub-common" };

const SECTOR: u64 = 512;
/// The first MiB is GRUB's, the rest the partition's.
const PARTITION_START: u64 = 2048;
/// Names the disk; fixed, so that the same input makes the same bytes.
const DISK_SIGNATURE: [u8; 4] = *b"mlle";

/// What GRUB reads: no menu, no waiting, output where the console is.
pub fn configuration(command_line: &str) -> String {
    format!(
        "set timeout=0\nserial --unit=0 --speed=115200\nterminal_output serial\n\
         linux /boot/vmlinuz {command_line}\ninitrd /boot/initrd.img\nboot\n"
    )
}

/// Puts the boot sectors before the file system `partition` and writes both to `at`.
pub fn make_disk(
    packages: &Unpacked,
    partition: &Path,
    at: &Path,
    scratch: &Path,
) -> Result<(), ImagingFault> {
    let partition_bytes =
        fs::metadata(partition).map_err(ImagingFault::io("examined", partition))?;
    let core = core_image(packages, scratch)?;
    let boot = packages.read("i386-pc/boot.img")?;
    let start = boot_sectors(&boot, &core, partition_bytes.len() / SECTOR)?;
    let file = File::create(at).map_err(ImagingFault::io("created", at))?;
    let mut disk = Sparse::new(file);
    disk.write_all(&start).map_err(ImagingFault::io("written", at))?;
    let mut from = File::open(partition).map_err(ImagingFault::io("opened", partition))?;
    copy(&mut from, &mut disk, None, &mut |_, _| {}).map_err(ImagingFault::io("written", at))?;
    disk.finish().map_err(ImagingFault::io("written", at))?;
    Ok(())
}

/// A raw disk as a compressed qcow2 file.
pub fn compress(raw: &Path, at: &Path) -> Result<(), ImagingFault> {
    let arguments = ["convert", "-q", "-c", "-f", "raw", "-O", "qcow2", "--"].map(AsRef::as_ref);
    QEMU_IMG.run(&[&arguments[..], &[raw.as_os_str(), at.as_os_str()]].concat())?;
    Ok(())
}

/// GRUB itself, with what it needs to read a file from the first partition of its own disk.
fn core_image(packages: &Unpacked, scratch: &Path) -> Result<Vec<u8>, ImagingFault> {
    let modules = packages.find("i386-pc/kernel.img")?;
    let directory = modules.parent().expect("a file that was found is in a directory");
    fs::create_dir_all(scratch).map_err(ImagingFault::io("created", scratch))?;
    let core = scratch.join("core.img");
    let options = ["-O", "i386-pc", "-p", "(,msdos1)/boot/grub", "-d"].map(AsRef::as_ref);
    let paths = [directory.as_os_str(), "-o".as_ref(), core.as_os_str()];
    let wanted = [
        "biosdisk",
        "part_msdos",
        "ext2",
        "normal",
        "linux",
        "configfile",
        "serial",
        "terminal",
        "boot",
    ]
    .map(AsRef::as_ref);
    GRUB_MKIMAGE.run(&[&options[..], &paths, &wanted].concat())?;
    fs::read(&core).map_err(ImagingFault::io("read", &core))
}

/// The MBR with its one partition, then GRUB, up to the partition's start.
fn boot_sectors(boot: &[u8], core: &[u8], sectors: u64) -> Result<Vec<u8>, ImagingFault> {
    let room = ((PARTITION_START - 1) * SECTOR) as usize;
    if boot.len() != SECTOR as usize || core.len() > room {
        return Err(ImagingFault::FileSystem("GRUB does not fit before the partition".to_owned()));
    }
    let mut start = vec![0u8; (PARTITION_START * SECTOR) as usize];
    start[..440].copy_from_slice(&boot[..440]);
    start[440..444].copy_from_slice(&DISK_SIGNATURE);
    // Bootable, Linux; the cylinders of old are all ones, which means: see the sector numbers.
    start[446..454].copy_from_slice(&[0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff]);
    start[454..458].copy_from_slice(&(PARTITION_START as u32).to_le_bytes());
    start[458..462].copy_from_slice(&(sectors as u32).to_le_bytes());
    start[510..512].copy_from_slice(&[0x55, 0xaa]);
    start[512..512 + core.len()].copy_from_slice(core);
    Ok(start)
}

#[cfg(test)]
mod tests {
    use super::boot_sectors;

    #[test]
    fn the_first_sector_names_one_bootable_partition_and_grub_follows() {
        let start = boot_sectors(&[9; 512], &[8; 3000], 0x0102_0304).unwrap();
        assert_eq!(start.len(), 1 << 20);
        assert_eq!((start[439], start[440]), (9, b'm'));
        assert_eq!(start[446], 0x80);
        assert_eq!(start[454..462], [0, 8, 0, 0, 4, 3, 2, 1]);
        assert_eq!(start[462..510], [0; 48]);
        assert_eq!((&start[510..512], start[512], start[512 + 3000]), (&[0x55, 0xaa][..], 8, 0));
    }

    #[test]
    fn a_grub_that_would_reach_into_the_partition_is_refused() {
        assert!(boot_sectors(&[9; 512], &vec![8; 1 << 20], 1).is_err());
    }
}
