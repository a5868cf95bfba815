//! Is there disk and memory to speak of?

use super::Check;
use crate::config::state_directory::StateDirectory;
use std::{ffi::CString, fs, io, mem, os::unix::ffi::OsStrExt, path::Path};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

pub fn checks(state: &StateDirectory, has_guests: bool) -> Vec<Check> {
    let place = nearest_existing(state.root());
    let mut checks = vec![disk(&place.display().to_string(), disk_free_bytes(place), has_guests)];
    if has_guests {
        checks.push(memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default()));
    }
    checks
}

fn disk(place: &str, free: io::Result<u64>, has_guests: bool) -> Check {
    const ABOUT: &str = "disk";
    let (least, comfortable) = if has_guests { (2 * GIB, 10 * GIB) } else { (GIB / 4, GIB) };
    let remedy = "make room, or keep the cloud elsewhere with `--state DIR`";
    match free {
        Err(error) => Check::warn(ABOUT, format!("`{place}` cannot be measured: {error}"), remedy),
        Ok(free) => {
            let finding = format!("{:.1} GiB free at `{place}`", free as f64 / GIB as f64);
            match free {
                free if free < least => Check::problem(ABOUT, finding, remedy),
                free if free < comfortable => Check::warn(ABOUT, finding, remedy),
                _ => Check::ok(ABOUT, finding),
            }
        }
    }
}

fn memory(meminfo: &str) -> Check {
    const ABOUT: &str = "memory";
    let available = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = available.and_then(|text| text.trim().trim_end_matches("kB").trim().parse().ok());
    let Some(kib): Option<u64> = kib else {
        return Check::warn(ABOUT, "the kernel does not say how much is free", "none is known");
    };
    let mib = kib * 1024 / MIB;
    let finding = format!("{mib} MiB available");
    let remedy = "end other programs, or use small instance types (`mallee.tiny`)";
    match mib {
        0..256 => Check::problem(ABOUT, finding, remedy),
        256..1024 => Check::warn(ABOUT, finding, remedy),
        1024.. => Check::ok(ABOUT, finding),
    }
}

fn nearest_existing(path: &Path) -> &Path {
    path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"))
}

fn disk_free_bytes(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `statvfs` is plain data; the path is a C string and the structure is live.
    unsafe {
        let mut found: libc::statvfs = mem::zeroed();
        match libc::statvfs(path.as_ptr(), &mut found) {
            0 => Ok(found.f_bavail * found.f_frsize),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn little_disk_is_a_warning_and_hardly_any_a_problem() {
        let verdict = |free| disk("/x", Ok(free), true).verdict;
        assert_eq!(verdict(GIB), Verdict::Problem);
        assert_eq!(verdict(5 * GIB), Verdict::Warn);
        assert_eq!(verdict(50 * GIB), Verdict::Ok);
        // Without guests there are records only.
        assert_eq!(disk("/x", Ok(2 * GIB), false).verdict, Verdict::Ok);
    }

    #[test]
    fn memory_is_what_the_kernel_would_give() {
        let verdict = |kib: u64| {
            memory(&format!("MemTotal: 99999999 kB\nMemAvailable:   {kib} kB\n")).verdict
        };
        assert_eq!(verdict(100 * 1024), Verdict::Problem);
        assert_eq!(verdict(512 * 1024), Verdict::Warn);
        assert_eq!(verdict(4 * 1024 * 1024), Verdict::Ok);
        assert_eq!(memory("").verdict, Verdict::Warn);
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_measured_where_it_will_be() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("a/b/c");
        assert_eq!(nearest_existing(&deep), directory.path());
        assert!(disk_free_bytes(directory.path()).unwrap() > 0);
    }
}
