//! A tree as a cpio archive in the `newc` format, which the kernel takes as a ramdisk.
//!
//! Uncompressed: an emulated guest copies faster than it unpacks.

use super::tree::{Content, Tree};

/// All times are zero, so that the same tree makes the same bytes.
pub fn archive(tree: &Tree) -> Vec<u8> {
    let mut archive = Vec::new();
    for (index, (path, node)) in tree.iter().enumerate() {
        let bytes = match &node.content {
            Content::Directory => &[],
            Content::File(bytes) => bytes.as_slice(),
            Content::Link(target) => target.as_bytes(),
        };
        let links = if node.content == Content::Directory { 2 } else { 1 };
        let inode = index as u32 + 1;
        entry(&mut archive, path, &[inode, node.full_mode(), node.owner, node.owner, links], bytes);
    }
    entry(&mut archive, "TRAILER!!!", &[0, 0, 0, 0, 1], &[]);
    // Archives are read in blocks.
    archive.resize(archive.len().next_multiple_of(512), 0);
    archive
}

/// `numbers` are inode, mode, user, group and links.
fn entry(archive: &mut Vec<u8>, path: &str, numbers: &[u32; 5], bytes: &[u8]) {
    archive.extend_from_slice(b"070701");
    let mut word = |number: u32| archive.extend_from_slice(format!("{number:08x}").as_bytes());
    numbers.iter().copied().for_each(&mut word);
    word(0); // time of change
    word(bytes.len() as u32);
    [0; 4].into_iter().for_each(&mut word); // device numbers
    word(path.len() as u32 + 1);
    word(0); // checksum, not used by this format
    archive.extend_from_slice(path.as_bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend_from_slice(bytes);
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::archive;
    use crate::blobs::tool::Tool;
    use crate::imaging::tree::Tree;

    #[test]
    fn the_archive_is_what_other_tools_read() {
        let mut tree = Tree::default();
        tree.file("bin/tool", 0o755, "#!/bin/sh\n");
        tree.link("bin/link", "tool");
        let bytes = archive(&tree);
        assert_eq!(bytes, archive(&tree.clone()));
        let busybox = Tool { name: "busybox", package: "busybox-static" };
        let listing = busybox.filter(&["cpio", "-tv"], &bytes).unwrap();
        let listing = String::from_utf8(listing).unwrap();
        let lines: Vec<&str> = listing.lines().collect();
        assert_eq!(lines.len(), 3, "{listing}");
        assert!(lines[0].starts_with("drwxr-xr-x") && lines[0].ends_with(" bin"), "{listing}");
        assert!(lines[1].starts_with("lrwxrwxrwx") && lines[1].contains("tool"), "{listing}");
        assert!(lines[2].starts_with("-rwxr-xr-x") && lines[2].ends_with(" bin/tool"), "{listing}");
    }
}
