//! A SOAP message: exactly one Envelope with at most one Header before exactly one Body.
//!
//! "Exactly one" is meant of the whole document: an Envelope, Header or Body anywhere else in it
//! is how signatures are wrapped, and has no honest use.

use super::document::{Document, Limits, Node, shortened};
use super::names::{SOAP_11, SOAP_12, WSSE};
use super::refused::Refused;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    Soap11,
    Soap12,
}

impl Version {
    pub fn namespace(self) -> &'static str {
        match self {
            Version::Soap11 => SOAP_11,
            Version::Soap12 => SOAP_12,
        }
    }

    /// The media type of messages, as an answer's header says it.
    pub fn content_type(self) -> &'static str {
        match self {
            Version::Soap11 => "text/xml;charset=UTF-8",
            Version::Soap12 => "application/soap+xml;charset=UTF-8",
        }
    }

    /// What a client that sends this media type understands. SOAP 1.1 may come as anything.
    pub fn of_media_type(media_type: &str) -> Version {
        if media_type.trim().eq_ignore_ascii_case("application/soap+xml") {
            Version::Soap12
        } else {
            Version::Soap11
        }
    }

    fn of_namespace(namespace: &str) -> Option<Version> {
        [Version::Soap11, Version::Soap12]
            .into_iter()
            .find(|version| version.namespace() == namespace)
    }
}

/// A message in its parts, of which nothing is believed yet.
#[derive(Debug)]
pub struct Parsed<'a> {
    pub(super) document: Document<'a>,
    pub(super) version: Version,
    pub(super) header: Option<Node>,
    pub(super) body: Node,
}

impl<'a> Parsed<'a> {
    pub fn parse(bytes: &'a [u8], limits: &Limits) -> Result<Self, Refused> {
        let document = Document::parse(bytes, limits)?;
        let envelope = document.root();
        if document.name(envelope) != "Envelope" {
            return Err(Refused::NotSoap("the document is not an Envelope"));
        }
        let version =
            Version::of_namespace(document.namespace(envelope)).ok_or(Refused::UnknownVersion)?;
        let parts: Vec<Node> = document.children(envelope).collect();
        let is = |node: Node, name: &str| document.is(node, version.namespace(), name);
        let (header, body) = match parts[..] {
            [body] if is(body, "Body") => (None, body),
            [header, body] if is(header, "Header") && is(body, "Body") => (Some(header), body),
            _ => {
                return Err(Refused::NotSoap(
                    "an Envelope has at most one Header, then one Body, and nothing else",
                ));
            }
        };
        document.check_unmixed(envelope)?;
        if let Some(header) = header {
            document.check_unmixed(header)?;
        }
        let parsed = Self { document, version, header, body };
        parsed.check_alone(envelope)?;
        parsed.check_understood()?;
        Ok(parsed)
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// The one element in the Body. White space beside it says nothing.
    pub(super) fn payload(&self) -> Result<Node, Refused> {
        self.document.check_unmixed(self.body)?;
        let mut inside = self.document.children(self.body);
        match (inside.next(), inside.next()) {
            (Some(payload), None) => Ok(payload),
            (None, _) => Err(Refused::NotSoap("the Body is empty")),
            (Some(_), Some(_)) => Err(Refused::NotSoap("the Body has more than one element")),
        }
    }

    /// That the message's own parts are the only ones of their kind, in either version.
    fn check_alone(&self, envelope: Node) -> Result<(), Refused> {
        let own = [Some(envelope), self.header, Some(self.body)];
        for node in self.document.elements() {
            let is_part = Version::of_namespace(self.document.namespace(node)).is_some()
                && matches!(self.document.name(node), "Envelope" | "Header" | "Body");
            if is_part && !own.contains(&Some(node)) {
                return Err(Refused::NotSoap("an Envelope, Header or Body in another place"));
            }
        }
        Ok(())
    }

    /// A header that must be understood is, if it is the one for security.
    fn check_understood(&self) -> Result<(), Refused> {
        let Some(header) = self.header else { return Ok(()) };
        for block in self.document.children(header) {
            let must = self.document.attribute(block, self.version.namespace(), "mustUnderstand");
            let must = matches!(must.map(str::trim), Some("1" | "true"));
            if must && !self.document.is(block, WSSE, "Security") {
                return Err(Refused::NotUnderstood(shortened(self.document.name(block))));
            }
        }
        Ok(())
    }
}
