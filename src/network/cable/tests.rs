//! Cables over an underlay that loses, delays, repeats, reorders, translates addresses and attacks.

mod handshake;
mod histories;
mod paths;
mod refusals;
mod underlay;
