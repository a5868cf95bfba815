//! A node's drivers, as its section of the configuration asks for them.

use super::{BootFault, enclosed_datapath::EnclosedDatapath, host};
use crate::{
    actors::node::{Happened, NodeManager, host::Host, threads::Threads},
    ambient::Ambient,
    blobs::{
        BlobSource,
        cache::ImageCache,
        disks::{CachedDisks, Disks, SimulatedDisks},
    },
    config::{
        Configuration, GroupSection, HypervisorChoice, NicsChoice, NodeSection,
        state_directory::{StateDirectory, create_private_directory, write_private},
    },
    domain::resources::Resources,
    enclosure::Enclosure,
    hypervisor::{
        DomainEvent, EventSink, Hypervisor, HypervisorFault,
        accelerator::{self, Requested},
        libvirt::{LibvirtHypervisor, LibvirtOptions, mode},
        simulated::{SimulatedHypervisor, SimulatedOptions},
    },
    metadata::{self, TokenKey, registry::MetadataRegistry},
    metrics::Meters,
    network::{
        Datapath, NetworkFault,
        host::{HostDatapath, HostOptions, Nics},
        overlay::Overlay,
        simulated::SimulatedDatapath,
    },
    store::{Store, journal::Journal},
};
use actix::{Addr, ArbiterHandle};
use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What the host keeps for itself.
const HOST_MEMORY_MIB: u64 = 1024;

/// What a node is built in.
pub struct Surroundings<'a> {
    pub state: &'a StateDirectory,
    pub ambient: &'a Ambient,
    pub enclosure: Option<&'a Enclosure>,
    pub images: Arc<dyn BlobSource>,
    pub meters: Option<&'a Meters>,
    /// This process's switch, if it has one.
    pub overlay: Option<&'a Overlay>,
}

/// A node ready to be restored.
pub struct Built {
    pub host: Arc<Host>,
    pub store: Arc<dyn Store>,
    pub total: Resources,
    pub hypervisor: String,
    pub events: Events,
}

/// Holds the hypervisor's events until there is an actor to tell.
#[derive(Clone, Default)]
pub struct Events(Arc<Mutex<Listener>>);

#[derive(Default)]
struct Listener {
    node: Option<Addr<NodeManager>>,
    early: Vec<DomainEvent>,
}

impl Events {
    fn sink(&self) -> EventSink {
        let events = self.clone();
        Arc::new(move |event| {
            let mut listener = events.0.lock().unwrap_or_else(PoisonError::into_inner);
            match &listener.node {
                Some(node) => node.do_send(Happened(event)),
                None => listener.early.push(event),
            }
        })
    }

    pub fn connect(&self, node: Addr<NodeManager>) {
        let mut listener = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for event in listener.early.drain(..) {
            node.do_send(Happened(event));
        }
        listener.node = Some(node);
    }
}

pub fn build(
    configuration: &Configuration,
    section: &NodeSection,
    Surroundings { state, ambient, enclosure, images, meters, overlay }: Surroundings<'_>,
    arbiter: &ArbiterHandle,
) -> Result<Built, BootFault> {
    let directory = state.node(&section.name);
    let instances = directory.instances();
    for path in [&instances, &directory.cache()] {
        create_private_directory(path)
            .map_err(BootFault::io(format!("`{}` cannot be made", path.display())))?;
    }
    let store = super::open_store(
        &directory.records(),
        "node",
        meters.map(|meters| (meters, section.name.as_str())),
    )?;
    let events = Events::default();
    let metadata = Arc::new(MetadataRegistry::default());
    let simulated = section.hypervisor == HypervisorChoice::Simulated;

    let hypervisor = match simulated {
        true => simulated_hypervisor(section, &directory.hypervisor(), events.sink())?,
        false => libvirt(configuration, section, &directory.hypervisor(), events.sink())?,
    };
    let disks: Arc<dyn Disks> = match simulated {
        true => Arc::new(SimulatedDisks),
        false => {
            let limit = section.image_cache_gib << 30;
            let cache = ImageCache::open(&directory.cache(), limit)?;
            Arc::new(CachedDisks::new(cache, images))
        }
    };
    let datapath: Arc<dyn Datapath> = match simulated {
        true => {
            let ports = directory.hypervisor().join("ports");
            let made = SimulatedDatapath::kept_in(&ports);
            Arc::new(made.map_err(|source| network_fault(section, source))?)
        }
        false => {
            let place = directory.hypervisor();
            let overlay = overlay.expect("a process that has guests has a switch").clone();
            let datapath = host_datapath(configuration, section, &place, enclosure, overlay)?;
            match enclosure {
                None => Arc::new(datapath),
                Some(enclosure) => {
                    enclosure
                        .watch()
                        .map_err(BootFault::io("the guests' way to the world cannot be watched"))?;
                    let forwarder = enclosure.forwarder().map_err(BootFault::io(
                        "the guests' ports cannot be offered to the host",
                    ))?;
                    let gateway = group(configuration, section)?.gateway;
                    Arc::new(EnclosedDatapath::new(datapath, forwarder, gateway))
                }
            }
        }
    };
    if !simulated {
        let key = token_key(&directory.hypervisor(), ambient)?;
        serve_metadata(configuration, section, metadata.clone(), key, arbiter)?;
    }

    let facts = hypervisor
        .host()
        .map_err(|source| BootFault::Hypervisor { node: section.name.to_string(), source })?;
    let total = total(section, facts.resources, &instances)?;
    let journal = Journal::start(store.clone())
        .map_err(BootFault::io("the node's journal cannot be started"))?;
    let host = Host {
        hypervisor,
        datapath,
        disks,
        metadata,
        journal,
        threads: Threads::OfTokio,
        ambient: ambient.clone(),
        instances,
    };
    Ok(Built { host: Arc::new(host), store, total, hypervisor: facts.description, events })
}

pub fn libvirt(
    configuration: &Configuration,
    section: &NodeSection,
    directory: &Path,
    sink: EventSink,
) -> Result<Arc<dyn Hypervisor>, BootFault> {
    let requested = match section.hypervisor {
        HypervisorChoice::Auto => Requested::Auto,
        HypervisorChoice::Kvm => Requested::Kvm,
        HypervisorChoice::Tcg | HypervisorChoice::Simulated => Requested::Tcg,
    };
    let choice = accelerator::choose(requested)?;
    log::info!("guests run under {choice}");
    let mut options = LibvirtOptions::new(choice);
    options.domain.name_prefix = configuration.network.prefix.clone();
    let modes =
        mode::candidates(section.libvirt_uri.as_deref(), directory, mode::Surroundings::look());
    let opened = LibvirtHypervisor::open(&modes, options, sink);
    Ok(Arc::new(
        opened
            .map_err(|source| BootFault::Hypervisor { node: section.name.to_string(), source })?,
    ))
}

fn simulated_hypervisor(
    section: &NodeSection,
    directory: &Path,
    sink: EventSink,
) -> Result<Arc<dyn Hypervisor>, BootFault> {
    let [shortest, longest] = section.simulated.start_delay_ms;
    let options = SimulatedOptions {
        seed: section.simulated.seed,
        shortest_start: Duration::from_millis(shortest),
        longest_start: Duration::from_millis(longest),
        failure_rate: section.simulated.failure_rate,
        resources: SIMULATED_HOST,
        domains: Some(directory.join("domains")),
        ..SimulatedOptions::default()
    };
    let opened = SimulatedHypervisor::open(options, sink);
    Ok(Arc::new(opened.map_err(|error| BootFault::Hypervisor {
        node: section.name.to_string(),
        source: HypervisorFault::Unreachable(error.to_string()),
    })?))
}

/// A simulated host, unless configured: as large as a mock's users would want.
const SIMULATED_HOST: Resources =
    Resources { vcpus: 4096, memory_mib: 16 << 20, disk_gib: 1 << 20 };

fn total(
    section: &NodeSection,
    found: Resources,
    instances: &Path,
) -> Result<Resources, BootFault> {
    if section.hypervisor == HypervisorChoice::Simulated {
        return Ok(Resources {
            vcpus: section.vcpus.unwrap_or(found.vcpus),
            memory_mib: section.memory_mib.unwrap_or(found.memory_mib),
            // A hypervisor knows nothing of disks.
            disk_gib: section.disk_gib.unwrap_or(SIMULATED_HOST.disk_gib),
        });
    }
    let measured = || -> io::Result<u64> {
        // What our own guests have written is counted among their holdings, not missing; what they
        // may still write is free until they do.
        Ok(host::free_gib(instances)? + host::written_gib(instances)?)
    };
    let disk_gib = match section.disk_gib {
        Some(configured) => configured,
        None => measured()
            .map_err(BootFault::io(format!("`{}` cannot be measured", instances.display())))?,
    };
    Ok(Resources {
        vcpus: section.vcpus.unwrap_or(found.vcpus * section.vcpus_per_core),
        memory_mib: section.memory_mib.unwrap_or(found.memory_mib.saturating_sub(HOST_MEMORY_MIB)),
        disk_gib,
    })
}

fn host_options(
    configuration: &Configuration,
    section: &NodeSection,
    group: &GroupSection,
    directory: &Path,
    enclosure: Option<&Enclosure>,
) -> HostOptions {
    // What the host asks may be out of an enclosed guest's reach.
    let resolv_conf = match enclosure {
        Some(enclosure) => enclosure
            .name_server()
            .map(|address| format!("nameserver {address}"))
            .unwrap_or_default(),
        None => fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
    };
    HostOptions {
        prefix: configuration.network.prefix.clone(),
        subnet: group.public_addresses,
        gateway: group.gateway,
        dns: section.dns(&resolv_conf),
        state_dir: directory.join("network"),
        metadata_port: configuration.network.metadata_port,
        nics: match (configuration.overlay.nics, enclosure) {
            (NicsChoice::Taps, _) | (NicsChoice::Auto, None) => Nics::Taps,
            (NicsChoice::Sockets, _) | (NicsChoice::Auto, Some(_)) => Nics::Sockets,
        },
        guest_mtu: configuration.overlay.guest_mtu,
    }
}

fn group<'a>(
    configuration: &'a Configuration,
    section: &NodeSection,
) -> Result<&'a GroupSection, BootFault> {
    configuration.groups.iter().find(|group| group.name == section.group).ok_or_else(|| {
        BootFault::io(format!("node `{}`", section.name))(std::io::Error::other(format!(
            "there is no group `{}`",
            section.group
        )))
    })
}

pub fn host_datapath(
    configuration: &Configuration,
    section: &NodeSection,
    directory: &Path,
    enclosure: Option<&Enclosure>,
    overlay: Overlay,
) -> Result<HostDatapath, BootFault> {
    let group = group(configuration, section)?;
    if configuration.overlay.nics == NicsChoice::Taps && enclosure.is_some() {
        let fault = NetworkFault::NotPermitted(
            "`nics = \"taps\"` in the section `[overlay]` needs root: leave it out".to_owned(),
        );
        return Err(network_fault(section, fault));
    }
    let options = host_options(configuration, section, group, directory, enclosure);
    create_private_directory(&options.state_dir)
        .map_err(BootFault::io(format!("`{}` cannot be made", options.state_dir.display())))?;
    let datapath =
        HostDatapath::open(options, overlay).map_err(|source| network_fault(section, source))?;
    match datapath.obstacles() {
        Ok(obstacles) => obstacles.iter().for_each(|obstacle| log::warn!("{obstacle}")),
        Err(fault) => log::warn!("the host's other firewall rules cannot be read: {fault}"),
    }
    Ok(datapath)
}

/// What a node has in the kernel, with nothing prepared; `None` if its prefix is another cloud's.
pub fn found_datapath(
    configuration: &Configuration,
    section: &NodeSection,
    directory: &Path,
) -> Result<Option<HostDatapath>, BootFault> {
    let group = group(configuration, section)?;
    let options = host_options(configuration, section, group, directory, None);
    match HostDatapath::find(options) {
        Err(NetworkFault::PrefixTaken { .. }) => Ok(None),
        found => found.map(Some).map_err(|source| network_fault(section, source)),
    }
}

pub fn network_fault(section: &NodeSection, source: NetworkFault) -> BootFault {
    BootFault::Network { node: section.name.to_string(), source }
}

/// Kept across restarts, so that guests' tokens stay good.
fn token_key(directory: &Path, ambient: &Ambient) -> Result<TokenKey, BootFault> {
    let path = directory.join("metadata-token-key");
    let doing = || format!("`{}` cannot be used", path.display());
    if let Ok(bytes) = fs::read(&path)
        && let Ok(secret) = <[u8; 32]>::try_from(bytes)
    {
        return Ok(TokenKey::new(&secret));
    }
    let mut secret = [0; 32];
    ambient.chance("metadata-token-key").fill(&mut secret);
    write_private(&path, &secret).map_err(BootFault::io(doing()))?;
    Ok(TokenKey::new(&secret))
}

fn serve_metadata(
    configuration: &Configuration,
    section: &NodeSection,
    source: Arc<MetadataRegistry>,
    key: TokenKey,
    arbiter: &ArbiterHandle,
) -> Result<(), BootFault> {
    let gateway = group(configuration, section)?.gateway;
    let address = SocketAddr::from((gateway, configuration.network.metadata_port));
    let doing = || format!("the metadata service cannot listen on `{address}`");
    let listener = TcpListener::bind(address).map_err(BootFault::io(doing()))?;
    let service = metadata::server::Service {
        source,
        tokens: Arc::new(key),
        now: || Ambient::system().now(),
    };
    arbiter.spawn(async move {
        match metadata::server::serve(listener, service) {
            Ok(server) => {
                if let Err(error) = server.await {
                    log::error!("the metadata service ended: {error}");
                }
            }
            Err(error) => log::error!("the metadata service cannot be served: {error}"),
        }
    });
    Ok(())
}
