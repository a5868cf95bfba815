//! What would become of a flow's first packet, hop by hop, as far as this switch knows.

use super::{Attached, Refusal, Switch, directory::Holder, filter::packet};
use crate::domain::{
    id::InterfaceId,
    overlay::SwitchId,
    port_filter::{Direction, Payload, Permit},
};
use serde::Serialize;
use std::net::Ipv4Addr;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum TraceStep {
    /// It comes from this port, here.
    From {
        interface: InterfaceId,
        switch: SwitchId,
    },
    /// The sender's security groups let it go, by this permit.
    Egress {
        interface: InterfaceId,
        permit: Permit,
    },
    /// Over a cable to the next switch, at this cost in all.
    Hop {
        switch: SwitchId,
        cost: u32,
    },
    /// The receiver is there, and what its security groups say is known there.
    Elsewhere {
        switch: SwitchId,
    },
    /// The receiver's security groups let it in, by this permit.
    Ingress {
        interface: InterfaceId,
        permit: Permit,
    },
    Delivered {
        interface: InterfaceId,
    },
    Refused {
        by: SwitchId,
        why: Refusal,
    },
    /// No port of this switch has the interface.
    NotHere {
        interface: InterfaceId,
    },
}

impl Switch {
    /// What would become of the first packet of a flow from an interface here.
    pub fn trace(&self, from: &InterfaceId, to: Ipv4Addr, what: Payload) -> Vec<TraceStep> {
        let Some(sender) = self.ports.values().find(|port| port.spec.interface == *from) else {
            return vec![TraceStep::NotHere { interface: from.clone() }];
        };
        let mut steps = vec![TraceStep::From { interface: from.clone(), switch: self.own }];
        if let Err(why) = self.trace_from(sender, to, what, &mut steps) {
            steps.push(TraceStep::Refused { by: self.own, why });
        }
        steps
    }

    fn trace_from(
        &self,
        sender: &Attached,
        to: Ipv4Addr,
        what: Payload,
        steps: &mut Vec<TraceStep>,
    ) -> Result<(), Refusal> {
        let egress = packet(Direction::Egress, to, what);
        let permit = sender.filter.permit(egress, &self.groups).ok_or(Refusal::Egress)?;
        let interface = sender.spec.interface.clone();
        steps.push(TraceStep::Egress { interface, permit: permit.clone() });
        let claim = self.directory.address(sender.spec.network, to.into());
        match claim.ok_or(Refusal::NoStation)?.holder {
            Holder::Switch(switch) => {
                let hops = self.ways.hops(switch).into_iter();
                steps.extend(hops.map(|(switch, cost)| TraceStep::Hop { switch, cost }));
                steps.push(TraceStep::Elsewhere { switch });
            }
            Holder::Port(port) => {
                let receiver = self.ports.get(&port).ok_or(Refusal::NoStation)?;
                let source = sender.spec.addresses.first().ok_or(Refusal::SourceAddress)?;
                let ingress = packet(Direction::Ingress, *source, what);
                let permit =
                    receiver.filter.permit(ingress, &self.groups).ok_or(Refusal::Ingress)?;
                let interface = receiver.spec.interface.clone();
                steps.push(TraceStep::Ingress {
                    interface: interface.clone(),
                    permit: permit.clone(),
                });
                steps.push(TraceStep::Delivered { interface });
            }
        }
        Ok(())
    }
}
