//! Who is above whom: in the same process, or at the other end of an uplink.

use super::{Founding, groups::Group};
use crate::{
    actors::{
        address::Address,
        cloud::CloudManager,
        group::{GroupManager, MeetCloud},
        node::{Fenced, MeetGroup, NodeManager},
    },
    boot::{
        BootFault,
        membership::{
            card::Card,
            uplink::{Uplink, read_charter},
        },
        topology::Seat,
    },
    config::NodeSection,
    domain::id::GroupName,
    messages::envelope::Outbound,
};
use actix::{ArbiterHandle, Recipient};
use std::collections::BTreeMap;

impl Founding<'_> {
    /// Whom each knows above it.
    pub(super) async fn introduce(
        &mut self,
        nodes: &[(NodeSection, Seat<NodeManager>)],
        groups: &BTreeMap<GroupName, Group>,
        manager: Option<&Seat<CloudManager>>,
    ) -> Result<(), BootFault> {
        for group in groups.values() {
            let asking = self.asking(manager);
            let above = match (&group.uplink, manager) {
                (Some(link), _) => Address::Remote(link.clone()),
                (None, Some(manager)) => self.wiring.parent(manager, &group.seat).await?,
                (None, None) => return Err(BootFault::NotJoined),
            };
            let _ = group.seat.started().send(MeetCloud(above.measured(asking))).await;
        }
        for (node, seat) in nodes {
            match (groups.get(&node.group), &self.uplink) {
                (Some(group), _) => {
                    let above = self.wiring.parent(&group.seat, seat).await?;
                    let above = above.measured(self.asking(Some(&group.seat)));
                    let _ = seat.started().send(MeetGroup(above)).await;
                }
                (None, Some(uplink)) => {
                    let link = uplink.connect(seat, |_| {});
                    self.uplinks.push(link.clone());
                    let link = link.recipient();
                    self.stay_a_member(uplink, &link, &seat.on);
                    self.overlay.follow_parent(uplink.identity(), &link, &seat.on);
                    let (revoked, node) = (uplink.revoked(), seat.started());
                    seat.on.spawn(async move {
                        loop {
                            revoked.notified().await;
                            node.do_send(Fenced);
                        }
                    });
                    // It answers whenever it is there.
                    let above = Address::Remote(link).measured(self.asking::<GroupManager>(None));
                    seat.started().do_send(MeetGroup(above));
                }
                (None, None) => return Err(BootFault::NotJoined),
            }
        }
        Ok(())
    }

    /// Renews the certificate, and notices when the group is not what it was.
    pub(super) fn stay_a_member(
        &self,
        uplink: &Uplink,
        link: &Recipient<Outbound>,
        on: &ArbiterHandle,
    ) {
        uplink.renew_on(on, self.ground.state);
        let (link, state) = (link.clone(), self.ground.state.clone());
        let card = self.ground.card.expect("whoever has an uplink has a card").clone();
        on.spawn(async move {
            match read_charter(&link, card.identity()).await {
                Ok(charter) if charter == card.charter => {}
                Ok(charter) => {
                    log::warn!(
                        "the cloud says other things of group `{}` than before; they are taken up \
                         at the next start",
                        charter.settings.name
                    );
                    if let Err(fault) = Card::learn(charter, &state) {
                        log::error!("they cannot be written down: {fault}");
                    }
                }
                Err(fault) => log::error!("what the group is cannot be learned: {fault}"),
            }
        });
    }
}
