//! The images that are built here start, in an emulated guest with little memory.

mod guest;

use guest::Guest;
use mallee::blobs::vmlinux::{Extraction, extract};
use mallee::blobs::{root_disk, tool::Tool};
use mallee::imaging::demo::{COMMAND_LINE, DemoImage, DemoOptions, READY, build_demo};
use mallee::imaging::inspect::{Format, Role, inspect};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

/// Built once for all tests, and again only when its inputs have changed.
fn demo() -> &'static DemoImage {
    static DEMO: OnceLock<DemoImage> = OnceLock::new();
    DEMO.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
        let options = DemoOptions { work: directory.join("work"), output: directory.join("demo") };
        let begun = Instant::now();
        let mut steps = Vec::new();
        let image = build_demo(&options, &mut |step| {
            steps.push(format!("{:5.1} s {step}", begun.elapsed().as_secs_f64()));
        });
        println!("{}\n{:5.1} s built", steps.join("\n"), begun.elapsed().as_secs_f64());
        image.unwrap()
    })
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn arguments(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn drive(disk: &Path, format: &str) -> Vec<String> {
    let disk = disk.display();
    arguments(&["-drive", &format!("file={disk},format={format},if=virtio,cache=unsafe")])
}

/// The triple, over a root disk as a node makes it.
fn triple(kernel: &Path, root: &Path) -> Vec<String> {
    let words =
        ["-kernel", text(kernel), "-initrd", text(&demo().ramdisk), "-append", COMMAND_LINE];
    [arguments(&words), drive(root, "qcow2")].concat()
}

fn vmlinux(dir: &Path) -> PathBuf {
    let Extraction::Extracted(bytes) = extract(&fs::read(&demo().kernel).unwrap()) else {
        panic!("the demo kernel cannot be unpacked")
    };
    let path = dir.join("vmlinux");
    fs::write(&path, bytes).unwrap();
    path
}

fn check_clean(disk: &Path, dir: &Path) {
    let raw = dir.join("checked");
    let qemu_img = Tool { name: "qemu-img", package: "qemu-utils" };
    qemu_img.run(&["convert", "-O", "raw", text(disk), text(&raw)]).unwrap();
    let e2fsck = Tool { name: "e2fsck", package: "e2fsprogs" };
    e2fsck.run(&["-fn", text(&raw)]).unwrap();
}

#[test]
fn the_files_are_what_an_administrator_may_add() {
    let image = demo();
    let formats = [
        (&image.kernel, Role::Kernel, Format::BzImage),
        (&image.ramdisk, Role::Ramdisk, Format::Cpio),
        (&image.root, Role::Root, Format::RawFileSystem),
        (&image.disk, Role::Disk, Format::Qcow2),
    ];
    for (file, role, format) in formats {
        let found = inspect(file, role).unwrap();
        println!("{}: {} bytes", file.display(), fs::metadata(file).unwrap().len());
        assert_eq!(found.format, format);
    }
}

#[test]
fn kernel_ramdisk_and_root_boot_grow_and_end_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    root_disk::create(&demo().root, 2, &root).unwrap();
    let mut guest = Guest::start(dir.path(), &triple(&demo().kernel, &root));
    println!("vmlinuz to ready: {:?}", guest.wait_for(READY));
    guest.wait_for("grew to 2048 MiB");
    assert!(guest.console().contains("BEGIN SSH HOST KEY FINGERPRINTS"));
    assert!(guest.console().contains("instance-id=none"));
    println!("power down: {:?}", guest.power_down());
    check_clean(&root, dir.path());
}

#[test]
fn the_unpacked_kernel_boots_too() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    root_disk::create(&demo().root, 1, &root).unwrap();
    let kernel = vmlinux(dir.path());
    let mut guest = Guest::start(dir.path(), &triple(&kernel, &root));
    println!("vmlinux to ready: {:?}", guest.wait_for(READY));
    guest.power_down();
}

#[test]
fn the_disk_boots_by_itself_and_fills_a_larger_one() {
    let dir = tempfile::tempdir().unwrap();
    let [raw, root] = ["raw", "root"].map(|name| dir.path().join(name));
    let qemu_img = Tool { name: "qemu-img", package: "qemu-utils" };
    qemu_img.run(&["convert", "-O", "raw", text(&demo().disk), text(&raw)]).unwrap();
    root_disk::create(&raw, 1, &root).unwrap();
    let mut guest = Guest::start(dir.path(), &drive(&root, "qcow2"));
    println!("disk to ready: {:?}", guest.wait_for(READY));
    guest.wait_for("grew to 1023 MiB");
    guest.power_down();
    let mut guest = Guest::start(dir.path(), &drive(&root, "qcow2"));
    guest.wait_for(READY);
    assert!(!guest.console().contains("grew"), "{}", guest.console());
    guest.power_down();
}

#[test]
fn a_power_cut_does_not_keep_the_next_boot_from_working() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    root_disk::create(&demo().root, 1, &root).unwrap();
    let kernel = vmlinux(dir.path());
    for _ in 0..2 {
        let mut guest = Guest::start(dir.path(), &triple(&kernel, &root));
        guest.wait_for(READY);
        guest.cut_power();
    }
    let mut guest = Guest::start(dir.path(), &triple(&kernel, &root));
    guest.wait_for(READY);
    guest.power_down();
    check_clean(&root, dir.path());
}
