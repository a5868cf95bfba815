//! `mallee node`: the cloud's nodes, as an administrator sees them.

use super::{
    CallerArguments, Context,
    client::{Items, Request},
    fault::Fault,
    output::OutputArguments,
};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub enum Node {
    /// Say that a node is gone for good: its certificate is revoked and its instances end, or run on
    /// another node if they are tagged `mallee:restart-elsewhere=true`
    Evict(Evict),
}

#[derive(Debug, Args)]
pub struct Evict {
    name: String,
    /// The group that it is a node of
    #[arg(long, value_name = "NAME")]
    group: String,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    terminated_set: Items<String>,
    #[serde(default)]
    restarted_set: Items<String>,
}

#[derive(Debug, Serialize)]
struct Evicted {
    terminated: Vec<String>,
    restarted_elsewhere: Vec<String>,
}

impl Node {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        let Node::Evict(evict) = self;
        let client = context.client(&CallerArguments { region: None })?;
        let request =
            Request::new("EvictNode").with("GroupName", &evict.group).with("NodeName", &evict.name);
        let answer: Answer = client.call(&request)?;
        let evicted = Evicted {
            terminated: answer.terminated_set.item,
            restarted_elsewhere: answer.restarted_set.item,
        };
        evict.output.output.show(&evicted, |evicted| {
            let lines = |what: &str, instances: &[String]| {
                instances.iter().map(|id| format!("{id}  {what}\n")).collect::<String>()
            };
            lines("terminated", &evicted.terminated)
                + &lines("restarted elsewhere", &evicted.restarted_elsewhere)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
