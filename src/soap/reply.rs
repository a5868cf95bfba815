//! A message without a signature: a payload in an Envelope.

use super::envelope::Version;

pub(super) const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// The message with this element in its Body.
///
/// The Envelope's namespace has no prefix, for clients of the time looked for an `<Envelope>`; so
/// the payload must declare its own, and be without an XML declaration.
pub fn envelope(version: Version, payload: &str) -> String {
    let namespace = version.namespace();
    format!("{DECLARATION}<Envelope xmlns=\"{namespace}\"><Body>{payload}</Body></Envelope>")
}
