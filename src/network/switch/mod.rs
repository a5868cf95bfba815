//! The switch: a pure machine that frames enter with the time, and leave through an `Outlet`.

mod limits;
mod port;
mod status;

pub use limits::{Limits, Rate};
pub use port::{PortId, PortSpec};
pub use status::{KnownStation, KnownSwitch, PortStatus, Refusal, SwitchStatus};

use super::{frame::Frame, record::RecordHeader};
use crate::domain::{
    id::InterfaceId,
    overlay::SwitchId,
    port_filter::{GroupMembers, Payload, Permit, PortFilter},
};
use std::net::Ipv4Addr;

/// Time since any fixed start.
pub type Moment = std::time::Duration;

/// Where frames leave.
pub trait Outlet {
    fn port(&mut self, port: PortId, frame: Frame<'_>);
    fn cable(&mut self, neighbour: SwitchId, header: RecordHeader, frame: Frame<'_>);
}

/// A step of what would happen to a packet.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub enum TraceStep {
    /// It comes from this port, here.
    From {
        interface: InterfaceId,
        switch: SwitchId,
    },
    Egress {
        interface: InterfaceId,
        permit: Permit,
    },
    Ingress {
        interface: InterfaceId,
        permit: Permit,
    },
    Hop {
        switch: SwitchId,
        cost: u32,
    },
    /// What becomes of it there is known there.
    Elsewhere {
        switch: SwitchId,
    },
    Delivered {
        interface: InterfaceId,
    },
    Refused {
        by: SwitchId,
        why: Refusal,
    },
}

#[derive(Debug)]
pub struct Switch {
    own: SwitchId,
}

#[allow(unused_variables)] // Bodies follow.
impl Switch {
    pub fn new(own: SwitchId, incarnation: u64, limits: Limits) -> Switch {
        Switch { own }
    }
    /// Replaces what was there.
    pub fn attach(&mut self, now: Moment, port: PortId, spec: PortSpec, out: &mut dyn Outlet) {}
    pub fn detach(&mut self, now: Moment, port: PortId, out: &mut dyn Outlet) {}
    pub fn set_filter(&mut self, port: PortId, filter: PortFilter) {}
    pub fn set_members(&mut self, members: &GroupMembers) {}
    pub fn from_port(&mut self, now: Moment, port: PortId, frame: Frame<'_>, out: &mut dyn Outlet) {
    }
    pub fn cable_up(&mut self, now: Moment, neighbour: SwitchId, cost: u32, out: &mut dyn Outlet) {}
    pub fn cable_down(&mut self, now: Moment, neighbour: SwitchId, out: &mut dyn Outlet) {}
    /// `Kind::Frame` and `Kind::Routing`; pieces and fragments only if they are for another switch.
    pub fn from_cable(
        &mut self,
        now: Moment,
        neighbour: SwitchId,
        header: RecordHeader,
        frame: Frame<'_>,
        out: &mut dyn Outlet,
    ) {
    }
    /// Called about every 100 ms.
    pub fn tick(&mut self, now: Moment, out: &mut dyn Outlet) {}
    pub fn status(&self) -> SwitchStatus {
        SwitchStatus {
            switch: self.own,
            incarnation: 0,
            ports: Vec::new(),
            refused: Default::default(),
            relayed: 0,
            switches: Vec::new(),
            stations: Vec::new(),
        }
    }
    /// What would become of the first packet of a flow.
    pub fn trace(&self, from: &InterfaceId, to: Ipv4Addr, payload: Payload) -> Vec<TraceStep> {
        Vec::new()
    }
}
