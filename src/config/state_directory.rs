//! Where a cloud keeps what it must not lose: one directory, and the names inside it.
//!
//! Every role has its own part, as it would on a host of its own. Nothing outside this directory
//! is written, so removing it (when the cloud is down) leaves nothing on the file system. Nothing
//! here reads the environment: who makes a [`StateDirectory`] has decided where it is.

use crate::domain::id::{GroupName, NodeName};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDirectory(PathBuf);

/// What one node manager keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeDirectory(PathBuf);

impl StateDirectory {
    pub fn at(root: PathBuf) -> StateDirectory {
        StateDirectory(root)
    }

    /// Where it is when nobody says: root's is the system's, another user's is in the XDG data
    /// directory. `None` if that user has no home.
    pub fn usual(
        is_root: bool,
        data_home: Option<PathBuf>,
        home: Option<PathBuf>,
    ) -> Option<StateDirectory> {
        if is_root {
            return Some(StateDirectory::at("/var/lib/mallee".into()));
        }
        // The XDG specification has relative paths ignored.
        let data_home = data_home.filter(|path| path.is_absolute());
        let data_home = data_home.or_else(|| home.map(|home| home.join(".local/share")))?;
        Some(StateDirectory::at(data_home.join("mallee")))
    }

    /// Makes it, for its owner's eyes only: it holds secrets and guests' disks.
    pub fn create(&self) -> io::Result<()> {
        create_private_directory(&self.0)
    }

    pub fn root(&self) -> &Path {
        &self.0
    }

    /// The administrator's key pair and account, as JSON.
    pub fn credentials(&self) -> PathBuf {
        self.0.join("credentials")
    }

    /// Which private network the guests were started in, where there is one.
    pub fn enclosure(&self) -> PathBuf {
        self.0.join("enclosure")
    }

    /// The URL the running cloud answers at.
    pub fn endpoint(&self) -> PathBuf {
        self.0.join("endpoint")
    }

    /// The process of the running cloud, which holds a lock on this file.
    pub fn pid(&self) -> PathBuf {
        self.0.join("pid")
    }

    /// The configuration the cloud was last started with, for commands that work while it is down.
    pub fn configuration(&self) -> PathBuf {
        self.0.join("configuration.toml")
    }

    /// The certificate of a host that joined a cloud, with its key and what it was told there.
    pub fn membership(&self) -> PathBuf {
        self.0.join("membership")
    }

    /// The key of a host that is joining, so that asking again is asking for the same.
    pub fn joining_key(&self) -> PathBuf {
        self.0.join("joining-key")
    }

    /// What a process that is not the cloud says once it runs.
    pub fn serving(&self) -> PathBuf {
        self.0.join("serving")
    }

    /// The key and certificate of the cloud's own authority.
    pub fn authority(&self) -> PathBuf {
        self.0.join("cloud/authority")
    }

    /// What the cloud signs its replies with, and the key to it.
    pub fn certificate(&self) -> PathBuf {
        self.0.join("cloud/certificate")
    }

    /// Whom the authority invited, certified and revoked.
    pub fn ledger(&self) -> PathBuf {
        self.0.join("cloud/ledger")
    }

    /// Which switches belong to the overlay, and the secret that their keys come from.
    pub fn roster(&self) -> PathBuf {
        self.0.join("cloud/roster")
    }

    /// What this process's switch must not forget.
    pub fn overlay(&self) -> PathBuf {
        self.0.join("overlay")
    }

    /// Where `mallee overlay` asks this process about its switch.
    pub fn inquiries(&self) -> PathBuf {
        self.0.join("overlay.sock")
    }

    /// Where a cloud in the background writes its log.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// What happened here, for `mallee events`.
    pub fn events(&self) -> PathBuf {
        self.0.join("events")
    }

    pub fn cloud_records(&self) -> PathBuf {
        self.0.join("cloud/records")
    }

    /// Bytes of images, by digest.
    pub fn cloud_blobs(&self) -> PathBuf {
        self.0.join("cloud/blobs")
    }

    /// Held locked while bytes are being added to `cloud_blobs`, whose opening sweeps away what
    /// unfinished additions left.
    pub fn cloud_blobs_lock(&self) -> PathBuf {
        self.0.join("cloud/blobs.lock")
    }

    pub fn group_records(&self, group: &GroupName) -> PathBuf {
        self.0.join("group").join(group.as_str()).join("records")
    }

    /// Images on their way from the cloud to nodes.
    pub fn group_images(&self, group: &GroupName) -> PathBuf {
        self.0.join("group").join(group.as_str()).join("images")
    }

    pub fn node(&self, node: &NodeName) -> NodeDirectory {
        NodeDirectory(self.0.join("node").join(node.as_str()))
    }

    /// The nodes that have been here, configured still or not.
    pub fn nodes(&self) -> io::Result<Vec<NodeName>> {
        let entries = match fs::read_dir(self.0.join("node")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut nodes = Vec::new();
        for entry in entries {
            nodes.extend(entry?.file_name().to_str().and_then(|name| name.parse().ok()));
        }
        nodes.sort();
        Ok(nodes)
    }

    /// Demo images built here, and the packages they were made from.
    pub fn images(&self) -> PathBuf {
        self.0.join("images")
    }

    /// Private keys that the command line made.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// ssh's list of hosts, apart from the user's own: guests' addresses are used again.
    pub fn known_hosts(&self) -> PathBuf {
        self.0.join("known_hosts")
    }
}

impl NodeDirectory {
    pub fn records(&self) -> PathBuf {
        self.0.join("records")
    }

    /// A directory per instance: root disk, console log and socket.
    pub fn instances(&self) -> PathBuf {
        self.0.join("instances")
    }

    /// Where a running instance's serial port can be attached to.
    pub fn console_socket(&self, instance: &str) -> PathBuf {
        self.instances().join(instance).join("console.sock")
    }

    /// Images in the form guests start from.
    pub fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }

    /// What the embedded libvirt driver is given as its root, less the last component, which the
    /// driver appends itself.
    pub fn hypervisor(&self) -> PathBuf {
        self.0.clone()
    }
}

pub fn create_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file that only its owner may read, so that a reader finds it whole or not at all.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let unfinished = path.with_file_name(name);
    let written = private_file(&unfinished).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    });
    if written.is_err() {
        // The error worth telling is the first one.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn root_and_others_keep_their_clouds_where_the_system_expects_data() {
        let usual = |is_root, data_home: Option<&str>, home: Option<&str>| {
            let usual =
                StateDirectory::usual(is_root, data_home.map(Into::into), home.map(Into::into));
            usual.map(|state| state.root().display().to_string())
        };
        assert_eq!(usual(true, Some("/d"), Some("/h")).unwrap(), "/var/lib/mallee");
        assert_eq!(usual(false, Some("/d"), Some("/h")).unwrap(), "/d/mallee");
        assert_eq!(usual(false, None, Some("/h")).unwrap(), "/h/.local/share/mallee");
        assert_eq!(usual(false, Some("d"), Some("/h")).unwrap(), "/h/.local/share/mallee");
        assert_eq!(usual(false, None, None), None);
    }

    #[test]
    fn secrets_are_for_their_owner_only_even_where_a_readable_file_was_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_directory_itself_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().join("a/b"));
        state.create().unwrap();
        state.create().unwrap();
        let mode = fs::metadata(state.root()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
