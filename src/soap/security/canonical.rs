//! The bytes that an element is signed as.

use crate::soap::document::{Document, Node};
use crate::soap::names::EXCLUSIVE;
use crate::soap::refused::Refused;
use bergshamra_c14n::{C14nMode, canonicalize_doc};
use bergshamra_xml::NodeSet;

/// Canonical XML 1.0, inclusive or exclusive, with comments or without. Version 1.1 is not
/// accepted, for nobody sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::soap) struct Canonicalization {
    mode: C14nMode,
    /// Of namespaces that are written whether an element uses them or not.
    prefixes: Vec<String>,
}

/// More have no use, and each costs time in each element.
const PREFIXES_MAX: usize = 32;

impl Canonicalization {
    pub const EXCLUSIVE: Canonicalization =
        Canonicalization { mode: C14nMode::Exclusive, prefixes: Vec::new() };

    /// Of a `CanonicalizationMethod` or `Transform`.
    pub fn read(document: &Document<'_>, node: Node, role: &'static str) -> Result<Self, Refused> {
        const MODES: [(&str, C14nMode); 4] = [
            ("http://www.w3.org/TR/2001/REC-xml-c14n-20010315", C14nMode::Inclusive),
            (
                "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments",
                C14nMode::InclusiveWithComments,
            ),
            (EXCLUSIVE, C14nMode::Exclusive),
            (
                "http://www.w3.org/2001/10/xml-exc-c14n#WithComments",
                C14nMode::ExclusiveWithComments,
            ),
        ];
        let uri = document.attribute(node, "", "Algorithm").unwrap_or("");
        let Some((_, mode)) = MODES.iter().find(|(name, _)| *name == uri) else {
            return Err(super::signature::not_accepted(role, uri));
        };
        let children: Vec<Node> = document.children(node).collect();
        let prefixes = match children[..] {
            [] => Vec::new(),
            [list]
                if mode.is_exclusive() && document.is(list, EXCLUSIVE, "InclusiveNamespaces") =>
            {
                let list = document.attribute(list, "", "PrefixList").unwrap_or("");
                list.split_ascii_whitespace().map(str::to_owned).collect()
            }
            _ => {
                return Err(Refused::Security("an algorithm has parameters that are not accepted"));
            }
        };
        if prefixes.len() > PREFIXES_MAX {
            return Err(Refused::Security("too many prefixes in a PrefixList"));
        }
        Ok(Self { mode: *mode, prefixes })
    }

    /// Of an element that a reference stands for: always without its comments, which is what an
    /// identifier selects.
    pub fn referenced(&self, document: &Document<'_>, node: Node) -> Result<Vec<u8>, Refused> {
        self.bytes(document, &NodeSet::tree_without_comments(node.id(), document.tree()))
    }

    /// Of an element with all that is in it, as the algorithm says.
    pub fn whole(&self, document: &Document<'_>, node: Node) -> Result<Vec<u8>, Refused> {
        self.bytes(document, &NodeSet::tree_with_comments(node.id(), document.tree()))
    }

    fn bytes(&self, document: &Document<'_>, nodes: &NodeSet) -> Result<Vec<u8>, Refused> {
        canonicalize_doc(document.tree(), self.mode, Some(nodes), &self.prefixes)
            .map_err(|_| Refused::Security("an element has no canonical form"))
    }
}
