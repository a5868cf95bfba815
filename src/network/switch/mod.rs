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
mod forwarding;
mod hash;
mod learning;
mod limits;
mod link_state;
mod neighbour;
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
    frame::Frame,
    record::{Kind, RecordHeader},
};
use crate::domain::{
    interface::MacAddress,
    overlay::{NetworkId, SwitchId},
    port_filter::{GroupMembers, PortFilter},
};
use attached::Attached;
use directory::{Directory, Holder};
use duplicates::Window;
use filter::{Filter, Groups};
use hash::FastMap;
use link_state::LinkState;
use status::Counters;
use std::time::Duration;
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
        port.counters.receive(frame);
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
        self.counters.receive(frame);
        if let Err(why) = self.arrive(now, neighbour, header, frame, out) {
            self.counters.refuse(why);
        }
    }

    fn note(&mut self, now: Moment) {
        self.began.get_or_insert(now);
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
