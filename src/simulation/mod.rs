//! A whole cloud in one thread and in virtual time: the real managers, over simulated machines and
//! links, driven by a seed, with faults, and with invariants checked after every step.
//!
//! The same seed gives the same history, byte for byte. Time is tokio's, paused: it goes on when
//! nobody has anything to do, to the next timer. Every manager is a process of its own (`process`)
//! that can be killed between any two of its steps and begins again with what is on its disk.
//!
//! Not simulated: the EC2 endpoint (users speak to the cloud manager), bytes of images, packets.
//! Deliberately absent: threads. Where production has them, the simulation hands in something else
//! (`actors::node::threads`, `store::Store::virtual_latency`, the hypervisor's task).

pub mod history;

pub mod faults;
pub mod invariants;
pub mod users;

pub mod cloud;

pub mod carrier;
pub mod disk;
pub mod machine;
pub mod process;

pub mod chronicle;
pub mod dice;

#[cfg(test)]
mod tests;
