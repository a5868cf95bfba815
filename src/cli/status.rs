//! `mallee status`: what runs, where it answers, and how much room there is.

use super::{
    CallerArguments, Context,
    client::{InstanceAnswer, ZoneAnswer},
    fault::Fault,
    output::{self, OutputArguments},
    process, up,
};
use crate::domain::instance_type::InstanceTypes;
use clap::Args;
use serde::Serialize;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Status {
    /// Show the room for every instance type, not only for the default one
    #[arg(long)]
    types: bool,
    #[command(flatten)]
    caller: CallerArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Serialize)]
struct Running {
    running: bool,
    endpoint: String,
    pid: u32,
    region: String,
    instances: Vec<Instance>,
    zones: Vec<ZoneAnswer>,
}

#[derive(Debug, Serialize)]
struct Instance {
    id: String,
    name: Option<String>,
    state: String,
    /// Why it ended, or failed.
    reason: Option<String>,
    instance_type: String,
    image: String,
    public_address: Option<String>,
    private_address: Option<String>,
    zone: String,
    key_name: Option<String>,
    launched_at: String,
}

/// A process without the cloud manager.
#[derive(Debug, Serialize)]
struct Part {
    running: bool,
    parts: String,
    pid: u32,
}

#[derive(Debug, Serialize)]
struct NotRunning {
    running: bool,
    state_directory: String,
}

impl Status {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        let state = &context.state;
        let Some(pid) = process::find(state)? else {
            let state_directory = state.root().display().to_string();
            let status = NotRunning { running: false, state_directory };
            self.output.output.show(&status, |status| {
                format!("the cloud of {} is not running\n", status.state_directory)
            })?;
            return Ok(Fault::not_running("").exit_code());
        };
        if let Some(parts) = up::read_serving(state)? {
            let status = Part { running: true, parts, pid };
            self.output.output.show(&status, |status| {
                format!("running as {}, process {}\n", status.parts, status.pid)
            })?;
            return Ok(ExitCode::SUCCESS);
        }
        let client = context.client(&self.caller)?;
        let status = Running {
            running: true,
            endpoint: client.endpoint().to_owned(),
            pid,
            region: client.region().to_string(),
            zones: client.describe_zones_with_room()?,
            instances: client.describe_instances(&[])?.into_iter().map(Instance::from).collect(),
        };
        let types = self.types;
        self.output.output.show(&status, |status| status.text(types))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Running {
    fn text(&self, all_types: bool) -> String {
        let Running { endpoint, pid, region, .. } = self;
        let mut text = format!("running at {endpoint}, region {region}, process {pid}\n");
        for zone in &self.zones {
            text.push_str(&format!("\nzone {}: {}\n", zone.name, zone.state));
            for (subject, remark) in &zone.remarks {
                text.push_str(&format!("  {subject}: {remark}\n"));
            }
            text.push_str(&room(zone, all_types));
        }
        let shown = self.instances.iter().map(Instance::row).collect::<Vec<_>>();
        text.push_str(match shown.is_empty() {
            true => "\nno instances: launch one with `mallee run`\n",
            false => "\ninstances:\n",
        });
        text.push_str(&output::table(&shown));
        text
    }
}

fn room(zone: &ZoneAnswer, all_types: bool) -> String {
    let shown = |instance_type: &str| all_types || instance_type == InstanceTypes::DEFAULT;
    let rooms = zone.room.iter().filter(|room| shown(&room.instance_type));
    let row = |room: &super::client::RoomAnswer| {
        vec![
            room.instance_type.clone(),
            format!("room for {} of {}", room.free, room.max),
            format!("{} vcpus, {} MiB, {} GiB each", room.vcpus, room.memory_mib, room.disk_gib),
        ]
    };
    output::table(&rooms.map(row).collect::<Vec<_>>())
}

impl Instance {
    fn row(&self) -> Vec<String> {
        let state = match &self.reason {
            Some(reason) => format!("{} ({reason})", self.state),
            None => self.state.clone(),
        };
        vec![
            self.id.clone(),
            self.name.clone().unwrap_or_default(),
            self.instance_type.clone(),
            self.public_address.clone().unwrap_or_else(|| "-".into()),
            self.private_address.clone().unwrap_or_else(|| "-".into()),
            state,
        ]
    }
}

impl From<InstanceAnswer> for Instance {
    fn from(answer: InstanceAnswer) -> Instance {
        Instance {
            name: answer.name().map(str::to_owned),
            state: answer.state().to_owned(),
            public_address: answer.address().map(str::to_owned),
            id: answer.instance_id,
            reason: answer.state_reason.map(|reason| reason.message),
            instance_type: answer.instance_type,
            image: answer.image_id,
            private_address: answer.private_ip_address.filter(|address| !address.is_empty()),
            zone: answer.placement.availability_zone,
            key_name: answer.key_name,
            launched_at: answer.launch_time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::{RoomAnswer, described_for_tests};

    fn running() -> Running {
        let room = |name: &str| RoomAnswer {
            instance_type: name.into(),
            free: 14,
            max: 16,
            vcpus: 1,
            memory_mib: 128,
            disk_gib: 2,
        };
        Running {
            running: true,
            endpoint: "http://127.0.0.1:8773".into(),
            pid: 42,
            region: "us-east-1".into(),
            instances: described_for_tests().into_iter().map(Instance::from).collect(),
            zones: vec![ZoneAnswer {
                name: "us-east-1a".into(),
                state: "available".into(),
                room: vec![room("m1.small"), room("t3.micro")],
                remarks: vec![("guests of laptop".into(), "QEMU 7.2, TCG: as configured".into())],
            }],
        }
    }

    #[test]
    fn people_see_what_runs_and_the_room_for_the_default_type() {
        let text = running().text(false);
        assert_eq!(
            text,
            "running at http://127.0.0.1:8773, region us-east-1, process 42\n\
             \n\
             zone us-east-1a: available\n  \
             guests of laptop: QEMU 7.2, TCG: as configured\n  \
             m1.small  room for 14 of 16  1 vcpus, 128 MiB, 2 GiB each\n\
             \n\
             instances:\n  \
             i-11111111  web & db  m1.small  10.213.0.4  172.31.0.4  running\n  \
             i-22222222            t3.micro  -           -           terminated (no room)\n"
        );
        assert!(running().text(true).contains("t3.micro  room"));
    }

    #[test]
    fn programs_see_all_of_it() {
        let json = serde_json::to_value(running()).unwrap();
        assert_eq!(json["running"], true);
        assert_eq!(json["instances"][0]["public_address"], "10.213.0.4");
        assert_eq!(json["instances"][1]["reason"], "no room");
        assert_eq!(json["zones"][0]["room"][1]["free"], 14);
    }
}
