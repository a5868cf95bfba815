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
    fs::{File, TryLockError},
    io::{self, Seek as _, Write as _},
    os::fd::FromRawFd,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The right to change what is ours.
#[derive(Debug)]
pub(super) struct Nft {
    lock: File,
}

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
                Ok(()) => return Ok(Nft { lock }),
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
        nft(&["-f", "-"], script, Some(&self.lock)).map(drop)
    }
}

/// What a `list` command says, as JSON: the objects it names, each under its kind.
pub(super) fn list(words: &[&str]) -> io::Result<Vec<serde_json::Value>> {
    let listing = nft(&[&["-j", "list"], words].concat(), "", None)?;
    let mut listing: serde_json::Value = serde_json::from_str(&listing)?;
    match listing["nftables"].take() {
        serde_json::Value::Array(objects) => Ok(objects),
        _ => Err(io::Error::other("`nft` said something that is no list")),
    }
}

/// What it says, unless its output is something to be held.
fn nft(arguments: &[&str], input: &str, held: Option<&File>) -> io::Result<String> {
    let mut script = scratch()?;
    script.write_all(input.as_bytes())?;
    script.rewind()?;
    let mut command = Command::new("nft");
    keep_net_admin(&mut command);
    if let Some(held) = held {
        command.stdout(held.try_clone()?);
    }
    let output = command.args(arguments).stdin(Stdio::from(script)).output()?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("`nft` refused: {}", words.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A file without a name.
fn scratch() -> io::Result<File> {
    // SAFETY: the name is a C string.
    let descriptor = unsafe { libc::memfd_create(c"nft".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}
