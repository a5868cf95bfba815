//! `mallee token`: inviting hosts to the cloud.

use super::{CallerArguments, Context, client::Request, fault::Fault, output::OutputArguments};
use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token that lets one host join the cloud; it is shown this once
    Create(Create),
}

#[derive(Debug, Args)]
pub struct Create {
    /// What the host is to be
    #[arg(long, value_name = "ROLE", default_value = "node")]
    role: Role,
    /// The group that it is to be a node of, or the manager of
    #[arg(long, value_name = "NAME")]
    group: String,
    /// Where the host reaches its parent [default: where the configuration says]
    #[arg(long, value_name = "HOST:PORT")]
    address: Vec<String>,
    /// For how many hours the token may be used
    #[arg(long, value_name = "HOURS", default_value = "24",
          value_parser = clap::value_parser!(u64).range(1..=720))]
    hours: u64,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Role {
    Group,
    Node,
}

#[derive(Debug, Serialize, Deserialize)]
struct Created {
    role: String,
    #[serde(rename(deserialize = "groupName"))]
    group: String,
    token: String,
}

impl Token {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        let Token::Create(create) = self;
        let client = context.client(&CallerArguments { region: None })?;
        let role = match create.role {
            Role::Group => "group",
            Role::Node => "node",
        };
        let request = Request::new("CreateJoinToken")
            .with("Role", role)
            .with("GroupName", &create.group)
            .with("ValidSeconds", create.hours * 3600)
            .with_list("Address", &create.address);
        let created: Created = client.call(&request)?;
        // Nothing but the token, so that a shell can take it.
        create.output.output.show(&created, |created| format!("{}\n", created.token))?;
        Ok(ExitCode::SUCCESS)
    }
}
