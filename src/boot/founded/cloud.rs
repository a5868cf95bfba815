//! The cloud manager of this process, and its door for groups of others.

use super::{
    Founding, Ground,
    doors::{believed, group_identity, issue, link_to},
    groups::Group,
};
use crate::{
    actors::{
        address::{Address, AskError},
        cloud::{CloudManager, CloudParts},
        group::GroupManager,
    },
    api::action::Cloud,
    boot::{
        BootFault, cloud_certificate, founding,
        images::local::LocalImages,
        membership::{
            above::readmit,
            desk::{CertificateDesk, CharterDesk, DeskFault, RevocationDesk, TakeRevoked, decide},
            door::{is_child, receive_from_children},
            registry::{Registry, nodes_of},
            uplink::own_context,
        },
        overlay::desk::OverlayDesk,
        topology::Seat,
    },
    domain::{
        id::GroupName,
        membership::{Membership, NoMembers},
        settings::{CloudSettings, Reach},
    },
    messages::envelope::Outbound,
    transport::{identity::Identity, listener::Reception},
};
use actix::{Actor, Recipient};
use std::{collections::BTreeMap, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};
use tokio::sync::Notify;

/// How long a group that did not hear of a revocation is left alone.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Founding<'_> {
    pub(super) async fn cloud(
        &mut self,
        groups: &BTreeMap<GroupName, Group>,
    ) -> Result<(Seat<CloudManager>, Cloud), BootFault> {
        let Ground { configuration, state, credentials, enclosure, .. } = self.ground;
        let credentials = credentials.ok_or(BootFault::NotJoined)?;
        let store = self.store(&state.cloud_records(), "cloud", &self.name)?;
        let fault = |source| BootFault::Store { role: "cloud manager".into(), source };
        founding::ensure(&*store, configuration, credentials, &self.ambient).map_err(fault)?;
        let reach = if enclosure.is_some() { Reach::Loopback } else { Reach::Routed };
        let settings = Arc::new(CloudSettings { reach, ..configuration.cloud_settings() });
        let on = self.arbiter();
        let manager = Seat::new(Identity::cloud_manager(&self.name, &self.name)?, on)
            .counting(self.mailbox("cloud", &self.name, CloudManager::QUESTIONS));
        let mut below = BTreeMap::new();
        for (name, group) in groups {
            let child = self.wiring.child(&manager, &group.seat).await?;
            below.insert(name.clone(), child.measured(self.asking(Some(&group.seat))));
        }
        if let (Some(at), Some(registry)) = (configuration.cloud.links, self.registry.clone()) {
            let away =
                configuration.groups.iter().filter(|group| !groups.contains_key(&group.name));
            let away = away.map(|group| group.name.clone()).collect();
            below.extend(self.open_cloud(at, &manager, registry, away).await?);
        }
        let members: Arc<dyn Membership> = match &self.registry {
            Some(registry) => registry.clone(),
            None => Arc::new(NoMembers(nodes_of(configuration))),
        };
        let certificate = cloud_certificate::establish(state, &self.name, &self.ambient)?;
        let parts = CloudParts {
            members: members.clone(),
            settings: settings.clone(),
            ambient: self.ambient.clone(),
            store,
            groups: below,
            root: self.root.clone(),
        };
        let (restored, published) = CloudManager::restore(parts).map_err(fault)?;
        let teller = self.ground.events.teller("cloud", &self.name);
        manager.begin(restored.telling(teller).start(&manager.on));
        self.overlay.follow_roster(&manager.on);
        let cloud = Cloud {
            settings,
            ambient: self.ambient.clone(),
            blobs: self.blobs.clone().expect("the cloud's process has the images"),
            members,
            certificate,
            published,
            manager: self.wiring.endpoint(&manager).measured(self.asking(Some(&manager))),
        };
        Ok((manager, cloud))
    }

    /// Lets groups of other processes in, and says how each is reached.
    pub(super) async fn open_cloud(
        &mut self,
        at: SocketAddr,
        manager: &Seat<CloudManager>,
        registry: Arc<Registry>,
        away: Vec<GroupName>,
    ) -> Result<BTreeMap<GroupName, Address<GroupManager>>, BootFault> {
        let credentials = issue(&registry, manager)?;
        let charters = self.ground.configuration.groups.iter().map(|group| self.charter(group));
        let charters: BTreeMap<_, _> =
            charters.map(|charter| (charter.settings.name.clone(), charter)).collect();
        let came: BTreeMap<GroupName, Arc<Notify>> =
            away.into_iter().map(|group| (group, Arc::default())).collect();
        let blobs = self.blobs.clone().expect("the cloud's process has the images");
        let (parent, judge, tell) = (manager.clone(), registry.clone(), came.clone());
        let overlay = self.overlay.for_children();
        let reception = move || {
            let charters = CharterDesk { charters }.start();
            let certificates = CertificateDesk { registry: judge.clone() }.start();
            let overlay = overlay.map(Actor::start);
            let (own, register) = (parent.identity.clone(), judge.clone());
            Reception {
                admit: Rc::new(move |peer| {
                    is_child(&own, peer)?;
                    believed(judge.is_revoked(peer))
                }),
                receive: receive_from_children(parent, move |child, board| {
                    CharterDesk::furnish(&charters, child, board);
                    CertificateDesk::furnish(&certificates, child, board);
                    if let Some(overlay) = &overlay {
                        OverlayDesk::furnish(overlay, child, board);
                    }
                }),
                arrived: Rc::new(move |peer, _| {
                    let group = peer.identity.group().and_then(|group| group.parse().ok());
                    if let Some(came) = group.and_then(|group: GroupName| tell.get(&group)) {
                        came.notify_one();
                    }
                }),
                register: Rc::new(move |application| {
                    Box::pin(decide(register.clone(), application))
                }),
                provide: Rc::new(LocalImages(blobs)),
            }
        };
        let listener = self.listen(at, credentials, &manager.on, reception).await?;
        let mut below = BTreeMap::new();
        for (group, came) in came {
            let link = link_to(&listener, group_identity(&self.name, &group)?).await?;
            manager.on.spawn(tell_revoked(registry.clone(), group.clone(), link.clone(), came));
            below.insert(group, Address::Remote(link).measured(self.asking::<GroupManager>(None)));
        }
        manager.on.spawn(async move { readmit(registry.watch(), &listener).await });
        Ok(below)
    }
}

/// Keeps a group informed of who is not believed: at each change, whenever it comes, and until it
/// has heard.
async fn tell_revoked(
    registry: Arc<Registry>,
    group: GroupName,
    link: Recipient<Outbound>,
    came: Arc<Notify>,
) {
    let desk = Address::<RevocationDesk>::Remote(link);
    let mut changes = registry.watch();
    let own = Identity::cloud_manager("cloud", "cloud").expect("a plain word is a name");
    loop {
        let asked = TakeRevoked { revoked: registry.revoked() };
        let revoked = asked.revoked.clone();
        let told = desk.ask(own_context(&own, "revoked"), asked).await;
        if told.is_ok() {
            registry.told(&group, revoked);
        }
        if let Err(AskError::Refused(DeskFault::NotRecorded(why))) = &told {
            log::error!("a group does not know who was revoked: {why}");
        }
        let again = tokio::time::sleep(TELL_AGAIN_AFTER);
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = came.notified() => {}
            () = again, if told.is_err() => {}
        }
    }
}
