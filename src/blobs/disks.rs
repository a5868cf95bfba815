//! An instance's files on its node: the root disk, and what it boots from.
//!
//! Two kinds: `CachedDisks` makes qcow2 overlays over images of the node's cache; with
//! `SimulatedDisks` an instance's directory stands for its disk, for a node whose hypervisor is
//! simulated.

use super::{
    BlobFault, BlobSource,
    cache::{Form, ImageCache, PreparedImage},
    repository::rename_durably,
    root_disk,
};
use crate::domain::{blob::BlobId, image::BootSource};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

const ROOT_DISK: &str = "root.qcow2";

/// What a guest starts from, on this host.
#[derive(Debug, Clone)]
pub struct BootFiles {
    pub root_disk: PathBuf,
    /// The kernel, and the ramdisk if there is one; without a kernel the disk boots itself.
    pub kernel: Option<(PathBuf, Option<PathBuf>)>,
    /// Keeps the cache from giving up what the guest uses.
    _pins: Vec<PreparedImage>,
}

/// Images that are here, and the pins that keep them so until a disk stands on them.
#[derive(Debug)]
#[must_use = "without its pins the cache may give the images up before they are used"]
pub struct Fetched {
    _pins: Vec<PreparedImage>,
}

/// Calls block. Every call may be repeated harmlessly.
pub trait Disks: fmt::Debug + Send + Sync {
    /// Gets the image here and pins it.
    fn fetch(&self, boot: &BootSource) -> Result<Fetched, BlobFault>;

    /// Makes the root disk in the instance's directory, unless it is there from an earlier boot,
    /// and says what the guest starts from.
    fn prepare(
        &self,
        boot: &BootSource,
        size_gib: u64,
        directory: &Path,
    ) -> Result<BootFiles, BlobFault>;

    /// Pins what a disk that is there already stands on, after a restart of the process. Nothing
    /// is fetched or checked.
    fn adopt(&self, boot: &BootSource, directory: &Path) -> Option<BootFiles>;
}

/// Overlays over cached images.
pub struct CachedDisks {
    cache: ImageCache,
    source: Arc<dyn BlobSource>,
}

impl fmt::Debug for CachedDisks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedDisks").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl CachedDisks {
    pub fn new(cache: ImageCache, source: Arc<dyn BlobSource>) -> CachedDisks {
        CachedDisks { cache, source }
    }

    fn image(&self, blob: &BlobId, form: Form) -> Result<PreparedImage, BlobFault> {
        self.cache.prepare(&*self.source, blob, form, &mut |_, _| {})
    }
}

impl Disks for CachedDisks {
    fn fetch(&self, boot: &BootSource) -> Result<Fetched, BlobFault> {
        let mut pins = vec![self.image(&boot.root, Form::RootBase)?];
        if let Some(kernel) = &boot.kernel {
            pins.push(self.image(kernel, Form::Kernel)?);
        }
        if let Some(ramdisk) = &boot.ramdisk {
            pins.push(self.image(ramdisk, Form::Ramdisk)?);
        }
        Ok(Fetched { _pins: pins })
    }

    fn prepare(
        &self,
        boot: &BootSource,
        size_gib: u64,
        directory: &Path,
    ) -> Result<BootFiles, BlobFault> {
        let base = self.image(&boot.root, Form::RootBase)?;
        let root_disk = directory.join(ROOT_DISK);
        if !root_disk.exists() {
            // A crash in the middle must not leave a disk that looks finished.
            let unfinished = directory.join("root.qcow2.new");
            root_disk::remove(&unfinished)?;
            root_disk::create(base.path(), size_gib, &unfinished)?;
            rename_durably(&unfinished, &root_disk)?;
        }
        let mut pins = vec![base];
        let kernel = match &boot.kernel {
            None => None,
            Some(kernel) => {
                let kernel = self.image(kernel, Form::Kernel)?;
                let ramdisk = match &boot.ramdisk {
                    None => None,
                    Some(ramdisk) => Some(self.image(ramdisk, Form::Ramdisk)?),
                };
                let paths = (
                    kernel.path().to_owned(),
                    ramdisk.as_ref().map(|ramdisk| ramdisk.path().to_owned()),
                );
                pins.push(kernel);
                pins.extend(ramdisk);
                Some(paths)
            }
        };
        Ok(BootFiles { root_disk, kernel, _pins: pins })
    }

    fn adopt(&self, boot: &BootSource, directory: &Path) -> Option<BootFiles> {
        let root_disk = directory.join(ROOT_DISK);
        if !root_disk.exists() {
            return None;
        }
        let pin = |blob: &Option<BlobId>, form| blob.and_then(|b| self.cache.pin(&b, form));
        let kernel = pin(&boot.kernel, Form::Kernel);
        let ramdisk = pin(&boot.ramdisk, Form::Ramdisk);
        let path = |image: &PreparedImage| image.path().to_owned();
        let paths = kernel.as_ref().map(|kernel| (path(kernel), ramdisk.as_ref().map(path)));
        let base = self.cache.pin(&boot.root, Form::RootBase);
        let pins = [base, kernel, ramdisk].into_iter().flatten().collect();
        Some(BootFiles { root_disk, kernel: paths, _pins: pins })
    }
}

/// No bytes at all: where there is a directory there would be a disk.
#[derive(Debug)]
pub struct SimulatedDisks;

impl Disks for SimulatedDisks {
    fn fetch(&self, _: &BootSource) -> Result<Fetched, BlobFault> {
        Ok(Fetched { _pins: Vec::new() })
    }

    fn prepare(&self, _: &BootSource, _: u64, directory: &Path) -> Result<BootFiles, BlobFault> {
        let root_disk = directory.join(ROOT_DISK);
        Ok(BootFiles { root_disk, kernel: None, _pins: Vec::new() })
    }

    fn adopt(&self, boot: &BootSource, directory: &Path) -> Option<BootFiles> {
        directory.exists().then(|| self.prepare(boot, 0, directory).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{blobs::repository::Blobs, domain::image::DiskFormat};
    use std::fs;

    /// A node whose cache has room for one image of the two.
    struct Node {
        dir: tempfile::TempDir,
        blobs: Arc<Blobs>,
        disks: CachedDisks,
        images: [BootSource; 2],
    }

    impl Node {
        fn new() -> Node {
            let dir = tempfile::tempdir().unwrap();
            let place = |name: &str| dir.path().join(name);
            let blobs = Arc::new(Blobs::open(&place("blobs"), &place("lock")).unwrap());
            let images = [1, 2].map(|seed: u8| {
                let file = place("image");
                // A disk, by its last two bytes.
                let mut bytes = vec![seed; 64 * 1024];
                bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
                fs::write(&file, bytes).unwrap();
                let root = blobs.import(&file, None, &mut |_, _| {}).unwrap();
                BootSource { root, format: DiskFormat::Raw, kernel: None, ramdisk: None }
            });
            let cache = ImageCache::open(&place("cache"), 100 * 1024).unwrap();
            let disks = CachedDisks::new(cache, blobs.clone());
            Node { dir, blobs, disks, images }
        }

        fn instance(&self, name: &str) -> PathBuf {
            let directory = self.dir.path().join(name);
            fs::create_dir_all(&directory).unwrap();
            directory
        }
    }

    #[test]
    fn a_fetched_image_stays_until_a_disk_stands_on_it_and_then_as_long_as_the_disk() {
        let node = Node::new();
        let [first, second] = &node.images;
        let refused = |disks: &CachedDisks| {
            let refusal = disks.fetch(second).unwrap_err();
            assert!(matches!(refusal, BlobFault::NoRoom { .. }), "{refusal}");
        };
        let fetched = node.disks.fetch(first).unwrap();
        refused(&node.disks);
        // Nothing is fetched a second time: it could not be.
        node.blobs.remove(&first.root).unwrap();
        let files = node.disks.prepare(first, 1, &node.instance("i-1")).unwrap();
        drop(fetched);
        refused(&node.disks);
        drop(files);
        drop(node.disks.fetch(second).unwrap());
    }

    #[test]
    fn a_disk_that_a_crash_left_unfinished_is_made_anew() {
        let node = Node::new();
        let directory = node.instance("i-1");
        fs::write(directory.join("root.qcow2.new"), "half").unwrap();
        let files = node.disks.prepare(&node.images[0], 1, &directory).unwrap();
        assert!(fs::read(&files.root_disk).unwrap().starts_with(b"QFI"));
        let names: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, [ROOT_DISK]);
        // The next boot finds what the guest wrote.
        fs::write(&files.root_disk, "written by the guest").unwrap();
        let files = node.disks.prepare(&node.images[0], 1, &directory).unwrap();
        assert_eq!(fs::read_to_string(&files.root_disk).unwrap(), "written by the guest");
    }
}
