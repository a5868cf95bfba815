//! A host's process: a switch and its cables, driven as `overlay::driver` drives them, without a
//! descriptor. It ends by being dropped between any two steps.

use super::{chance::Seeded, probe::Probe};
use crate::{
    domain::overlay::{OverlayCharter, SwitchId},
    network::{
        cable::{CableEvent, CableOptions, Cables, Incarnation, Moment, Opened},
        frame::Frame,
        record::{Kind, RecordHeader},
        switch::{Limits, Outlet, PortId, PortSpec, Switch},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

#[derive(Debug)]
pub struct Process {
    switch: Switch,
    cables: Cables,
    /// Of the switch.
    incarnation: u64,
    ports: BTreeMap<PortId, PortSpec>,
    pub charter: Option<OverlayCharter>,
    pub up: BTreeSet<u32>,
    sabotage: Option<Sabotage>,
}

/// What is broken on purpose, to see that it is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The number of incarnations is never written, and chance repeats itself.
    ForgetfulDisk,
    /// Frames come out of cables in another network.
    CrossedNetworks,
    /// The switch is not told of cables that went down.
    SilentDowns,
    /// Every frame for everybody comes out of a cable again under a new number.
    EchoedBroadcasts,
}

/// What came of a step.
#[derive(Debug, Default)]
pub struct Outcome {
    pub datagrams: Vec<(SocketAddr, Vec<u8>)>,
    pub frames: Vec<(PortId, Vec<u8>)>,
    /// Probes that went out over a cable, once for each time.
    pub copies: Vec<Probe>,
    pub events: Vec<CableEvent>,
}

struct Exits<'a> {
    cables: &'a mut Cables,
    outcome: &'a mut Outcome,
}

impl Outlet for Exits<'_> {
    fn port(&mut self, port: PortId, frame: Frame<'_>) {
        self.outcome.frames.push((port, frame.bytes.to_vec()));
    }

    fn cable(&mut self, neighbour: SwitchId, header: RecordHeader, frame: Frame<'_>) {
        let mut datagram = Vec::new();
        let sealed = self.cables.seal(neighbour, &header, &[frame.bytes], &mut datagram);
        let Ok(to) = sealed else { return };
        if header.kind == Kind::Frame {
            self.outcome.copies.extend(Probe::read(frame.bytes));
        }
        self.outcome.datagrams.push((to, datagram));
    }
}

impl Process {
    pub fn start(incarnation: u64, mut chance: Seeded, sabotage: Option<Sabotage>) -> Process {
        let incarnation = Incarnation::imagined(incarnation);
        let nobody = SwitchId::default();
        let number = incarnation.distinct(&mut chance);
        Process {
            switch: Switch::new(nobody, number, Limits::default()),
            cables: Cables::new(incarnation, Box::new(chance), CableOptions::default()),
            incarnation: number,
            ports: BTreeMap::new(),
            charter: None,
            up: BTreeSet::new(),
            sabotage,
        }
    }

    pub fn attach(&mut self, now: Moment, port: PortId, spec: PortSpec) -> Outcome {
        self.ports.insert(port, spec.clone());
        self.with_switch(|switch, exits| switch.attach(now, port, spec, exits))
    }

    pub fn detach(&mut self, now: Moment, port: PortId) -> Outcome {
        self.ports.remove(&port);
        self.with_switch(|switch, exits| switch.detach(now, port, exits))
    }

    pub fn send(&mut self, now: Moment, port: PortId, frame: &[u8]) -> Outcome {
        self.with_switch(|switch, exits| switch.from_port(now, port, Frame::whole(frame), exits))
    }

    pub fn set_charter(&mut self, now: Moment, charter: OverlayCharter) -> Outcome {
        let mut outcome = Outcome::default();
        if self.charter.as_ref().is_some_and(|known| known.revision > charter.revision) {
            self.cables.set_charter(now, &charter);
            self.follow_cables(now, &mut outcome);
            return outcome;
        }
        if self.charter.is_none() {
            self.switch = Switch::new(charter.own, self.incarnation, Limits::default());
            let mut exits = Exits { cables: &mut self.cables, outcome: &mut outcome };
            for (port, spec) in &self.ports {
                self.switch.attach(now, *port, spec.clone(), &mut exits);
            }
        }
        self.cables.set_charter(now, &charter);
        self.charter = Some(charter);
        self.follow_cables(now, &mut outcome);
        outcome
    }

    pub fn tick(&mut self, now: Moment) -> Outcome {
        let mut outcome = Outcome::default();
        self.cables.tick(now);
        self.follow_cables(now, &mut outcome);
        let mut exits = Exits { cables: &mut self.cables, outcome: &mut outcome };
        self.switch.tick(now, &mut exits);
        outcome
    }

    pub fn receive(&mut self, now: Moment, from: SocketAddr, datagram: &mut [u8]) -> Outcome {
        let mut outcome = Outcome::default();
        let opened = self.cables.open(now, from, datagram);
        self.follow_events(now, &mut outcome);
        if let Opened::Record { neighbour, header, payload } = opened {
            let (header, echo) = self.garble(header);
            let frame = Frame::whole(payload);
            let mut exits = Exits { cables: &mut self.cables, outcome: &mut outcome };
            self.switch.from_cable(now, neighbour, header, frame, &mut exits);
            if let Some(header) = echo {
                self.switch.from_cable(now, neighbour, header, frame, &mut exits);
            }
        }
        self.send_cables_own(&mut outcome);
        outcome
    }

    pub fn outside_addresses(&self) -> Vec<SocketAddr> {
        self.cables.outside_addresses()
    }

    pub fn situation(&self) -> String {
        let mut said = String::new();
        for cable in self.cables.status() {
            said += &format!("  cable to {}: up {}, ", cable.neighbour, cable.is_up);
            said += &format!("{:?}, {:?}, ", cable.epoch, cable.address);
            said += &format!("{:?}, {:?}\n", cable.why_down, cable.refused);
        }
        for known in self.switch.status().switches {
            said += &format!("  {known:?}\n");
        }
        said
    }

    fn with_switch(&mut self, does: impl FnOnce(&mut Switch, &mut Exits<'_>)) -> Outcome {
        let mut outcome = Outcome::default();
        let mut exits = Exits { cables: &mut self.cables, outcome: &mut outcome };
        does(&mut self.switch, &mut exits);
        outcome
    }

    fn follow_cables(&mut self, now: Moment, outcome: &mut Outcome) {
        self.follow_events(now, outcome);
        self.send_cables_own(outcome);
    }

    fn follow_events(&mut self, now: Moment, outcome: &mut Outcome) {
        while let Some(event) = self.cables.next_event() {
            let mut exits = Exits { cables: &mut self.cables, outcome };
            match &event {
                CableEvent::Up { neighbour, cost } => {
                    self.up.insert(neighbour.0);
                    self.switch.cable_up(now, *neighbour, *cost, &mut exits);
                }
                CableEvent::Cost { neighbour, cost } => {
                    self.switch.cable_up(now, *neighbour, *cost, &mut exits);
                }
                CableEvent::Down { neighbour, .. } => {
                    self.up.remove(&neighbour.0);
                    if self.sabotage != Some(Sabotage::SilentDowns) {
                        self.switch.cable_down(now, *neighbour, &mut exits);
                    }
                }
            }
            outcome.events.push(event);
        }
    }

    fn send_cables_own(&mut self, outcome: &mut Outcome) {
        while let Some(datagram) = self.cables.next_datagram() {
            outcome.datagrams.push(datagram);
        }
    }

    /// What sabotage makes of a record, and what it adds.
    fn garble(&self, header: RecordHeader) -> (RecordHeader, Option<RecordHeader>) {
        match self.sabotage {
            Some(Sabotage::CrossedNetworks) if header.kind == Kind::Frame => {
                (RecordHeader { network: super::probe::other(header.network), ..header }, None)
            }
            Some(Sabotage::EchoedBroadcasts) if header.destination == SwitchId::EVERYBODY => {
                let again = RecordHeader { sequence: header.sequence ^ 1 << 10, ..header };
                (header, Some(again))
            }
            _ => (header, None),
        }
    }
}
