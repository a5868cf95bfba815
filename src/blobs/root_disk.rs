//! What one instance writes to: a qcow2 overlay over the prepared image, as large as its type asks.
//!
//! Creating one copies nothing. The base must stay as it is while the overlay lives: hold its
//! [`PreparedImage`](super::cache::PreparedImage). With the overlay go the instance's writes.

use super::BlobFault;
use super::tool::QEMU_IMG;
use std::fs;
use std::io;
use std::path::Path;

const GIB: u64 = 1 << 30;

/// Makes the disk of a new instance at `at`, over a raw `base`. The disk is `size_gib` large.
pub fn create(base: &Path, size_gib: u64, at: &Path) -> Result<(), BlobFault> {
    let base_bytes = fs::metadata(base).map_err(BlobFault::io("examined", base))?.len();
    let bytes = size_gib.saturating_mul(GIB);
    if bytes < base_bytes {
        let base_gib = base_bytes.div_ceil(GIB);
        return Err(BlobFault::Refused(format!(
            "it needs a disk of `{base_gib}` GiB and the instance type has `{size_gib}`"
        )));
    }
    // An absolute name: QEMU looks a relative one up from where the overlay lies.
    let base = base.canonicalize().map_err(BlobFault::io("found", base))?;
    let path_text = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| not_utf8(path));
    let (base, at) = (path_text(&base)?, path_text(at)?);
    let size = bytes.to_string();
    let arguments = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", &base, "--", &at, &size];
    QEMU_IMG.run(&arguments)?;
    Ok(())
}

/// Removes an instance's disk. One that is gone already is no fault: termination may be repeated.
pub fn remove(at: &Path) -> Result<(), BlobFault> {
    match fs::remove_file(at) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(BlobFault::io("removed", at)(error))
        }
        _ => Ok(()),
    }
}

fn not_utf8(path: &Path) -> BlobFault {
    let why = "its name is not UTF-8".to_owned();
    BlobFault::Io { doing: "named", path: path.display().to_string(), why }
}

#[cfg(test)]
mod tests {
    use super::{create, remove};
    use crate::blobs::BlobFault;
    use crate::blobs::tool::QEMU_IMG;
    use std::fs::{self, File};
    use std::time::{Duration, Instant};

    #[test]
    fn a_root_disk_has_the_size_of_the_type_and_leaves_the_base_alone() {
        let dir = tempfile::tempdir().unwrap();
        let [base, disk] = ["base", "disk"].map(|name| dir.path().join(name));
        fs::write(&base, vec![7u8; 1 << 20]).unwrap();
        let begun = Instant::now();
        create(&base, 3, &disk).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        let disk_text = disk.to_str().unwrap();
        let info = QEMU_IMG.run(&["info", "--output=json", disk_text]).unwrap();
        let info: serde_json::Value = serde_json::from_slice(&info).unwrap();
        assert_eq!(info["virtual-size"], 3u64 << 30);
        assert_eq!(info["backing-filename"], base.canonicalize().unwrap().to_str().unwrap());
        assert_eq!(fs::read(&base).unwrap(), vec![7u8; 1 << 20]);
        remove(&disk).unwrap();
        assert!(!disk.exists());
        remove(&disk).unwrap();
    }

    #[test]
    fn an_image_larger_than_the_types_disk_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let [base, disk] = ["base", "disk"].map(|name| dir.path().join(name));
        File::create(&base).unwrap().set_len((1 << 30) + 1).unwrap();
        let refusal = create(&base, 1, &disk);
        assert!(matches!(refusal, Err(BlobFault::Refused(text)) if text.contains("`2` GiB")));
        assert!(!disk.exists());
    }
}
