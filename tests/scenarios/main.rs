//! Stories told through EC2's interface to the real binary with simulated guests, in every
//! topology. What needs real guests is in `tests/clients`.

mod client;
mod cloud;
mod hosts;
mod parts;

mod credentials;
mod events;
mod eviction;
mod kill;
mod launching;
mod lifecycle;
mod metrics;
mod overlay;
mod partitions;
mod policies;
mod reconfigured;
mod tracing;
mod zones;
