//! The machine whose power is cut: a TCG guest whose only program is the store's writer.
//!
//! Killing QEMU loses what the guest's kernel had not yet sent to its disk, as a power cut does;
//! what a process on the host writes would survive in the host's page cache whatever happened.
//! Everything is built from Debian's kernel package, busybox and the writer with its libraries.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

/// In the order in which they must be loaded; ext4 and the serial port are built in.
const MODULES: [&str; 6] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
];

/// Acknowledgements leave by the second serial port, where no kernel message mixes in.
const INIT: &str = "\
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules/order); do
  /bin/busybox insmod /modules/$module.ko
done
/bin/busybox mount -t ext4 /dev/vda /state || exec /bin/busybox poweroff -f
/bin/busybox stty -F /dev/ttyS1 raw -echo
/store_writer /state/store >/dev/ttyS1 2>/dev/console
echo ended >/dev/ttyS1
/bin/busybox sleep 600
";

/// Half of the memory is the most that the ramdisk may have, and the writer is a debug build.
const MEMORY_MIB: &str = "512";

/// The machine is emulated, and may share its processors with other tests.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

pub struct Guest {
    kernel: PathBuf,
    ramdisk: PathBuf,
    disk: PathBuf,
    console: PathBuf,
}

/// A guest that runs. Dropping it cuts its power.
pub struct Running {
    qemu: Child,
    lines: Receiver<String>,
}

impl Guest {
    pub fn build(writer: &Path, directory: &Path) -> Guest {
        let package = kernel_package();
        let kernel = find(&package.join("boot"), "vmlinuz-");
        let ramdisk = directory.join("ramdisk");
        fs::write(&ramdisk, pack(&package, writer, &directory.join("root"))).unwrap();
        let disk = directory.join("disk");
        run(Command::new("mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(&disk).arg("256M"));
        Guest { kernel, ramdisk, disk, console: directory.join("console") }
    }

    pub fn boot(&self) -> Running {
        let mut qemu = Command::new("qemu-system-x86_64")
            .args(["-machine", "pc,accel=tcg", "-m", MEMORY_MIB, "-nodefaults", "-no-user-config"])
            .args(["-display", "none", "-no-reboot"])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&self.ramdisk)
            .args(["-append", "console=ttyS0 quiet panic=-1 rdinit=/init"])
            .arg("-drive")
            .arg(format!("file={},format=raw,if=virtio", self.disk.display()))
            .arg("-serial")
            .arg(format!("file:{}", self.console.display()))
            .args(["-serial", "stdio"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("qemu-system-x86_64 starts");
        let stdout = BufReader::new(qemu.stdout.take().expect("it is piped"));
        let (line_out, lines) = channel();
        // Ends with the guest.
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if line_out.send(line.trim_end().to_owned()).is_err() {
                    return;
                }
            }
        });
        Running { qemu, lines }
    }

    /// What the guest's kernel and the writer complained about.
    pub fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned()
    }
}

impl Running {
    /// What the guest says next; nothing when it has ended, or said nothing for too long.
    pub fn next_line(&self) -> Option<String> {
        self.lines.recv_timeout(SILENCE_LIMIT).ok()
    }

    pub fn cut_power(&mut self) {
        // Fails only if it has ended already, which whoever reads the lines has seen.
        _ = self.qemu.kill();
        _ = self.qemu.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cut_power();
    }
}

/// Debian's cloud kernel, unpacked; fetched once and kept with the build.
fn kernel_package() -> PathBuf {
    let unpacked = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest-kernel");
    if unpacked.exists() {
        return unpacked;
    }
    let fetching = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let depends = output(Command::new("apt-cache").args(["depends", "linux-image-cloud-amd64"]));
    let name = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .expect("the package index knows linux-image-cloud-amd64");
    run(Command::new("apt-get").args(["--quiet", "download", name]).current_dir(fetching.path()));
    let package = find(fetching.path(), "linux-image-");
    let contents = fetching.path().join("contents");
    run(Command::new("dpkg-deb").arg("-x").args([&package, &contents]));
    fs::rename(contents, &unpacked).unwrap();
    unpacked
}

/// An uncompressed cpio archive of all the guest needs.
fn pack(package: &Path, writer: &Path, root: &Path) -> Vec<u8> {
    for directory in ["bin", "dev", "proc", "state", "modules"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    let busybox = output(Command::new("which").arg("busybox"));
    install(Path::new(busybox.trim()), &root.join("bin/busybox"));
    fs::write(root.join("init"), INIT).unwrap();
    run(Command::new("chmod").arg("755").arg(root.join("init")));
    fs::write(root.join("modules/order"), MODULES.join(" ")).unwrap();
    for module in MODULES {
        let file = format!("{module}.ko");
        let found = output(Command::new("find").arg(package.join("lib")).args(["-name", &file]));
        install(Path::new(found.trim()), &root.join("modules").join(file));
    }
    install(writer, &root.join("store_writer"));
    for library in output(Command::new("ldd").arg(writer)).split_whitespace() {
        if let Some(inside) = library.strip_prefix('/') {
            install(Path::new(library), &root.join(inside));
        }
    }
    let names = output(Command::new("find").arg(".").current_dir(root));
    let mut cpio = Command::new("busybox")
        .args(["cpio", "-o", "-H", "newc"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("busybox starts");
    // The names fit into the pipe, so writing all before reading cannot block.
    cpio.stdin.take().expect("it is piped").write_all(names.as_bytes()).unwrap();
    let packed = cpio.wait_with_output().unwrap();
    assert!(packed.status.success(), "busybox cpio failed");
    packed.stdout
}

fn install(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().expect("it is inside the root")).unwrap();
    fs::copy(from, to).unwrap_or_else(|error| panic!("copying `{}`: {error}", from.display()));
}

fn find(directory: &Path, prefix: &str) -> PathBuf {
    let mut entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let found = entries.find(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    found.unwrap_or_else(|| panic!("no `{prefix}` in `{}`", directory.display())).path()
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout).expect("names are text")
}
