//! Which libvirt: embedded in this process, the host's daemon, or the user's own.
//!
//! * embed: libvirt's QEMU driver as a library, with a directory of its own. Needs no daemon and
//!   no privileges, and its guests outlive the process. One process at a time, one directory per
//!   process, so this is for laptops, containers and tests.
//! * system: the host's daemon. Isolated from us, and `virsh` can look in: for servers.
//! * session: a daemon of the user's, started by libvirt. Never for root, whose session daemon
//!   libvirt does not start.

use std::{
    fmt, fs, io,
    os::unix::{fs::DirBuilderExt, net::UnixStream},
    path::{Path, PathBuf},
};

/// Where a system daemon listens: the monolithic one, and its modular successor.
const SYSTEM_SOCKETS: [&str; 2] = ["/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    Embed {
        root: PathBuf,
    },
    System,
    Session,
    /// As configured; its guests are expected to be on this host.
    Uri(String),
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mode::Embed { root } => write!(f, "qemu:///embed?root={}", root.display()),
            Mode::System => f.write_str("qemu:///system"),
            Mode::Session => f.write_str("qemu:///session"),
            Mode::Uri(uri) => f.write_str(uri),
        }
    }
}

impl Mode {
    /// For people, who may not know libvirt's URIs.
    pub fn in_words(&self) -> &str {
        match self {
            Mode::Embed { .. } => "embedded",
            Mode::System => "the host's daemon",
            Mode::Session => "the user's daemon",
            Mode::Uri(uri) => uri,
        }
    }
}

/// What the choice depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surroundings {
    pub root: bool,
    pub system_daemon: bool,
}

impl Surroundings {
    /// A socket without a daemon behind it does not count as one.
    pub fn look() -> Surroundings {
        Surroundings {
            root: is_root(),
            system_daemon: SYSTEM_SOCKETS.iter().any(|path| UnixStream::connect(path).is_ok()),
        }
    }
}

/// The modes to try, in order. A configured URI is never replaced by another mode.
pub fn candidates(uri: Option<&str>, state: &Path, surroundings: Surroundings) -> Vec<Mode> {
    let embed = Mode::Embed { root: state.join("libvirt") };
    match (uri, surroundings) {
        (Some("qemu:///system"), _) => vec![Mode::System],
        (Some("qemu:///session"), _) => vec![Mode::Session],
        (Some("embed"), _) => vec![embed],
        (Some(uri), _) => match uri.strip_prefix("qemu:///embed?root=") {
            Some(root) => vec![Mode::Embed { root: root.into() }],
            None => vec![Mode::Uri(uri.to_owned())],
        },
        (None, Surroundings { root: true, system_daemon: true }) => vec![Mode::System],
        (None, Surroundings { root: true, system_daemon: false }) => vec![embed],
        (None, Surroundings { root: false, .. }) => vec![embed, Mode::Session],
    }
}

/// Makes an embedded driver's directory and its `qemu.conf`, which belongs to us and is written
/// anew each time.
pub fn prepare_embed(root: &Path) -> io::Result<()> {
    let etc = root.join("etc");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&etc)?;
    fs::write(etc.join("qemu.conf"), qemu_conf(is_root()))
}

fn qemu_conf(root: bool) -> String {
    let mut settings = vec![
        "# Written by mallee at each start.",
        "# Without virtlogd, which nobody starts here, creating a guest with a log would fail.",
        "stdio_handler = \"file\"",
    ];
    if root {
        settings.extend([
            "# QEMU as root: were it to run as a user who may not open /dev/kvm, libvirt would",
            "# take its own notes on QEMU for stale and probe it again before every guest.",
            "user = \"root\"",
            "group = \"root\"",
            "# There is no daemon here to confine, and files keep the owner they have.",
            "security_driver = \"none\"",
            "dynamic_ownership = 0",
            "remember_owner = 0",
            "cgroup_controllers = []",
            "namespaces = []",
        ]);
    }
    settings.join("\n") + "\n"
}

fn is_root() -> bool {
    // SAFETY: `geteuid` always succeeds and touches no memory.
    unsafe { libc::geteuid() == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: Option<&str>, root: bool, system_daemon: bool, expected: &[&str]) {
        let found = candidates(uri, Path::new("/s"), Surroundings { root, system_daemon });
        let found: Vec<String> = found.iter().map(Mode::to_string).collect();
        assert_eq!(found, expected, "{uri:?} root {root} daemon {system_daemon}");
    }

    #[test]
    fn a_configured_uri_is_taken_and_nothing_else_is_tried() {
        check(Some("qemu:///session"), true, true, &["qemu:///session"]);
        check(
            Some("qemu+unix:///system?socket=/x"),
            true,
            true,
            &["qemu+unix:///system?socket=/x"],
        );
        check(Some("embed"), true, true, &["qemu:///embed?root=/s/libvirt"]);
        check(Some("qemu:///embed?root=/e"), false, true, &["qemu:///embed?root=/e"]);
    }

    #[test]
    fn root_uses_a_living_system_daemon_and_embeds_otherwise() {
        check(None, true, true, &["qemu:///system"]);
        check(None, true, false, &["qemu:///embed?root=/s/libvirt"]);
    }

    #[test]
    fn others_embed_and_fall_back_to_their_session() {
        let both = ["qemu:///embed?root=/s/libvirt", "qemu:///session"];
        check(None, false, false, &both);
        check(None, false, true, &both);
    }

    #[test]
    fn only_root_names_a_user_for_qemu() {
        assert!(qemu_conf(true).contains("user = \"root\""));
        assert!(!qemu_conf(false).contains("user ="));
        assert!(qemu_conf(false).contains("stdio_handler = \"file\""));
    }
}
