//! What is inside the demo image: which file comes from where.

use crate::blobs::tool::{Tool, XZ, ZSTD};
use crate::imaging::ImagingFault;
use crate::imaging::packages::Unpacked;
use crate::imaging::tree::{Content, Node, Tree};
use std::fs;
use std::path::Path;

const INIT: &str = include_str!("guest/init");
const RC: &str = include_str!("guest/rc");
const INITTAB: &str = include_str!("guest/inittab");
const SHUTDOWN: &str = include_str!("guest/shutdown");
const POWER_BUTTON: &str = include_str!("guest/power-button");
const UDHCPC: &str = include_str!("guest/udhcpc.sh");

pub const GUEST_FILES: [&str; 6] = [INIT, RC, INITTAB, SHUTDOWN, POWER_BUTTON, UDHCPC];

/// What a guest of QEMU's needs, each after those it uses. ext4 and the serial port are built in.
const MODULES: [&str; 12] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_blk",
    "virtio-rng",
    "button",
    "evdev",
];

/// The programs that are not busybox's.
const PROGRAMS: [&str; 3] = ["sbin/dropbear", "bin/dropbearkey", "sbin/resize2fs"];

/// The libraries of [`PROGRAMS`].
const LIBRARIES: [&str; 9] = [
    "libc.so.6",
    "libcom_err.so.2",
    "libcrypt.so.1",
    "libe2p.so.2",
    "libext2fs.so.2",
    "libgmp.so.10",
    "libtomcrypt.so.1",
    "libtommath.so.1",
    "libz.so.1",
];

const LIBRARY_DIRECTORY: &str = "lib/x86_64-linux-gnu";
const LOADER: &str = "ld-linux-x86-64.so.2";

/// busybox's commands in the ramdisk: those that `init` uses.
const RAMDISK_COMMANDS: [&str; 15] = [
    "blockdev",
    "cat",
    "dd",
    "findfs",
    "insmod",
    "mount",
    "poweroff",
    "printf",
    "readlink",
    "sh",
    "sleep",
    "switch_root",
    "sync",
    "usleep",
    "[",
];

pub fn kernel(packages: &Unpacked) -> Result<Vec<u8>, ImagingFault> {
    let found = packages.search(&|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("vmlinuz-") && path.parent().is_some_and(|parent| parent.ends_with("boot"))
    })?;
    let path = found.ok_or_else(|| ImagingFault::FileMissing("boot/vmlinuz-*".to_owned()))?;
    fs::read(&path).map_err(ImagingFault::io("read", &path))
}

pub fn ramdisk(packages: &Unpacked) -> Result<Tree, ImagingFault> {
    let mut tree = Tree::default();
    for directory in ["dev", "proc", "sys", "newroot"] {
        tree.directory(directory);
    }
    tree.file("bin/busybox", 0o755, packages.read("bin/busybox")?);
    for command in RAMDISK_COMMANDS {
        tree.link(&format!("bin/{command}"), "busybox");
    }
    let built_in = String::from_utf8_lossy(&packages.read("modules.builtin")?).into_owned();
    let mut order = Vec::new();
    for module in MODULES {
        let file_name = format!("{module}.ko");
        if built_in.lines().any(|line| line.ends_with(&format!("/{file_name}"))) {
            continue;
        }
        tree.file(&format!("modules/{file_name}"), 0o644, module_bytes(packages, &file_name)?);
        order.push(module);
    }
    tree.file("modules/order", 0o644, order.join(" "));
    tree.file("init", 0o755, INIT);
    Ok(tree)
}

/// A module, unpacked if this Debian ships it packed: the ramdisk's `insmod` wants it plain.
fn module_bytes(packages: &Unpacked, file_name: &str) -> Result<Vec<u8>, ImagingFault> {
    let packings: [(&str, Option<Tool>); 3] = [("", None), (".xz", Some(XZ)), (".zst", Some(ZSTD))];
    for (ending, tool) in packings {
        let name = format!("{file_name}{ending}");
        let Some(path) = packages.search(&|path: &Path| path.ends_with(&name))? else { continue };
        let bytes = fs::read(&path).map_err(ImagingFault::io("read", &path))?;
        return match tool {
            None => Ok(bytes),
            Some(tool) => Ok(tool.filter(&["-dc"], &bytes)?),
        };
    }
    Err(ImagingFault::FileMissing(file_name.to_owned()))
}

pub fn root(packages: &Unpacked, size_mib: u64) -> Result<Tree, ImagingFault> {
    let mut tree = Tree::default();
    for directory in ["dev", "mnt", "proc", "run", "sys", "tmp", "var/log", "etc/dropbear"] {
        tree.directory(directory);
    }
    programs(packages, &mut tree)?;
    accounts(&mut tree);
    tree.file("etc/rc", 0o755, RC);
    tree.file("etc/inittab", 0o644, INITTAB);
    tree.file("etc/shutdown", 0o755, SHUTDOWN);
    tree.file("etc/udhcpc.sh", 0o755, UDHCPC);
    // acpid runs what is named so: event type and code of the power button.
    tree.file("etc/acpi/PWRF/00000080", 0o755, POWER_BUTTON);
    tree.file("etc/hostname", 0o644, "mallee-demo\n");
    tree.file("etc/hosts", 0o644, "127.0.0.1 localhost\n");
    tree.file("etc/resolv.conf", 0o644, "");
    note_size(&mut tree, size_mib);
    Ok(tree)
}

/// Tells the guest how large it was built, so that it looks at growing only when its disk is larger.
pub fn note_size(tree: &mut Tree, size_mib: u64) {
    tree.file("var/lib/mallee/sectors", 0o644, format!("{}\n", size_mib * 2048));
}

fn programs(packages: &Unpacked, tree: &mut Tree) -> Result<(), ImagingFault> {
    let busybox = packages.find("bin/busybox")?;
    tree.file("bin/busybox", 0o755, packages.read("bin/busybox")?);
    // It knows best which commands it has; it is static and runs on any x86-64 Linux.
    let listed = std::process::Command::new(&busybox)
        .arg("--list")
        .output()
        .map_err(ImagingFault::io("run", &busybox))?;
    for command in String::from_utf8_lossy(&listed.stdout).lines() {
        if command != "busybox" {
            tree.link(&format!("bin/{command}"), "busybox");
        }
    }
    for command in ["init", "getty", "poweroff", "reboot", "halt"] {
        tree.link(&format!("sbin/{command}"), "../bin/busybox");
    }
    for program in PROGRAMS {
        tree.file(&format!("usr/{program}"), 0o755, packages.read(program)?);
    }
    for library in LIBRARIES {
        let bytes = packages.read(&format!("x86_64-linux-gnu/{library}"))?;
        tree.file(&format!("{LIBRARY_DIRECTORY}/{library}"), 0o644, bytes);
    }
    tree.file(
        &format!("lib64/{LOADER}"),
        0o755,
        packages.read(&format!("x86_64-linux-gnu/{LOADER}"))?,
    );
    Ok(())
}

/// Nobody has a password: people come in by key or not at all.
fn accounts(tree: &mut Tree) {
    tree.file(
        "etc/passwd",
        0o644,
        "root:x:0:0:root:/root:/bin/sh\nec2-user:x:1000:1000::/home/ec2-user:/bin/sh\n",
    );
    tree.file("etc/shadow", 0o600, "root:*:19000:0:99999:7:::\nec2-user:*:19000:0:99999:7:::\n");
    tree.file("etc/group", 0o644, "root:x:0:\ntty:x:5:\nec2-user:x:1000:\n");
    tree.file("etc/shells", 0o644, "/bin/sh\n");
    tree.file(
        "etc/nsswitch.conf",
        0o644,
        "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
    );
    let private = |owner| Node { content: Content::Directory, mode: 0o700, owner };
    tree.put("root", private(0));
    tree.put("home/ec2-user", private(1000));
}
