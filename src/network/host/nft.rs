//! Speaking to nftables, by its own program and in its own text.
//!
//! A script is applied wholly or not at all, and that must hold for a script that we could not
//! finish saying as well: it is written to a file without a name first, and `nft` starts only then.
//! Of a pipe, `nft` would take what a killed process had written so far for the whole.
//!
//! An `nft` whose process was killed goes on, and might undo what the next process has done by then.
//! So every one of them holds the lock on the cloud's state directory with us, as its standard
//! output, and the next process waits for that lock.

use super::capability::keep_net_admin;
use std::{
    collections::VecDeque,
    fs::{File, TryLockError},
    io::{self, Seek as _, Write as _},
    os::fd::FromRawFd,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The right to change what is ours.
#[derive(Debug)]
pub(super) struct Nft {
    lock: File,
    /// The processes that changed it for us, the last ones last.
    processes: Mutex<VecDeque<u32>>,
}

/// News of what a process did come at once: by the time this many others have run, they have been
/// heard.
const REMEMBERED: usize = 64;

/// Longer than any script of ours takes.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl Nft {
    /// Waits until nobody else has the right.
    pub fn open(state_dir: &Path) -> io::Result<Nft> {
        let lock = File::open(state_dir)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Nft { lock, processes: Mutex::default() }),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    std::thread::sleep(LOOK_EVERY);
                }
                Err(TryLockError::WouldBlock) => {
                    let words = format!("another process has `{}`", state_dir.display());
                    return Err(io::Error::other(words));
                }
            }
        }
    }

    pub fn apply(&self, script: &str) -> io::Result<()> {
        if script.is_empty() {
            return Ok(());
        }
        let mut command = nft(&["-f", "-"]);
        command.stdin(scratch(script)?).stdout(self.lock.try_clone()?);
        let child = {
            // Until it is noted, nobody can ask whose it is.
            let mut processes = self.processes();
            let child = command.spawn()?;
            processes.push_back(child.id());
            if processes.len() > REMEMBERED {
                processes.pop_front();
            }
            child
        };
        said(child.wait_with_output()?).map(drop)
    }

    /// Whether a process that changed something did so for us.
    pub fn is_ours(&self, process: u32) -> bool {
        self.processes().contains(&process)
    }

    fn processes(&self) -> MutexGuard<'_, VecDeque<u32>> {
        // A number is there or not.
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a `list` command says, as JSON: the objects it names, each under its kind.
pub(super) fn list(words: &[&str]) -> io::Result<Vec<serde_json::Value>> {
    let mut command = nft(&[&["-j", "list"], words].concat());
    let listing = said(command.stdin(Stdio::null()).output()?)?;
    let mut listing: serde_json::Value = serde_json::from_str(&listing)?;
    match listing["nftables"].take() {
        serde_json::Value::Array(objects) => Ok(objects),
        _ => Err(io::Error::other("`nft` said something that is no list")),
    }
}

fn nft(arguments: &[&str]) -> Command {
    let mut command = Command::new("nft");
    keep_net_admin(&mut command);
    command.args(arguments).stderr(Stdio::piped());
    command
}

/// What it said, if it was content.
fn said(output: Output) -> io::Result<String> {
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("`nft` refused: {}", words.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A file without a name that has this in it.
fn scratch(text: &str) -> io::Result<File> {
    // SAFETY: the name is a C string.
    let descriptor = unsafe { libc::memfd_create(c"nft".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let mut file = unsafe { File::from_raw_fd(descriptor) };
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}
