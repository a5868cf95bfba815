//! The parameters as a tree: names parted at their dots.

use super::error::{Problem, ReadError};
use std::collections::BTreeMap;
use std::fmt;

/// One part of a dotted name. List positions sort before names, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key<'a> {
    Position(u64),
    Name(&'a str),
}

impl<'a> Key<'a> {
    fn new(part: &'a str) -> Self {
        // `u64::from_str` would accept `+1`, which is a name here.
        match part.parse() {
            Ok(position) if part.bytes().all(|b| b.is_ascii_digit()) => Key::Position(position),
            _ => Key::Name(part),
        }
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Position(position) => position.fmt(f),
            Key::Name(name) => f.write_str(name),
        }
    }
}

/// What the parameters say of one dotted name: the values given for the name itself, and what
/// stands below it.
#[derive(Debug, Default)]
pub(super) struct Node<'a> {
    pub(super) values: Vec<&'a str>,
    pub(super) children: BTreeMap<Key<'a>, Node<'a>>,
}

impl<'a> Node<'a> {
    pub(super) fn insert(&mut self, name: &'a str, value: &'a str) {
        let mut node = self;
        for part in name.split('.') {
            node = node.children.entry(Key::new(part)).or_default();
        }
        node.values.push(value);
    }

    /// The name, seen from here, of some parameter at or below this node.
    pub(super) fn any_name(&self) -> String {
        let mut name = String::new();
        let mut node = self;
        while node.values.is_empty()
            && let Some((key, child)) = node.children.first_key_value()
        {
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(&key.to_string());
            node = child;
        }
        name
    }

    /// Refuses parameters below this node that nothing reads.
    pub(super) fn refuse_child(&self, key: &Key<'_>) -> ReadError {
        let below = self.children.get(key).map(Node::any_name).unwrap_or_default();
        ReadError::new(Problem::Unknown).within(below).within(key)
    }

    /// The single value of a plain parameter.
    pub(super) fn scalar(&self) -> Result<&'a str, ReadError> {
        if let Some(key) = self.children.keys().next() {
            return Err(self.refuse_child(key));
        }
        match self.values[..] {
            [value] => Ok(value),
            [] => Err(ReadError::new(Problem::Missing)),
            [_, _, ..] => Err(ReadError::new(Problem::GivenTwice)),
        }
    }

    /// The elements of a list, each with the key that leads to it (none for unnumbered ones).
    pub(super) fn elements(&self) -> Vec<Element<'_, 'a>> {
        let mut elements: Vec<_> =
            self.values.iter().map(|value| Element::Unnumbered(value)).collect();
        let member = self.children.get(&Key::Name("member"));
        // `Filter.Name` without a number: one structure, whose fields stand here directly. A
        // stray name in a list of plain values comes this way too, and is refused as unknown.
        let is_field = |key: &Key<'_>| matches!(key, Key::Name(name) if *name != "member");
        if self.children.keys().any(is_field) {
            elements.push(Element::Fields(self));
        }
        let numbered = |node: &'_ Node<'a>| node.children.keys().copied().collect::<Vec<_>>();
        for key in numbered(self).into_iter().filter(|key| matches!(key, Key::Position(_))) {
            elements.push(Element::Numbered { member: false, key, node: &self.children[&key] });
        }
        if let Some(member) = member {
            elements.extend(member.values.iter().map(|value| Element::Unnumbered(value)));
            for key in numbered(member) {
                let node = &member.children[&key];
                elements.push(Element::Numbered { member: true, key, node });
            }
        }
        elements
    }
}

/// An element of a list, as found.
pub(super) enum Element<'n, 'a> {
    Unnumbered(&'a str),
    Fields(&'n Node<'a>),
    Numbered { member: bool, key: Key<'a>, node: &'n Node<'a> },
}
