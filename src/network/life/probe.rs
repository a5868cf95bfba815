//! Guests, and the numbered frames that they send each other.

use crate::{
    domain::{
        interface::MacAddress,
        overlay::NetworkId,
        port_filter::{Cidr, Direction, Peers, Permit, PortFilter, Traffic},
    },
    network::{
        ethernet::{Arp, BROADCAST, Operation},
        switch::{PortId, PortSpec},
    },
};
use etherparse::PacketBuilder;
use std::net::Ipv4Addr;

/// Two networks with the same addresses.
pub const NETWORKS: [u32; 2] = [7, 8];

/// Behind Ethernet, IPv4 and UDP.
const PAYLOAD: usize = 42;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guest {
    pub network: u32,
    pub number: u8,
}

/// What is written in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    pub number: u64,
    pub network: u32,
}

pub fn other(network: Option<NetworkId>) -> Option<NetworkId> {
    NetworkId::new(NETWORKS[0] + NETWORKS[1] - network?.number())
}

impl Guest {
    pub fn port(self) -> PortId {
        PortId(self.network << 8 | u32::from(self.number))
    }

    /// Every other one has a namesake in the other network; of the rest one can tell which network
    /// an answer came from.
    pub fn mac(self) -> MacAddress {
        let network = if self.number % 2 == 0 { self.network as u8 } else { 0 };
        MacAddress([2, 0, 0, 0, network, self.number])
    }

    pub fn ip(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, self.number)
    }

    /// One that lets everything through.
    pub fn spec(self) -> PortSpec {
        let Guest { network, number } = self;
        let permit = |direction| Permit {
            direction,
            traffic: Traffic::Any,
            peers: Peers::Ranges(vec![Cidr::ANY]),
        };
        PortSpec {
            interface: format!("eni-{network:04x}{number:04x}").parse().unwrap(),
            instance: format!("i-{network:04x}{number:04x}").parse().unwrap(),
            network: NetworkId::new(network).unwrap(),
            mac: self.mac(),
            addresses: vec![self.ip()],
            subnet: "10.0.0.0/24".parse().unwrap(),
            dhcp_server: None,
            mtu: 1400,
            filter: PortFilter {
                permits: vec![permit(Direction::Ingress), permit(Direction::Egress)],
            },
            checks_source: true,
        }
    }

    /// Who has the other's address?
    pub fn question(self, about: Guest) -> Vec<u8> {
        let question = Arp {
            operation: Operation::Request,
            sender_mac: self.mac(),
            sender: self.ip(),
            target_mac: MacAddress([0; 6]),
            target: about.ip(),
        };
        question.frame(BROADCAST).to_vec()
    }

    /// To another guest, or to everybody.
    pub fn frame(self, to: Option<Guest>, number: u64) -> Vec<u8> {
        let (mac, ip) =
            to.map_or((BROADCAST, Ipv4Addr::BROADCAST), |guest| (guest.mac(), guest.ip()));
        let payload = [&number.to_be_bytes()[..], &self.network.to_be_bytes()].concat();
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(self.mac().0, mac.0)
            .ipv4(self.ip().octets(), ip.octets(), 64)
            .udp(4000, 5000)
            .write(&mut frame, &payload)
            .unwrap();
        frame
    }
}

impl Probe {
    pub fn read(frame: &[u8]) -> Option<Probe> {
        if frame.get(12..14)? != [8, 0] {
            return None;
        }
        let (number, rest) = frame.get(PAYLOAD..)?.split_first_chunk()?;
        let network = rest.first_chunk()?;
        Some(Probe { number: u64::from_be_bytes(*number), network: u32::from_be_bytes(*network) })
    }
}
