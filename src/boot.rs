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
pub mod overlay;
pub mod purge;

mod cloud_certificate;
mod exporter;
mod founded;
mod founding;
mod host;
mod images;
mod links;
mod measured_store;
mod node_host;
mod topology;

use crate::{
    actors::{
        cloud::CloudManager,
        group::GroupManager,
        node::{NodeManager, RestoreFault},
    },
    ambient::Ambient,
    api::{self, action::Cloud, endpoint::Ec2},
    blobs::BlobFault,
    config::{
        Configuration, Role,
        credentials::RootCredentials,
        state_directory::{StateDirectory, create_private_directory},
    },
    enclosure::Enclosure,
    events::{self, EventLog, event::Event, writer::Writer},
    hypervisor::{HypervisorFault, accelerator::KvmRefused},
    metrics::{Meters, questions::Asked, requests::Requests},
    network::{NetworkFault, overlay::OverlayFault},
    soap::{self, Receiver, sign::Signer},
    store::{Store, StoreFault, sled::SledStore},
    transport::{credentials::CredentialFault, identity::IdentityFault},
};
use actix_web::dev::ServerHandle;
use founded::{Founded, Ground};
use measured_store::MeasuredStore;
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
    #[error("the overlay's switch cannot be started")]
    Overlay(#[from] OverlayFault),
    #[error("the images cannot be used: {0}")]
    Blobs(#[from] BlobFault),
    #[error("the managers cannot be linked: {0}")]
    Links(#[from] links::LinksFault),
    #[error(transparent)]
    Identity(#[from] IdentityFault),
    #[error("the cloud's own authority cannot be used: {0}")]
    Registry(#[from] RegistryFault),
    #[error("the cloud's own certificate cannot be used: {0}")]
    Certificate(#[from] cloud_certificate::CertificateFault),
    #[error("replies cannot be signed with the cloud's own certificate")]
    Signer(#[from] soap::sign::Unfit),
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
        let (events, written) = begin_events(&configuration, &state)?;
        let process = events.teller("process", &configuration.cloud.name);
        let scraped = bind_metrics(&configuration)?;
        let meters = scraped.is_some().then(|| Arc::new(meters()));
        let ground = Ground {
            configuration: &configuration,
            state: &state,
            credentials: credentials.as_ref(),
            card: card.as_ref(),
            enclosure: enclosure.as_ref(),
            events: &events,
            meters: meters.as_ref(),
        };
        let founded = Founded::begin(ground, Ambient::system()).await?;
        let served = match (&founded.cloud, listener) {
            (Some(cloud), Some(listener)) => {
                let requests = meters.as_ref().map(|meters| meters.requests.clone());
                Some(serve(cloud, listener, &configuration, &events, requests)?)
            }
            _ => None,
        };
        let exporter = match scraped.zip(meters) {
            Some((listener, meters)) => Some(
                exporter::serve(listener, founded.sources(meters))
                    .map_err(BootFault::io("metrics cannot be served"))?,
            ),
            None => None,
        };
        process.tell(None, || started(&configuration));
        ready();
        host::asked_to_stop().await.map_err(BootFault::io("signals cannot be waited for"))?;
        log::info!("stopping; guests keep running and are taken up again at the next start");
        process.tell(None, || Event::Stopping);
        if let Some(served) = served {
            served.stop(true).await;
        }
        if let Some(exporter) = exporter {
            exporter.stop(false).await;
        }
        founded.end();
        drop(written);
        Ok(())
    })
}

/// The log of what happens here, unless it is to keep nothing, and who writes it.
fn begin_events(
    configuration: &Configuration,
    state: &StateDirectory,
) -> Result<(EventLog, Option<Writer>), BootFault> {
    let keep_bytes = configuration.events.keep_mib << 20;
    if keep_bytes == 0 {
        return Ok((EventLog::off(), None));
    }
    let directory = state.events();
    let fault = || BootFault::io(format!("`{}` cannot be used", directory.display()));
    create_private_directory(&directory).map_err(fault())?;
    let (log, writer) =
        events::writer::begin(&directory, keep_bytes, Ambient::system()).map_err(fault())?;
    Ok((log, Some(writer)))
}

fn started(configuration: &Configuration) -> Event {
    let runs = |role: &Role| configuration.topology.runs(*role);
    let roles = [Role::Cloud, Role::Group, Role::Node].into_iter().filter(runs);
    let roles = roles.map(|role| role.to_string()).collect();
    Event::Started { version: env!("CARGO_PKG_VERSION"), roles }
}

fn serve(
    cloud: &Cloud,
    listener: TcpListener,
    configuration: &Configuration,
    events: &EventLog,
    counted: Option<Arc<Requests>>,
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
        messages: Arc::new(api::protocol::Messages {
            receiver: Receiver::new(soap::document::Limits::default(), cloud.ambient.now()),
            signer: signer(cloud, configuration)?,
        }),
        teller: events.teller("api", &configuration.cloud.name),
        counted,
    };
    let server = api::server::serve(listener, Ec2(cloud.clone()), options)
        .map_err(BootFault::io("the endpoint cannot be served"))?;
    let handle = server.handle();
    actix_rt::spawn(server);
    Ok(handle)
}

/// What replies to SOAP requests are signed with, if they are.
fn signer(cloud: &Cloud, configuration: &Configuration) -> Result<Option<Arc<Signer>>, BootFault> {
    if !configuration.cloud.soap_replies_signed {
        return Ok(None);
    }
    let own = &cloud.certificate;
    Ok(Some(Arc::new(Signer::new(own.key_pkcs8(), own.der())?)))
}

fn bind_metrics(configuration: &Configuration) -> Result<Option<TcpListener>, BootFault> {
    let Some(at) = configuration.metrics.listen else { return Ok(None) };
    let fault = BootFault::io(format!("metrics cannot be served at {at}"));
    TcpListener::bind(at).map(Some).map_err(fault)
}

/// Every action, code and question that can be counted.
fn meters() -> Meters {
    let codes = api::error::Code::ALL.iter().map(|code| code.as_str());
    let requests = Requests::of(api::actions::NAMES.iter().copied(), codes);
    let roles = [CloudManager::QUESTIONS, GroupManager::QUESTIONS, NodeManager::QUESTIONS];
    Meters::new(requests, Asked::of(roles.into_iter().flatten().copied()))
}

/// Of a role; its commits are timed if there is somewhere to count them, under the role's name.
fn open_store(
    directory: &std::path::Path,
    role: &'static str,
    counted: Option<(&Meters, &str)>,
) -> Result<Arc<dyn Store>, BootFault> {
    let store = SledStore::open(directory, crate::store::sled::Options::default())
        .map_err(|source| BootFault::Store { role: format!("{role} manager"), source })?;
    let store: Arc<dyn Store> = Arc::new(store);
    Ok(match counted {
        Some((meters, name)) => {
            Arc::new(MeasuredStore { store, commits: meters.commits(role, name) })
        }
        None => store,
    })
}
