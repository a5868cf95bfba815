//! What each identifier in a document stands for.
//!
//! Readers disagree about which attributes are identifiers; that is how one finds another element
//! than the next. Here all that anybody takes for one are, and each value may stand for one
//! element only, and each element have one only.

use crate::soap::document::{Document, Node, shortened};
use crate::soap::names::{WSU, XML};
use crate::soap::refused::Refused;
use std::collections::HashMap;

#[derive(Debug)]
pub(super) struct Identifiers<'d>(HashMap<&'d str, Node>);

impl<'d> Identifiers<'d> {
    pub fn of(document: &'d Document<'_>) -> Result<Self, Refused> {
        let mut found = HashMap::new();
        for node in document.elements() {
            let mut own = document
                .attributes(node)
                .filter(|(namespace, name, _)| is_identifier(namespace, name))
                .map(|(_, _, value)| value);
            let Some(id) = own.next() else { continue };
            if own.next().is_some() || found.insert(id, node).is_some() {
                return Err(Refused::Identifier(shortened(id)));
            }
        }
        Ok(Self(found))
    }

    pub fn find(&self, id: &str) -> Result<Node, Refused> {
        self.0.get(id).copied().ok_or_else(|| Refused::Identifier(shortened(id)))
    }
}

/// Whatever case, and of SAML's and SOAP's security namespaces or of none.
fn is_identifier(namespace: &str, name: &str) -> bool {
    let of_space = namespace.is_empty() || namespace == WSU || namespace == XML;
    let is_named = ["Id", "AssertionID"].iter().any(|id| name.eq_ignore_ascii_case(id));
    of_space && is_named
}
