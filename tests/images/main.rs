//! The images that are built here start, in an emulated guest with little memory.

mod guest;

use guest::Guest;
use mallee::blobs::vmlinux::{Extraction, extract};
use mallee::blobs::{root_disk, tool::Tool};
use mallee::imaging::ImageFiles;
use mallee::imaging::demo::{COMMAND_LINE, DemoOptions, READY, build_demo};
use mallee::imaging::inspect::{Format, Role, inspect};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

/// Built once for all tests, and again only when its inputs have changed.
fn demo() -> &'static ImageFiles {
    static DEMO: OnceLock<ImageFiles> = OnceLock::new();
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

/// Its beginning and its end, and the command line: the guest was not told to be quiet.
fn check_kernel_log(console: &str) {
    for said in ["] Linux version ", "] Command line: ", "] Run /init as init process"] {
        assert!(console.contains(said), "no `{said}` on the console: {console}");
    }
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
    check_kernel_log(&guest.console());
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
    check_kernel_log(&guest.console());
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

#[test]
fn the_same_inputs_make_the_same_bytes() {
    let first = demo();
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
    let again = tempfile::tempdir().unwrap();
    let options = DemoOptions { work: directory.join("work"), output: again.path().join("demo") };
    let second = build_demo(&options, &mut |_| {}).unwrap();
    let pairs = [
        (&first.kernel, &second.kernel),
        (&first.ramdisk, &second.ramdisk),
        (&first.root, &second.root),
        (&first.disk, &second.disk),
    ];
    for (one, two) in pairs {
        assert!(fs::read(one).unwrap() == fs::read(two).unwrap(), "{}", one.display());
    }
}

/// A network card on a network of QEMU's own, where the metadata service answers from files.
fn network_with_metadata(dir: &Path, instance: &str) -> Vec<String> {
    let files = [
        ("token", "secret-token"),
        ("latest/meta-data/instance-id", instance),
        ("latest/meta-data/local-hostname", "ip-169-254-0-15.internal"),
        ("latest/meta-data/public-keys/0/openssh-key", "ssh-ed25519 AAAA probe\n"),
        ("latest/user-data", "#!/bin/sh\ncat /root/.ssh/authorized_keys\n"),
    ];
    let metadata = dir.join("metadata");
    for (path, content) in files {
        let path = metadata.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images/imds.sh");
    let network = format!(
        "user,id=n0,net=169.254.0.0/16,restrict=on,guestfwd=tcp:169.254.169.254:80-cmd:{} {}",
        script.display(),
        metadata.display()
    );
    arguments(&["-netdev", &network, "-device", "virtio-net-pci,netdev=n0"])
}

#[test]
fn metadata_give_name_and_keys_and_user_data_run_once_per_instance() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    root_disk::create(&demo().root, 1, &root).unwrap();
    let kernel = vmlinux(dir.path());
    for (instance, runs_user_data) in [("i-1", true), ("i-1", false), ("i-2", true)] {
        let network = network_with_metadata(dir.path(), instance);
        let mut guest = Guest::start(dir.path(), &[triple(&kernel, &root), network].concat());
        println!("with metadata to ready: {:?}", guest.wait_for(READY));
        let ready =
            format!("ready instance-id={instance} hostname=ip-169-254-0-15 address=169.254.");
        guest.wait_for(&ready);
        if runs_user_data {
            guest.wait_for("user data ended with code 0: ssh-ed25519 AAAA probe");
        }
        let console = dir.path().join("console");
        guest.power_down();
        let said = fs::read_to_string(console).unwrap();
        assert_eq!(said.contains("user data ended"), runs_user_data, "{said}");
    }
}
