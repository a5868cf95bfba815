//! `mallee down`: stop the cloud.
//!
//! Guests go on running unnoticed, to be found again by the next `up`; `--terminate` ends them
//! first. `--purge` also takes every object of ours off the host and removes the state directory,
//! images and keys included: the host is as it was before. An instance that is protected from
//! termination is a refusal of all that. One that cannot be ended is not: everything else goes, and
//! what is left is said; then the state directory stays, since the next attempt needs it.

use super::{
    CallerArguments, Context,
    client::{Client, ClientFault},
    configuration,
    fault::Fault,
    process,
    progress::Progress,
    up,
};
use crate::boot::purge::{self, Remains};
use crate::config::{Role, state_directory::StateDirectory};
use crate::domain::id::RegionName;
use crate::hypervisor::libvirt;
use clap::Args;
use serde::Deserialize;
use std::{ffi::OsString, fs, process::ExitCode, time::Duration};

#[derive(Debug, Args)]
pub struct Down {
    /// Terminate every instance first
    #[arg(long)]
    terminate: bool,
    /// Terminate every instance, and remove everything of the cloud from this host
    #[arg(long)]
    purge: bool,
}

/// Running requests may be finished first.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
const TERMINATE_PATIENCE: Duration = Duration::from_secs(120);

impl Down {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        let state = &context.state;
        let mut progress = Progress::begin();
        if self.purge && state.root().exists() {
            // libvirt's chat belongs in a file; it can be told so only before there are threads.
            libvirt::send_log_to(&state.root().join("libvirt.log")).map_err(|e| Fault::of(&e))?;
        }
        let mut running = process::find(state)?;
        let was_running = running.is_some();
        // Users' wishes are the cloud's to grant; a host that joined it can only leave.
        let is_cloud = configuration::last_used(state)?.topology.runs(Role::Cloud);
        if self.terminate && !is_cloud {
            return Err(Fault::failed("this host runs no cloud manager, so it terminates nothing")
                .remedy("`mallee down --terminate` on the cloud's host ends all instances"));
        }
        if self.purge && is_cloud && !was_running && is_a_cloud_s(state)? && has_instances(state)? {
            // Guests outlive their cloud, and only a cloud ends them properly.
            let again = configuration::last_used(state)?;
            let started = up::start_detached(state, &up_again(state), &again);
            if let Err(fault) = started {
                fault.tell();
            }
            running = process::find(state)?;
        }
        match running {
            Some(pid) => {
                if is_cloud && (self.terminate || self.purge) {
                    match terminate_all(context, &mut progress) {
                        // Without the cloud it can still be done, less gently.
                        Err(Unended::Unable(fault)) if self.purge => {
                            progress.end();
                            fault.tell();
                        }
                        outcome => outcome.map_err(Fault::from)?,
                    }
                }
                progress.step("stopping the cloud");
                process::stop(state, pid, STOP_PATIENCE)?;
            }
            None if self.terminate => {
                return Err(Fault::not_running(
                    "the cloud is not running, so it cannot terminate instances",
                ));
            }
            None => {}
        }
        if self.purge {
            progress.step("removing everything");
            purge(state)?;
        }
        progress.end();
        eprintln!("mallee: {}", outcome(was_running, self.terminate, self.purge));
        Ok(ExitCode::SUCCESS)
    }
}

fn outcome(was_running: bool, terminate: bool, purge: bool) -> &'static str {
    match (was_running, terminate, purge) {
        (_, _, true) => "nothing of the cloud is left on this host",
        (true, true, false) => "the cloud has stopped, and its instances are terminated",
        (true, false, false) => {
            "the cloud has stopped; guests go on, and the next `mallee up` finds them"
        }
        (false, _, false) => "the cloud was not running",
    }
}

/// Why instances go on.
#[derive(Debug)]
enum Unended {
    /// Somebody said that they must.
    Protected(Fault),
    Unable(Fault),
}

impl From<Fault> for Unended {
    fn from(fault: Fault) -> Unended {
        Unended::Unable(fault)
    }
}

impl From<ClientFault> for Unended {
    fn from(fault: ClientFault) -> Unended {
        match fault.is("OperationNotPermitted") {
            true => Unended::Protected(
                Fault::from(fault)
                    .remedy("take its termination protection away first; the cloud goes on"),
            ),
            false => Unended::Unable(fault.into()),
        }
    }
}

impl From<Unended> for Fault {
    fn from(unended: Unended) -> Fault {
        match unended {
            Unended::Protected(fault) | Unended::Unable(fault) => fault,
        }
    }
}

/// Those of every account, in every region there is.
fn terminate_all(context: &Context<'_>, progress: &mut Progress) -> Result<(), Unended> {
    progress.step("terminating all instances");
    let mut client = context.client(&CallerArguments { region: None })?;
    for region in regions(&client)? {
        client = client.in_region(region);
        let ids = living(&client)?;
        if ids.is_empty() {
            continue;
        }
        client.terminate_instances(&ids)?;
        if !process::wait_until(TERMINATE_PATIENCE, || Ok(living(&client)?.is_empty()))? {
            let left = living(&client)?.join("`, `");
            return Err(Fault::failed(format!("these instances do not end: `{left}`")).into());
        }
    }
    Ok(())
}

fn living(client: &Client) -> Result<Vec<String>, Fault> {
    let mut instances = client.describe_all_instances()?;
    instances.retain(|instance| instance.state() != "terminated");
    Ok(instances.into_iter().map(|instance| instance.instance_id).collect())
}

fn regions(client: &Client) -> Result<Vec<RegionName>, Fault> {
    use super::client::{Items, Request};
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Described {
        region_info: Items<Region>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Region {
        region_name: RegionName,
    }
    let request = Request::new("DescribeRegions").with("AllRegions", true);
    let described: Described = client.call(&request)?;
    Ok(described.region_info.item.into_iter().map(|region| region.region_name).collect())
}

fn purge(state: &StateDirectory) -> Result<(), Fault> {
    if !is_a_cloud_s(state)? {
        return Ok(());
    }
    let configuration = configuration::last_used(state)?;
    let remains = purge::purge(&configuration, state);
    if !remains.is_empty() {
        return Err(left_over(&remains, state));
    }
    fs::remove_dir_all(state.root()).map_err(Fault::io("remove", state.root()))
}

fn left_over(remains: &[Remains], state: &StateDirectory) -> Fault {
    let each: Vec<String> =
        remains.iter().map(|remains| Fault::of(remains).message().to_owned()).collect();
    Fault::failed(format!("left on this host: {}", each.join("; "))).remedy(format!(
        "everything else is removed, and `{}` is kept; mend the cause, then \
         `mallee down --purge` takes the rest away",
        state.root().display()
    ))
}

/// Whether there is anything to be removed. A mistyped `--state` must not empty a home, so a
/// directory that no cloud was ever in is refused.
fn is_a_cloud_s(state: &StateDirectory) -> Result<bool, Fault> {
    if !state.root().exists() {
        return Ok(false);
    }
    if state.credentials().exists() || state.pid().exists() {
        return Ok(true);
    }
    let place = state.root().display();
    Err(Fault::failed(format!("`{place}` does not look like a cloud's directory"))
        .remedy("check `--state`; nothing was removed"))
}

/// Whether any node of this host has an instance on its books, or what one left.
fn has_instances(state: &StateDirectory) -> Result<bool, Fault> {
    for node in state.nodes().map_err(Fault::io("read", state.root()))? {
        let instances = purge::instances(state, &node);
        if !instances.map_err(Fault::io("read", &state.node(&node).instances()))?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The arguments that start the cloud as it was started the last time.
fn up_again(state: &StateDirectory) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["--state".into(), state.root().into(), "up".into()];
    if state.configuration().exists() {
        arguments.extend(["--config".into(), state.configuration().into()]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::HypervisorFault;

    #[test]
    fn a_directory_no_cloud_was_in_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("thesis"), "years of work").unwrap();
        let state = StateDirectory::at(directory.path().into());
        assert!(purge(&state).unwrap_err().to_string().contains("nothing was removed"));
        assert!(directory.path().join("thesis").exists());
        purge(&StateDirectory::at(directory.path().join("absent"))).unwrap();
    }

    #[test]
    fn a_cloud_without_instances_can_be_purged_where_it_cannot_start() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().into());
        assert!(!has_instances(&state).unwrap());
        let instances = state.node(&"n1".parse().unwrap()).instances();
        fs::create_dir_all(&instances).unwrap();
        assert!(!has_instances(&state).unwrap());
        fs::create_dir(instances.join("i-1")).unwrap();
        assert!(has_instances(&state).unwrap());
    }

    #[test]
    fn what_cannot_be_ended_is_told_from_what_must_not() {
        let refused = |code: &str| ClientFault::Refused { code: code.into(), message: "m".into() };
        let protected = Unended::from(refused("OperationNotPermitted"));
        assert!(matches!(&protected, Unended::Protected(_)), "{protected:?}");
        assert!(Fault::from(protected).to_string().contains("the cloud goes on"));
        let unable = Unended::from(refused("InternalError"));
        assert!(matches!(unable, Unended::Unable(_)), "{unable:?}");
    }

    #[test]
    fn what_a_purge_could_not_remove_is_said_with_the_reason_and_the_next_step() {
        let state = StateDirectory::at("/s".into());
        let guests = Remains::Guests {
            node: "n1".parse().unwrap(),
            instances: vec!["i-1".into(), "i-2".into()],
            why: crate::boot::BootFault::Hypervisor {
                node: "n1".into(),
                source: HypervisorFault::Unreachable("no libvirt".into()),
            },
        };
        let told = left_over(&[guests], &state).to_string();
        assert!(told.contains("node `n1`, the guests of `i-1`, `i-2`: "), "{told}");
        assert!(told.contains("no libvirt") && told.contains("`/s` is kept"), "{told}");
    }

    #[test]
    fn what_is_left_is_said() {
        assert!(outcome(true, false, false).contains("guests go on"));
        assert!(outcome(true, true, false).contains("terminated"));
        assert!(outcome(false, false, false).contains("was not running"));
        assert!(outcome(false, false, true).contains("nothing"));
    }
}
