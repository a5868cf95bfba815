//! The managers of this process, put together: each with a thread, a store and directories of its
//! own, and an address of everybody it knows.
//!
//! Nodes first, since they have guests to answer for; then groups; then the cloud. Whoever's parent
//! is in another process has an uplink there, and is whole before that answers. Whoever's children
//! may be has a door.

use super::{
    BootFault,
    exporter::Sources,
    founding,
    images::relay::{Relay, RelaySource},
    images::{local::LocalImages, remote::RemoteImages},
    membership::{
        above::{Above, readmit},
        card::Card,
        desk::{
            CertificateDesk, CharterDesk, DeskFault, RevocationDesk, Revoked, TakeRevoked, decide,
        },
        door::{is_child, receive_from_children},
        registry::{Registry, nodes_of},
        system_clock,
        uplink::{Uplink, own_context, read_charter},
    },
    node_host::{self, Surroundings},
    open_store,
    topology::{Seat, Wiring},
};
use crate::{
    actors::{
        address::{Address, Asking},
        cloud::{CloudManager, CloudParts},
        group::{GroupManager, GroupParts, MeetCloud, MeetNode, arrival::NodeArrived},
        node::{Fenced, MeetGroup, NodeManager, NodeParts},
    },
    ambient::Ambient,
    api::action::Cloud,
    blobs::{BlobSource, repository::Blobs},
    config::{
        Configuration, GroupSection, NodeSection, Role, credentials::RootCredentials,
        state_directory::StateDirectory,
    },
    domain::{
        id::{AccountId, GroupName, NodeName},
        membership::{Membership, NoMembers},
        settings::{CloudSettings, GroupCharter, Reach},
    },
    enclosure::Enclosure,
    events::EventLog,
    messages::envelope::Outbound,
    metrics::{Meters, questions::Mailbox},
    store::Store,
    transport::{
        NotAdmitted,
        credentials::{CredentialFault, CurrentCredentials},
        identity::{Identity, Peer},
        link::Link,
        listener::{self, Door, LinkTo, Listener, Reception},
        renewal::Renewal,
    },
};
use actix::{Actor, Addr, Arbiter, ArbiterHandle, Recipient};
use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    path::Path,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::sync::Notify;

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
        let Founding { wiring, doors, uplinks, arbiters, .. } = founding;
        let groups = groups.into_iter().map(|(name, group)| (name, group.seat)).collect();
        Ok(Founded { cloud, nodes, groups, manager, doors, uplinks, wiring, arbiters })
    }

    /// Where the figures of this process are from.
    pub fn sources(&self, meters: Arc<Meters>) -> Sources {
        let cloud = self.cloud.as_ref().map(|cloud| {
            let groups = cloud.settings.groups.iter().map(|group| group.name.clone()).collect();
            (groups, cloud.published.clone())
        });
        let doors = self.doors.iter().cloned().chain(self.wiring.doors()).collect();
        Sources { meters, cloud, doors, uplinks: self.uplinks.clone() }
    }

    /// Stops every role. What was acknowledged is on the disk already, so a role whose thread is in
    /// the middle of something long (fetching an image) is not waited for beyond `END_PATIENCE`.
    pub fn end(self) {
        let Founded { cloud, nodes, groups, manager, doors, uplinks, wiring, arbiters } = self;
        drop((cloud, nodes, groups, manager, doors, uplinks, wiring));
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

/// How long a group that did not hear of a revocation is left alone.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A group's manager, begun.
struct Group {
    seat: Seat<GroupManager>,
    /// To the cloud, if that is in another process.
    uplink: Option<Recipient<Outbound>>,
}

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
        Ok(Founding {
            ground,
            ambient,
            name,
            root,
            uplink,
            registry,
            blobs,
            relay,
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

    fn nodes(&mut self) -> Result<Vec<(NodeSection, Seat<NodeManager>)>, BootFault> {
        let Ground { configuration, state, enclosure, .. } = self.ground;
        let mut nodes = Vec::new();
        for section in configuration.nodes_here() {
            let on = self.arbiter();
            let (group, node) = (section.group.as_str(), section.name.as_str());
            let seat = Seat::new(Identity::node_manager(&self.name, group, node)?, on)
                .counting(self.mailbox("node", node, NodeManager::QUESTIONS));
            let images = self.images();
            let surroundings = Surroundings {
                state,
                ambient: &self.ambient,
                enclosure,
                images,
                meters: self.ground.meters.map(|meters| &**meters),
            };
            let built = node_host::build(configuration, section, surroundings, &seat.on)?;
            let parts = NodeParts {
                name: section.name.clone(),
                root: self.root.clone(),
                host: built.host,
                total: built.total,
                store: built.store,
                hypervisor: built.hypervisor,
            };
            let restored = NodeManager::restore(parts)
                .map_err(|source| BootFault::Node { node: section.name.to_string(), source })?
                .telling(self.ground.events.teller("node", node));
            built.events.connect(seat.begin(restored.start(&seat.on)));
            nodes.push((section.clone(), seat));
        }
        Ok(nodes)
    }

    async fn groups(
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
    fn above(
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
        let above = Above::There {
            own: uplink.identity().clone(),
            link: link.clone(),
            revoked,
            relay: relay.clone(),
        };
        Ok((Some(above), Some(link)))
    }

    async fn open_group(
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
        let reception = move || {
            let charters = BTreeMap::from([(charter.settings.name.clone(), charter)]);
            let desk = CharterDesk { charters }.start();
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

    async fn cloud(
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
        let cloud = Cloud {
            settings,
            ambient: self.ambient.clone(),
            blobs: self.blobs.clone().expect("the cloud's process has the images"),
            members,
            published,
            manager: self.wiring.endpoint(&manager).measured(self.asking(Some(&manager))),
        };
        Ok((manager, cloud))
    }

    /// Lets groups of other processes in, and says how each is reached.
    async fn open_cloud(
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
        let reception = move || {
            let charters = CharterDesk { charters }.start();
            let certificates = CertificateDesk { registry: judge.clone() }.start();
            let (own, register) = (parent.identity.clone(), judge.clone());
            Reception {
                admit: Rc::new(move |peer| {
                    is_child(&own, peer)?;
                    believed(judge.is_revoked(peer))
                }),
                receive: receive_from_children(parent, move |child, board| {
                    CharterDesk::furnish(&charters, child, board);
                    CertificateDesk::furnish(&certificates, child, board);
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

    async fn listen(
        &mut self,
        at: SocketAddr,
        credentials: CurrentCredentials,
        on: &ArbiterHandle,
        reception: impl FnOnce() -> Reception + Send + 'static,
    ) -> Result<Addr<Listener>, BootFault> {
        let fault = || BootFault::io(format!("managers on other hosts cannot be met at {at}"));
        let listener = TcpListener::bind(at).map_err(fault())?;
        let limits = super::membership::limits();
        let door = Door { listener, credentials, limits, clock: system_clock() };
        let listener = listener::start(on, door, reception).await.map_err(fault())?;
        log::info!("managers on other hosts are met at {at}");
        self.doors.push(listener.clone());
        Ok(listener)
    }

    /// Whom each knows above it.
    async fn introduce(
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
    fn stay_a_member(&self, uplink: &Uplink, link: &Recipient<Outbound>, on: &ArbiterHandle) {
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

    fn charter(&self, section: &GroupSection) -> GroupCharter {
        let (settings, root) = (section.settings(), self.root.clone());
        GroupCharter { settings, root, links: section.links }
    }
}

/// A group has one manager, which bears its name.
fn group_identity(cloud: &str, group: &GroupName) -> Result<Identity, BootFault> {
    Ok(Identity::group_manager(cloud, group.as_str(), group.as_str())?)
}

fn node_name(peer: &Peer) -> Result<NodeName, String> {
    let name = peer.identity.name();
    name.parse().map_err(|_| format!("`{name}` is no node's name"))
}

fn believed(is_revoked: bool) -> Result<(), NotAdmitted> {
    if is_revoked { Err(NotAdmitted::Revoked) } else { Ok(()) }
}

async fn link_to(
    listener: &Addr<Listener>,
    identity: Identity,
) -> Result<Recipient<Outbound>, BootFault> {
    let ended = |_| BootFault::io("a link")(std::io::Error::other("the listener has ended"));
    Ok(listener.send(LinkTo(identity)).await.map_err(ended)?.recipient())
}

/// A certificate for a manager beside the authority, renewed for as long as its thread runs.
fn issue<A: Actor>(
    registry: &Arc<Registry>,
    seat: &Seat<A>,
) -> Result<CurrentCredentials, CredentialFault> {
    let credentials = CurrentCredentials::new(registry.issue(&seat.identity)?);
    let renewal = Renewal { credentials: credentials.clone(), clock: system_clock(), seed: 0 };
    let (registry, identity) = (registry.clone(), seat.identity.clone());
    seat.on.spawn(async move {
        let renew = || std::future::ready(registry.issue(&identity));
        // It is as good as new after every restart, so none is kept.
        renewal.go_on(renew, |_| Ok(())).await;
    });
    Ok(credentials)
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
        if let Err(crate::actors::address::AskError::Refused(DeskFault::NotRecorded(why))) = &told {
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
