//! The data planes, held to their promises.
//!
//! `conformance` runs over both; the other files send real packets through the host's. Every test
//! works in network namespaces of its own, made by its own thread, so nothing of the machine is
//! touched. They need root, `nft`, `ip`, `iperf3` and `busybox`, and fail without them.

mod besieged;
mod conformance;
mod elastic;
mod filter;
mod guest;
mod iperf3;
mod kills;
mod lease;
mod meddler;
mod mesh;
mod metadata;
mod nats;
mod overlay;
mod ports;
mod residue;
mod rules;
mod scale;
mod spoofing;
mod strangers;
mod two_clouds;
mod wires;
