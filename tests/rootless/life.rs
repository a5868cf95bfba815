//! What is tested: an ordinary user's process that enters an enclosure, has a data plane in it, and
//! does as it is told on its standard input, a line of JSON at a time.

use crate::guest::{GATEWAY, METADATA_PORT, open};
use mallee::{
    boot::enclosed_datapath::EnclosedDatapath,
    domain::{
        elastic_address::ElasticAssignment,
        id::{InstanceId, InterfaceId},
        interface::{InterfaceSpec, NicBackend},
        port_filter::PortFilter,
    },
    enclosure::{self, EnclosureOptions},
    hypervisor::reaper,
    network::{
        Datapath,
        host::{HostOptions, Nics},
    },
};
use serde::{Deserialize, Serialize};
use std::{
    io,
    net::Ipv4Addr,
    path::PathBuf,
    process::{Command, ExitCode},
};

#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    Attach(InstanceId, InterfaceSpec),
    SetFilter(InterfaceId, PortFilter),
    SetElastic(InterfaceId, ElasticAssignment),
    Detach(InterfaceId),
    /// Leave a process behind, as a guest would be.
    Leave,
}

/// What it says once it is inside.
#[derive(Debug, Serialize, Deserialize)]
pub struct Greeting {
    pub process: u32,
    pub rejoined: bool,
    pub name_server: Option<Ipv4Addr>,
}

/// A tap's, a socket's or a process's name, nothing, or what went wrong.
pub type Answer = Result<String, String>;

pub fn live(record: PathBuf) -> ExitCode {
    env_logger::init();
    raise_file_limit();
    reaper::supervise().expect("no thread has been started yet");
    assert!(enclosure::lacks_net_admin(), "an ordinary user");
    let guests = vec!["10.213.0.0/16".parse().unwrap()];
    let state_dir = record.with_extension("network");
    let enclosure = match enclosure::enter(&EnclosureOptions { record, guests }) {
        Ok(enclosure) => enclosure,
        Err(fault) => {
            say(&Err::<Greeting, String>(fault.to_string()));
            return ExitCode::FAILURE;
        }
    };
    assert!(!enclosure::lacks_net_admin(), "inside");
    let name_server = enclosure.name_server();
    let options = HostOptions {
        prefix: "mallee".to_owned(),
        subnet: "10.213.0.0/16".parse().unwrap(),
        gateway: GATEWAY,
        dns: name_server.into_iter().collect(),
        state_dir,
        metadata_port: METADATA_PORT,
        nics: Nics::Sockets,
        guest_mtu: 1380,
    };
    let inner = open(options).unwrap();
    enclosure.watch().unwrap();
    let datapath = EnclosedDatapath::new(inner, enclosure.forwarder().unwrap(), GATEWAY);
    let (process, rejoined) = (std::process::id(), enclosure.rejoined());
    say(&Ok::<_, String>(Greeting { process, rejoined, name_server }));
    for line in io::stdin().lines() {
        say(&obey(serde_json::from_str(&line.unwrap()).unwrap(), &datapath));
    }
    ExitCode::SUCCESS
}

/// As the cloud does at its start: every port offered is a file.
fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls are given a valid structure of our own.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
}

fn obey(order: Order, datapath: &dyn Datapath) -> Answer {
    let nothing = |()| String::new();
    let done = match order {
        Order::Attach(instance, interface) => {
            let attached = datapath.attach(&instance, &interface);
            attached.map(|port| match port.backend {
                NicBackend::Tap(name) => name,
                NicBackend::Socket { guests, .. } => guests.display().to_string(),
            })
        }
        Order::SetFilter(interface, filter) => {
            datapath.set_filter(&interface, &filter).map(nothing)
        }
        Order::SetElastic(interface, assignment) => {
            datapath.set_elastic(&interface, &assignment).map(nothing)
        }
        Order::Detach(interface) => datapath.detach(&interface).map(nothing),
        Order::Leave => Ok(Command::new("sleep").arg("120").spawn().unwrap().id().to_string()),
    };
    done.map_err(|fault| fault.to_string())
}

fn say(words: &impl Serialize) {
    println!("{}", serde_json::to_string(words).unwrap());
}
