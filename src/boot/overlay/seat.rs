//! This process's switch, and what it takes part in.

use super::{
    desk::{Below, OverlayDesk},
    endpoints::endpoints,
    inquiry,
    keeper::Keeper,
    registrar::{Beside, Child, Tell},
    switch_name,
};
use crate::{
    ambient::Ambient,
    boot::{
        BootFault,
        founded::Ground,
        membership::{registry::Registry, uplink::Uplink},
    },
    config::{Configuration, HypervisorChoice, Role},
    domain::overlay::{OverlayCharter, SwitchCard},
    messages::envelope::Outbound,
    network::{
        cable::CableOptions,
        overlay::{Overlay, OverlayOptions},
        switch::Limits,
    },
    transport::identity::Identity,
};
use actix::{ArbiterHandle, Recipient};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

/// Where a process listens that has nobody to have a cable to.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[derive(Debug)]
pub struct OverlaySeat {
    /// In a process that has guests, or switches of others to be joined to.
    pub overlay: Option<Overlay>,
    endpoints: Vec<SocketAddr>,
    desk: Option<OverlayDesk>,
    /// Of a group that is not in the cloud's process.
    below: Option<Arc<Below>>,
    /// For `mallee overlay`.
    _inquiries: Option<inquiry::Desk>,
}

impl OverlaySeat {
    pub fn begin(
        ground: &Ground<'_>,
        registry: Option<&Arc<Registry>>,
        uplink: Option<&Uplink>,
        ambient: &Ambient,
    ) -> Result<OverlaySeat, BootFault> {
        let Ground { configuration, state, card, .. } = *ground;
        let meets_others = registry.is_some() || uplink.is_some();
        let overlay = if meets_others || has_guests(configuration) {
            let options = OverlayOptions {
                listen: match meets_others {
                    true => configuration.overlay.listen,
                    false => NOBODY,
                },
                state_dir: state.overlay(),
                chance: ambient.chance("overlay"),
                limits: Limits::default(),
                cables: CableOptions::default(),
            };
            Some(Overlay::start(options)?)
        } else {
            None
        };
        let parent = card.map_or(&[][..], |card| &card.addresses);
        let bound = overlay.as_ref().map(|overlay| overlay.status().underlay.listen);
        let endpoints = bound.map(|bound| endpoints(configuration, bound, parent));
        let runs = |role| configuration.topology.runs(role);
        let desk = match registry {
            Some(registry) if runs(Role::Cloud) => {
                let place = state.roster();
                let keeper = Keeper::open(&place, ambient)
                    .map_err(BootFault::io(format!("`{}` cannot be used", place.display())))?;
                let (keeper, registry) = (Arc::new(keeper), registry.clone());
                Some(OverlayDesk::Cloud { keeper, registry })
            }
            _ => None,
        };
        let below = (desk.is_none() && uplink.is_some() && runs(Role::Group))
            .then(|| Arc::new(Below::default()));
        let desk = desk.or_else(|| below.clone().map(OverlayDesk::Group));
        let place = state.inquiries();
        let asked = overlay.clone().map(|overlay| inquiry::Desk::open(&place, overlay)).transpose();
        let asked =
            asked.map_err(BootFault::io(format!("`{}` cannot be used", place.display())))?;
        let endpoints = endpoints.unwrap_or_default();
        Ok(OverlaySeat { overlay, endpoints, desk, below, _inquiries: asked })
    }

    /// Whom children ask: to be started where it is to run.
    pub fn for_children(&self) -> Option<OverlayDesk> {
        self.desk.clone()
    }

    /// The cloud's own switch follows the roster.
    pub fn follow_roster(&self, on: &ArbiterHandle) {
        let (Some(overlay), Some(OverlayDesk::Cloud { keeper, registry })) =
            (&self.overlay, &self.desk)
        else {
            return;
        };
        let own = SwitchCard { name: "cloud".to_owned(), endpoints: self.endpoints.clone() };
        let (keeper, registry) = (keeper.clone(), registry.clone());
        on.spawn(Beside { keeper, registry, own, tell: tell(overlay) }.go_on());
    }

    /// A process below another follows what its parent says.
    pub fn follow_parent(
        &self,
        identity: &Identity,
        parent: &Recipient<Outbound>,
        on: &ArbiterHandle,
    ) {
        let Some(overlay) = &self.overlay else { return };
        if let Some(OverlayDesk::Cloud { .. }) = self.desk {
            // A node beside the cloud's manager, below a group elsewhere: the switch is the cloud's.
            return;
        }
        let own = SwitchCard { name: switch_name(identity), endpoints: self.endpoints.clone() };
        let child = Child {
            identity: identity.clone(),
            parent: parent.clone(),
            own,
            tell: tell(overlay),
            below: self.below.clone(),
        };
        on.spawn(child.go_on());
    }
}

fn tell(overlay: &Overlay) -> Tell {
    let overlay = overlay.clone();
    Arc::new(move |charter: OverlayCharter| {
        log::info!(
            "this host's switch is number {} of the overlay, with {} others",
            charter.own,
            charter.peers.len()
        );
        overlay.set_charter(charter);
    })
}

fn has_guests(configuration: &Configuration) -> bool {
    let nodes = configuration.nodes_here();
    nodes.iter().any(|node| node.hypervisor != HypervisorChoice::Simulated)
}
