//! Carrying questions between processes, as bytes. Knows no domain type and decides nothing.
//!
//! `loopback` is the shortest transport there is: through bytes and back, within one process. A
//! link goes over the network: TLS 1.3 both of whose ends show a certificate of the cloud's own
//! authority. The child dials its parent, which needs no way back; questions then go both ways over
//! the one connection. Three protocols share a listener, told apart by ALPN: `mallee-join/1` (no
//! certificate yet), `mallee/1` (questions) and `mallee-bulk/1` (images).
//!
//! ```text
//!   authority ─ certificates ─► credentials ─► tls ─┬─ join   (token, ledger, registrar)
//!                                                   ├─ link   (handshake, connection, line)
//!   dial ── TCP ──► listener                        └─ bulk
//! ```
//!
//! What a peer may ask is decided by whoever is handed its question together with the identity in
//! its certificate. Nothing here writes a file: keys, certificates and ledgers are given and taken
//! as text or plain data.

pub mod fingerprint;
pub mod identity;
mod role;

pub mod authority;
pub mod credentials;
mod tls;

pub mod ledger;
pub mod registrar;
pub mod token;

mod budget;
pub mod limits;
mod meter;
pub mod state;

mod connection;
mod frame;
mod handshake;
mod line;

mod backoff;
pub mod dial;
pub mod link;
pub mod listener;

pub mod bulk;
pub mod join;
pub mod renewal;

pub use connection::ReceiveFrom;
pub use handshake::NotAdmitted;

use std::{sync::Arc, time::SystemTime};

/// What time it is, for the validity of certificates and tokens.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

pub mod loopback;

#[cfg(test)]
mod testing;
