//! `mallee overlay`: what the private network's switch of this host has and does.
//!
//! Asks the process of this host, whatever its roles are, and no other: what becomes of a frame on
//! another host is asked there.

use super::{
    Context,
    fault::Fault,
    output::{self, OutputArguments},
};
use crate::{
    boot::overlay::inquiry::{self, Inquiry, Protocol},
    domain::{
        overlay::SwitchId,
        port_filter::{Peers, Permit, Traffic},
    },
};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
};

#[derive(Debug, Subcommand)]
pub enum Overlay {
    /// Show the switch of this host: its cables to other hosts, its ports, what it refused
    Status(Status),
    /// Say hop by hop what would become of a packet, and which rule decides
    Trace(Trace),
}

#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Args)]
pub struct Trace {
    /// An instance or interface of this host
    from: String,
    /// An address of the private network, or an instance or interface of this host
    to: String,
    /// The TCP port that is connected to
    #[arg(long, value_name = "PORT", conflicts_with = "udp")]
    tcp: Option<u16>,
    /// The UDP port that is sent to; without any port, a ping
    #[arg(long, value_name = "PORT")]
    udp: Option<u16>,
    #[command(flatten)]
    output: OutputArguments,
}

impl Overlay {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        match self {
            Overlay::Status(status) => {
                let shown: Shown = ask(context, &Inquiry::Status)?;
                status.output.output.show(&shown, text)?;
            }
            Overlay::Trace(trace) => {
                let payload = match (trace.tcp, trace.udp) {
                    (Some(port), _) => Protocol::Tcp(port),
                    (None, Some(port)) => Protocol::Udp(port),
                    (None, None) => Protocol::Ping,
                };
                let inquiry = Inquiry::Trace { from: trace.from, to: trace.to, payload };
                let traced: Traced = ask(context, &inquiry)?;
                trace.output.output.show(&traced, Traced::text)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn ask<T: for<'a> Deserialize<'a>>(context: &Context<'_>, inquiry: &Inquiry) -> Result<T, Fault> {
    let place = context.state.inquiries();
    let answer = inquiry::ask(&place, inquiry).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            Fault::not_running("no process of this host with a switch answers")
        }
        _ => Fault::failed(format!("the process of this host does not answer: {error}")),
    })?;
    let value = answer.map_err(Fault::failed)?;
    serde_json::from_value(value).map_err(|fault| Fault::of(&fault))
}

#[derive(Debug, Serialize, Deserialize)]
struct Shown {
    own_name: String,
    underlay: Underlay,
    switch: Switch,
    cables: Vec<Cable>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Underlay {
    listen: SocketAddr,
    undelivered: u64,
    unsendable: u64,
    incomplete: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Switch {
    switch: SwitchId,
    ports: Vec<Port>,
    refused: BTreeMap<String, u64>,
    relayed: u64,
    switches: Vec<Known>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Port {
    interface: String,
    instance: String,
    network: u32,
    mac: String,
    addresses: Vec<Ipv4Addr>,
    received: u64,
    sent: u64,
    refused: BTreeMap<String, u64>,
    flows: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Known {
    switch: SwitchId,
    next: Option<SwitchId>,
    cost: Option<u32>,
    stations: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Cable {
    neighbour: SwitchId,
    name: String,
    is_up: bool,
    why_down: Option<String>,
    address: Option<SocketAddr>,
    seen_at: Option<SocketAddr>,
    epoch: Option<u32>,
    round_trip_us: Option<u64>,
    loss_in: f32,
    loss_out: f32,
    datagram: u64,
    sealed_datagrams: u64,
    opened_datagrams: u64,
    refused: BTreeMap<String, u64>,
}

fn text(shown: &Shown) -> String {
    let mut text = match shown.own_name.as_str() {
        "" => "a switch of this host alone\n".to_owned(),
        name => {
            let (number, listen) = (shown.switch.switch, shown.underlay.listen);
            format!("switch {number} ({name}), which listens at {listen}\n")
        }
    };
    if !shown.cables.is_empty() {
        text.push_str("\ncables:\n");
        let mut rows = vec![CABLE.map(str::to_owned).to_vec()];
        rows.extend(shown.cables.iter().map(|cable| of_cable(cable, shown)));
        text.push_str(&output::table(&rows));
    }
    if !shown.switch.ports.is_empty() {
        text.push_str("\nports:\n");
        let mut rows = vec![PORT.map(str::to_owned).to_vec()];
        rows.extend(shown.switch.ports.iter().map(of_port));
        text.push_str(&output::table(&rows));
    }
    if !shown.switch.refused.is_empty() {
        text.push_str(&format!("\nrefused of other switches: {}\n", counts(&shown.switch.refused)));
    }
    text
}

const CABLE: [&str; 10] = [
    "to",
    "state",
    "path",
    "epoch",
    "round trip",
    "loss in/out",
    "datagram",
    "sealed",
    "opened",
    "refused",
];

fn of_cable(cable: &Cable, shown: &Shown) -> Vec<String> {
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let state = match (&cable.why_down, cable.is_up) {
        (_, true) => "up".to_owned(),
        (Some(why), false) => format!("down: {why}"),
        (None, false) => "down".to_owned(),
    };
    // Where there is no cable, frames may go by way of another switch.
    let known = shown.switch.switches.iter().find(|known| known.switch == cable.neighbour);
    let path = match (cable.is_up, known.and_then(|known| known.next)) {
        (true, _) => or_none(cable.address.map(|address| address.to_string())),
        (false, Some(next)) => format!("by way of {}", name(next, shown)),
        (false, None) => "none".to_owned(),
    };
    vec![
        cable.name.clone(),
        state,
        path,
        or_none(cable.epoch.map(|epoch| epoch.to_string())),
        or_none(cable.round_trip_us.map(|us| format!("{us} us"))),
        format!("{:.0}/{:.0} %", cable.loss_in * 100.0, cable.loss_out * 100.0),
        cable.datagram.to_string(),
        cable.sealed_datagrams.to_string(),
        cable.opened_datagrams.to_string(),
        counts(&cable.refused),
    ]
}

fn name(switch: SwitchId, shown: &Shown) -> String {
    let cable = shown.cables.iter().find(|cable| cable.neighbour == switch);
    cable.map_or_else(|| switch.to_string(), |cable| cable.name.clone())
}

const PORT: [&str; 9] = [
    "interface",
    "instance",
    "network",
    "mac",
    "addresses",
    "received",
    "sent",
    "flows",
    "refused",
];

fn of_port(port: &Port) -> Vec<String> {
    let addresses = port.addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    vec![
        port.interface.clone(),
        port.instance.clone(),
        port.network.to_string(),
        port.mac.clone(),
        addresses.join(" "),
        port.received.to_string(),
        port.sent.to_string(),
        port.flows.to_string(),
        counts(&port.refused),
    ]
}

/// What was refused, by reason.
fn counts(refused: &BTreeMap<String, u64>) -> String {
    if refused.is_empty() {
        return "0".to_owned();
    }
    refused.iter().map(|(why, count)| format!("{count} {why}")).collect::<Vec<_>>().join(", ")
}

#[derive(Debug, Serialize, Deserialize)]
struct Traced {
    steps: Vec<Step>,
    names: BTreeMap<u32, String>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Step {
    From { interface: String, switch: SwitchId },
    Egress { interface: String, permit: Permit },
    Ingress { interface: String, permit: Permit },
    Hop { switch: SwitchId, cost: u32 },
    Elsewhere { switch: SwitchId },
    Delivered { interface: String },
    Refused { by: SwitchId, why: String },
}

impl Traced {
    fn text(&self) -> String {
        self.steps.iter().map(|step| format!("{}\n", self.words(step))).collect()
    }

    fn words(&self, step: &Step) -> String {
        let switch = |switch: &SwitchId| match self.names.get(&switch.0) {
            Some(name) => format!("switch {switch} ({name})"),
            None => format!("switch {switch}"),
        };
        match step {
            Step::From { interface, switch: at } => format!("from {interface} at {}", switch(at)),
            Step::Egress { interface, permit } => {
                format!("out of {interface}, which {}", of_permit(permit))
            }
            Step::Ingress { interface, permit } => {
                format!("into {interface}, which {}", of_permit(permit))
            }
            Step::Hop { switch: to, cost } => {
                format!("over a cable to {}, cost {cost}", switch(to))
            }
            Step::Elsewhere { switch: at } => {
                format!("what becomes of it there is known to {}: ask its host", switch(at))
            }
            Step::Delivered { interface } => format!("delivered to {interface}"),
            Step::Refused { by, why } => format!("refused by {}: {why}", switch(by)),
        }
    }
}

fn of_permit(permit: &Permit) -> String {
    let traffic = match permit.traffic {
        Traffic::Any => "everything".to_owned(),
        Traffic::Tcp { from, to } => format!("TCP {}", range(from, to)),
        Traffic::Udp { from, to } => format!("UDP {}", range(from, to)),
        Traffic::Icmp { kind: None, .. } => "ICMP".to_owned(),
        Traffic::Icmp { kind: Some(kind), code: None } => format!("ICMP type {kind}"),
        Traffic::Icmp { kind: Some(kind), code: Some(code) } => format!("ICMP type {kind}.{code}"),
        Traffic::Protocol(number) => format!("IP protocol {number}"),
        Traffic::Icmpv6 { .. } => "ICMPv6".to_owned(),
    };
    let peers = match &permit.peers {
        Peers::Ranges(ranges) => {
            ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        Peers::Members(group) => format!("members of {group}"),
    };
    format!("admits {traffic} with {peers}")
}

fn range(from: u16, to: u16) -> String {
    if from == to { format!("port {from}") } else { format!("ports {from} to {to}") }
}
