//! Starting the roles.

use crate::config::{Configuration, credentials::RootCredentials, state_directory::StateDirectory};
use std::net::TcpListener;

/// Everything a cloud starts from.
pub struct Start {
    pub configuration: Configuration,
    pub state: StateDirectory,
    pub credentials: RootCredentials,
    pub listener: TcpListener,
    /// Called once, when requests are answered.
    pub ready: Box<dyn FnOnce()>,
}

#[derive(Debug, thiserror::Error)]
pub enum BootFault {
    #[error("this build has no cloud in it yet")]
    Todo,
}

/// Runs the cloud until SIGINT or SIGTERM. Guests go on.
pub fn run(_start: Start) -> Result<(), BootFault> {
    Err(BootFault::Todo)
}

/// Removes every guest and every object of ours from the host, while no cloud runs.
pub fn purge(_configuration: &Configuration, _state: &StateDirectory) -> Result<(), BootFault> {
    Err(BootFault::Todo)
}
