//! `mallee run`: from nothing to a machine one can log in to.
//!
//! What is missing is made: a key pair for this user and a security group that lets ssh and ping
//! in. Then RunInstances, a wait until the guests' ssh answers, and the line that gets in.

mod access;
mod wait;

use super::{
    CallerArguments, Context,
    client::{Client, InstanceAnswer, Request},
    fault::Fault,
    image,
    output::OutputArguments,
    progress::Progress,
    ssh,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use serde::Serialize;
use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

#[derive(Debug, Args)]
pub struct Run {
    /// The image's id or name
    #[arg(long, value_name = "IMAGE", default_value = image::DEMO)]
    image: String,
    /// The instance type [default: the cloud's]
    #[arg(long = "type", value_name = "TYPE")]
    instance_type: Option<String>,
    /// A key pair [default: one for this user, made if need be]
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// How many
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// A name, kept in the tag `Name`
    #[arg(long)]
    name: Option<String>,
    /// A file the guest is given as user data
    #[arg(long, value_name = "FILE")]
    user_data: Option<PathBuf>,
    /// Launch nothing if an instance runs or is starting already, and tell of that one
    #[arg(long)]
    unless_running: bool,
    /// Return as soon as the cloud has agreed
    #[arg(long, overrides_with = "wait")]
    no_wait: bool,
    /// Wait until ssh answers (the default)
    #[arg(long)]
    wait: bool,
    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
    #[command(flatten)]
    caller: CallerArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Serialize)]
struct Launched {
    id: String,
    state: String,
    address: Option<String>,
    /// The line that gets in, once there is an address.
    ssh: Option<String>,
}

impl Run {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        let client = context.client(&self.caller)?;
        let mut progress = Progress::begin();
        let there = if self.unless_running { living(&client)? } else { Vec::new() };
        let mut instances = match there.is_empty() {
            true => self.launch(&client, context, &mut progress)?,
            false => there,
        };
        if !self.no_wait {
            let patience = Duration::from_secs(self.timeout);
            let ids: Vec<String> = instances.into_iter().map(|one| one.instance_id).collect();
            instances = wait::until_ssh_answers(&client, &ids, patience, &mut progress)?;
        }
        progress.end();
        let launched = instances.iter().map(|instance| Launched::of(instance, context)).collect();
        self.output.output.show(&launched, |launched: &Vec<Launched>| {
            launched.iter().map(Launched::text).collect()
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn launch(
        &self,
        client: &Client,
        context: &Context<'_>,
        progress: &mut Progress,
    ) -> Result<Vec<InstanceAnswer>, Fault> {
        let request = self.request(client, context, progress)?;
        progress.step("launching");
        let instances = client.run_instances(&request)?;
        for address in instances.iter().filter_map(InstanceAnswer::address) {
            ssh::forget_host(&context.state.known_hosts(), address)?;
        }
        Ok(instances)
    }

    fn request(
        &self,
        client: &Client,
        context: &Context<'_>,
        progress: &mut Progress,
    ) -> Result<Request, Fault> {
        let user_data = self.user_data.as_deref();
        let user_data =
            user_data.map(|file| fs::read(file).map_err(Fault::io("read", file))).transpose()?;
        let image = image::resolve(client, &self.image)?.image_id;
        progress.step("looking after the key pair and the security group");
        let key = match &self.key {
            Some(key) => key.clone(),
            None => access::own_key_pair(client, context)?,
        };
        let security_group = access::security_group(client)?;
        let request = Request::new("RunInstances")
            .with("ImageId", image)
            .with("MinCount", self.count)
            .with("MaxCount", self.count)
            .with("KeyName", key)
            .with("SecurityGroupId.1", security_group)
            .with_some("InstanceType", self.instance_type.as_ref())
            .with_some("UserData", user_data.map(|bytes| STANDARD.encode(bytes)));
        Ok(match &self.name {
            Some(name) => request
                .with("TagSpecification.1.ResourceType", "instance")
                .with("TagSpecification.1.Tag.1.Key", "Name")
                .with("TagSpecification.1.Tag.1.Value", name),
            None => request,
        })
    }
}

/// One that runs, or that soon will.
fn living(client: &Client) -> Result<Vec<InstanceAnswer>, Fault> {
    let mut instances = client.describe_instances(&[])?;
    instances.retain(|instance| matches!(instance.state(), "pending" | "running"));
    instances.sort_by_key(|instance| !instance.is_running());
    instances.truncate(1);
    Ok(instances)
}

impl Launched {
    fn of(instance: &InstanceAnswer, context: &Context<'_>) -> Launched {
        let words = ssh::command_line(&context.state, instance, ssh::USER).ok();
        Launched {
            id: instance.instance_id.clone(),
            state: instance.state().to_owned(),
            address: instance.address().map(str::to_owned),
            ssh: words.map(|words| ssh::shown(&words)),
        }
    }

    fn text(&self) -> String {
        match (&self.ssh, self.state.as_str()) {
            (Some(line), "running") => format!("{}  {}\n{line}\n", self.id, self.state),
            (Some(_) | None, state) => format!("{}  {state}\n", self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Surroundings, client::described_for_tests};
    use crate::config::state_directory::StateDirectory;

    #[test]
    fn a_running_instance_is_shown_with_the_line_that_gets_in() {
        let surroundings = Surroundings::default();
        let context =
            Context { state: StateDirectory::at("/s".into()), surroundings: &surroundings };
        let [running, ended] = &described_for_tests()[..] else { panic!("there are two") };
        assert_eq!(
            Launched::of(running, &context).text(),
            "i-11111111  running\nssh -o StrictHostKeyChecking=accept-new -o \
             UserKnownHostsFile=/s/known_hosts ec2-user@10.213.0.4\n"
        );
        let ended = Launched::of(ended, &context);
        assert_eq!((ended.text(), ended.ssh), ("i-22222222  terminated\n".into(), None));
    }
}
