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
pub mod membership;
pub mod purge;

mod founded;
mod founding;
mod host;
mod images;
mod links;
mod node_host;
mod topology;

use crate::{
    actors::node::RestoreFault,
    ambient::Ambient,
    api::{self, action::Cloud, endpoint::Ec2},
    blobs::BlobFault,
    config::{Configuration, credentials::RootCredentials, state_directory::StateDirectory},
    enclosure::Enclosure,
    hypervisor::{HypervisorFault, accelerator::KvmRefused},
    network::NetworkFault,
    store::{Store, StoreFault, sled::SledStore},
    transport::{credentials::CredentialFault, identity::IdentityFault},
};
use actix_web::dev::ServerHandle;
use founded::{Founded, Ground};
use membership::{card::Card, registry::RegistryFault};
use std::{fmt, io, net::TcpListener, sync::Arc};

/// Everything a process of a cloud is started with.
pub struct Start {
    pub configuration: Configuration,
    pub state: StateDirectory,
    /// If the cloud manager is to run here.
    pub front: Option<Front>,
    /// What this host was given when it joined.
    pub card: Option<Card>,
    /// Where the guests' network is, if it is not the host's: this process was taken there.
    pub enclosure: Option<Enclosure>,
    /// Called once, when the first request would be answered.
    pub ready: Box<dyn FnOnce()>,
}

/// What the cloud manager's process has and others have not.
pub struct Front {
    pub credentials: RootCredentials,
    /// Where the EC2 endpoint listens, already bound: a busy port is the caller's news.
    pub listener: TcpListener,
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
    #[error("the cloud's own authority cannot be used: {0}")]
    Registry(#[from] RegistryFault),
    #[error("a manager cannot be certified: {0}")]
    Credentials(#[from] CredentialFault),
    #[error("this host runs no cloud manager and has joined no cloud")]
    NotJoined,
    #[error("{doing}: {source}")]
    Io { doing: String, source: io::Error },
}

impl BootFault {
    fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> BootFault {
        let doing = doing.into();
        move |source| BootFault::Io { doing, source }
    }
}

/// Runs a process of a cloud until it is asked to stop (SIGINT, SIGTERM). Guests are left running.
pub fn run(start: Start) -> Result<(), BootFault> {
    host::raise_file_limit();
    actix::System::new().block_on(async move {
        let Start { configuration, state, front, card, enclosure, ready } = start;
        let (credentials, listener) =
            front.map(|Front { credentials, listener }| (credentials, listener)).unzip();
        let ground = Ground {
            configuration: &configuration,
            state: &state,
            credentials: credentials.as_ref(),
            card: card.as_ref(),
            enclosure: enclosure.as_ref(),
        };
        let founded = Founded::begin(ground, Ambient::system()).await?;
        let served = match (&founded.cloud, listener) {
            (Some(cloud), Some(listener)) => Some(serve(cloud, listener, &configuration)?),
            _ => None,
        };
        ready();
        host::asked_to_stop().await.map_err(BootFault::io("signals cannot be waited for"))?;
        log::info!("stopping; guests keep running and are taken up again at the next start");
        if let Some(served) = served {
            served.stop(true).await;
        }
        founded.end();
        Ok(())
    })
}

fn serve(
    cloud: &Cloud,
    listener: TcpListener,
    configuration: &Configuration,
) -> Result<ServerHandle, BootFault> {
    let limits = api::server::Limits {
        in_flight_max: configuration.limits.max_in_flight,
        ..api::server::Limits::default()
    };
    let (clock, chance) = (cloud.ambient.clone(), cloud.ambient.clone());
    let options = api::server::Options {
        limits,
        clock: Arc::new(move || clock.now()),
        chance: Arc::new(move || chance.chance("request-ids")),
    };
    let server = api::server::serve(listener, Ec2(cloud.clone()), options)
        .map_err(BootFault::io("the endpoint cannot be served"))?;
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok(handle)
}

fn open_store(directory: &std::path::Path, role: &str) -> Result<Arc<dyn Store>, BootFault> {
    let store = SledStore::open(directory, crate::store::sled::Options::default())
        .map_err(|source| BootFault::Store { role: role.to_owned(), source })?;
    Ok(Arc::new(store))
}
