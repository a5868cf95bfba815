//! Stations behind ports without source check: who is heard there is announced as if it were a
//! port, until it is silent for long.
//!
//! Nobody gets another's address this way: what the control plane has assigned is refused, and of
//! two that were heard the later counts.

use super::{
    Moment, Outlet, PortId, Refusal, SERVER_MAC, Switch,
    attached::Learned,
    directory::{Holder, Station},
};
use crate::{
    domain::interface::MacAddress,
    network::ethernet::{Content, Discovery, Ethernet},
};
use std::net::IpAddr;

impl Switch {
    pub(super) fn learn_from(
        &mut self,
        now: Moment,
        id: PortId,
        frame: &Ethernet<'_>,
        out: &mut dyn Outlet,
    ) -> Result<(), Refusal> {
        let Some(port) = self.ports.get_mut(&id) else { return Ok(()) };
        let mac = frame.source;
        let address = spoken_for(frame).filter(|address| match address {
            IpAddr::V4(address) => !port.has(*address) || mac != port.spec.mac,
            IpAddr::V6(_) => true,
        });
        // As a rule there is nothing to be learned.
        if mac == port.spec.mac && address.is_none() {
            return Ok(());
        }
        if let Some(known) = port.learned.get_mut(&mac) {
            known.heard_at = now;
            if address.is_none_or(|address| known.station.addresses.contains(&address)) {
                return Ok(());
            }
        }
        if !port.learns.take(now) {
            return Err(Refusal::TooManyLearned);
        }
        self.learn(now, id, mac, address)?;
        self.settle(now, out);
        Ok(())
    }

    fn learn(
        &mut self,
        now: Moment,
        id: PortId,
        mac: MacAddress,
        address: Option<IpAddr>,
    ) -> Result<(), Refusal> {
        let Some(port) = self.ports.get(&id) else { return Ok(()) };
        let network = port.spec.network;
        let holder = self.directory.station(network, mac);
        let is_anothers =
            holder.is_some_and(|claim| claim.is_assigned && claim.holder != Holder::Port(id));
        if is_anothers || mac == SERVER_MAC {
            return Err(Refusal::SourceMac);
        }
        if let Some(address) = address
            && let Some(claim) = self.directory.address(network, address)
            && claim.is_assigned
            && claim.mac != mac
        {
            return Err(Refusal::ArpSender);
        }
        let limit = self.limits.learned_per_port;
        let mut station = match port.learned.get(&mac) {
            Some(known) => known.station.clone(),
            None if port.learned.len() >= limit => return Err(Refusal::TooManyLearned),
            None => Station { network, mac, is_assigned: false, addresses: Vec::new() },
        };
        if let Some(address) = address {
            if station.addresses.len() >= limit.min(super::announcement::ADDRESSES_PER_STATION) {
                return Err(Refusal::TooManyLearned);
            }
            station.addresses.push(address);
            station.addresses.sort_unstable();
        }
        if let Some(Holder::Port(other)) = holder.map(|claim| claim.holder)
            && other != id
        {
            self.unlearn(other, mac);
        }
        self.unlearn(id, mac);
        self.directory.claim(Holder::Port(id), &station);
        self.link_state.add_station(station.clone());
        if let Some(port) = self.ports.get_mut(&id) {
            port.learned.insert(mac, Learned { station, heard_at: now });
        }
        Ok(())
    }

    fn unlearn(&mut self, id: PortId, mac: MacAddress) {
        let learned = self.ports.get_mut(&id).and_then(|port| port.learned.remove(&mac));
        if let Some(Learned { station, .. }) = learned {
            self.directory.withdraw(Holder::Port(id), &station);
            self.link_state.remove_station(&station);
        }
    }

    /// Another switch has heard a station since we did.
    pub(super) fn give_up_learned(&mut self, now: Moment, station: &Station) {
        let ports = self.networks.get(&station.network).into_iter().flatten().copied();
        let here = ports.filter(|id| {
            let learned = self.ports.get(id).and_then(|port| port.learned.get(&station.mac));
            learned.is_some_and(|learned| learned.heard_at < now)
        });
        for id in here.collect::<Vec<_>>() {
            self.unlearn(id, station.mac);
        }
    }

    pub(super) fn forget_silent(&mut self, now: Moment) {
        let patience = self.limits.learned_for;
        let mut silent = Vec::new();
        for (id, port) in &self.ports {
            let is_silent = |learned: &&Learned| now.saturating_sub(learned.heard_at) >= patience;
            let macs = port.learned.values().filter(is_silent).map(|it| it.station.mac);
            silent.extend(macs.map(|mac| (*id, mac)));
        }
        silent.sort_unstable();
        for (id, mac) in silent {
            self.unlearn(id, mac);
        }
    }
}

/// The address that the frame's sender claims to have itself. Packets of IP do not tell: their
/// sender may be further away.
fn spoken_for(frame: &Ethernet<'_>) -> Option<IpAddr> {
    let address: IpAddr = match frame.content {
        Content::Arp(arp) => arp.sender.into(),
        Content::Ipv6(ip) => match ip.discovery? {
            Discovery::Solicitation { source_mac, .. } => {
                source_mac.filter(|mac| *mac == frame.source)?;
                ip.source.into()
            }
            Discovery::Advertisement { target, target_mac } => {
                target_mac.filter(|mac| *mac == frame.source)?;
                target.into()
            }
        },
        Content::Ipv4(_) | Content::Other | Content::Malformed => return None,
    };
    (!address.is_unspecified()).then_some(address)
}
