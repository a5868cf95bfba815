//! An element as plain data: what is left of a Body's payload when XML has been dealt with.
//!
//! It has either children or text. Prefixes, comments, attributes and the white space between
//! children are gone; the text of an element without children is exactly what was sent.

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Element {
    /// Empty for none.
    pub namespace: String,
    pub name: String,
    pub children: Vec<Element>,
    pub text: String,
    /// It says of itself that it is not there (`xsi:nil`).
    pub nil: bool,
}

impl Element {
    /// The children of this name, in whatever namespace.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }
}
