use super::{Form, ImageCache};
use crate::blobs::repository::Blobs;
use crate::blobs::tool::{GZIP, QEMU_IMG};
use crate::blobs::{BlobFault, BlobSource, Progress};
use crate::domain::blob::BlobId;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A repository, a cache and a count of what went from one to the other.
struct Node {
    dir: tempfile::TempDir,
    blobs: Blobs,
    fetches: AtomicUsize,
}

impl BlobSource for Node {
    fn fetch(&self, blob: &BlobId, to: &mut dyn Write, at: Progress<'_>) -> Result<(), BlobFault> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        self.blobs.fetch(blob, to, at)
    }
}

impl Node {
    fn new() -> Node {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&dir.path().join("blobs"), &dir.path().join("lock")).unwrap();
        Node { dir, blobs, fetches: AtomicUsize::new(0) }
    }

    fn add(&self, bytes: &[u8]) -> BlobId {
        let file = self.dir.path().join("added");
        fs::write(&file, bytes).unwrap();
        self.blobs.import(&file, None, &mut |_, _| {}).unwrap()
    }

    fn cache_directory(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn cache(&self, limit_bytes: u64) -> ImageCache {
        ImageCache::open(&self.cache_directory(), limit_bytes).unwrap()
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    fn cached_names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.cache_directory()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn quiet() -> impl FnMut(u64, Option<u64>) {
    |_, _| {}
}

/// Bytes that no file system stores in less than their length.
fn noise(seed: u8, kib: usize) -> Vec<u8> {
    (0..kib * 1024).map(|n| (n * 31) as u8 ^ (n >> 8) as u8 ^ seed).collect()
}

/// Changes a cached file so that its length and time stay what they were, as failing disks do.
fn corrupt_silently(path: &Path) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[100] ^= 1;
    fs::write(path, bytes).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

#[test]
fn a_second_use_fetches_nothing_not_even_after_a_restart() {
    let node = Node::new();
    let blob = node.add(&noise(1, 64));
    for _ in 0..2 {
        let cache = node.cache(1 << 30);
        for _ in 0..2 {
            let image = cache.prepare(&node, &blob, Form::Ramdisk, &mut quiet()).unwrap();
            assert_eq!(fs::read(image.path()).unwrap(), noise(1, 64));
        }
    }
    assert_eq!(node.fetches(), 1);
}

#[test]
fn twenty_who_ask_at_once_cause_one_fetch() {
    let node = Node::new();
    let blob = node.add(&noise(1, 2048));
    let cache = node.cache(1 << 30);
    let start = Barrier::new(20);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                start.wait();
                let image = cache.prepare(&node, &blob, Form::RootBase, &mut quiet()).unwrap();
                assert_eq!(fs::read(image.path()).unwrap(), noise(1, 2048));
            });
        }
    });
    assert_eq!(node.fetches(), 1);
}

#[test]
fn those_who_wait_for_a_fetch_that_fails_hear_why_and_may_try_again() {
    let node = Node::new();
    let cache = node.cache(1 << 30);
    let absent = BlobId::of_digest([3; 32]);
    for _ in 0..2 {
        let fault = cache.prepare(&node, &absent, Form::Ramdisk, &mut quiet()).unwrap_err();
        assert_eq!(fault, BlobFault::NotFound(absent));
    }
    assert_eq!((node.fetches(), node.cached_names()), (2, Vec::new()));
}

#[test]
fn bytes_with_another_digest_are_not_kept() {
    let node = Node::new();
    let blob = node.add(&noise(1, 64));
    let at_source = node.blobs.path(&blob).unwrap();
    corrupt_silently(&at_source);
    let cache = node.cache(1 << 30);
    let fault = cache.prepare(&node, &blob, Form::Ramdisk, &mut quiet()).unwrap_err();
    assert!(matches!(fault, BlobFault::DigestMismatch { expected, .. } if expected == blob));
    assert_eq!(node.cached_names(), Vec::<String>::new());
    assert_eq!(cache.used_bytes(), 0);
}

#[test]
fn a_transfer_that_is_cut_leaves_nothing_and_a_retry_works() {
    struct Cut;
    impl BlobSource for Cut {
        fn fetch(
            &self,
            blob: &BlobId,
            to: &mut dyn Write,
            _: Progress<'_>,
        ) -> Result<(), BlobFault> {
            to.write_all(b"half of it").unwrap();
            Err(BlobFault::Unreachable { blob: *blob, why: "connection reset".to_owned() })
        }
    }
    let node = Node::new();
    let blob = node.add(&noise(1, 64));
    let cache = node.cache(1 << 30);
    let fault = cache.prepare(&Cut, &blob, Form::Ramdisk, &mut quiet()).unwrap_err();
    assert!(matches!(fault, BlobFault::Unreachable { why, .. } if why == "connection reset"));
    assert_eq!(node.cached_names(), Vec::<String>::new());
    cache.prepare(&node, &blob, Form::Ramdisk, &mut quiet()).unwrap();
}

#[test]
fn a_cached_file_damaged_in_silence_is_fetched_anew_at_the_first_use_after_a_start() {
    let node = Node::new();
    let blob = node.add(&noise(1, 64));
    let path = {
        let cache = node.cache(1 << 30);
        cache.prepare(&node, &blob, Form::Ramdisk, &mut quiet()).unwrap().path().to_owned()
    };
    corrupt_silently(&path);
    let cache = node.cache(1 << 30);
    let image = cache.prepare(&node, &blob, Form::Ramdisk, &mut quiet()).unwrap();
    assert_eq!(fs::read(image.path()).unwrap(), noise(1, 64));
    assert_eq!(node.fetches(), 2);
}

#[test]
fn a_cached_file_that_was_written_to_or_removed_is_fetched_anew_at_once() {
    let node = Node::new();
    let blob = node.add(&noise(1, 64));
    let cache = node.cache(1 << 30);
    let prepare = || {
        let image = cache.prepare(&node, &blob, Form::Ramdisk, &mut quiet()).unwrap();
        assert_eq!(fs::read(image.path()).unwrap(), noise(1, 64));
        image.path().to_owned()
    };
    let path = prepare();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, b"short").unwrap();
    prepare();
    fs::remove_file(&path).unwrap();
    prepare();
    assert_eq!(node.fetches(), 3);
}

#[test]
fn the_least_recently_used_image_goes_first_and_one_in_use_never() {
    let node = Node::new();
    let [a, b, c, d] = [1, 2, 3, 4].map(|seed| node.add(&noise(seed, 64)));
    let cache = node.cache(200 * 1024);
    let prepare = |blob: &BlobId| cache.prepare(&node, blob, Form::Ramdisk, &mut quiet());
    let held = prepare(&a).unwrap();
    prepare(&b).unwrap();
    prepare(&c).unwrap();
    prepare(&b).unwrap();
    assert_eq!(node.fetches(), 3);
    prepare(&d).unwrap();
    assert!(held.path().exists(), "`a` was used longest ago but is in use");
    prepare(&b).unwrap();
    assert_eq!(node.fetches(), 4, "`b` was used after `c`");
    prepare(&c).unwrap();
    assert_eq!(node.fetches(), 5, "`c` had to go");
    assert!(cache.used_bytes() <= 200 * 1024);
}

#[test]
fn the_order_of_use_survives_a_restart() {
    let node = Node::new();
    let [a, b, c] = [1, 2, 3].map(|seed| node.add(&noise(seed, 64)));
    {
        let cache = node.cache(130 * 1024);
        for blob in [&a, &b, &a] {
            cache.prepare(&node, blob, Form::Ramdisk, &mut quiet()).unwrap();
        }
    }
    let cache = node.cache(130 * 1024);
    cache.prepare(&node, &c, Form::Ramdisk, &mut quiet()).unwrap();
    assert!(cache.pin(&a, Form::Ramdisk).is_some());
    assert!(cache.pin(&b, Form::Ramdisk).is_none());
}

#[test]
fn when_everything_is_in_use_the_refusal_says_so() {
    let node = Node::new();
    let [a, b] = [1, 2].map(|seed| node.add(&noise(seed, 64)));
    let cache = node.cache(100 * 1024);
    let held = cache.prepare(&node, &a, Form::Ramdisk, &mut quiet()).unwrap();
    let fault = cache.prepare(&node, &b, Form::Ramdisk, &mut quiet()).unwrap_err();
    assert!(matches!(fault, BlobFault::NoRoom { limit_bytes: 102_400, .. }), "{fault}");
    drop(held);
    cache.prepare(&node, &b, Form::Ramdisk, &mut quiet()).unwrap();
}

#[test]
fn an_image_larger_than_the_whole_cache_is_refused() {
    let node = Node::new();
    let blob = node.add(&noise(1, 64));
    let cache = node.cache(10 * 1024);
    let fault = cache.prepare(&node, &blob, Form::Ramdisk, &mut quiet()).unwrap_err();
    assert_eq!(fault, BlobFault::TooLarge { blob, limit_bytes: 10 * 1024 });
    assert_eq!(node.cached_names(), Vec::<String>::new());
}

#[test]
fn what_a_crash_left_behind_is_swept_at_open() {
    let node = Node::new();
    let blob = node.add(&noise(1, 64));
    drop(node.cache(1 << 30));
    let directory = node.cache_directory();
    fs::write(directory.join(format!("{blob}.root.fetched.unfinished")), b"half").unwrap();
    fs::write(directory.join(format!("{blob}.kernel")), b"no record vouches for it").unwrap();
    fs::write(directory.join(format!("{blob}.ramdisk.record")), b"its image is gone").unwrap();
    let cache = node.cache(1 << 30);
    assert_eq!((node.cached_names(), cache.used_bytes()), (Vec::new(), 0));
}

#[test]
fn a_compressed_qcow2_root_becomes_a_plain_sparse_file() {
    let node = Node::new();
    let [raw, packed] = ["raw", "packed"].map(|name| node.dir.path().join(name));
    let mut disk = vec![0u8; 16 << 20];
    disk[5 << 20..6 << 20].copy_from_slice(&noise(1, 1024));
    fs::write(&raw, &disk).unwrap();
    let [raw, packed] = [&raw, &packed].map(|path| path.to_str().unwrap());
    QEMU_IMG.run(&["convert", "-c", "-O", "qcow2", "-f", "raw", raw, packed]).unwrap();
    let blob = node.blobs.import(Path::new(packed), None, &mut quiet()).unwrap();
    let cache = node.cache(1 << 30);
    let image = cache.prepare(&node, &blob, Form::RootBase, &mut quiet()).unwrap();
    assert_eq!(fs::read(image.path()).unwrap(), disk);
    assert!(cache.used_bytes() < 4 << 20, "`{}` bytes", cache.used_bytes());
}

#[test]
fn a_qcow2_root_that_names_a_file_of_the_host_is_refused() {
    let node = Node::new();
    let overlay = node.dir.path().join("overlay");
    let overlay = overlay.to_str().unwrap();
    let names = ["create", "-q", "-f", "qcow2", "-F", "raw", "-u", "-b", "/etc/passwd", overlay];
    QEMU_IMG.run(&[&names[..], &["1M"]].concat()).unwrap();
    let blob = node.blobs.import(Path::new(overlay), None, &mut quiet()).unwrap();
    let fault = node.cache(1 << 30).prepare(&node, &blob, Form::RootBase, &mut quiet());
    assert!(matches!(fault, Err(BlobFault::Refused(why)) if why.contains("backing file")));
    assert_eq!(node.cached_names(), Vec::<String>::new());
}

#[test]
fn a_kernel_that_stays_compressed_says_why() {
    let node = Node::new();
    let blob = node.add(&GZIP.filter(&["-nc"], b"not a bzImage").unwrap());
    let cache = node.cache(1 << 30);
    let kernel = cache.prepare(&node, &blob, Form::Kernel, &mut quiet()).unwrap();
    assert!(kernel.remark().unwrap().contains("not a `bzImage`"));
    assert_eq!(
        fs::read(kernel.path()).unwrap(),
        fs::read(node.blobs.path(&blob).unwrap()).unwrap()
    );
}
