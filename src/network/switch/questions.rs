//! Questions that the switch answers at the port: ARP and neighbour discovery for addresses that
//! are known, and DHCP.

use super::{Moment, Outlet, PortId, Refusal, SERVER_MAC, Switch, directory::Claim};
use crate::{
    domain::{interface::MacAddress, overlay::NetworkId},
    network::{
        dhcp::{self, Lease},
        ethernet::{Arp, BROADCAST, Discovery, Ethernet, Ipv6, Operation},
        frame::Frame,
    },
};
use std::net::{IpAddr, Ipv4Addr};

impl Switch {
    /// Whether the matter is settled. What nobody is known to have is asked of everybody, at the
    /// rate of unknown addresses.
    pub(super) fn answer_arp(
        &mut self,
        now: Moment,
        id: PortId,
        arp: &Arp,
        out: &mut dyn Outlet,
    ) -> Result<bool, Refusal> {
        let Some(port) = self.ports.get_mut(&id) else { return Ok(true) };
        if arp.operation == Operation::Reply || arp.sender == arp.target {
            // Who has a new address says so to everybody.
            return Ok(false);
        }
        if port.has(arp.target) {
            // It makes sure that nobody else has its address.
            return Ok(true);
        }
        let holder = match port.spec.dhcp_server == Some(arp.target) {
            true => Some(SERVER_MAC),
            false => self.holder(id, arp.target.into()).map(|claim| claim.mac),
        };
        let Some(port) = self.ports.get_mut(&id) else { return Ok(true) };
        match holder {
            Some(mac) if mac == arp.sender_mac => Ok(true),
            Some(_) if !port.answers.take(now) => Err(Refusal::AnswerRate),
            Some(mac) => {
                let frame = arp.answer(mac).frame(arp.sender_mac);
                self.answer(id, &frame, out);
                Ok(true)
            }
            None if !port.unknown.take(now) => Err(Refusal::UnknownRate),
            None => Ok(false),
        }
    }

    /// Whether the matter is settled.
    pub(super) fn answer_discovery(
        &mut self,
        now: Moment,
        id: PortId,
        ethernet: &Ethernet<'_>,
        ip: &Ipv6<'_>,
        out: &mut dyn Outlet,
    ) -> Result<bool, Refusal> {
        let Some(Discovery::Solicitation { target, .. }) = ip.discovery else { return Ok(false) };
        // A probe before an address is used has to reach whoever uses it.
        if ip.source.is_unspecified() {
            return Ok(false);
        }
        let Some(claim) = self.holder(id, target.into()) else { return Ok(false) };
        let Some(port) = self.ports.get_mut(&id) else { return Ok(true) };
        if !port.answers.take(now) {
            return Err(Refusal::AnswerRate);
        }
        let asker = (ethernet.source, ip.source);
        self.answer(id, &Discovery::advertisement(target, claim.mac, asker), out);
        Ok(true)
    }

    pub(super) fn answer_dhcp(
        &mut self,
        now: Moment,
        id: PortId,
        frame: Frame<'_>,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let Some(port) = self.ports.get_mut(&id) else { return Ok(()) };
        let (Some(server), Some(address)) =
            (port.spec.dhcp_server, port.spec.addresses.first().copied())
        else {
            return Ok(());
        };
        if !port.answers.take(now) {
            return Err(Refusal::AnswerRate);
        }
        let lease = Lease {
            mac: port.spec.mac,
            address,
            subnet: port.spec.subnet,
            router: None,
            dns: Vec::new(),
            server,
            server_mac: SERVER_MAC,
            mtu: port.spec.mtu,
        };
        if let Some(answer) = dhcp::answer(frame.bytes, &lease) {
            self.answer(id, &answer, out);
        }
        Ok(())
    }

    /// Tells guests of addresses that another station has now, as that station would.
    pub(super) fn tell_moved(&mut self, out: &mut dyn Outlet) {
        for (network, address, mac) in self.directory.take_moved() {
            if let IpAddr::V4(address) = address {
                self.tell_one_moved(network, address, mac, out);
            }
        }
    }

    fn tell_one_moved(
        &mut self,
        network: NetworkId,
        address: Ipv4Addr,
        mac: MacAddress,
        out: &mut dyn Outlet,
    ) {
        let news = Arp {
            operation: Operation::Request,
            sender_mac: mac,
            sender: address,
            target_mac: MacAddress([0; 6]),
            target: address,
        };
        let frame = news.frame(BROADCAST);
        let others = self.networks.get(&network).into_iter().flatten().copied();
        let others = others.filter(|id| self.ports.get(id).is_some_and(|it| it.spec.mac != mac));
        for id in others.collect::<Vec<_>>() {
            self.answer(id, &frame, out);
        }
    }

    fn holder(&self, asker: PortId, address: IpAddr) -> Option<Claim> {
        self.directory.address(self.ports.get(&asker)?.spec.network, address)
    }

    fn answer(&mut self, id: PortId, frame: &[u8], out: &mut dyn Outlet) {
        let frame = Frame::whole(frame);
        if let Some(port) = self.ports.get_mut(&id) {
            port.counters.send(frame);
        }
        out.port(id, frame);
    }
}
