//! `mallee join`: make this host a part of a cloud.
//!
//! It asks nobody anything, and may be repeated: a host that is a member already says so and is
//! done. `mallee up` then runs what the host joined as.

use super::{Context, configuration, fault::Fault};
use crate::{
    boot::membership::joining::{self, Joined, JoiningFault},
    config::state_directory::StateDirectory,
    transport::{
        identity::{Identity, Role},
        join::JoinFault,
        ledger::Refused,
        token::JoinToken,
    },
};
use clap::Args;
use std::{fs, process::ExitCode, time::Duration};

#[derive(Debug, Args)]
pub struct Join {
    /// What `mallee token create` printed
    token: JoinToken,
    /// What the cloud is to call this host, if it is to be a node [default: its host name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// For how many seconds a parent that is not there yet is asked again
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    patience: u64,
}

impl Join {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        let state = &context.state;
        refuse_a_cloud_of_its_own(state)?;
        state.create().map_err(Fault::io("make", state.root()))?;
        let name = match self.name {
            Some(name) => name,
            None => host_name()?,
        };
        let patience = Duration::from_secs(self.patience);
        let joined = joining::join(state, &self.token, &name, patience).map_err(|fault| {
            let told = Fault::of(&fault);
            match fault {
                JoiningFault::Member(_) => told.remedy(
                    "`mallee down --purge` on this host and `mallee node evict` on the cloud's \
                     end that",
                ),
                JoiningFault::Join(JoinFault::Unreachable(_)) => {
                    told.remedy("is the parent running, and is this host let through to it?")
                }
                JoiningFault::Join(JoinFault::Expired) => {
                    told.remedy("`mallee token create` on the cloud's host makes a new one")
                }
                JoiningFault::Join(JoinFault::Refused(Refused::NameTaken(_))) => told.remedy(
                    "`mallee node evict` on the cloud's host frees the name of a host that is gone",
                ),
                JoiningFault::Name(_) => told.remedy("choose one with `--name NAME`"),
                _ => told,
            }
        })?;
        match joined {
            Joined::Now(identity) => eprintln!(
                "mallee: this host is now {}; `mallee up` begins its work",
                shown(&identity)
            ),
            Joined::Before(identity) => {
                eprintln!("mallee: this host is {} already", shown(&identity));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a whole cloud has here would be there no more for `mallee up`, which runs what was joined.
fn refuse_a_cloud_of_its_own(state: &StateDirectory) -> Result<(), Fault> {
    let is_whole = configuration::last_used(state)?.topology.roles.is_none();
    if !state.credentials().exists() || !is_whole {
        return Ok(());
    }
    let place = state.root().display();
    Err(Fault::failed(format!("this host has a cloud of its own, in `{place}`")).remedy(
        "`mallee down --purge` removes it; or join with another `--state DIR`, and give that another \
         `prefix`",
    ))
}

fn shown(identity: &Identity) -> String {
    let (cloud, group) = (identity.cloud(), identity.group().unwrap_or_default());
    match identity.role() {
        Role::Node => {
            format!("node `{}` of group `{group}` in cloud `{cloud}`", identity.name())
        }
        Role::Group | Role::Cloud => format!("the manager of group `{group}` in cloud `{cloud}`"),
    }
}

/// As node names are written: the first part, in lower case.
fn host_name() -> Result<String, Fault> {
    let path = "/proc/sys/kernel/hostname";
    let name = fs::read_to_string(path).map_err(Fault::io("read", path.as_ref()))?;
    let first = name.trim().split('.').next().unwrap_or_default();
    Ok(first.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_a_cloud_of_its_own_does_not_join_another_in_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().into());
        refuse_a_cloud_of_its_own(&state).unwrap();
        fs::write(state.credentials(), "{}").unwrap();
        let refused = refuse_a_cloud_of_its_own(&state).unwrap_err();
        assert!(refused.to_string().contains("a cloud of its own"), "{refused}");
        // A process that leaves nodes to others may be one of them.
        let split = "[topology]\nroles = [\"cloud\", \"node\"]\n[cloud]\nlinks = \"[::1]:1\"";
        fs::write(state.configuration(), split).unwrap();
        refuse_a_cloud_of_its_own(&state).unwrap();
    }
}
