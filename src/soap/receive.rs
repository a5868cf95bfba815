//! From bytes to who sent what: all that has to be asked of a message, in order.

use super::document::Limits;
use super::element::Element;
use super::envelope::{Parsed, Version};
use super::refused::Refused;
use super::replay::Seen;
use super::security::{self, Certificates};
use crate::domain::time::Timestamp;

/// Takes messages for one service. Its threads share it.
#[derive(Debug)]
pub struct Receiver {
    limits: Limits,
    seen: Seen,
}

/// A message that is its sender's, and new.
#[derive(Debug)]
pub struct Received<H> {
    pub holder: H,
    /// The SHA-256 of the sender's certificate.
    pub certificate: [u8; 32],
    pub version: Version,
    /// The one element in the Body.
    pub payload: Element,
}

/// A message that is not taken, and in which version to say so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("message refused")]
pub struct Rejected {
    pub version: Version,
    #[source]
    pub refused: Refused,
}

/// Messages remembered at a time: more than a thousand a second for as long as one is good.
const REMEMBERED_MAX: usize = 2_000_000;

impl Receiver {
    /// It begins at `since`: older messages may have been taken by another one.
    pub fn new(limits: Limits, since: Timestamp) -> Self {
        Self { limits, seen: Seen::new(REMEMBERED_MAX, since) }
    }

    /// `assumed` is the version to answer in when the message does not say one, as
    /// [`Version::of_media_type`] makes of what came with it.
    pub fn receive<C: Certificates + ?Sized>(
        &self,
        bytes: &[u8],
        assumed: Version,
        certificates: &C,
        now: Timestamp,
    ) -> Result<Received<C::Holder>, Rejected> {
        let rejected = |version| move |refused| Rejected { version, refused };
        let parsed = Parsed::parse(bytes, &self.limits).map_err(rejected(assumed))?;
        let version = parsed.version();
        let verified = security::verify(parsed, certificates, now).map_err(rejected(version))?;
        self.seen.admit(&verified, now).map_err(rejected(version))?;
        Ok(Received {
            holder: verified.holder,
            certificate: verified.certificate,
            version: verified.version,
            payload: verified.payload,
        })
    }
}
