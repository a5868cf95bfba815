//! Can guests run here, and how fast?

use super::{Check, install};
use crate::hypervisor::{
    accelerator::{self, Choice, KvmRefused, Requested},
    libvirt::loader,
};
use std::{
    env::consts::ARCH,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// Older ones lack machine types and options the domains use.
const QEMU_MIN: (u32, u32) = (5, 2);
/// Where distributions put libvirt's drivers.
const DRIVER_DIRECTORIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver",
    "/usr/lib/aarch64-linux-gnu/libvirt/connection-driver",
    "/usr/lib64/libvirt/connection-driver",
    "/usr/lib/libvirt/connection-driver",
];
const QEMU_DRIVER: &str = "libvirt_driver_qemu.so";

/// Root's libvirt is the system's own, with a user of its own.
pub fn checks(is_root: bool) -> Vec<Check> {
    let program = format!("qemu-system-{ARCH}");
    let version = Command::new(&program).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let driver = DRIVER_DIRECTORIES.iter().map(|place| Path::new(place).join(QEMU_DRIVER));
    let mut checks = vec![
        qemu(&program, version),
        libvirt(loader::load()),
        libvirt_driver(driver.into_iter().find(|driver| driver.exists())),
        kvm(accelerator::choose(Requested::Kvm)),
    ];
    if is_root {
        checks.push(libvirt_user(&fs::read_to_string("/etc/passwd").unwrap_or_default()));
    }
    checks
}

fn qemu(program: &str, version: io::Result<String>) -> Check {
    const ABOUT: &str = "QEMU";
    let package = match ARCH {
        "aarch64" => "qemu-system-arm",
        _ => "qemu-system-x86",
    };
    let text = match version {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let finding = format!("`{program}` is not installed");
            return Check::problem(ABOUT, finding, install(package));
        }
        Err(error) => {
            let finding = format!("`{program}` cannot be started: {error}");
            return Check::problem(ABOUT, finding, "see that it is a program for this machine");
        }
    };
    match parse_version(&text) {
        Some((major, minor)) if (major, minor) < QEMU_MIN => Check::problem(
            ABOUT,
            format!("version {major}.{minor} is too old"),
            format!("install {}.{} or newer", QEMU_MIN.0, QEMU_MIN.1),
        ),
        Some((major, minor)) => Check::ok(ABOUT, format!("version {major}.{minor}")),
        None => Check::warn(
            ABOUT,
            format!("`{program}` does not say which version it is"),
            "see that it is QEMU",
        ),
    }
}

/// From "QEMU emulator version 7.2.22 (Debian …)".
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split("version ").nth(1)?.split(['.', ' ', '\n', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn libvirt(loaded: Result<(), String>) -> Check {
    match loaded {
        Ok(()) => Check::ok("libvirt", "the library is there"),
        Err(why) => Check::problem("libvirt", why, install("libvirt0")),
    }
}

fn libvirt_driver(found: Option<PathBuf>) -> Check {
    const ABOUT: &str = "libvirt's QEMU driver";
    match found {
        Some(path) => Check::ok(ABOUT, path.display().to_string()),
        None => Check::problem(
            ABOUT,
            format!("`{QEMU_DRIVER}` is not where distributions put it"),
            install("libvirt-daemon-driver-qemu"),
        ),
    }
}

/// Debian's libvirt insists on this user even where guests run as another, and only the package of
/// its daemon, which is not needed, makes it.
const USER: &str = "libvirt-qemu";

fn libvirt_user(passwd: &str) -> Check {
    const ABOUT: &str = "libvirt's user";
    match passwd.lines().any(|line| line.split(':').next() == Some(USER)) {
        true => Check::ok(ABOUT, format!("`{USER}` exists")),
        false => Check::problem(
            ABOUT,
            format!("there is no user `{USER}`, without which Debian's libvirt does not start"),
            format!("as root: useradd --system --user-group --shell /usr/sbin/nologin {USER}"),
        ),
    }
}

fn kvm(chosen: Result<Choice, KvmRefused>) -> Check {
    match chosen {
        Ok(choice) => Check::ok("KVM", choice.reason),
        Err(KvmRefused { verdict }) => Check::warn(
            "KVM",
            format!("{verdict}; guests run all the same, under TCG and many times slower"),
            format!("for speed, {}", verdict.remedy()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::hypervisor::accelerator::{KvmVerdict, PROBE_LIMIT};

    fn verdict_of_qemu(version: io::Result<&str>) -> Verdict {
        qemu("qemu-system-x86_64", version.map(str::to_owned)).verdict
    }

    #[test]
    fn qemu_must_be_there_and_new_enough() {
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u13)\nCopyright";
        assert_eq!(verdict_of_qemu(Ok(debian)), Verdict::Ok);
        assert_eq!(verdict_of_qemu(Ok("QEMU emulator version 4.2.1")), Verdict::Problem);
        assert_eq!(verdict_of_qemu(Ok("something else")), Verdict::Warn);
        let absent = qemu("qemu-system-x86_64", Err(io::ErrorKind::NotFound.into()));
        assert_eq!(absent.verdict, Verdict::Problem);
        assert!(absent.remedy.unwrap().contains("apt-get install"));
        assert_eq!(parse_version("QEMU emulator version 10.0.2"), Some((10, 0)));
    }

    #[test]
    fn kvm_that_opens_and_does_not_execute_is_told_with_a_remedy() {
        let refused = |verdict| kvm(Err(KvmRefused { verdict }));
        let check = refused(KvmVerdict::Emulated { limit: PROBE_LIMIT });
        assert_eq!(check.verdict, Verdict::Warn);
        assert!(check.finding.contains("150 ms") && check.finding.contains("TCG"));
        assert!(check.remedy.unwrap().contains("`nested=1`"));
        let check = refused(KvmVerdict::Unavailable("`/dev/kvm`: absent".into()));
        assert!(check.remedy.unwrap().contains("`modprobe kvm_intel`"));
    }

    #[test]
    fn libvirt_is_the_library_its_driver_and_its_user() {
        assert_eq!(libvirt(Ok(())).verdict, Verdict::Ok);
        assert_eq!(libvirt(Err("not installed".into())).verdict, Verdict::Problem);
        assert_eq!(libvirt_driver(Some("/x".into())).verdict, Verdict::Ok);
        assert_eq!(libvirt_driver(None).verdict, Verdict::Problem);
        let passwd = "root:x:0:0:root:/root:/bin/bash\nlibvirt-qemu:x:999:999::/:/x\n";
        assert_eq!(libvirt_user(passwd).verdict, Verdict::Ok);
        let check = libvirt_user("libvirt-qemu-2:x:1:1::/:/x\n");
        assert_eq!(check.verdict, Verdict::Problem);
        assert!(
            check
                .remedy
                .unwrap()
                .ends_with("useradd --system --user-group --shell /usr/sbin/nologin libvirt-qemu")
        );
    }
}
