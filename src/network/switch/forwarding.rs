//! Frames of guests on their way: from a port or a cable to the ports and cables they belong at.

use super::{
    Moment, Outlet, PortId, Refusal, SERVER_MAC, Switch, attached,
    directory::Holder,
    duplicates::{self, Seen, Window},
    tracker::Law,
};
use crate::{
    domain::{
        overlay::{NetworkId, SwitchId},
        port_filter::Direction,
    },
    network::{
        ethernet::{Content, Ethernet, Ipv4},
        frame::Frame,
        record::{HOPS, Kind, RecordHeader},
    },
};

/// A frame of a network, and what was read of it.
#[derive(Debug, Clone, Copy)]
struct Crossing<'a> {
    now: Moment,
    network: NetworkId,
    ethernet: Ethernet<'a>,
    frame: Frame<'a>,
}

impl Switch {
    /// From a guest.
    pub(super) fn enter(
        &mut self,
        now: Moment,
        id: PortId,
        frame: Frame<'_>,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let ethernet = Ethernet::read(frame.bytes).ok_or(Refusal::Malformed)?;
        let Some(port) = self.ports.get_mut(&id) else { return Ok(()) };
        let network = port.spec.network;
        if let Content::Ipv4(ip) = ethernet.content
            && port.spec.dhcp_server.is_some()
            && ethernet.source == port.spec.mac
            && attached::is_dhcp_question(&ip)
        {
            return self.answer_dhcp(now, id, frame, out);
        }
        port.check_source(&ethernet)?;
        if !port.spec.checks_source {
            self.learn_from(now, id, &ethernet, out)?;
        }
        match ethernet.content {
            Content::Malformed => return Err(Refusal::Malformed),
            Content::Other => return Err(Refusal::Protocol),
            Content::Arp(arp) => {
                if self.answer_arp(now, id, &arp, out)? {
                    return Ok(());
                }
            }
            Content::Ipv4(ip) => {
                self.judge(now, id, Direction::Egress, &ip)?;
            }
            Content::Ipv6(ip) => {
                if let Some(port) = self.ports.get(&id) {
                    port.check_ipv6(Direction::Egress)?;
                }
                if self.answer_discovery(now, id, &ethernet, &ip, out)? {
                    return Ok(());
                }
            }
        }
        self.forward(id, Crossing { now, network, ethernet, frame }, out)
    }

    /// From another switch.
    pub(super) fn arrive(
        &mut self,
        now: Moment,
        neighbour: SwitchId,
        header: RecordHeader,
        frame: Frame<'_>,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let network = header.network.ok_or(Refusal::Routing)?;
        if header.source == self.own {
            return Err(Refusal::Duplicate);
        }
        let is_for_all = header.destination == SwitchId::EVERYBODY;
        if !is_for_all && header.destination != self.own {
            return self.relay(neighbour, header, frame, out);
        }
        if header.kind != Kind::Frame {
            return Err(Refusal::Routing);
        }
        let ethernet = Ethernet::read(frame.bytes).ok_or(Refusal::Malformed)?;
        let crossing = Crossing { now, network, ethernet, frame };
        if !is_for_all {
            let station = self.directory.station(network, ethernet.destination);
            return match station.map(|claim| claim.holder) {
                Some(Holder::Port(port)) => self.deliver(port, crossing, out),
                _ => Err(Refusal::NoStation),
            };
        }
        self.check_is_first(header)?;
        if header.hops > 1 {
            let onwards = RecordHeader { hops: header.hops - 1, ..header };
            let branches = self.ways.branches(header.source, network, &self.directory);
            for next in branches.iter().filter(|next| **next != neighbour) {
                self.relayed += 1;
                out.cable(*next, onwards, frame);
            }
        }
        self.deliver_to_all(None, crossing, out);
        Ok(())
    }

    fn forward(
        &mut self,
        from: PortId,
        crossing: Crossing<'_>,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let Crossing { now, network, ethernet, .. } = crossing;
        let station = match ethernet.is_to_many() {
            true => None,
            false => self.directory.station(network, ethernet.destination),
        };
        match station.map(|claim| claim.holder) {
            Some(Holder::Port(port)) if port == from => Err(Refusal::NoStation),
            Some(Holder::Port(port)) => self.deliver(port, crossing, out),
            Some(Holder::Switch(switch)) => {
                let (next, _) = self.ways.to(switch).ok_or(Refusal::NoRoute)?;
                self.unicasts = self.unicasts.wrapping_add(1);
                let number = duplicates::unicast_number(self.unicasts);
                let header = self.header(switch, number, crossing);
                self.counters.send(crossing.frame);
                out.cable(next, header, crossing.frame);
                Ok(())
            }
            None => {
                if ethernet.destination == SERVER_MAC {
                    return Err(Refusal::NoStation);
                }
                if let Some(port) = self.ports.get_mut(&from) {
                    let (bucket, refusal) = match ethernet.is_to_many() {
                        true => (&mut port.broadcasts, Refusal::BroadcastRate),
                        false => (&mut port.unknown, Refusal::UnknownRate),
                    };
                    if !bucket.take(now) {
                        return Err(refusal);
                    }
                }
                self.spread(from, crossing, out);
                Ok(())
            }
        }
    }

    /// To everybody in the network, here and elsewhere.
    fn spread(&mut self, from: PortId, crossing: Crossing<'_>, out: &mut dyn Outlet) {
        self.deliver_to_all(Some(from), crossing, out);
        self.broadcasts = self.broadcasts.wrapping_add(1);
        let number = duplicates::number(self.link_state.own_incarnation(), self.broadcasts);
        let header = self.header(SwitchId::EVERYBODY, number, crossing);
        for next in self.ways.branches(self.own, crossing.network, &self.directory) {
            self.counters.send(crossing.frame);
            out.cable(*next, header, crossing.frame);
        }
    }

    fn header(&self, destination: SwitchId, sequence: u32, crossing: Crossing<'_>) -> RecordHeader {
        RecordHeader {
            kind: Kind::Frame,
            network: Some(crossing.network),
            hops: HOPS,
            is_last: true,
            is_ipv6: false,
            index: 0,
            destination,
            source: self.own,
            sequence,
            checksum: crossing.frame.offload.checksum,
        }
    }

    fn relay(
        &mut self,
        neighbour: SwitchId,
        header: RecordHeader,
        frame: Frame<'_>,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let hops = header.hops.saturating_sub(1);
        if hops == 0 {
            return Err(Refusal::HopLimit);
        }
        let (next, _) = self.ways.to(header.destination).ok_or(Refusal::NoRoute)?;
        // The neighbour does not know yet what has changed; it would come again.
        if next == neighbour {
            return Err(Refusal::NoRoute);
        }
        self.relayed += 1;
        out.cable(next, RecordHeader { hops, ..header }, frame);
        Ok(())
    }

    fn check_is_first(&mut self, header: RecordHeader) -> Result<(), Refusal> {
        let known = self.link_state.incarnation(header.source);
        let incarnation = known.ok_or(Refusal::UnknownSwitch)?;
        let window = self.windows.entry(header.source).or_insert_with(|| Window::new(incarnation));
        if window.incarnation() != incarnation {
            *window = Window::new(incarnation);
        }
        match window.see(header.sequence) {
            Seen::New => Ok(()),
            Seen::Before => Err(Refusal::Duplicate),
            Seen::Foreign => Err(Refusal::UnknownSwitch),
        }
    }

    fn deliver_to_all(
        &mut self,
        except: Option<PortId>,
        crossing: Crossing<'_>,
        out: &mut dyn Outlet,
    ) {
        let network = crossing.network;
        let count = self.networks.get(&network).map_or(0, Vec::len);
        for place in 0..count {
            let Some(id) = self.networks.get(&network).and_then(|ports| ports.get(place)) else {
                return;
            };
            let id = *id;
            if Some(id) == except {
                continue;
            }
            let Err(why) = self.deliver(id, crossing, out) else { continue };
            // It was not meant for whoever does not have the address.
            if why != Refusal::NotItsAddress
                && let Some(port) = self.ports.get_mut(&id)
            {
                port.counters.refuse(why);
            }
        }
    }

    fn deliver(
        &mut self,
        id: PortId,
        crossing: Crossing<'_>,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let Crossing { now, network, ethernet, frame } = crossing;
        let port = self.ports.get(&id).filter(|port| port.spec.network == network);
        let port = port.ok_or(Refusal::NoStation)?;
        port.check_destination(&ethernet)?;
        match ethernet.content {
            Content::Arp(_) => {}
            Content::Ipv4(ip) => self.judge(now, id, Direction::Ingress, &ip)?,
            Content::Ipv6(_) => port.check_ipv6(Direction::Ingress)?,
            Content::Other => return Err(Refusal::Protocol),
            Content::Malformed => return Err(Refusal::Malformed),
        }
        if let Some(port) = self.ports.get_mut(&id) {
            port.counters.send(frame);
        }
        out.port(id, frame);
        Ok(())
    }

    fn judge(
        &mut self,
        now: Moment,
        id: PortId,
        direction: Direction,
        ip: &Ipv4<'_>,
    ) -> Result<(), Refusal> {
        let began = self.began.unwrap_or(now);
        let picks_up = now.saturating_sub(began) < self.limits.picks_up_for;
        let Some(port) = self.ports.get_mut(&id) else { return Err(Refusal::NoStation) };
        let law = Law { filter: &port.filter, groups: &self.groups, picks_up };
        port.tracker.judge(now, direction, ip, law)
    }
}
