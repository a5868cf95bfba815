//! The command line: one file for each subcommand, all of them thin over signed API calls.
//!
//! Exit codes: 0 done, 1 failed, 2 not understood, 3 the cloud is not running or does not answer.
//! What a command found goes to standard output, what it is doing and what went wrong to standard
//! error. The environment is read here, once, and nowhere below.

mod account;
mod capacity;
mod check_config;
mod console;
mod credentials;
mod doctor;
mod down;
mod env;
mod events;
mod image;
mod join;
mod node;
mod overlay;
mod run;
mod ssh;
mod status;
mod token;
mod up;

mod client;
mod configuration;
mod fault;
mod instance_choice;
mod output;
mod process;
mod progress;
mod shell;
mod surroundings;

pub use surroundings::Surroundings;

use crate::config::state_directory::StateDirectory;
use crate::domain::id::RegionName;
use clap::{Args, Parser, Subcommand};
use client::Client;
use fault::Fault;
use std::{path::PathBuf, process::ExitCode};

/// A private EC2: real virtual machines for stock EC2 tools, on hosts of your own.
#[derive(Debug, Parser)]
#[command(name = "mallee", version, disable_help_subcommand = true)]
pub struct Arguments {
    /// Where the cloud keeps everything [default: /var/lib/mallee for root, else
    /// $XDG_DATA_HOME/mallee or ~/.local/share/mallee]
    #[arg(long, global = true, value_name = "DIR", env = "MALLEE_STATE", hide_env = true)]
    state: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the cloud, in the foreground unless told otherwise
    Up(up::Up),
    /// Stop the cloud; guests go on unless told otherwise
    Down(down::Down),
    /// Say what the cloud is and runs
    Status(status::Status),
    /// Show what zones and nodes have free, and how far that can be trusted
    Capacity(capacity::Capacity),
    /// Look for what is missing or odd on this host
    Doctor(doctor::Doctor),
    /// Print shell lines that point any EC2 tool at the cloud
    Env(env::Env),
    /// Write everything that a user needs to reach the cloud into a zip archive
    Credentials(credentials::Credentials),
    /// Make, add, list and remove machine images
    #[command(subcommand)]
    Image(image::Image),
    /// Launch an instance, wait for it and print how to get in
    Run(run::Run),
    /// Get into an instance
    Ssh(ssh::Ssh),
    /// Show an instance's console
    Console(console::Console),
    /// Show what happened in the processes of this host: requests, decisions, transitions
    Events(events::Events),
    /// Look at the private network's switch of this host
    #[command(subcommand)]
    Overlay(overlay::Overlay),
    /// Check a configuration file and start nothing
    CheckConfig(check_config::CheckConfig),
    /// Manage accounts
    #[command(subcommand)]
    Account(account::Account),
    /// Invite hosts to the cloud
    #[command(subcommand)]
    Token(token::Token),
    /// Look after the cloud's nodes
    #[command(subcommand)]
    Node(node::Node),
    /// Make this host a part of a cloud
    Join(join::Join),
}

/// For commands that call the API.
#[derive(Debug, Args)]
struct CallerArguments {
    /// The region to act in [default: the configured one]
    #[arg(long, value_name = "NAME")]
    region: Option<RegionName>,
}

impl Arguments {
    /// Whether this process is to be the cloud.
    pub fn runs_the_cloud(&self) -> bool {
        matches!(&self.command, Command::Up(up) if !up.detach)
    }
}

/// Performs the command, and tells what went wrong if it did.
pub fn run(arguments: Arguments, surroundings: &Surroundings) -> ExitCode {
    match perform(arguments, surroundings) {
        Ok(code) => code,
        Err(fault) => {
            fault.tell();
            fault.exit_code()
        }
    }
}

fn perform(arguments: Arguments, surroundings: &Surroundings) -> Result<ExitCode, Fault> {
    let state = match arguments.state {
        Some(path) => StateDirectory::at(std::path::absolute(&path).unwrap_or(path)),
        None => surroundings.usual_state()?,
    };
    let context = Context { state, surroundings };
    match arguments.command {
        Command::Up(up) => up.perform(&context),
        Command::Down(down) => down.perform(&context),
        Command::Status(status) => status.perform(&context),
        Command::Capacity(capacity) => capacity.perform(&context),
        Command::Doctor(doctor) => doctor.perform(&context),
        Command::Env(env) => env.perform(&context),
        Command::Credentials(credentials) => credentials.perform(&context),
        Command::Image(image) => image.perform(&context),
        Command::Run(run) => run.perform(&context),
        Command::Ssh(ssh) => ssh.perform(&context),
        Command::Console(console) => console.perform(&context),
        Command::Events(events) => events.perform(&context),
        Command::Overlay(overlay) => overlay.perform(&context),
        Command::CheckConfig(check) => check.perform(),
        Command::Account(account) => account.perform(&context),
        Command::Token(token) => token.perform(&context),
        Command::Node(node) => node.perform(&context),
        Command::Join(join) => join.perform(&context),
    }
}

/// What every command is given.
struct Context<'a> {
    state: StateDirectory,
    surroundings: &'a Surroundings,
}

impl Context<'_> {
    fn client(&self, caller: &CallerArguments) -> Result<Client, Fault> {
        Client::connect(&self.state, caller.region.as_ref())
    }
}

#[cfg(test)]
mod tests;
