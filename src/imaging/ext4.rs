//! A tree as an ext4 file system in a plain file, made without root or mounting.
//!
//! `mke2fs` makes it empty and `debugfs` fills it, entry by entry in the order of the names: owners
//! and times can be told, and nothing depends on the order in which this host lists a directory.

use super::tree::{Content, Node, Tree};
use super::{ImagingFault, Step};
use crate::blobs::tool::Tool;
use std::fmt::Write;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

pub const MKE2FS: Tool = Tool { name: "mke2fs", package: "e2fsprogs" };
pub const DEBUGFS: Tool = Tool { name: "debugfs", package: "e2fsprogs" };

/// Every time in the image, as seconds since 1970: the first of January 2024.
const TIME: u64 = 1_704_067_200;
/// Identifies the file system; fixed, so that the same tree makes the same bytes.
const UUID: &str = "6d616c6c-6565-4d65-8d6f-726f6f740001";
/// How far the file system can grow while it is mounted: 1 TiB, in blocks of 4 KiB.
const GROWS_TO_BLOCKS: u64 = 1 << 28;

#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    pub label: &'a str,
    pub size_mib: u64,
}

/// Writes the tree as a file system to `at`, with `scratch` for files on their way in.
pub fn make(
    tree: &Tree,
    shape: Shape<'_>,
    at: &Path,
    scratch: &Path,
    step: Step<'_>,
) -> Result<(), ImagingFault> {
    step(&format!("making the file system `{}` of {} MiB", shape.label, shape.size_mib));
    let file = File::create(at).map_err(ImagingFault::io("created", at))?;
    file.set_len(shape.size_mib << 20).map_err(ImagingFault::io("sized", at))?;
    let extended =
        format!("hash_seed={UUID},root_owner=0:0,lazy_itable_init=0,resize={GROWS_TO_BLOCKS}");
    // The journal is what makes a power cut harmless; 4 MiB is the smallest there is.
    let shape_options =
        ["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-J", "size=4", "-L", shape.label];
    let mut mke2fs = Command::new(MKE2FS.name);
    mke2fs.args(shape_options).args(["-U", UUID, "-E", &extended]).arg(at);
    run(MKE2FS, &mut mke2fs)?;
    fs::create_dir_all(scratch).map_err(ImagingFault::io("created", scratch))?;
    let script = scratch.join("debugfs.commands");
    fs::write(&script, commands(tree, scratch)?).map_err(ImagingFault::io("written", &script))?;
    let mut debugfs = Command::new(DEBUGFS.name);
    debugfs.args(["-w", "-f"]).arg(&script).arg(at);
    complaints(&run(DEBUGFS, &mut debugfs)?)
}

/// The standard error: these tools tell of failures there, and `debugfs` ends well all the same.
fn run(tool: Tool, command: &mut Command) -> Result<String, ImagingFault> {
    let output = command
        .env("E2FSPROGS_FAKE_TIME", TIME.to_string())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| tool.not_started(&error))?;
    if !output.status.success() {
        return Err(tool.failed(&output.stderr).into());
    }
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Anything `debugfs` says beyond its version is a command that failed.
fn complaints(said: &str) -> Result<(), ImagingFault> {
    let complaints: Vec<&str> =
        said.lines().filter(|line| !line.starts_with("debugfs ") && !line.is_empty()).collect();
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(ImagingFault::FileSystem(complaints.join("; ")))
    }
}

fn commands(tree: &Tree, scratch: &Path) -> Result<String, ImagingFault> {
    let mut script = String::new();
    for (index, (path, node)) in tree.iter().enumerate() {
        create(&mut script, path, node, &scratch.join(format!("content-{index}")))?;
        let fields = [
            ("mode", format!("0{:o}", node.full_mode())),
            ("uid", node.owner.to_string()),
            ("gid", node.owner.to_string()),
        ];
        let times = ["atime", "ctime", "mtime", "crtime"].map(|name| (name, format!("@{TIME}")));
        for (name, value) in fields.into_iter().chain(times) {
            line(&mut script, &format!("set_inode_field \"/{path}\" {name} {value}"));
        }
    }
    Ok(script)
}

fn create(
    script: &mut String,
    path: &str,
    node: &Node,
    scratch: &Path,
) -> Result<(), ImagingFault> {
    match &node.content {
        // `mke2fs` made it already.
        Content::Directory if path == "lost+found" => {}
        Content::Directory => line(script, &format!("mkdir \"/{path}\"")),
        Content::Link(target) => line(script, &format!("symlink \"/{path}\" \"{target}\"")),
        Content::File(bytes) => {
            fs::write(scratch, bytes).map_err(ImagingFault::io("written", scratch))?;
            line(script, &format!("write \"{}\" \"/{path}\"", scratch.display()));
        }
    }
    Ok(())
}

fn line(script: &mut String, command: &str) {
    writeln!(script, "{command}").expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::{DEBUGFS, Shape, make};
    use crate::blobs::tool::Tool;
    use crate::imaging::ImagingFault;
    use crate::imaging::tree::Tree;
    use std::fs;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.file("etc/secret", 0o600, "hush");
        tree.file("bin/tool", 0o755, vec![7; 3_000_000]);
        tree.link("bin/link", "tool");
        tree
    }

    #[test]
    fn the_same_tree_makes_the_same_sound_file_system_with_its_owners() {
        let dir = tempfile::tempdir().unwrap();
        let shape = Shape { label: "probe", size_mib: 24 };
        let [one, two] = ["one", "two"].map(|name| dir.path().join(name));
        for at in [&one, &two] {
            let scratch = dir.path().join(format!("{}.scratch", at.display()));
            make(&tree(), shape, at, &scratch, &mut |_| {}).unwrap();
        }
        assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap());
        let one = one.to_str().unwrap();
        let e2fsck = Tool { name: "e2fsck", package: "e2fsprogs" };
        e2fsck.run(&["-fn", one]).unwrap();
        let show =
            |request| String::from_utf8(DEBUGFS.run(&["-R", request, one]).unwrap()).unwrap();
        assert_eq!(show("cat /etc/secret"), "hush");
        let stat = show("stat /etc/secret");
        assert!(stat.contains("Mode:  0600"), "{stat}");
        assert!(stat.contains("User:     0   Group:     0"), "{stat}");
        assert!(show("stat /bin/link").contains("Fast link dest: \"tool\""));
    }

    #[test]
    fn a_tree_that_does_not_fit_is_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        let mut large = tree();
        large.file("large", 0o644, vec![1; 24 << 20]);
        let shape = Shape { label: "probe", size_mib: 24 };
        let made = make(&large, shape, &dir.path().join("fs"), &dir.path().join("s"), &mut |_| {});
        assert!(matches!(made, Err(ImagingFault::FileSystem(_))), "{made:?}");
    }
}
