//! The parts of a message that security is made of, found by their places.

use super::signature::children;
use crate::soap::document::{Document, Node};
use crate::soap::envelope::Parsed;
use crate::soap::names::{DS, WSSE, WSU};
use crate::soap::refused::Refused;

/// The children of the one Security header.
#[derive(Debug)]
pub(super) struct Parts {
    pub timestamp: Node,
    pub signature: Node,
    pub token: Option<Node>,
}

impl Parts {
    pub fn find(message: &Parsed<'_>) -> Result<Self, Refused> {
        let document = &message.document;
        let header = message.header.ok_or(Refused::Security("the message is not signed"))?;
        let security = one(document, WSSE, "Security")?
            .ok_or(Refused::Security("the message is not signed"))?;
        if document.parent(security) != Some(header) {
            return Err(Refused::Security("the Security header is not in the Header"));
        }
        check_addressed_to_us(message, security)?;
        let children = children(document, security)?;

        let timestamp =
            one(document, WSU, "Timestamp")?.ok_or(Refused::Security("there is no Timestamp"))?;
        let signature = one(document, DS, "Signature")?
            .ok_or(Refused::Security("the message is not signed"))?;
        let token = one(document, WSSE, "BinarySecurityToken")?;
        let found = [Some(timestamp), Some(signature), token];
        for child in &children {
            if !found.contains(&Some(*child)) {
                return Err(Refused::Security(
                    "the Security header has more than a Timestamp, a Signature and a token",
                ));
            }
        }
        if children.len() != found.iter().flatten().count() {
            return Err(Refused::Security("a part of the Security header stands elsewhere"));
        }
        Ok(Self { timestamp, signature, token })
    }
}

/// The only element of this name in the whole document, if there is one.
fn one(document: &Document<'_>, namespace: &str, name: &str) -> Result<Option<Node>, Refused> {
    let mut found =
        document.elements().into_iter().filter(|node| document.is(*node, namespace, name));
    let first = found.next();
    if found.next().is_some() {
        return Err(Refused::Security(
            "two of what there must be one of: Security, Timestamp, Signature or token",
        ));
    }
    Ok(first)
}

/// A Security header may name who it is for; then that must be whoever gets the message last, or
/// next.
fn check_addressed_to_us(message: &Parsed<'_>, security: Node) -> Result<(), Refused> {
    const OURS: [&str; 4] = [
        "",
        "http://schemas.xmlsoap.org/soap/actor/next",
        "http://www.w3.org/2003/05/soap-envelope/role/next",
        "http://www.w3.org/2003/05/soap-envelope/role/ultimateReceiver",
    ];
    for name in ["actor", "role"] {
        let given = message.document.attribute(security, message.version.namespace(), name);
        if given.is_some_and(|given| !OURS.contains(&given.trim())) {
            return Err(Refused::Security("the Security header is for another receiver"));
        }
    }
    Ok(())
}
