//! The header of a qcow2 file: enough to know its size and that it stands alone.
//!
//! A qcow2 file may name another file as its backing or data file, and QEMU would open it. In an
//! image somebody hands us that is a way to read the host's own files, so such an image is refused
//! before any tool that follows such names sees it.

use thiserror::Error;

pub const MAGIC: &[u8] = b"QFI\xfb";

/// Bytes at the start of the file that hold everything [`read`] looks at, version 3 extensions included.
pub const HEADER_BYTES: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub version: u32,
    pub virtual_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Qcow2Refusal {
    #[error("it is not a qcow2 file, or cut short")]
    Malformed,
    #[error("qcow2 version `{0}` is not known")]
    UnknownVersion(u32),
    #[error("it depends on a backing file")]
    BackingFile,
    #[error("it keeps its data in another file")]
    DataFile,
    #[error("it is encrypted")]
    Encrypted,
    #[error("it was not closed cleanly or is corrupt")]
    Dirty,
    #[error("it uses qcow2 features that are not known")]
    UnknownFeatures,
}

/// Reads the header of a qcow2 file that depends on no other file.
pub fn read(start: &[u8]) -> Result<Header, Qcow2Refusal> {
    let word = |at: usize| -> Result<u32, Qcow2Refusal> {
        let bytes = start.get(at..at + 4).ok_or(Qcow2Refusal::Malformed)?;
        Ok(u32::from_be_bytes(bytes.try_into().expect("four bytes were taken")))
    };
    let long =
        |at: usize| Ok::<u64, Qcow2Refusal>(u64::from(word(at)?) << 32 | u64::from(word(at + 4)?));
    if !start.starts_with(MAGIC) {
        return Err(Qcow2Refusal::Malformed);
    }
    let version = word(4)?;
    if !matches!(version, 2 | 3) {
        return Err(Qcow2Refusal::UnknownVersion(version));
    }
    if long(8)? != 0 || word(16)? != 0 {
        return Err(Qcow2Refusal::BackingFile);
    }
    if word(32)? != 0 {
        return Err(Qcow2Refusal::Encrypted);
    }
    if version == 3 {
        check_features(long(72)?)?;
    }
    Ok(Header { version, virtual_bytes: long(24)? })
}

/// The incompatible features of version 3: those a reader may not ignore.
fn check_features(features: u64) -> Result<(), Qcow2Refusal> {
    const DIRTY: u64 = 1;
    const CORRUPT: u64 = 1 << 1;
    const DATA_FILE: u64 = 1 << 2;
    const COMPRESSION: u64 = 1 << 3;
    const EXTENDED_L2: u64 = 1 << 4;
    if features & DATA_FILE != 0 {
        return Err(Qcow2Refusal::DataFile);
    }
    if features & (DIRTY | CORRUPT) != 0 {
        return Err(Qcow2Refusal::Dirty);
    }
    if features & !(COMPRESSION | EXTENDED_L2) != 0 {
        return Err(Qcow2Refusal::UnknownFeatures);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Header, Qcow2Refusal, read};
    use crate::blobs::tool::QEMU_IMG;
    use std::fs;

    /// What `read` says of a file `qemu-img create` makes with these arguments.
    fn check(arguments: &[&str], expected: Result<Header, Qcow2Refusal>) {
        let dir = tempfile::tempdir().unwrap();
        let [base, data, file] = ["base", "data", "file"].map(|name| dir.path().join(name));
        fs::write(&base, [0u8; 512]).unwrap();
        let mut command = vec!["create".to_owned(), "-q".to_owned()];
        for argument in arguments {
            let argument = argument.replace("BASE", base.to_str().unwrap());
            command.push(argument.replace("DATA", data.to_str().unwrap()));
        }
        command.extend([file.to_str().unwrap().to_owned(), "8M".to_owned()]);
        QEMU_IMG.run(&command).unwrap();
        assert_eq!(read(&fs::read(&file).unwrap()), expected);
    }

    #[test]
    fn a_qcow2_file_that_stands_alone_tells_its_size() {
        let virtual_bytes = 8 << 20;
        check(&["-f", "qcow2"], Ok(Header { version: 3, virtual_bytes }));
        check(&["-f", "qcow2", "-o", "compat=0.10"], Ok(Header { version: 2, virtual_bytes }));
    }

    #[test]
    fn a_qcow2_file_that_leans_on_another_is_refused() {
        let backed = ["-f", "qcow2", "-F", "raw", "-b", "BASE"];
        check(&backed, Err(Qcow2Refusal::BackingFile));
        check(&["-f", "qcow2", "-o", "data_file=DATA"], Err(Qcow2Refusal::DataFile));
    }

    #[test]
    fn what_is_not_qcow2_is_refused() {
        assert_eq!(read(b""), Err(Qcow2Refusal::Malformed));
        assert_eq!(read(b"QFI\xfb\0\0\0\x03"), Err(Qcow2Refusal::Malformed));
        assert_eq!(read(b"QFI\xfb\0\0\0\x09"), Err(Qcow2Refusal::UnknownVersion(9)));
    }
}
