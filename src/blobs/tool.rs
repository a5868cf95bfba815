//! Running the host's own tools: a missing one is named with its Debian package, a failing one is
//! quoted. No shell is involved, so no name of a file needs quoting.

use super::BlobFault;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

/// A program of the host, and where to get it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    pub name: &'static str,
    pub package: &'static str,
}

pub const QEMU_IMG: Tool = Tool { name: "qemu-img", package: "qemu-utils" };
pub const GZIP: Tool = Tool { name: "gzip", package: "gzip" };
pub const LZ4: Tool = Tool { name: "lz4", package: "lz4" };
pub const XZ: Tool = Tool { name: "xz", package: "xz-utils" };
pub const ZSTD: Tool = Tool { name: "zstd", package: "zstd" };

impl Tool {
    /// Runs to the end; the standard output on success, else what it complained.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Vec<u8>, BlobFault> {
        let output = Command::new(self.name)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| self.not_started(&error))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(self.failed(&output.stderr))
    }

    /// Feeds `input` to the tool and reads what it makes of it.
    pub fn filter<A: AsRef<OsStr>>(
        &self,
        arguments: &[A],
        input: &[u8],
    ) -> Result<Vec<u8>, BlobFault> {
        let mut child = Command::new(self.name)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| self.not_started(&error))?;
        let exchanged = exchange(&mut child, input);
        let status = child.wait().map_err(|error| self.failed(error.to_string().as_bytes()))?;
        let (output, complaint) =
            exchanged.map_err(|error| self.failed(error.to_string().as_bytes()))?;
        if status.success() { Ok(output) } else { Err(self.failed(&complaint)) }
    }

    /// Whether the tool is on the path.
    pub fn is_installed(&self) -> bool {
        let Some(path) = std::env::var_os("PATH") else { return false };
        std::env::split_paths(&path).any(|directory| directory.join(self.name).is_file())
    }

    pub fn not_started(&self, error: &io::Error) -> BlobFault {
        match error.kind() {
            io::ErrorKind::NotFound => {
                BlobFault::ToolMissing { tool: self.name, package: self.package }
            }
            _ => self.failed(error.to_string().as_bytes()),
        }
    }

    pub fn failed(&self, complaint: &[u8]) -> BlobFault {
        let output = String::from_utf8_lossy(complaint).trim().replace('\n', "; ");
        BlobFault::ToolFailed { tool: self.name, output }
    }
}

/// Writes on a thread of its own: a tool that answers before it has read everything would
/// otherwise wait for us while we wait for it.
fn exchange(child: &mut Child, input: &[u8]) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let stdin = child.stdin.take().expect("standard input was asked to be a pipe");
    let mut stdout = child.stdout.take().expect("standard output was asked to be a pipe");
    let mut stderr = child.stderr.take().expect("standard error was asked to be a pipe");
    let (mut output, mut complaint) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(move || write_all_unless_closed(stdin, input));
        scope.spawn(|| stderr.read_to_end(&mut complaint));
        stdout.read_to_end(&mut output)
    })?;
    Ok((output, complaint))
}

/// A tool may stop reading early; its exit status says whether that was an error.
fn write_all_unless_closed(mut stdin: ChildStdin, input: &[u8]) {
    let _ = stdin.write_all(input);
}

#[cfg(test)]
mod tests {
    use super::{GZIP, Tool};
    use crate::blobs::BlobFault;

    #[test]
    fn a_missing_tool_is_named_with_its_package() {
        let tool = Tool { name: "no-such-tool-here", package: "no-such-package" };
        let missing = BlobFault::ToolMissing { tool: tool.name, package: tool.package };
        assert!(!tool.is_installed());
        assert_eq!(tool.run(&["-v"]), Err(missing.clone()));
        assert_eq!(tool.filter(&["-v"], b"x"), Err(missing));
    }

    #[test]
    fn a_filter_passes_more_than_a_pipe_holds_both_ways() {
        let bytes: Vec<u8> =
            (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let packed = GZIP.filter(&["-1nc"], &bytes).unwrap();
        assert_eq!(GZIP.filter(&["-dc"], &packed).unwrap(), bytes);
    }

    #[test]
    fn a_failing_tool_is_quoted() {
        let Err(BlobFault::ToolFailed { tool: "gzip", output }) = GZIP.filter(&["-dc"], b"no")
        else {
            panic!("gzip unpacked garbage")
        };
        assert!(!output.is_empty());
    }
}
