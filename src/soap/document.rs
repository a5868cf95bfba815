//! An XML document from somebody who may be hostile: read within limits, or refused with a reason.
//!
//! UTF-8 only, with or without a byte order mark. There is no DTD and so no entity but the five
//! and character references, no processing instruction, no name with two colons. What is counted
//! is counted in the bytes before a tree is built of them, so that memory is bounded by the
//! limits and not by what a byte can be made into.

use super::element::Element;
use super::names::XSI;
use std::borrow::Cow;
use std::collections::HashSet;
use uppsala::{NodeId, NodeKind};

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub bytes_max: usize,
    /// How many elements may be open at a time.
    pub depth_max: u32,
    /// Of start tags, end tags, comments and sections together.
    pub tags_max: usize,
    /// Of the whole document, namespace declarations among them.
    pub attributes_max: usize,
    /// Of one attribute. A namespace declared once is kept with each element that is in it.
    pub value_bytes_max: usize,
    /// Different prefixes of namespaces. Canonical XML asks of each element for each of them.
    pub prefixes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 1024 * 1024,
            depth_max: 32,
            tags_max: 20_000,
            attributes_max: 2_048,
            value_bytes_max: 1024,
            prefixes_max: 32,
        }
    }
}

/// Why something is not a document that is read here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("more than {0} bytes")]
    TooLong(usize),
    #[error("more than {0} tags")]
    TooManyTags(usize),
    #[error("more than {0} attributes")]
    TooManyAttributes(usize),
    #[error("an attribute of more than {0} bytes")]
    ValueTooLong(usize),
    #[error("more than {0} prefixes")]
    TooManyPrefixes(usize),
    #[error("not UTF-8")]
    NotUtf8,
    #[error("not XML 1.0")]
    NotVersion1,
    #[error("not well-formed, nested too deeply, or with a document type: {0}")]
    NotWellFormed(String),
    #[error("a processing instruction")]
    ProcessingInstruction,
    #[error("the name `{0}` has more than one colon")]
    Name(String),
    #[error("text beside the children of `{0}`")]
    Mixed(String),
    #[error("the attribute `{0}` is not understood")]
    Attribute(String),
}

/// A document that is within the limits.
#[derive(Debug)]
pub struct Document<'a> {
    tree: uppsala::Document<'a>,
    root: Node,
    elements: Vec<Node>,
}

/// An element of the document it was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node(NodeId);

impl<'a> Document<'a> {
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self, Malformed> {
        if bytes.len() > limits.bytes_max {
            return Err(Malformed::TooLong(limits.bytes_max));
        }
        count(bytes, limits)?;
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed::NotUtf8)?;
        // The parser looks for these, but not in a value before its first reference.
        if !text.chars().all(is_character) {
            return Err(Malformed::NotWellFormed("a character that XML does not have".to_owned()));
        }
        let tree = uppsala::Parser::new()
            .with_max_depth(limits.depth_max)
            .with_forbid_dtd(true)
            .parse(text)
            .map_err(|error| Malformed::NotWellFormed(shortened(&error.to_string())))?;
        if let Some(declared) = &tree.xml_declaration {
            if declared.version != "1.0" {
                return Err(Malformed::NotVersion1);
            }
            if declared.encoding.as_ref().is_some_and(|name| !name.eq_ignore_ascii_case("utf-8")) {
                return Err(Malformed::NotUtf8);
            }
        }
        let root = tree
            .document_element()
            .ok_or_else(|| Malformed::NotWellFormed("no element".to_owned()))?;
        let mut elements = Vec::new();
        check_nodes(&tree, tree.root(), &mut elements)?;
        check_prefixes(&tree, &elements, limits)?;
        Ok(Self { tree, root: Node(root), elements })
    }

    pub fn root(&self) -> Node {
        self.root
    }

    pub fn is(&self, node: Node, namespace: &str, name: &str) -> bool {
        self.namespace(node) == namespace && self.name(node) == name
    }

    /// Empty for none.
    pub fn namespace(&self, node: Node) -> &str {
        self.data(node).name.namespace_uri.as_deref().unwrap_or("")
    }

    /// Without its prefix.
    pub fn name(&self, node: Node) -> &str {
        &self.data(node).name.local_name
    }

    pub fn parent(&self, node: Node) -> Option<Node> {
        let parent = self.tree.parent(node.0)?;
        self.tree.element(parent).map(|_| Node(parent))
    }

    /// The elements directly below.
    pub fn children(&self, node: Node) -> impl Iterator<Item = Node> {
        self.tree.children_iter(node.0).filter(|id| self.tree.element(*id).is_some()).map(Node)
    }

    /// All elements, each before those in it.
    pub fn elements(&self) -> &[Node] {
        &self.elements
    }

    /// The value of an attribute in a namespace, or in none if that is empty.
    pub fn attribute(&self, node: Node, namespace: &str, name: &str) -> Option<&str> {
        self.attributes(node)
            .find(|(in_namespace, called, _)| *in_namespace == namespace && *called == name)
            .map(|(_, _, value)| value)
    }

    /// Namespace, name and value of each attribute; namespace declarations are not among them.
    pub fn attributes(&self, node: Node) -> impl Iterator<Item = (&str, &str, &str)> {
        self.data(node).attributes.iter().map(|attribute| {
            let namespace = attribute.name.namespace_uri.as_deref().unwrap_or("");
            (namespace, &*attribute.name.local_name, &*attribute.value)
        })
    }

    /// The text directly in an element, as if its comments were not there.
    pub fn text(&self, node: Node) -> Cow<'_, str> {
        let mut whole = Cow::Borrowed("");
        for part in self.tree.children_iter(node.0) {
            if let Some(part) = self.tree.text_content(part) {
                whole += part;
            }
        }
        whole
    }

    /// That there is nothing between the children but white space.
    pub fn check_unmixed(&self, node: Node) -> Result<(), Malformed> {
        let is_space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
        if self.text(node).chars().all(is_space) {
            return Ok(());
        }
        Err(Malformed::Mixed(shortened(self.name(node))))
    }

    /// The element with all that is in it, as plain data.
    ///
    /// Attributes of a namespace say how to read a text that is read by its name here
    /// (`xsi:type`), and are left out. One without a namespace would say more (`href`: that the
    /// value stands elsewhere), so it is refused. What is `xsi:nil` says so.
    pub fn element(&self, node: Node) -> Result<Element, Malformed> {
        if let Some((_, name, _)) = self.attributes(node).find(|(space, _, _)| space.is_empty()) {
            return Err(Malformed::Attribute(shortened(name)));
        }
        let children =
            self.children(node).map(|child| self.element(child)).collect::<Result<Vec<_>, _>>()?;
        let text = if children.is_empty() {
            self.text(node).into_owned()
        } else {
            self.check_unmixed(node)?;
            String::new()
        };
        let nil = self.is_nil(node);
        let (namespace, name) = (self.namespace(node).to_owned(), self.name(node).to_owned());
        Ok(Element { namespace, name, children, text, nil })
    }

    /// For those that canonicalize.
    pub(super) fn tree(&self) -> &uppsala::Document<'a> {
        &self.tree
    }

    fn is_nil(&self, node: Node) -> bool {
        matches!(self.attribute(node, XSI, "nil"), Some("true" | "1"))
    }

    fn data(&self, node: Node) -> &uppsala::Element<'a> {
        self.tree.element(node.0).expect("a node is made of this document's elements only")
    }
}

impl Node {
    pub(super) fn id(self) -> NodeId {
        self.0
    }
}

/// That a tree has only nodes that are understood. Collects its elements.
fn check_nodes(
    tree: &uppsala::Document<'_>,
    id: NodeId,
    elements: &mut Vec<Node>,
) -> Result<(), Malformed> {
    for child in tree.children_iter(id) {
        match tree.node_kind(child) {
            Some(NodeKind::ProcessingInstruction(_)) => {
                return Err(Malformed::ProcessingInstruction);
            }
            Some(NodeKind::Element(element)) => {
                let attributes = element.attributes.iter().map(|attribute| &attribute.name);
                for name in attributes.chain([&element.name]) {
                    if name.local_name.contains(':') {
                        return Err(Malformed::Name(shortened(&name.local_name)));
                    }
                }
                elements.push(Node(child));
                check_nodes(tree, child, elements)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_prefixes(
    tree: &uppsala::Document<'_>,
    elements: &[Node],
    limits: &Limits,
) -> Result<(), Malformed> {
    let declared = elements.iter().filter_map(|node| tree.element(node.0));
    let prefixes: HashSet<&str> = declared
        .flat_map(|element| &element.namespace_declarations)
        .map(|(prefix, _)| &**prefix)
        .collect();
    if prefixes.len() > limits.prefixes_max {
        return Err(Malformed::TooManyPrefixes(limits.prefixes_max));
    }
    Ok(())
}

/// Counts tags and attributes, and measures values, as far as the text is well-formed: what comes
/// after a mistake is never made into anything.
fn count(bytes: &[u8], limits: &Limits) -> Result<(), Malformed> {
    let (mut tags, mut attributes) = (0, 0);
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == b'<') {
        rest = &rest[at..];
        tags += 1;
        if tags > limits.tags_max {
            return Err(Malformed::TooManyTags(limits.tags_max));
        }
        let sections = [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")];
        if let Some((open, close)) =
            sections.iter().find(|(open, _)| rest.starts_with(open.as_bytes()))
        {
            rest = after(&rest[open.len()..], close.as_bytes());
            continue;
        }
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'>' | b'"' | b'\'')) {
            let quote = rest[at];
            rest = &rest[at + 1..];
            if quote == b'>' {
                break;
            }
            attributes += 1;
            if attributes > limits.attributes_max {
                return Err(Malformed::TooManyAttributes(limits.attributes_max));
            }
            let length = rest.iter().position(|byte| *byte == quote).unwrap_or(rest.len());
            if length > limits.value_bytes_max {
                return Err(Malformed::ValueTooLong(limits.value_bytes_max));
            }
            rest = rest.get(length + 1..).unwrap_or_default();
        }
    }
    Ok(())
}

/// What follows the first `end`.
fn after<'a>(bytes: &'a [u8], end: &[u8]) -> &'a [u8] {
    let at = bytes.windows(end.len()).position(|window| window == end);
    at.map_or(&[], |at| &bytes[at + end.len()..])
}

/// Whether XML 1.0 has it.
pub(super) fn is_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// What of a sender's text is repeated: enough to recognise, never a megabyte.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(120).collect()
}
