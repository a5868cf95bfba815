//! The uncompressed kernel inside a `bzImage`.
//!
//! Under emulation a guest spends a third of a second unpacking its own kernel; unpacked once on the
//! node, that is paid once. QEMU starts an ELF `vmlinux` through its PVH note. A kernel that cannot
//! be unpacked is no fault: it boots as it is, and [`Extraction`] says why it stayed so.

use super::BlobFault;
use super::tool::{GZIP, LZ4, Tool, XZ, ZSTD};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extraction {
    /// The ELF kernel; starts through PVH.
    Extracted(Vec<u8>),
    /// The kernel is used as it came.
    Kept(Kept),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Kept {
    #[error("it is an ELF kernel already")]
    AlreadyElf,
    #[error("it is not a `bzImage` with a payload")]
    NotABzImage,
    #[error("its compression is not known")]
    UnknownCompression,
    #[error("`{}` is not installed (Debian package `{}`)", .0.name, .0.package)]
    ToolMissing(Tool),
    #[error("its payload does not unpack to an ELF kernel: {0}")]
    NotUnpacked(String),
    #[error("the unpacked kernel has no PVH entry")]
    NoPvhEntry,
}

pub fn extract(kernel: &[u8]) -> Extraction {
    match unpack(kernel) {
        Ok(vmlinux) => Extraction::Extracted(vmlinux),
        Err(kept) => Extraction::Kept(kept),
    }
}

fn unpack(kernel: &[u8]) -> Result<Vec<u8>, Kept> {
    if kernel.starts_with(b"\x7fELF") {
        return Err(Kept::AlreadyElf);
    }
    let payload = payload(kernel).ok_or(Kept::NotABzImage)?;
    let (tool, arguments) = unpacker(payload).ok_or(Kept::UnknownCompression)?;
    let vmlinux = tool.filter(&arguments, payload).map_err(|fault| match fault {
        BlobFault::ToolMissing { .. } => Kept::ToolMissing(tool),
        other => Kept::NotUnpacked(other.to_string()),
    })?;
    if !vmlinux.starts_with(b"\x7fELF") {
        return Err(Kept::NotUnpacked("no ELF header".to_owned()));
    }
    if has_pvh_entry(&vmlinux) { Ok(vmlinux) } else { Err(Kept::NoPvhEntry) }
}

/// The compressed kernel, found through the setup header (boot protocol 2.08 and later), without
/// the four bytes of unpacked length that the kernel's build appends to it.
fn payload(kernel: &[u8]) -> Option<&[u8]> {
    if kernel.get(0x202..0x206)? != b"HdrS" || u16_at(kernel, 0x206)? < 0x208 {
        return None;
    }
    // Zero means four: the header is older than the field.
    let setup_sectors = match *kernel.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (setup_sectors + 1) * 512 + u32_at(kernel, 0x248)? as usize;
    let length = u32_at(kernel, 0x24c)? as usize;
    let payload = kernel.get(start..start.checked_add(length)?)?;
    // gzip's own trailer *is* that length, so it needs its last four bytes.
    if payload.starts_with(b"\x1f\x8b") {
        Some(payload)
    } else {
        payload.get(..length.checked_sub(4)?)
    }
}

fn unpacker(payload: &[u8]) -> Option<(Tool, [&'static str; 1])> {
    let known: [(&[u8], Tool); 4] = [
        (b"\x02\x21\x4c\x18", LZ4),
        (b"\x1f\x8b", GZIP),
        (b"\xfd7zXZ\0", XZ),
        (b"\x28\xb5\x2f\xfd", ZSTD),
    ];
    let (_, tool) = known.into_iter().find(|(magic, _)| payload.starts_with(magic))?;
    Some((tool, ["-dc"]))
}

/// QEMU refuses an ELF kernel without the note `Xen` type 18 that names its 32-bit entry point.
fn has_pvh_entry(vmlinux: &[u8]) -> bool {
    const NOTE: &[u8] = b"\x12\0\0\0Xen\0";
    program_headers(vmlinux).into_iter().flatten().any(|(kind, segment)| {
        const PT_NOTE: u32 = 4;
        kind == PT_NOTE && segment.windows(NOTE.len()).any(|window| window == NOTE)
    })
}

/// Kind and bytes of each segment of a little-endian 64-bit ELF file.
fn program_headers(elf: &[u8]) -> Option<Vec<(u32, &[u8])>> {
    let table = u64_at(elf, 0x20)? as usize;
    let size = usize::from(u16_at(elf, 0x36)?);
    let count = usize::from(u16_at(elf, 0x38)?);
    let mut headers = Vec::with_capacity(count);
    for index in 0..count {
        let header = elf.get(table.checked_add(index * size)?..)?;
        let (offset, length) = (u64_at(header, 8)? as usize, u64_at(header, 32)? as usize);
        headers.push((u32_at(header, 0)?, elf.get(offset..offset.checked_add(length)?)?));
    }
    Some(headers)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{Extraction, Kept, extract};
    use crate::blobs::tool::{GZIP, LZ4, Tool, XZ, ZSTD};

    /// The smallest ELF file with one note segment.
    fn elf(note: &[u8]) -> Vec<u8> {
        let mut elf = vec![0u8; 64 + 56];
        elf[..4].copy_from_slice(b"\x7fELF");
        elf[0x20] = 64;
        elf[0x36] = 56;
        elf[0x38] = 1;
        elf[64] = 4;
        elf[64 + 8] = 120;
        elf[64 + 32] = note.len() as u8;
        elf.extend_from_slice(note);
        elf
    }

    const PVH: &[u8] = b"\x04\0\0\0\x04\0\0\0\x12\0\0\0Xen\0\x50\0\0\x01";

    fn bz_image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0u8; 1024];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x20fu16.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend_from_slice(payload);
        image.extend_from_slice(&[0xaa; 100]);
        image
    }

    fn kept(kernel: &[u8]) -> Kept {
        match extract(kernel) {
            Extraction::Kept(kept) => kept,
            Extraction::Extracted(_) => panic!("a kernel was found"),
        }
    }

    #[test]
    fn every_compression_of_the_kernel_build_is_undone() {
        let vmlinux = elf(PVH);
        let builds: [(Tool, &[&str]); 4] =
            [(LZ4, &["-lc"]), (GZIP, &["-nc"]), (XZ, &["--check=crc32", "-c"]), (ZSTD, &["-qc"])];
        for (tool, arguments) in builds {
            let mut payload = tool.filter(arguments, &vmlinux).unwrap();
            if tool != GZIP {
                payload.extend_from_slice(&(vmlinux.len() as u32).to_le_bytes());
            }
            let extraction = extract(&bz_image(&payload));
            assert_eq!(extraction, Extraction::Extracted(vmlinux.clone()), "{}", tool.name);
        }
    }

    #[test]
    fn a_kernel_that_cannot_be_unpacked_is_kept_and_the_reason_given() {
        assert_eq!(kept(&elf(PVH)), Kept::AlreadyElf);
        assert_eq!(kept(b""), Kept::NotABzImage);
        assert_eq!(kept(&[0u8; 4096]), Kept::NotABzImage);
        assert_eq!(kept(&bz_image(b"????????")), Kept::UnknownCompression);
        assert!(matches!(kept(&bz_image(b"\x1f\x8b broken")), Kept::NotUnpacked(_)));
        let text = GZIP.filter(&["-nc"], b"not a kernel").unwrap();
        assert!(matches!(kept(&bz_image(&text)), Kept::NotUnpacked(_)));
        let plain = GZIP.filter(&["-nc"], &elf(b"no such note")).unwrap();
        assert_eq!(kept(&bz_image(&plain)), Kept::NoPvhEntry);
    }

    #[test]
    fn a_header_that_points_outside_the_file_is_refused() {
        let mut image = bz_image(b"\x1f\x8b");
        image[0x24c..0x250].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(kept(&image), Kept::NotABzImage);
    }
}
