//! Guests through libvirt.

pub mod loader;
