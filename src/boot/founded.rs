//! The managers of this process, put together: each with a thread, a store and directories of its
//! own, and an address of everybody it knows.
//!
//! Nodes first, since they have guests to answer for; then groups; then the cloud. Whoever's parent
//! is in another process has an uplink there, and is whole before that answers. Whoever's children
//! may be has a door.

mod cloud;
mod doors;
mod groups;
mod introductions;
mod nodes;

use super::{
    BootFault,
    exporter::Sources,
    images::{
        relay::{Relay, RelaySource},
        remote::RemoteImages,
    },
    membership::{card::Card, registry::Registry, system_clock, uplink::Uplink},
    open_store,
    overlay::OverlaySeat,
    topology::{Seat, Wiring},
};
use crate::{
    actors::{address::Asking, cloud::CloudManager, group::GroupManager, node::NodeManager},
    ambient::Ambient,
    api::action::Cloud,
    blobs::{BlobSource, repository::Blobs},
    config::{
        Configuration, GroupSection, NodeSection, Role, credentials::RootCredentials,
        state_directory::StateDirectory,
    },
    domain::{
        id::{AccountId, GroupName},
        settings::GroupCharter,
    },
    enclosure::Enclosure,
    events::EventLog,
    metrics::{Meters, questions::Mailbox},
    store::Store,
    transport::{link::Link, listener::Listener},
};
use actix::{Actor, Addr, Arbiter, ArbiterHandle};
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

/// What the managers are put together from.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    pub configuration: &'a Configuration,
    pub state: &'a StateDirectory,
    /// Of the process that runs the cloud manager.
    pub credentials: Option<&'a RootCredentials>,
    /// Of a process whose parent is another.
    pub card: Option<&'a Card>,
    pub enclosure: Option<&'a Enclosure>,
    /// Where the managers tell what happens.
    pub events: &'a EventLog,
    /// What happens is counted, if this is here.
    pub meters: Option<&'a Arc<Meters>>,
}

/// The managers of a configuration, running.
#[derive(Debug)]
pub struct Founded {
    /// In the process that runs the cloud manager.
    pub cloud: Option<Cloud>,
    nodes: Vec<(NodeSection, Seat<NodeManager>)>,
    groups: BTreeMap<GroupName, Seat<GroupManager>>,
    manager: Option<Seat<CloudManager>>,
    doors: Vec<Addr<Listener>>,
    uplinks: Vec<Addr<Link>>,
    /// Links end with it.
    wiring: Wiring,
    /// The switch ends with it.
    overlay: OverlaySeat,
    arbiters: Vec<Arbiter>,
}

impl Founded {
    /// Starts every role of this process.
    pub async fn begin(ground: Ground<'_>, ambient: Ambient) -> Result<Founded, BootFault> {
        let mut founding = Founding::prepare(ground, ambient)?;
        let nodes = founding.nodes()?;
        let groups = founding.groups(&nodes).await?;
        let (manager, cloud) = match ground.configuration.topology.runs(Role::Cloud) {
            true => {
                let (manager, cloud) = founding.cloud(&groups).await?;
                (Some(manager), Some(cloud))
            }
            false => (None, None),
        };
        founding.introduce(&nodes, &groups, manager.as_ref()).await?;
        let Founding { wiring, doors, uplinks, overlay, arbiters, .. } = founding;
        let groups = groups.into_iter().map(|(name, group)| (name, group.seat)).collect();
        Ok(Founded { cloud, nodes, groups, manager, doors, uplinks, wiring, overlay, arbiters })
    }

    /// Where the figures of this process are from.
    pub fn sources(&self, meters: Arc<Meters>) -> Sources {
        let cloud = self.cloud.as_ref().map(|cloud| {
            let groups = cloud.settings.groups.iter().map(|group| group.name.clone()).collect();
            (groups, cloud.published.clone())
        });
        let doors = self.doors.iter().cloned().chain(self.wiring.doors()).collect();
        Sources {
            meters,
            cloud,
            doors,
            uplinks: self.uplinks.clone(),
            overlay: self.overlay.overlay.clone(),
        }
    }

    /// Stops every role. What was acknowledged is on the disk already, so a role whose thread is in
    /// the middle of something long (fetching an image) is not waited for beyond `END_PATIENCE`.
    pub fn end(self) {
        let Founded { cloud, nodes, groups, manager, doors, uplinks, wiring, overlay, arbiters } =
            self;
        drop((cloud, nodes, groups, manager, doors, uplinks, wiring, overlay));
        for arbiter in &arbiters {
            arbiter.stop();
        }
        let (tell, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for arbiter in arbiters {
                if arbiter.join().is_err() {
                    log::error!("a role's thread panicked");
                }
            }
            // Nobody listens any more if the patience has run out.
            let _ = tell.send(());
        });
        if ended.recv_timeout(END_PATIENCE).is_err() {
            log::warn!("a role is still at work; it is taken up again at the next start");
        }
    }
}

/// How long the end of the process waits for roles to come to an end themselves.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// What is shared while the managers are put together.
struct Founding<'a> {
    ground: Ground<'a>,
    ambient: Ambient,
    /// The cloud's name, as certificates have it.
    name: String,
    root: AccountId,
    uplink: Option<Uplink>,
    /// Where the authority is.
    registry: Option<Arc<Registry>>,
    /// In the cloud's process.
    blobs: Option<Arc<Blobs>>,
    /// In a group's, if that is another.
    relay: Option<Arc<Relay>>,
    overlay: OverlaySeat,
    wiring: Wiring,
    doors: Vec<Addr<Listener>>,
    uplinks: Vec<Addr<Link>>,
    arbiters: Vec<Arbiter>,
}

impl<'a> Founding<'a> {
    fn prepare(ground: Ground<'a>, ambient: Ambient) -> Result<Founding<'a>, BootFault> {
        let Ground { configuration, state, credentials, card, .. } = ground;
        let cloud_is_here = configuration.topology.runs(Role::Cloud);
        let groups: Vec<&GroupSection> = configuration.groups_here().collect();
        let node_is_away =
            |node: &NodeSection| !groups.iter().any(|group| group.name == node.group);
        let is_child = !groups.is_empty() && !cloud_is_here
            || configuration.nodes_here().iter().any(node_is_away);
        let uplink = match (is_child, card) {
            (false, _) => None,
            (true, Some(card)) => Some(Uplink::of(card.clone())),
            (true, None) => return Err(BootFault::NotJoined),
        };
        let name = match &uplink {
            Some(uplink) => uplink.identity().cloud().to_owned(),
            None => configuration.cloud.name.clone(),
        };
        let root = match (credentials, card) {
            (Some(credentials), _) => credentials.account.clone(),
            (None, Some(card)) => card.charter.root.clone(),
            (None, None) => return Err(BootFault::NotJoined),
        };
        let listens =
            configuration.cloud.links.is_some() || groups.iter().any(|group| group.links.is_some());
        let registry = match cloud_is_here && listens {
            true => Some(Arc::new(Registry::open(configuration, state, system_clock())?)),
            false => None,
        };
        let blobs = match cloud_is_here {
            true => Some(Arc::new(Blobs::open(&state.cloud_blobs(), &state.cloud_blobs_lock())?)),
            false => None,
        };
        let relay = match (&uplink, &groups[..]) {
            (Some(uplink), [group, ..]) if !cloud_is_here => {
                let directory = state.group_images(&group.name);
                let limit = group.image_cache_gib << 30;
                Some(Arc::new(Relay::open(&directory, limit, uplink.patient_dial())?))
            }
            _ => None,
        };
        let wiring = Wiring::of(configuration.topology.kind, &name)?;
        let overlay = OverlaySeat::begin(&ground, registry.as_ref(), uplink.as_ref(), &ambient)?;
        Ok(Founding {
            ground,
            ambient,
            name,
            root,
            uplink,
            registry,
            blobs,
            relay,
            overlay,
            wiring,
            doors: Vec::new(),
            uplinks: Vec::new(),
            arbiters: Vec::new(),
        })
    }

    fn mailbox(
        &self,
        role: &'static str,
        name: &str,
        questions: &'static [&'static str],
    ) -> Option<Arc<Mailbox>> {
        let meters = self.ground.meters?;
        Some(meters.mailbox(Mailbox::of(role, name, questions.iter().copied())))
    }

    /// How what is asked of a role is counted, in its mailbox too if that is here.
    fn asking<A: Actor>(&self, of: Option<&Seat<A>>) -> Option<Asking> {
        let asked = self.ground.meters?.asked.clone();
        Some(Asking { asked, mailbox: of.and_then(|seat| seat.mailbox.clone()) })
    }

    fn store(
        &self,
        directory: &Path,
        role: &'static str,
        name: &str,
    ) -> Result<Arc<dyn Store>, BootFault> {
        open_store(directory, role, self.ground.meters.map(|meters| (&**meters, name)))
    }

    fn arbiter(&mut self) -> ArbiterHandle {
        let arbiter = Arbiter::new();
        let handle = arbiter.handle();
        self.arbiters.push(arbiter);
        handle
    }

    /// Where this process has images from.
    fn images(&self) -> Arc<dyn BlobSource> {
        match (&self.blobs, &self.relay, &self.uplink) {
            (Some(blobs), ..) => blobs.clone(),
            (None, Some(relay), _) => Arc::new(RelaySource(relay.clone())),
            (None, None, Some(uplink)) => Arc::new(RemoteImages(uplink.patient_dial())),
            (None, None, None) => unreachable!("whoever has no cloud here has joined one"),
        }
    }

    fn charter(&self, section: &GroupSection) -> GroupCharter {
        let (settings, root) = (section.settings(), self.root.clone());
        GroupCharter { settings, root, links: section.links }
    }
}
