//! SOAP messages: taken apart, believed or refused, answered. This room knows no service: what a
//! Body means is for whoever asked for it.
//!
//! ```text
//! bytes ── Document ── Parsed ── Verified ── Received: who sent what
//!            limits     one       what was     not seen
//!                     Envelope    signed, by     before
//!                                  whom, when
//! ```
//!
//! Each step consumes the last, so the payload that comes out is made of the very Body whose
//! digest was signed. [`Receiver::receive`] goes all the way. Answers and faults leave through
//! `reply` and `fault`, signed by `sign` if there is a key to sign with.
//!
//! There is no WS-Addressing, no attachments, no encoding style (`document/literal` only), and no
//! chain of trust: a certificate is one that somebody has registered here, or it is nobody's.

pub mod element;
pub mod envelope;
pub mod receive;
pub mod refused;

pub mod document;
pub mod security;

pub mod certificate;
pub mod replay;

pub mod fault;
pub mod reply;
pub mod sign;

mod names;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use element::Element;
pub use envelope::Version;
pub use receive::{Received, Receiver, Rejected};
pub use refused::Refused;
pub use security::Certificates;
