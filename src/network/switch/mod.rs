//! The switch of the overlay: one to a process, with guests at its ports and other switches at the
//! far ends of its cables.
//!
//! A pure machine: frames enter with the time, and leave through an `Outlet` before the call
//! returns. It has no threads, descriptors or clocks, and opens and seals nothing.
//!
//! ```text
//!            ┌ attached: is the guest who it says it is? ┐
//!   port ───►│ tracker: do its security groups let it?   ├─► directory: who has the address?
//!            └───────────────────────────────────────────┘      │ a port here        │ a switch
//!            ┌ tracker: do the receiver's let it? ┐             │                    ▼
//!   port ◄───┤ attached: is it for this guest?    │◄────────────┘     ways: which cable next?
//!            └────────────────────────────────────┘◄── this switch ──── cable ◄──► cable
//! ```
//!
//! Every frame belongs to one network, and is delivered to ports of that network only. Who has
//! which address is announced (`link_state`), so that nothing has to be learned from traffic and a
//! question for an address (ARP, neighbour discovery) is answered where it is asked. Only a port
//! without source check may have others behind it, and they are learned, within limits. Broadcasts
//! go along the tree of shortest paths from their switch, to switches that are in the network.
//!
//! Frames of guests are never changed. IPv4 and ARP pass; IPv6 only between ports without source
//! check. There is no routing between networks, and no gateway.

mod announcement;
mod attached;
mod directory;
mod duplicates;
mod filter;
mod hash;
mod learning;
mod limits;
mod link_state;
mod own_pages;
mod port;
mod questions;
mod status;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod topology;
mod trace;
mod tracker;
mod ways;

pub use limits::{Limits, Rate};
pub use port::{PortId, PortSpec};
pub use status::{KnownStation, KnownSwitch, PortStatus, Refusal, SwitchStatus};
pub use trace::TraceStep;

use super::{
    ethernet::{Content, Ethernet},
    frame::Frame,
    record::{HOPS, Kind, RecordHeader},
};
use crate::domain::{
    interface::MacAddress,
    overlay::{NetworkId, SwitchId},
    port_filter::{Direction, GroupMembers, PortFilter},
};
use attached::Attached;
use directory::{Directory, Holder};
use duplicates::{Seen, Window};
use filter::{Filter, Groups};
use hash::FastMap;
use link_state::LinkState;
use status::Counters;
use std::time::Duration;
use tracker::Law;
use ways::Ways;

/// Time since any fixed start.
pub type Moment = Duration;

/// Whom DHCP is answered by at every port. No station has it.
pub const SERVER_MAC: MacAddress = MacAddress([0x02, 0x4d, 0x61, 0x6c, 0x6c, 0x65]);

/// Where frames leave.
pub trait Outlet {
    fn port(&mut self, port: PortId, frame: Frame<'_>);
    fn cable(&mut self, neighbour: SwitchId, header: RecordHeader, frame: Frame<'_>);
}

#[derive(Debug)]
pub struct Switch {
    own: SwitchId,
    limits: Limits,
    /// When it was first told the time.
    began: Option<Moment>,
    ports: FastMap<PortId, Attached>,
    networks: FastMap<NetworkId, Vec<PortId>>,
    groups: Groups,
    directory: Directory,
    link_state: LinkState,
    ways: Ways,
    /// The cables have changed since the ways were found.
    ways_are_stale: bool,
    ways_found: Moment,
    windows: FastMap<SwitchId, Window>,
    unicasts: u32,
    broadcasts: u32,
    /// Of the cables.
    counters: Counters,
    relayed: u64,
    swept: Moment,
}

impl Switch {
    /// `incarnation` is higher with every start of the same switch. If it is not, the switch goes
    /// over to a higher one when it hears what others know of its earlier starts.
    pub fn new(own: SwitchId, incarnation: u64, limits: Limits) -> Switch {
        Switch {
            own,
            limits,
            began: None,
            ports: FastMap::default(),
            networks: FastMap::default(),
            groups: Groups::default(),
            directory: Directory::default(),
            link_state: LinkState::new(own, incarnation),
            ways: Ways::new(own),
            ways_are_stale: true,
            ways_found: Moment::ZERO,
            windows: FastMap::default(),
            unicasts: 0,
            broadcasts: 0,
            counters: Counters::default(),
            relayed: 0,
            swept: Moment::ZERO,
        }
    }

    /// Replaces what was there. An interface that stays keeps its flows, as far as they are still
    /// admitted.
    pub fn attach(&mut self, now: Moment, id: PortId, spec: PortSpec, out: &mut dyn Outlet) {
        let mut new = Attached::new(spec, &self.limits, &mut self.groups);
        if let Some(before) = self.remove(id)
            && before.spec.interface == new.spec.interface
        {
            new.tracker = before.tracker;
            new.tracker.judge_anew(&new.filter, &self.groups);
            new.counters = before.counters;
        }
        for station in new.stations() {
            self.directory.claim(Holder::Port(id), &station);
            self.link_state.add_station(station);
        }
        self.networks.entry(new.spec.network).or_default().push(id);
        self.ports.insert(id, new);
        self.settle(now, out);
    }

    /// One that is gone already is no error.
    pub fn detach(&mut self, now: Moment, id: PortId, out: &mut dyn Outlet) {
        self.remove(id);
        self.settle(now, out);
    }

    fn remove(&mut self, id: PortId) -> Option<Attached> {
        let port = self.ports.remove(&id)?;
        let learned = port.learned.values().map(|learned| learned.station.clone());
        for station in port.stations().into_iter().chain(learned) {
            self.directory.withdraw(Holder::Port(id), &station);
            self.link_state.remove_station(&station);
        }
        if let Some(ports) = self.networks.get_mut(&port.spec.network) {
            ports.retain(|other| *other != id);
            if ports.is_empty() {
                self.networks.remove(&port.spec.network);
            }
        }
        Some(port)
    }

    /// In force at once, also for flows that have begun.
    pub fn set_filter(&mut self, id: PortId, filter: PortFilter) {
        let Some(port) = self.ports.get_mut(&id) else { return };
        port.filter = Filter::new(filter.clone(), &mut self.groups);
        port.spec.filter = filter;
        port.tracker.judge_anew(&port.filter, &self.groups);
    }

    /// In force at once at every port whose filter names the group, also for flows that have begun.
    pub fn set_members(&mut self, members: &GroupMembers) {
        let changed = self.groups.set(members);
        for port in self.ports.values_mut().filter(|port| port.filter.names(changed)) {
            port.tracker.judge_anew(&port.filter, &self.groups);
        }
    }

    /// A cable can be used, or costs something else now.
    pub fn cable_up(&mut self, now: Moment, neighbour: SwitchId, cost: u32, out: &mut dyn Outlet) {
        self.link_state.cable_up(now, neighbour, cost);
        self.settle_now(now, out);
    }

    pub fn cable_down(&mut self, now: Moment, neighbour: SwitchId, out: &mut dyn Outlet) {
        self.link_state.cable_down(now, neighbour);
        self.settle_now(now, out);
    }

    /// Called about every 100 ms.
    pub fn tick(&mut self, now: Moment, out: &mut dyn Outlet) {
        const SWEEP: Duration = Duration::from_secs(5);
        self.note(now);
        if now.saturating_sub(self.swept) >= SWEEP {
            self.swept = now;
            self.ports.values_mut().for_each(|port| port.tracker.sweep(now));
            self.forget_silent(now);
            let known = &self.link_state;
            self.windows.retain(|switch, _| known.incarnation(*switch).is_some());
        }
        self.link_state.tick(now);
        self.settle(now, out);
    }

    pub fn from_port(&mut self, now: Moment, id: PortId, frame: Frame<'_>, out: &mut dyn Outlet) {
        self.note(now);
        let Some(port) = self.ports.get_mut(&id) else { return };
        port.counters.received += 1;
        port.counters.received_bytes += frame.bytes.len() as u64;
        if let Err(why) = self.enter(now, id, frame, out)
            && let Some(port) = self.ports.get_mut(&id)
        {
            port.counters.refuse(why);
        }
    }

    /// `Kind::Frame` and `Kind::Routing`; a piece or fragment only if it is for another switch.
    pub fn from_cable(
        &mut self,
        now: Moment,
        neighbour: SwitchId,
        header: RecordHeader,
        frame: Frame<'_>,
        out: &mut dyn Outlet,
    ) {
        self.note(now);
        if header.kind == Kind::Routing {
            let is_expected = header.source == neighbour && self.link_state.is_neighbour(neighbour);
            if !is_expected || self.link_state.hear(now, neighbour, frame.bytes, out).is_err() {
                self.counters.refuse(Refusal::Routing);
            }
            self.settle(now, out);
            return;
        }
        self.counters.received += 1;
        self.counters.received_bytes += frame.bytes.len() as u64;
        if let Err(why) = self.arrive(now, neighbour, header, frame, out) {
            self.counters.refuse(why);
        }
    }

    fn note(&mut self, now: Moment) {
        self.began.get_or_insert(now);
    }

    fn enter(
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
        self.forward(now, id, network, &ethernet, frame, out)
    }

    fn forward(
        &mut self,
        now: Moment,
        from: PortId,
        network: NetworkId,
        ethernet: &Ethernet<'_>,
        frame: Frame<'_>,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let station = match ethernet.is_to_many() {
            true => None,
            false => self.directory.station(network, ethernet.destination),
        };
        match station.map(|claim| claim.holder) {
            Some(Holder::Port(port)) if port == from => Err(Refusal::NoStation),
            Some(Holder::Port(port)) => self.deliver(now, port, network, ethernet, frame, out),
            Some(Holder::Switch(switch)) => {
                let (next, _) = self.ways.to(switch).ok_or(Refusal::NoRoute)?;
                self.unicasts = self.unicasts.wrapping_add(1);
                let number = duplicates::unicast_number(self.unicasts);
                let header = self.header(network, switch, number, frame);
                self.counters.sent += 1;
                self.counters.sent_bytes += frame.bytes.len() as u64;
                out.cable(next, header, frame);
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
                self.spread(now, from, network, ethernet, frame, out);
                Ok(())
            }
        }
    }

    /// To everybody in the network, here and elsewhere.
    fn spread(
        &mut self,
        now: Moment,
        from: PortId,
        network: NetworkId,
        ethernet: &Ethernet<'_>,
        frame: Frame<'_>,
        out: &mut dyn Outlet,
    ) {
        self.deliver_to_all(now, Some(from), network, ethernet, frame, out);
        self.broadcasts = self.broadcasts.wrapping_add(1);
        let number = duplicates::number(self.link_state.own_incarnation(), self.broadcasts);
        let header = self.header(network, SwitchId::EVERYBODY, number, frame);
        for next in self.ways.branches(self.own, network, &self.directory) {
            self.counters.sent += 1;
            self.counters.sent_bytes += frame.bytes.len() as u64;
            out.cable(*next, header, frame);
        }
    }

    fn header(
        &self,
        network: NetworkId,
        destination: SwitchId,
        sequence: u32,
        frame: Frame<'_>,
    ) -> RecordHeader {
        RecordHeader {
            kind: Kind::Frame,
            network: Some(network),
            hops: HOPS,
            is_last: true,
            is_ipv6: false,
            index: 0,
            destination,
            source: self.own,
            sequence,
            checksum: frame.offload.checksum,
        }
    }

    fn arrive(
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
        if !is_for_all {
            let station = self.directory.station(network, ethernet.destination);
            return match station.map(|claim| claim.holder) {
                Some(Holder::Port(port)) => self.deliver(now, port, network, &ethernet, frame, out),
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
        self.deliver_to_all(now, None, network, &ethernet, frame, out);
        Ok(())
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
        now: Moment,
        except: Option<PortId>,
        network: NetworkId,
        ethernet: &Ethernet<'_>,
        frame: Frame<'_>,
        out: &mut dyn Outlet,
    ) {
        let count = self.networks.get(&network).map_or(0, Vec::len);
        for place in 0..count {
            let Some(id) = self.networks.get(&network).and_then(|ports| ports.get(place)) else {
                return;
            };
            let id = *id;
            if Some(id) == except {
                continue;
            }
            let Err(why) = self.deliver(now, id, network, ethernet, frame, out) else { continue };
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
        now: Moment,
        id: PortId,
        network: NetworkId,
        ethernet: &Ethernet<'_>,
        frame: Frame<'_>,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let port = self.ports.get(&id).filter(|port| port.spec.network == network);
        let port = port.ok_or(Refusal::NoStation)?;
        port.check_destination(ethernet)?;
        match ethernet.content {
            Content::Arp(_) => {}
            Content::Ipv4(ip) => self.judge(now, id, Direction::Ingress, &ip)?,
            Content::Ipv6(_) => port.check_ipv6(Direction::Ingress)?,
            Content::Other => return Err(Refusal::Protocol),
            Content::Malformed => return Err(Refusal::Malformed),
        }
        if let Some(port) = self.ports.get_mut(&id) {
            port.counters.sent += 1;
            port.counters.sent_bytes += frame.bytes.len() as u64;
        }
        out.port(id, frame);
        Ok(())
    }

    fn judge(
        &mut self,
        now: Moment,
        id: PortId,
        direction: Direction,
        ip: &super::ethernet::Ipv4<'_>,
    ) -> Result<(), Refusal> {
        let began = self.began.unwrap_or(now);
        let picks_up = now.saturating_sub(began) < self.limits.picks_up_for;
        let Some(port) = self.ports.get_mut(&id) else { return Err(Refusal::NoStation) };
        let law = Law { filter: &port.filter, groups: &self.groups, picks_up };
        port.tracker.judge(now, direction, ip, law)
    }

    /// Draws the conclusions from what has changed, and says what there is to say.
    fn settle(&mut self, now: Moment, out: &mut dyn Outlet) {
        self.apply_news(now);
        // Finding ways among thousands takes milliseconds, and news come in crowds.
        let pause = Duration::from_millis(self.link_state.cables().len() as u64 / 16);
        if self.ways_are_stale && now.saturating_sub(self.ways_found) >= pause {
            self.find_ways(now);
        }
        self.finish(now, out);
    }

    /// Without waiting for more: what happens to an own cable concerns every frame.
    fn settle_now(&mut self, now: Moment, out: &mut dyn Outlet) {
        self.note(now);
        self.apply_news(now);
        if self.ways_are_stale {
            self.find_ways(now);
        }
        self.finish(now, out);
    }

    fn finish(&mut self, now: Moment, out: &mut dyn Outlet) {
        self.tell_moved(out);
        self.link_state.announce(now);
        self.link_state.flush(now, out);
    }

    fn apply_news(&mut self, now: Moment) {
        let news = self.link_state.take_news();
        for told in news.stations {
            if self.ways.to(told.switch).is_none() {
                continue;
            }
            let holder = Holder::Switch(told.switch);
            told.gone.iter().for_each(|station| self.directory.withdraw(holder, station));
            for station in &told.come {
                self.directory.claim(holder, station);
                self.give_up_learned(now, station);
            }
        }
        self.ways_are_stale |= news.cables_changed;
    }

    fn find_ways(&mut self, now: Moment) {
        self.ways_are_stale = false;
        self.ways_found = now;
        let reach = self.ways.find(self.link_state.cables());
        for switch in reach.lost {
            for station in self.link_state.stations(switch) {
                self.directory.withdraw(Holder::Switch(switch), &station);
            }
        }
        for switch in reach.gained {
            for station in self.link_state.stations(switch) {
                self.directory.claim(Holder::Switch(switch), &station);
            }
        }
    }
}
