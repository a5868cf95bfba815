//! What a switch tells people about itself.

use super::{Switch, attached::Attached, port::PortId};
use crate::domain::{
    id::{InstanceId, InterfaceId},
    overlay::{NetworkId, SwitchId},
};
use crate::network::frame::Frame;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

/// Why a frame was not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Shorter than it says, or than its headers are.
    Malformed,
    /// Neither ARP nor IPv4; or IPv6 where there is none.
    Protocol,
    /// From a MAC address that is not the port's.
    SourceMac,
    /// From an IP address that is not the port's.
    SourceAddress,
    /// ARP in the name of somebody else.
    ArpSender,
    /// A guest that would be a DHCP server.
    DhcpServer,
    /// To a port that does not have the address.
    NotItsAddress,
    /// More than its share of broadcasts, of unknown addresses, or of questions.
    BroadcastRate,
    UnknownRate,
    AnswerRate,
    /// More stations behind a port than may be learned.
    TooManyLearned,
    /// No permit of the sender's or receiver's security groups.
    Egress,
    Ingress,
    /// A TCP packet, or a fragment, of what was never begun.
    NoFlow,
    TooManyFlows,
    /// No one of that address is known here any more.
    NoStation,
    /// No way to the switch that has the address.
    NoRoute,
    HopLimit,
    /// A second copy of a broadcast.
    Duplicate,
    /// A broadcast of a switch, or of a start of it, that has not made itself known.
    UnknownSwitch,
    /// A record between switches that no switch of this version writes.
    Routing,
}

impl Refusal {
    pub const ALL: [Refusal; 21] = [
        Refusal::Malformed,
        Refusal::Protocol,
        Refusal::SourceMac,
        Refusal::SourceAddress,
        Refusal::ArpSender,
        Refusal::DhcpServer,
        Refusal::NotItsAddress,
        Refusal::BroadcastRate,
        Refusal::UnknownRate,
        Refusal::AnswerRate,
        Refusal::TooManyLearned,
        Refusal::Egress,
        Refusal::Ingress,
        Refusal::NoFlow,
        Refusal::TooManyFlows,
        Refusal::NoStation,
        Refusal::NoRoute,
        Refusal::HopLimit,
        Refusal::Duplicate,
        Refusal::UnknownSwitch,
        Refusal::Routing,
    ];
}

/// Frames and bytes that passed, and frames that did not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub received: u64,
    pub received_bytes: u64,
    pub sent: u64,
    pub sent_bytes: u64,
    refused: [u64; Refusal::ALL.len()],
}

impl Counters {
    pub fn receive(&mut self, frame: Frame<'_>) {
        self.received += 1;
        self.received_bytes += frame.bytes.len() as u64;
    }
    pub fn send(&mut self, frame: Frame<'_>) {
        self.sent += 1;
        self.sent_bytes += frame.bytes.len() as u64;
    }
    pub fn refuse(&mut self, why: Refusal) {
        self.refused[why as usize] += 1;
    }
    pub fn refused(&self) -> BTreeMap<Refusal, u64> {
        let counted = Refusal::ALL.into_iter().map(|why| (why, self.refused[why as usize]));
        counted.filter(|(_, count)| *count > 0).collect()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SwitchStatus {
    pub switch: SwitchId,
    pub incarnation: u64,
    pub ports: Vec<PortStatus>,
    /// Of the cables: what is refused at a port is counted there.
    pub refused: BTreeMap<Refusal, u64>,
    pub relayed: u64,
    /// Every switch that has made itself known, also if there is no way to it.
    pub switches: Vec<KnownSwitch>,
    pub stations: Vec<KnownStation>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortStatus {
    pub port: PortId,
    pub interface: InterfaceId,
    pub instance: InstanceId,
    pub network: NetworkId,
    pub mac: String,
    pub addresses: Vec<Ipv4Addr>,
    /// From the guest, and to it.
    pub received: u64,
    pub received_bytes: u64,
    pub sent: u64,
    pub sent_bytes: u64,
    pub refused: BTreeMap<Refusal, u64>,
    pub flows: usize,
    pub learned: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownSwitch {
    pub switch: SwitchId,
    pub incarnation: u64,
    /// None: there is no way to it, or it is this switch.
    pub next: Option<SwitchId>,
    pub cost: Option<u32>,
    /// Its cables, with what it says they cost.
    pub cables: BTreeMap<SwitchId, u32>,
    pub stations: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownStation {
    pub network: NetworkId,
    pub mac: String,
    pub addresses: Vec<IpAddr>,
    pub switch: SwitchId,
    /// Heard rather than told.
    pub is_learned: bool,
}

impl Switch {
    pub fn status(&self) -> SwitchStatus {
        let mut ports: Vec<PortStatus> =
            self.ports.iter().map(|(id, port)| port_status(*id, port)).collect();
        ports.sort_unstable_by_key(|port| port.port);
        let mut stations: Vec<KnownStation> = Vec::new();
        let mut switches = Vec::new();
        for (switch, incarnation) in self.link_state.switches() {
            let its_own = self.link_state.stations(switch);
            let cables = self.link_state.cables().get(&switch).cloned().unwrap_or_default();
            let way = self.ways.to(switch);
            switches.push(KnownSwitch {
                switch,
                incarnation,
                next: way.map(|(next, _)| next),
                cost: way.map(|(_, cost)| cost),
                cables,
                stations: its_own.len(),
            });
            stations.extend(its_own.into_iter().map(|station| KnownStation {
                network: station.network,
                mac: station.mac.to_string(),
                addresses: station.addresses,
                switch,
                is_learned: !station.is_assigned,
            }));
        }
        SwitchStatus {
            switch: self.own,
            incarnation: self.link_state.own_incarnation(),
            ports,
            refused: self.counters.refused(),
            relayed: self.relayed,
            switches,
            stations,
        }
    }
}

fn port_status(id: PortId, port: &Attached) -> PortStatus {
    let spec = &port.spec;
    PortStatus {
        port: id,
        interface: spec.interface.clone(),
        instance: spec.instance.clone(),
        network: spec.network,
        mac: spec.mac.to_string(),
        addresses: spec.addresses.clone(),
        received: port.counters.received,
        received_bytes: port.counters.received_bytes,
        sent: port.counters.sent,
        sent_bytes: port.counters.sent_bytes,
        refused: port.counters.refused(),
        flows: port.tracker.len(),
        learned: port.learned.len(),
    }
}
