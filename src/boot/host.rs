//! What the process asks of its host: file descriptors, signals, the size of a disk.

use std::{
    ffi::CString,
    fs, io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
};
use tokio::signal::unix::{SignalKind, signal};

/// Connections take descriptors, guests' taps and logs too: as many as the host lets us have.
pub fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls are given a valid structure of our own.
    let raised = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0
        }
    };
    if !raised {
        log::warn!("the number of open files cannot be raised: {}", io::Error::last_os_error());
    }
}

/// Waits for SIGINT or SIGTERM.
pub async fn asked_to_stop() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// What is free for us on the file system that holds `path`, in GiB.
pub fn free_gib(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: an all-zero `statvfs` is a valid value of that plain structure.
    let mut facts: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path is a C string, and the structure is ours.
    if unsafe { libc::statvfs(path.as_ptr(), &mut facts) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((facts.f_bavail as u64).saturating_mul(facts.f_frsize as u64) >> 30)
}

/// What the files in the directories of `path` take of their disk, in GiB. Root disks are sparse, so
/// their lengths say little.
pub fn written_gib(path: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for directory in fs::read_dir(path)? {
        for file in fs::read_dir(directory?.path())? {
            bytes += file?.metadata()?.blocks() * 512;
        }
    }
    Ok(bytes >> 30)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom, Write};

    #[test]
    fn only_what_is_written_of_a_sparse_file_counts() {
        let directory = tempfile::tempdir().unwrap();
        let instance = directory.path().join("i-1");
        fs::create_dir(&instance).unwrap();
        let mut disk = fs::File::create(instance.join("root.qcow2")).unwrap();
        disk.seek(SeekFrom::Start(8 << 30)).unwrap();
        disk.write_all(b"the end").unwrap();
        assert_eq!(written_gib(directory.path()).unwrap(), 0);
    }
}
