//! A file tree as it shall be in an image: owners, modes and contents, in the order of the names.
//!
//! Nothing of it touches this host's file system, so no root is needed to say that a file is
//! root's, and the same tree always makes the same image.

use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Directory,
    File(Vec<u8>),
    Link(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub content: Content,
    /// Permission bits.
    pub mode: u32,
    /// The same number for user and group.
    pub owner: u32,
}

impl Node {
    /// Mode with the bits that say what kind of file it is, as `stat` has it.
    pub fn full_mode(&self) -> u32 {
        let kind = match self.content {
            Content::Directory => 0o040_000,
            Content::File(_) => 0o100_000,
            Content::Link(_) => 0o120_000,
        };
        kind | self.mode
    }
}

/// Paths are relative to the root and have no leading slash; parents sort before their children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    pub fn contains(&self, path: &str) -> bool {
        self.nodes.contains_key(path)
    }

    pub fn directory(&mut self, path: &str) {
        self.put(path, Node { content: Content::Directory, mode: 0o755, owner: 0 });
    }

    pub fn file(&mut self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) {
        self.put(path, Node { content: Content::File(bytes.into()), mode, owner: 0 });
    }

    pub fn link(&mut self, path: &str, target: &str) {
        self.put(path, Node { content: Content::Link(target.to_owned()), mode: 0o777, owner: 0 });
    }

    /// Puts a node where it belongs, with the directories that lead to it.
    pub fn put(&mut self, path: &str, node: Node) {
        if let Some((parent, _)) = path.rsplit_once('/')
            && !self.contains(parent)
        {
            self.directory(parent);
        }
        self.nodes.insert(path.to_owned(), node);
    }
}

#[cfg(test)]
mod tests {
    use super::Tree;

    #[test]
    fn the_way_to_a_file_is_made_of_directories_that_come_first() {
        let mut tree = Tree::default();
        tree.file("etc/acpi/event", 0o644, "x");
        tree.directory("bin");
        let paths: Vec<_> = tree.iter().map(|(path, node)| (path, node.full_mode())).collect();
        let expected = [
            ("bin", 0o40755),
            ("etc", 0o40755),
            ("etc/acpi", 0o40755),
            ("etc/acpi/event", 0o100644),
        ];
        assert_eq!(paths, expected);
    }
}
