//! The floor: QEMU alone, with what the cloud gave its guest.

use super::{cloud::Instance, metadata, watch};
use crate::bed::program::{directory, end_with_us, free_address};
use serde::Deserialize;
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    rc::Rc,
    time::{Duration, Instant},
};

/// What a guest is made of, read off one that the cloud started.
#[derive(Debug, Clone)]
pub struct Machine {
    kernel: PathBuf,
    ramdisk: PathBuf,
    command_line: String,
    root: PathBuf,
    root_format: String,
    root_bytes: u64,
    /// The kernel and ramdisk, which the cloud may tidy away with its guest.
    kept: Rc<tempfile::TempDir>,
}

/// Guests that were started at one time; killed when dropped.
#[derive(Debug)]
pub struct Guests {
    begun: Instant,
    guests: Vec<Guest>,
    _place: tempfile::TempDir,
}

#[derive(Debug)]
struct Guest {
    emulator: Child,
    console: PathBuf,
    ssh: SocketAddr,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct DiskFacts {
    full_backing_filename: PathBuf,
    backing_filename_format: String,
    virtual_size: u64,
}

impl Machine {
    pub fn of(instance: &Instance) -> Machine {
        let pid = watch::emulator_with(&instance.id).expect("it runs");
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        let after = |option: &str| {
            let mut words = arguments.split('\0').skip_while(|word| *word != option);
            words.nth(1).unwrap_or_else(|| panic!("no {option} in {arguments}")).to_owned()
        };
        let root = fs::read_dir(&instance.directory)
            .unwrap()
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "qcow2"))
            .expect("it has a root disk");
        let told = Command::new("qemu-img")
            .args(["info", "--force-share", "--output", "json"])
            .arg(&root)
            .output()
            .unwrap();
        let facts: DiskFacts = serde_json::from_slice(&told.stdout).unwrap();
        let kept = directory();
        let keep = |path: String, name: &str| {
            let copy = kept.path().join(name);
            fs::copy(path, &copy).unwrap();
            copy
        };
        Machine {
            kernel: keep(after("-kernel"), "kernel"),
            ramdisk: keep(after("-initrd"), "ramdisk"),
            root: keep(facts.full_backing_filename.to_str().unwrap().to_owned(), "root"),
            command_line: after("-append"),
            root_format: facts.backing_filename_format,
            root_bytes: facts.virtual_size,
            kept: Rc::new(kept),
        }
    }

    /// The same with another kernel.
    pub fn with_kernel(&self, kernel: &Path) -> Machine {
        Machine { kernel: kernel.to_owned(), ..self.clone() }
    }

    pub fn start(&self, count: usize) -> Guests {
        let place = tempfile::tempdir_in(self.kept.path()).unwrap();
        let begun = Instant::now();
        let guests = (0..count).map(|n| self.guest(&place.path().join(n.to_string()))).collect();
        Guests { begun, guests, _place: place }
    }

    /// Its disk is made as part of it, as the cloud makes one for each launch.
    fn guest(&self, name: &Path) -> Guest {
        let (disk, console) = (name.with_extension("qcow2"), name.with_extension("console"));
        let made = Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", &self.root_format, "-b"])
            .arg(&self.root)
            .arg(&disk)
            .arg(self.root_bytes.to_string())
            .status();
        assert!(made.expect("qemu-img is installed").success());
        let ssh = free_address();
        let public = format!(
            "user,id=n0,net=169.254.0.0/16,dhcpstart=169.254.0.15,hostfwd=tcp:{ssh}-:22,\
             guestfwd=tcp:169.254.169.254:80-cmd:{}",
            metadata::command()
        );
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc"])
            .args(["-accel", "tcg,tb-size=32", "-cpu", "max", "-m", "128", "-smp", "1"])
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(&self.ramdisk)
            .args(["-append", &self.command_line])
            .args(["-drive", &format!("file={},if=virtio,discard=unmap", disk.display())])
            .args(["-netdev", &public, "-device", "virtio-net-pci,netdev=n0"])
            .args(["-netdev", "user,id=n1", "-device", "virtio-net-pci,netdev=n1"])
            .args(["-device", "virtio-rng-pci", "-device", "virtio-balloon-pci"])
            .args(["-serial", &format!("file:{}", console.display())]);
        end_with_us(&mut command);
        let emulator = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        Guest { emulator, console, ssh }
    }
}

impl Guests {
    pub fn wait_for(&self, marker: &str) -> Duration {
        for guest in &self.guests {
            watch::until(marker, || watch::says(&guest.console, marker));
        }
        self.begun.elapsed()
    }

    pub fn wait_for_ssh(&self) -> Duration {
        for guest in &self.guests {
            watch::until("ssh answers", || watch::ssh_answers(guest.ssh));
        }
        self.begun.elapsed()
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        for guest in &mut self.guests {
            _ = guest.emulator.kill();
            _ = guest.emulator.wait();
        }
    }
}
