//! `mallee account`: accounts other than the administrator's.
//!
//! The call is `CreateAccount`, which Eucalyptus' tools know; EC2 has none. The secret is shown
//! this once and kept nowhere here.

use super::{CallerArguments, Context, client::Request, fault::Fault, output::OutputArguments};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub enum Account {
    /// Make an account and its first access key, which is shown this once
    Create(Create),
}

#[derive(Debug, Args)]
pub struct Create {
    name: String,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Created {
    #[serde(rename(deserialize = "accountId"))]
    account: String,
    #[serde(rename(deserialize = "accessKeyId"))]
    access_key_id: String,
    #[serde(rename(deserialize = "secretAccessKey"))]
    secret_access_key: String,
}

impl Account {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        let Account::Create(create) = self;
        let client = context.client(&CallerArguments { region: None })?;
        let request = Request::new("CreateAccount").with("AccountName", &create.name);
        let created: Created = client.call(&request)?;
        create.output.output.show(&created, |created| {
            let Created { account, access_key_id, secret_access_key } = created;
            format!(
                "account            {account}\naccess key id      {access_key_id}\n\
                 secret access key  {secret_access_key}\n"
            )
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
