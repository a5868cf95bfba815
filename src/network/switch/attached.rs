//! A port with what it has to do with others: its filter and flows, what was learned behind it, and
//! what it may still take of what is shared.

use super::{
    Limits, Moment, PortSpec,
    announcement::ADDRESSES_PER_STATION,
    directory::Station,
    filter::{Filter, Groups},
    hash::FastMap,
    limits::Bucket,
    status::{Counters, Refusal},
    tracker::Tracker,
};
use crate::{
    domain::{interface::MacAddress, port_filter::Direction},
    network::ethernet::{self, Content, Ethernet, Ipv4, Transport},
};
use std::net::{IpAddr, Ipv4Addr};

pub const DHCP_SERVER: u16 = 67;
pub const DHCP_CLIENT: u16 = 68;

#[derive(Debug)]
pub struct Attached {
    pub spec: PortSpec,
    pub filter: Filter,
    pub tracker: Tracker,
    pub broadcasts: Bucket,
    pub unknown: Bucket,
    pub answers: Bucket,
    pub learns: Bucket,
    pub counters: Counters,
    /// Only of a port without source check.
    pub learned: FastMap<MacAddress, Learned>,
}

#[derive(Debug)]
pub struct Learned {
    pub station: Station,
    pub heard_at: Moment,
}

impl Attached {
    pub fn new(spec: PortSpec, limits: &Limits, groups: &mut Groups) -> Attached {
        Attached {
            filter: Filter::new(spec.filter.clone(), groups),
            tracker: Tracker::new(limits.flows_per_port, limits.fragmented_per_port),
            broadcasts: Bucket::new(limits.broadcasts),
            unknown: Bucket::new(limits.unknown),
            answers: Bucket::new(limits.answers),
            learns: Bucket::new(limits.learned),
            counters: Counters::default(),
            learned: FastMap::default(),
            spec,
        }
    }

    /// What is announced of it, whatever it says.
    pub fn stations(&self) -> Vec<Station> {
        let addresses: Vec<IpAddr> = self.spec.addresses.iter().map(|it| (*it).into()).collect();
        let station = |addresses: &[IpAddr]| Station {
            network: self.spec.network,
            mac: self.spec.mac,
            is_assigned: true,
            addresses: addresses.to_vec(),
        };
        match addresses.is_empty() {
            true => vec![station(&[])],
            false => addresses.chunks(ADDRESSES_PER_STATION).map(station).collect(),
        }
    }

    /// Whether the guest is who the frame says it is from. ARP of a port without source check is
    /// looked at by who knows the other stations.
    pub fn check_source(&self, frame: &Ethernet<'_>) -> Result<(), Refusal> {
        if ethernet::is_multicast(frame.source) {
            return Err(Refusal::SourceMac);
        }
        if let Content::Arp(arp) = frame.content
            && arp.sender_mac != frame.source
        {
            return Err(Refusal::ArpSender);
        }
        if !self.spec.checks_source {
            return Ok(());
        }
        if frame.source != self.spec.mac {
            return Err(Refusal::SourceMac);
        }
        match frame.content {
            Content::Arp(arp) if !self.has(arp.sender) && !arp.sender.is_unspecified() => {
                Err(Refusal::ArpSender)
            }
            Content::Ipv4(ip) if is_dhcp_answer(&ip) => Err(Refusal::DhcpServer),
            Content::Ipv4(ip) if !self.has(ip.source) => Err(Refusal::SourceAddress),
            Content::Ipv6(_) => Err(Refusal::Protocol),
            _ => Ok(()),
        }
    }

    /// Whether a frame is for the guest, as far as its addresses tell.
    pub fn check_destination(&self, frame: &Ethernet<'_>) -> Result<(), Refusal> {
        if !self.spec.checks_source {
            return Ok(());
        }
        if frame.destination != self.spec.mac && !frame.is_to_many() {
            return Err(Refusal::NotItsAddress);
        }
        match frame.content {
            Content::Ipv4(ip) if !self.is_for_it(ip.destination) => Err(Refusal::NotItsAddress),
            Content::Ipv6(_) => Err(Refusal::Protocol),
            _ => Ok(()),
        }
    }

    /// What filters have no words for passes where everything does.
    pub fn check_ipv6(&self, direction: Direction) -> Result<(), Refusal> {
        match (self.filter.admits_everything(direction), direction) {
            (true, _) => Ok(()),
            (false, Direction::Ingress) => Err(Refusal::Ingress),
            (false, Direction::Egress) => Err(Refusal::Egress),
        }
    }

    pub fn has(&self, address: Ipv4Addr) -> bool {
        self.spec.addresses.contains(&address)
    }

    fn is_for_it(&self, address: Ipv4Addr) -> bool {
        let subnet = self.spec.subnet;
        self.has(address)
            || address.is_broadcast()
            || address.is_multicast()
            || subnet.nth(subnet.size() - 1) == Some(address)
    }
}

/// A question to a DHCP server.
pub fn is_dhcp_question(ip: &Ipv4<'_>) -> bool {
    matches!(ip.transport, Transport::Udp { source: DHCP_CLIENT, destination: DHCP_SERVER })
}

/// To a client, or from a server, whichever of the two it pretends.
fn is_dhcp_answer(ip: &Ipv4<'_>) -> bool {
    matches!(
        ip.transport,
        Transport::Udp { source: DHCP_SERVER, .. }
            | Transport::Udp { destination: DHCP_CLIENT, .. }
    )
}
