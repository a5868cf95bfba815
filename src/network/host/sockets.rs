//! The private NICs of guests that have no taps: a pair of sockets each, in a directory of ours.
//!
//! ```text
//!   eni-….ours     the switch's end       eni-….guests   QEMU's end
//!   eni-….port     whose it is, which outlives a process of ours as a tap does
//! ```

use crate::domain::{
    id::{InstanceId, InterfaceId},
    interface::NicBackend,
};
use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

#[derive(Debug)]
pub(super) struct Sockets(PathBuf);

/// A path of a socket holds fewer than 108 bytes (unix(7)).
const LONGEST: usize = 107;

impl Sockets {
    pub fn kept_in(directory: PathBuf) -> Sockets {
        Sockets(directory)
    }

    /// Makes room for a port, and says where its ends are.
    pub fn add(&self, interface: &InterfaceId, instance: &InstanceId) -> io::Result<NicBackend> {
        let backend = self.backend(interface);
        let guests = self.path(interface, "guests");
        if guests.as_os_str().len() > LONGEST {
            let path = guests.display();
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("`{path}` is longer than the {LONGEST} bytes of a socket's path"),
            ));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let kept = self.path(interface, "port");
        if read(&kept).as_ref() != Some(instance) {
            fs::write(&kept, instance.to_string())?;
        }
        Ok(backend)
    }

    pub fn backend(&self, interface: &InterfaceId) -> NicBackend {
        NicBackend::Socket {
            ours: self.path(interface, "ours"),
            guests: self.path(interface, "guests"),
        }
    }

    pub fn remove(&self, interface: &InterfaceId) -> io::Result<()> {
        // Whose it was last, so that an interruption leaves what `sweep` finds.
        for end in ["ours", "guests", "port"] {
            match fs::remove_file(self.path(interface, end)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Every port there is.
    pub fn found(&self) -> io::Result<Vec<(InterfaceId, InstanceId)>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let is_port = path.extension().is_some_and(|extension| extension == "port");
            let interface = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            if let (true, Some(interface), Some(instance)) = (is_port, interface, read(&path)) {
                found.push((interface, instance));
            }
        }
        found.sort();
        Ok(found)
    }

    fn path(&self, interface: &InterfaceId, end: &str) -> PathBuf {
        self.0.join(format!("{interface}.{end}"))
    }
}

fn read(path: &Path) -> Option<InstanceId> {
    fs::read_to_string(path).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_found_by_the_next_process_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let sockets = Sockets::kept_in(directory.path().join("private"));
        assert_eq!(sockets.found().unwrap(), []);
        let (interface, instance) =
            ("eni-0123456789abcdef0".parse().unwrap(), "i-12345678".parse().unwrap());
        let backend = sockets.add(&interface, &instance).unwrap();
        assert_eq!(sockets.add(&interface, &instance).unwrap(), backend);
        let next = Sockets::kept_in(directory.path().join("private"));
        assert_eq!(next.found().unwrap(), [(interface.clone(), instance)]);
        next.remove(&interface).unwrap();
        next.remove(&interface).unwrap();
        assert_eq!(fs::read_dir(directory.path().join("private")).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_too_deep_for_sockets_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let sockets = Sockets::kept_in(directory.path().join("x".repeat(100)));
        let added =
            sockets.add(&"eni-0123456789abcdef0".parse().unwrap(), &"i-12345678".parse().unwrap());
        assert!(added.unwrap_err().to_string().contains("107 bytes"));
    }
}
