//! The one process that is the cloud of a state directory.
//!
//! It holds a lock on the file `pid` for as long as it lives, whatever ends it, so no stale number
//! is ever believed: the lock says whether a cloud runs, and the number is used only while the
//! process it names has that very file open.

use super::fault::Fault;
use crate::config::state_directory::StateDirectory;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Held by the cloud while it runs.
#[derive(Debug)]
pub struct Reign {
    file: File,
}

/// How often a condition outside this process is looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Reign {
    /// `None` if another process is the cloud already.
    pub fn begin(state: &StateDirectory) -> Result<Option<Reign>, Fault> {
        let path = state.pid();
        let file = open(&path, OpenOptions::new().write(true).create(true))
            .map_err(Fault::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(Fault::io("lock", &path)(error)),
        }
        let mut reign = Reign { file };
        reign.note(&format!("{}\n", std::process::id())).map_err(Fault::io("write", &path))?;
        Ok(Some(reign))
    }

    fn note(&mut self, text: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all(text.as_bytes())
    }
}

impl Drop for Reign {
    fn drop(&mut self) {
        // Only tidiness: without the lock the number means nothing.
        let _ = self.file.set_len(0);
    }
}

/// How long the lock may be held by nobody who can be seen. A killed cloud keeps it until the last
/// of its threads is gone, and so does a child it was just making, until that runs its own program.
const DYING: Duration = Duration::from_secs(2);

/// The process that is the cloud now.
pub fn find(state: &StateDirectory) -> Result<Option<u32>, Fault> {
    let path = state.pid();
    let mut holder = None;
    wait_until(DYING, || {
        holder = look(&path)?;
        Ok(holder != Some(Holder::Unseen))
    })?;
    match holder {
        None => Ok(None),
        Some(Holder::Cloud(pid)) => Ok(Some(pid)),
        Some(Holder::Unseen) => {
            let shown = path.display();
            Err(Fault::failed(format!("a cloud holds `{shown}`, and cannot be seen from here"))
                .remedy("ask as the user who started it, and on the same host"))
        }
    }
}

/// Who holds the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Cloud(u32),
    Unseen,
}

fn look(path: &Path) -> Result<Option<Holder>, Fault> {
    let mut file = match open(path, OpenOptions::new().read(true)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Fault::io("open", path)(error)),
    };
    // Shared, so that two commands looking at once do not take each other for the cloud.
    match file.try_lock_shared() {
        Ok(()) => return Ok(None),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(Fault::io("lock", path)(error)),
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(Fault::io("read", path))?;
    let cloud = text.trim().parse().ok().filter(|pid| has_open(*pid, path));
    Ok(Some(cloud.map_or(Holder::Unseen, Holder::Cloud)))
}

/// Asks the cloud to stop and waits until it has.
pub fn stop(state: &StateDirectory, pid: u32, patience: Duration) -> Result<(), Fault> {
    let number = libc::pid_t::try_from(pid).map_err(|e| Fault::of(&e))?;
    // SAFETY: plain system call; `find` has seen that the process has our lock file open.
    if unsafe { libc::kill(number, libc::SIGTERM) } != 0 {
        let error = io::Error::last_os_error();
        return Err(Fault::failed(format!("cannot stop process {pid}: {error}")));
    }
    if wait_until(patience, || Ok(find(state)?.is_none()))? {
        return Ok(());
    }
    Err(Fault::failed(format!("process {pid} has not stopped within {} s", patience.as_secs()))
        .remedy(format!("see `{}` for what it is doing", state.log().display())))
}

/// Looks until `condition` holds or the time is up; whether it held.
pub fn wait_until(
    patience: Duration,
    mut condition: impl FnMut() -> Result<bool, Fault>,
) -> Result<bool, Fault> {
    let begun = Instant::now();
    loop {
        if condition()? {
            return Ok(true);
        }
        if begun.elapsed() >= patience {
            return Ok(false);
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.mode(0o600).open(path)
}

fn has_open(pid: u32, path: &Path) -> bool {
    let Ok(ours) = fs::metadata(path) else { return false };
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let same = |theirs: fs::Metadata| (theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino());
    descriptors.flatten().any(|descriptor| fs::metadata(descriptor.path()).is_ok_and(same))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_cloud_to_a_directory_and_it_is_found_while_it_lives() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().into());
        assert_eq!(find(&state).unwrap(), None);
        let reign = Reign::begin(&state).unwrap().expect("nobody else is there");
        assert!(Reign::begin(&state).unwrap().is_none());
        assert_eq!(find(&state).unwrap(), Some(std::process::id()));
        drop(reign);
        assert_eq!(find(&state).unwrap(), None);
        assert!(Reign::begin(&state).unwrap().is_some());
    }

    #[test]
    fn a_number_left_by_a_cloud_that_was_killed_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().into());
        fs::write(state.pid(), "1\n").unwrap();
        assert_eq!(find(&state).unwrap(), None);
        // Held, but the number is of a process that has not got the file.
        let file = File::open(state.pid()).unwrap();
        file.lock().unwrap();
        assert!(find(&state).unwrap_err().to_string().contains("cannot be seen"));
    }
}
