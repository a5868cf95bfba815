//! The composition root: from a configuration to a cloud that answers.
//!
//! Here, and nowhere else, actors meet transports, drivers and threads. Every role gets a thread
//! (an arbiter), a store and directories of its own, as it would on a host of its own; `topology`
//! decides how they reach one another. Nothing here decides anything about clouds.
//!
//! ```text
//!   run ── Foundation (records, drivers) ── nodes ◄─ topology ─► groups ◄─ topology ─► cloud ── api
//! ```

pub mod enclosed_datapath;
pub mod purge;

mod founding;
mod host;
mod links;
mod node_host;
mod topology;

use crate::{
    actors::{
        cloud::{CloudManager, CloudParts},
        group::{GroupManager, GroupParts, MeetCloud, MeetNode},
        node::{MeetGroup, NodeManager, NodeParts, RestoreFault},
    },
    ambient::Ambient,
    api::{self, action::Cloud, endpoint::Ec2},
    blobs::{BlobFault, repository::Blobs},
    config::{Configuration, credentials::RootCredentials, state_directory::StateDirectory},
    domain::{
        id::GroupName,
        settings::{CloudSettings, Reach},
    },
    enclosure::Enclosure,
    hypervisor::{HypervisorFault, accelerator::KvmRefused},
    network::NetworkFault,
    store::{Store, StoreFault, sled::SledStore},
    transport::identity::{Identity, IdentityFault},
};
use actix::{Addr, Arbiter};
use node_host::Surroundings;
use std::{collections::BTreeMap, fmt, io, net::TcpListener, sync::Arc};
use topology::{Seat, Wiring};

/// Everything a cloud is started with.
pub struct Start {
    pub configuration: Configuration,
    pub state: StateDirectory,
    pub credentials: RootCredentials,
    /// Where the EC2 endpoint listens, already bound: a busy port is the caller's news.
    pub listener: TcpListener,
    /// Where the guests' network is, if it is not the host's: this process was taken there.
    pub enclosure: Option<Enclosure>,
    /// Called once, when the first request would be answered.
    pub ready: Box<dyn FnOnce()>,
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start").field("state", &self.state).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum BootFault {
    #[error("the records of the {role} cannot be used")]
    Store {
        role: String,
        #[source]
        source: StoreFault,
    },
    #[error("node `{node}` cannot begin")]
    Node {
        node: String,
        #[source]
        source: RestoreFault,
    },
    #[error("the hypervisor of node `{node}` cannot be used: {source}")]
    Hypervisor { node: String, source: HypervisorFault },
    #[error(transparent)]
    Kvm(#[from] KvmRefused),
    #[error("the network of node `{node}` cannot be made: {source}")]
    Network { node: String, source: NetworkFault },
    #[error("the images cannot be used: {0}")]
    Blobs(#[from] BlobFault),
    #[error("the managers cannot be linked: {0}")]
    Links(#[from] links::LinksFault),
    #[error(transparent)]
    Identity(#[from] IdentityFault),
    #[error("{doing}: {source}")]
    Io { doing: String, source: io::Error },
}

impl BootFault {
    fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> BootFault {
        let doing = doing.into();
        move |source| BootFault::Io { doing, source }
    }
}

/// Runs a cloud until it is asked to stop (SIGINT, SIGTERM). Guests are left running.
pub fn run(start: Start) -> Result<(), BootFault> {
    host::raise_file_limit();
    actix::System::new().block_on(async move {
        let Start { configuration, state, credentials, listener, enclosure, ready } = start;
        let ambient = Ambient::system();
        let founded =
            Founded::begin(&configuration, &state, &credentials, enclosure.as_ref(), ambient)
                .await?;
        let endpoint = Ec2(founded.cloud.clone());
        let limits = api::server::Limits {
            in_flight_max: configuration.limits.max_in_flight,
            ..api::server::Limits::default()
        };
        let ambient = founded.cloud.ambient.clone();
        let clock = ambient.clone();
        let options = api::server::Options {
            limits,
            clock: Arc::new(move || clock.now()),
            chance: Arc::new(move || ambient.chance("request-ids")),
        };
        let server = api::server::serve(listener, endpoint, options)
            .map_err(BootFault::io("the endpoint cannot be served"))?;
        let handle = server.handle();
        actix_rt::spawn(server);
        ready();
        host::asked_to_stop().await.map_err(BootFault::io("signals cannot be waited for"))?;
        log::info!("stopping; guests keep running and are taken up again at the next start");
        handle.stop(true).await;
        founded.end();
        Ok(())
    })
}

/// The managers of a configuration, running.
#[derive(Debug)]
pub struct Founded {
    pub cloud: Cloud,
    pub nodes: Vec<Addr<NodeManager>>,
    pub groups: BTreeMap<GroupName, Addr<GroupManager>>,
    pub manager: Addr<CloudManager>,
    /// Links end with it.
    wiring: Wiring,
    arbiters: Vec<Arbiter>,
}

impl Founded {
    /// Starts every role: nodes first, since they have guests to answer for.
    pub async fn begin(
        configuration: &Configuration,
        state: &StateDirectory,
        credentials: &RootCredentials,
        enclosure: Option<&Enclosure>,
        ambient: Ambient,
    ) -> Result<Founded, BootFault> {
        let name = &configuration.network.prefix;
        let mut wiring = Wiring::of(configuration.topology.kind, name)?;
        let root = credentials.account.clone();
        let mut arbiters = Vec::new();

        let mut nodes = Vec::new();
        for section in &configuration.nodes {
            let arbiter = Arbiter::new();
            let identity =
                Identity::node_manager(name, section.group.as_str(), section.name.as_str())?;
            let seat = Seat::new(identity, arbiter.handle());
            let surroundings = Surroundings { state, ambient: &ambient, enclosure };
            let built = node_host::build(configuration, section, surroundings, &seat.on)?;
            let parts = NodeParts {
                name: section.name.clone(),
                root: root.clone(),
                host: built.host,
                total: built.total,
                store: built.store,
                hypervisor: built.hypervisor,
            };
            let restored = NodeManager::restore(parts)
                .map_err(|source| BootFault::Node { node: section.name.to_string(), source })?;
            built.events.connect(seat.begin(restored.start(&seat.on)));
            nodes.push((section, seat));
            arbiters.push(arbiter);
        }

        let mut groups = BTreeMap::new();
        for section in &configuration.groups {
            let store = open_store(&state.group_records(&section.name), "group manager")?;
            let parts = GroupParts {
                name: section.name.clone(),
                store,
                root: root.clone(),
                placement: section.placement.policy(),
            };
            let restored = GroupManager::restore(parts).map_err(|source| BootFault::Store {
                role: format!("group manager `{}`", section.name),
                source,
            })?;
            let arbiter = Arbiter::new();
            let identity =
                Identity::group_manager(name, section.name.as_str(), section.name.as_str())?;
            let seat = Seat::new(identity, arbiter.handle());
            let addr = seat.begin(restored.start(&seat.on));
            for (node, at) in nodes.iter().filter(|(node, _)| node.group == section.name) {
                let known = MeetNode(node.name.clone(), wiring.child(&seat, at).await?);
                let _ = addr.send(known).await;
            }
            groups.insert(section.name.clone(), seat);
            arbiters.push(arbiter);
        }

        let store = open_store(&state.cloud_records(), "cloud manager")?;
        founding::ensure(&*store, configuration, credentials, &ambient)
            .map_err(|source| BootFault::Store { role: "cloud manager".into(), source })?;
        let reach = if enclosure.is_some() { Reach::Loopback } else { Reach::Routed };
        let settings = Arc::new(CloudSettings { reach, ..configuration.cloud_settings() });
        let arbiter = Arbiter::new();
        let manager = Seat::new(Identity::cloud_manager(name, name)?, arbiter.handle());
        let mut below = BTreeMap::new();
        for (group, seat) in &groups {
            below.insert(group.clone(), wiring.child(&manager, seat).await?);
        }
        let parts = CloudParts {
            settings: settings.clone(),
            ambient: ambient.clone(),
            store,
            groups: below,
            root,
        };
        let (restored, published) = CloudManager::restore(parts)
            .map_err(|source| BootFault::Store { role: "cloud manager".into(), source })?;
        manager.begin(restored.start(&manager.on));

        for seat in groups.values() {
            let above = wiring.parent(&manager, seat).await?;
            let _ = seat.started().send(MeetCloud(above)).await;
        }
        for (node, seat) in &nodes {
            if let Some(group) = groups.get(&node.group) {
                let above = wiring.parent(group, seat).await?;
                let _ = seat.started().send(MeetGroup(above)).await;
            }
        }
        let cloud = Cloud {
            settings,
            ambient,
            blobs: Arc::new(Blobs::open(&state.cloud_blobs(), &state.cloud_blobs_lock())?),
            published,
            manager: wiring.endpoint(&manager),
        };
        arbiters.push(arbiter);
        Ok(Founded {
            cloud,
            nodes: nodes.iter().map(|(_, seat)| seat.started()).collect(),
            groups: groups.iter().map(|(name, seat)| (name.clone(), seat.started())).collect(),
            manager: manager.started(),
            wiring,
            arbiters,
        })
    }

    /// Stops every role. What was acknowledged is on the disk already, so a role whose thread is in
    /// the middle of something long (fetching an image) is not waited for beyond `END_PATIENCE`.
    pub fn end(self) {
        let Founded { cloud, nodes, groups, manager, wiring, arbiters } = self;
        drop((cloud, nodes, groups, manager, wiring));
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
const END_PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

fn open_store(directory: &std::path::Path, role: &str) -> Result<Arc<dyn Store>, BootFault> {
    let store = SledStore::open(directory, crate::store::sled::Options::default())
        .map_err(|source| BootFault::Store { role: role.to_owned(), source })?;
    Ok(Arc::new(store))
}
