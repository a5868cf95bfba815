//! The groups of this process, and their doors for nodes of others.

use super::{
    Founding, Ground,
    doors::{believed, group_identity, issue, link_to, node_name},
};
use crate::{
    actors::{
        address::Address,
        group::{GroupManager, GroupParts, MeetNode, arrival::NodeArrived},
        node::NodeManager,
    },
    boot::{
        BootFault,
        membership::{
            above::Above,
            desk::{CharterDesk, RevocationDesk, Revoked, TakeRevoked},
            door::{is_child, receive_from_children},
        },
        overlay::desk::OverlayDesk,
        topology::Seat,
    },
    config::{GroupSection, NodeSection},
    domain::id::{GroupName, NodeName},
    messages::envelope::Outbound,
    transport::{identity::Identity, listener::Reception},
};
use actix::{Actor, Recipient};
use std::{collections::BTreeMap, net::SocketAddr, rc::Rc, sync::Arc};

/// A group's manager, begun.
pub(super) struct Group {
    pub seat: Seat<GroupManager>,
    /// To the cloud, if that is in another process.
    pub uplink: Option<Recipient<Outbound>>,
}

impl Founding<'_> {
    pub(super) async fn groups(
        &mut self,
        nodes: &[(NodeSection, Seat<NodeManager>)],
    ) -> Result<BTreeMap<GroupName, Group>, BootFault> {
        let Ground { configuration, state, .. } = self.ground;
        let mut groups = BTreeMap::new();
        for section in configuration.groups_here() {
            let store =
                self.store(&state.group_records(&section.name), "group", section.name.as_str())?;
            let parts = GroupParts {
                name: section.name.clone(),
                store,
                root: self.root.clone(),
                placement: section.placement.policy(),
            };
            let restored = GroupManager::restore(parts).map_err(|source| BootFault::Store {
                role: format!("group manager `{}`", section.name),
                source,
            })?;
            let teller = self.ground.events.teller("group", section.name.as_str());
            let restored = restored.telling(teller, section.placement.as_str());
            let on = self.arbiter();
            let mailbox = self.mailbox("group", section.name.as_str(), GroupManager::QUESTIONS);
            let seat = Seat::new(group_identity(&self.name, &section.name)?, on).counting(mailbox);
            let arrived = restored.arrived.clone();
            let addr = seat.begin(restored.start(&seat.on));
            for (node, at) in nodes.iter().filter(|(node, _)| node.group == section.name) {
                let child = self.wiring.child(&seat, at).await?.measured(self.asking(Some(at)));
                let known = MeetNode(node.name.clone(), child);
                let _ = addr.send(known).await;
            }
            if section.links.is_none() && !nodes.iter().any(|(node, _)| node.group == section.name)
            {
                log::warn!("group `{}` has no node here, and no `links` for others", section.name);
            }
            let (above, uplink) = self.above(section, &seat)?;
            if let Some(at) = section.links {
                let here = |name: &NodeName| nodes.iter().any(|(node, _)| node.name == *name);
                let arrived = arrived.into_iter().filter(|name| !here(name)).collect();
                self.open_group(section, at, &seat, above, arrived).await?;
            }
            groups.insert(section.name.clone(), Group { seat, uplink });
        }
        Ok(groups)
    }

    /// What a group asks of the cloud for its nodes, and its link there.
    pub(super) fn above(
        &mut self,
        section: &GroupSection,
        seat: &Seat<GroupManager>,
    ) -> Result<(Option<Above>, Option<Recipient<Outbound>>), BootFault> {
        let state = self.ground.state;
        let (Some(uplink), Some(relay)) = (&self.uplink, &self.relay) else {
            let (Some(registry), Some(blobs)) = (&self.registry, &self.blobs) else {
                return Ok((None, None));
            };
            let (registry, blobs) = (registry.clone(), blobs.clone());
            return Ok((Some(Above::Here { registry, blobs }), None));
        };
        let records = state.group_records(&section.name);
        let directory = records.parent().expect("records are in a directory of the group's");
        let revoked = Revoked::open(directory)
            .map_err(BootFault::io(format!("`{}` cannot be used", directory.display())))?;
        let revoked = Arc::new(revoked);
        let desk = RevocationDesk { revoked: revoked.clone() };
        let link = uplink.connect(seat, move |board| board.serve::<TakeRevoked, _>(desk.start()));
        self.uplinks.push(link.clone());
        let link = link.recipient();
        self.stay_a_member(uplink, &link, &seat.on);
        self.overlay.follow_parent(uplink.identity(), &link, &seat.on);
        let above = Above::There {
            own: uplink.identity().clone(),
            link: link.clone(),
            revoked,
            relay: relay.clone(),
        };
        Ok((Some(above), Some(link)))
    }

    pub(super) async fn open_group(
        &mut self,
        section: &GroupSection,
        at: SocketAddr,
        seat: &Seat<GroupManager>,
        above: Option<Above>,
        arrived: Vec<NodeName>,
    ) -> Result<(), BootFault> {
        let above = above.expect("a group that listens has an authority, here or above");
        let credentials = match (&self.registry, &self.uplink) {
            (Some(registry), _) => issue(registry, seat)?,
            (None, Some(uplink)) => uplink.credentials().clone(),
            (None, None) => return Err(BootFault::NotJoined),
        };
        let charter = self.charter(section);
        let (parent, judge) = (seat.clone(), above.clone());
        let asking = self.asking::<NodeManager>(None);
        let arriving = asking.clone();
        let overlay = self.overlay.for_children();
        let reception = move || {
            let charters = BTreeMap::from([(charter.settings.name.clone(), charter)]);
            let desk = CharterDesk { charters }.start();
            let overlay = overlay.map(Actor::start);
            let (own, group) = (parent.identity.clone(), parent.started());
            let (register, provide) = (judge.register(), judge.provide());
            Reception {
                admit: Rc::new(move |peer| {
                    is_child(&own, peer)?;
                    node_name(peer)?;
                    believed(judge.is_revoked(peer))
                }),
                receive: receive_from_children(parent, move |child, board| {
                    CharterDesk::furnish(&desk, child, board);
                    if let Some(overlay) = &overlay {
                        OverlayDesk::furnish(overlay, child, board);
                    }
                }),
                arrived: Rc::new(move |peer, link| {
                    if let Ok(node) = node_name(peer) {
                        let address = Address::Remote(link).measured(arriving.clone());
                        group.do_send(NodeArrived(node, address));
                    }
                }),
                register,
                provide,
            }
        };
        let listener = self.listen(at, credentials, &seat.on, reception).await?;
        for node in arrived {
            let identity =
                Identity::node_manager(&self.name, section.name.as_str(), node.as_str())?;
            let link = link_to(&listener, identity).await?;
            let address = Address::Remote(link).measured(asking.clone());
            let _ = seat.started().send(MeetNode(node, address)).await;
        }
        seat.on.spawn(above.readmit(listener));
        Ok(())
    }
}
