//! Speaking to nftables, by its own program and in its own text.
//!
//! A script is applied wholly or not at all, and that must hold for a script that we could not
//! finish saying as well: it is written to a file without a name first, and `nft` starts only then.
//! Of a pipe, `nft` would take what a killed process had written so far for the whole.

use super::capability::keep_net_admin;
use std::{
    fs::File,
    io::{self, Seek as _, Write as _},
    os::fd::FromRawFd,
    process::{Command, Stdio},
};

pub(super) fn apply(script: &str) -> io::Result<()> {
    nft(&["-f", "-"], script).map(drop)
}

/// What a `list` command says, as JSON: the objects it names, each under its kind.
pub(super) fn list(words: &[&str]) -> io::Result<Vec<serde_json::Value>> {
    let listing = nft(&[&["-j", "list"], words].concat(), "")?;
    let mut listing: serde_json::Value = serde_json::from_str(&listing)?;
    match listing["nftables"].take() {
        serde_json::Value::Array(objects) => Ok(objects),
        _ => Err(io::Error::other("`nft` said something that is no list")),
    }
}

fn nft(arguments: &[&str], input: &str) -> io::Result<String> {
    let mut script = scratch()?;
    script.write_all(input.as_bytes())?;
    script.rewind()?;
    let mut command = Command::new("nft");
    keep_net_admin(&mut command);
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
