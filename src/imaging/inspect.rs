//! A look at a file before it becomes an image: what it is, how large, and whether it may be used.
//!
//! Only the first sectors are read; nothing is run. A file that depends on another one is refused
//! (see [`qcow2`](crate::blobs::qcow2)), and so is one that cannot be what it is said to be.

use super::ImagingFault;
use crate::blobs::BlobFault;
use crate::blobs::qcow2;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What the administrator says the file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A disk that starts by itself.
    Disk,
    /// A root that a kernel outside it is started with; a file system or a disk.
    Root,
    Kernel,
    Ramdisk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A raw disk with a boot sector and a partition table.
    RawDisk,
    /// A raw file system that fills the file.
    RawFileSystem,
    /// Whether it starts by itself shows only when it is unpacked.
    Qcow2,
    BzImage,
    ElfKernel,
    Cpio,
    Gzip,
    Xz,
    Zstd,
    Lz4,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspection {
    pub format: Format,
    /// The size a guest sees; for kernels and ramdisks, of the file.
    pub virtual_bytes: u64,
}

/// Enough for every magic number: the farthest is btrfs's, beyond 64 KiB.
const START_BYTES: u64 = 0x1_1000;

pub fn inspect(path: &Path, role: Role) -> Result<Inspection, ImagingFault> {
    let mut start = Vec::new();
    let file = File::open(path).map_err(ImagingFault::io("opened", path))?;
    let metadata = file.metadata().map_err(ImagingFault::io("examined", path))?;
    if !metadata.is_file() {
        return Err(refused("it is not a regular file"));
    }
    file.take(START_BYTES).read_to_end(&mut start).map_err(ImagingFault::io("read", path))?;
    let (format, virtual_bytes) = recognise(&start, metadata.len(), role)?;
    Ok(Inspection { format, virtual_bytes })
}

fn recognise(start: &[u8], file_bytes: u64, role: Role) -> Result<(Format, u64), ImagingFault> {
    if file_bytes == 0 {
        return Err(refused("it is empty"));
    }
    let format = match role {
        Role::Kernel => kernel(start).ok_or("it is neither a `bzImage` nor an ELF kernel"),
        Role::Ramdisk => ramdisk(start).ok_or("it is neither a cpio archive nor a compressed one"),
        Role::Disk | Role::Root if start.starts_with(qcow2::MAGIC) => {
            let header = qcow2::read(start).map_err(|refusal| refused(&refusal.to_string()))?;
            return Ok((Format::Qcow2, header.virtual_bytes));
        }
        Role::Disk | Role::Root if !file_bytes.is_multiple_of(512) => {
            Err("its length is not a whole number of sectors")
        }
        Role::Disk if !is_boot_sector(start) => {
            Err("it has no boot sector: is it a bare file system?")
        }
        Role::Disk => Ok(Format::RawDisk),
        Role::Root if is_file_system(start) => Ok(Format::RawFileSystem),
        Role::Root if is_boot_sector(start) => Ok(Format::RawDisk),
        Role::Root => Err("it is no file system and no disk that is known here"),
    };
    Ok((format.map_err(refused)?, file_bytes))
}

fn kernel(start: &[u8]) -> Option<Format> {
    let is_bz_image = start.get(0x202..0x206) == Some(b"HdrS");
    match is_bz_image {
        true => Some(Format::BzImage),
        false => is_elf_of_this_machine(start).then_some(Format::ElfKernel),
    }
}

/// 64 bits, little-endian, x86-64.
fn is_elf_of_this_machine(start: &[u8]) -> bool {
    start.starts_with(b"\x7fELF\x02\x01") && start.get(18..20) == Some(&[62, 0])
}

fn ramdisk(start: &[u8]) -> Option<Format> {
    let known: [(&[u8], Format); 6] = [
        (b"070701", Format::Cpio),
        (b"070702", Format::Cpio),
        (b"\x1f\x8b", Format::Gzip),
        (b"\xfd7zXZ\0", Format::Xz),
        (b"\x28\xb5\x2f\xfd", Format::Zstd),
        (b"\x02\x21\x4c\x18", Format::Lz4),
    ];
    known.into_iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, format)| format)
}

/// The mark of an MBR; a GPT disk has one too, to protect it. It must name a partition, for the
/// boot sector of a FAT file system bears the same mark.
fn is_boot_sector(start: &[u8]) -> bool {
    const KINDS: [usize; 4] = [450, 466, 482, 498];
    start.get(510..512) == Some(&[0x55, 0xaa]) && KINDS.iter().any(|kind| start[*kind] != 0)
}

/// ext2 to ext4, XFS and btrfs.
fn is_file_system(start: &[u8]) -> bool {
    start.get(0x438..0x43a) == Some(&[0x53, 0xef])
        || start.starts_with(b"XFSB")
        || start.get(0x1_0040..0x1_0048) == Some(b"_BHRfS_M")
}

fn refused(why: &str) -> ImagingFault {
    ImagingFault::Bytes(BlobFault::Refused(why.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Format, Role, inspect};
    use crate::blobs::tool::QEMU_IMG;
    use std::fs;

    fn check(bytes: &[u8], role: Role, expected: Result<Format, &str>) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, bytes).unwrap();
        match (inspect(&file, role), expected) {
            (Ok(found), Ok(format)) => {
                assert_eq!((found.format, found.virtual_bytes), (format, bytes.len() as u64));
            }
            (Err(fault), Err(why)) => assert!(fault.to_string().contains(why), "{fault}"),
            (found, expected) => panic!("{found:?} where {expected:?} was expected"),
        }
    }

    fn with(length: usize, at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut file = vec![0; length];
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    }

    fn disk() -> Vec<u8> {
        let mut disk = with(4096, 510, &[0x55, 0xaa]);
        disk[450] = 0x83;
        disk
    }

    #[test]
    fn disks_and_file_systems_are_recognised() {
        check(&disk(), Role::Disk, Ok(Format::RawDisk));
        check(&disk(), Role::Root, Ok(Format::RawDisk));
        let ext4 = with(1 << 17, 0x438, &[0x53, 0xef]);
        check(&ext4, Role::Root, Ok(Format::RawFileSystem));
        check(&ext4, Role::Disk, Err("no boot sector"));
        check(&with(1 << 17, 0x10040, b"_BHRfS_M"), Role::Root, Ok(Format::RawFileSystem));
    }

    #[test]
    fn kernels_and_ramdisks_are_recognised() {
        check(&with(4096, 0x202, b"HdrS"), Role::Kernel, Ok(Format::BzImage));
        let mut elf = with(4096, 0, b"\x7fELF\x02\x01");
        check(&elf, Role::Kernel, Err("neither a `bzImage` nor an ELF kernel"));
        elf[18] = 62;
        check(&elf, Role::Kernel, Ok(Format::ElfKernel));
        check(b"070701....", Role::Ramdisk, Ok(Format::Cpio));
        check(b"\x1f\x8b....", Role::Ramdisk, Ok(Format::Gzip));
        check(b"\x28\xb5\x2f\xfd..", Role::Ramdisk, Ok(Format::Zstd));
    }

    #[test]
    fn what_cannot_be_what_it_is_said_to_be_is_refused() {
        for role in [Role::Disk, Role::Root, Role::Kernel, Role::Ramdisk] {
            check(b"", role, Err("empty"));
        }
        check(&with(513, 0x1f0, b"x"), Role::Root, Err("sectors"));
        check(&[1; 1024], Role::Root, Err("no file system"));
        check(&disk(), Role::Kernel, Err("bzImage"));
        check(&with(4096, 0x202, b"HdrS"), Role::Ramdisk, Err("cpio"));
        assert!(inspect("/".as_ref(), Role::Root).is_err());
    }

    #[test]
    fn a_qcow2_disk_tells_the_size_the_guest_sees_and_may_not_lean_on_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let [alone, backed] = ["alone", "backed"].map(|name| dir.path().join(name));
        let [alone_name, backed_name] = [&alone, &backed].map(|path| path.to_str().unwrap());
        QEMU_IMG.run(&["create", "-q", "-f", "qcow2", alone_name, "3G"]).unwrap();
        let found = inspect(&alone, Role::Disk).unwrap();
        assert_eq!((found.format, found.virtual_bytes), (Format::Qcow2, 3 << 30));
        let arguments =
            ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", alone_name, backed_name];
        QEMU_IMG.run(&arguments).unwrap();
        let fault = inspect(&backed, Role::Disk).unwrap_err();
        assert!(fault.to_string().contains("backing file"), "{fault}");
    }
}
