//! A private user and network namespace, and the way in and out of it.
//!
//! An ordinary user may not touch the host's network, but may have one of their own: in it this
//! process has the privileges that bridges, taps and filters need, and everything else runs as it
//! would for root. What is lost is the way to the guests, so two more processes stay outside.
//!
//! ```text
//!   the host's namespaces                     │  the enclosure
//!   client ─► 127.213.0.4:22 ─ a socket of ───┼─► forwarder ─► 10.213.0.4:22, a guest
//!                              the broker's   │     (a thread of this process)
//!   the world ◄─ slirp4netns ◄────────────────┼── uplink ◄─ masquerading ◄─ guests
//! ```
//!
//! * `enter` takes this process in, or back into the enclosure where an earlier one left guests.
//! * The *broker* is a child that stays outside. It makes sockets on loopback addresses for us and
//!   starts `slirp4netns`, refuses everything else, and ends when this process does. Its parent
//!   replaces it should it fail; `watch` has `slirp4netns` replaced.
//! * The *forwarder* carries what comes to those sockets to the guests' ports.
//!
//! Nothing of the host's is changed, so there is nothing to clean up: the namespaces are gone with
//! the last process in them. Guests see every connection come from the gateway.

pub mod forward;
pub mod obstacle;

mod broker;
mod capability;
mod namespaces;
mod uplink;
mod watch;

use crate::domain::port_filter::Cidr;
use broker::Broker;
use namespaces::Refused;
use obstacle::Obstacle;
use std::{
    io,
    net::Ipv4Addr,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

pub use capability::lacks_net_admin;
pub use obstacle::obstacles;

/// The device through which guests reach the world.
const UPLINK: &str = "uplink";

/// The uplink's network: the first that none of the guests' overlaps.
const UPLINK_NETWORKS: [&str; 3] = ["10.0.2.0/24", "192.168.222.0/24", "172.29.222.0/24"];

/// The name server is at this place in the uplink's network.
const NAME_SERVER: u64 = 3;

#[derive(Debug, Clone)]
pub struct EnclosureOptions {
    /// A file that says, after a restart, which enclosure was ours.
    pub record: PathBuf,
    /// The ranges of guests' public addresses.
    pub guests: Vec<Cidr>,
}

/// This process's life inside.
#[derive(Debug)]
pub struct Enclosure {
    broker: Arc<Broker>,
    uplink: Result<Cidr, String>,
    /// Until it is watched.
    unwatched: Mutex<Option<OwnedFd>>,
    rejoined: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum EnclosureFault {
    #[error("the process has threads already, so it cannot change its namespaces")]
    Threads,
    #[error(
        "guests' addresses `{0}` would be shown as 127.0.0.x, which are the host's own: choose \
         other `public_addresses`"
    )]
    Unshowable(Cidr),
    #[error("guests cannot have a network of their own: {0}")]
    Forbidden(Obstacle),
    #[error("cannot {doing}")]
    System {
        doing: &'static str,
        #[source]
        source: io::Error,
    },
}

impl EnclosureFault {
    /// What to allow, if it is known.
    pub fn remedy(&self) -> Option<String> {
        match self {
            EnclosureFault::Forbidden(obstacle) => Some(obstacle.remedy()),
            EnclosureFault::Threads
            | EnclosureFault::Unshowable(_)
            | EnclosureFault::System { .. } => None,
        }
    }
}

/// Takes this process into the enclosure. To be called before it has any thread, and after it has
/// bound what it listens to on the host.
pub fn enter(options: &EnclosureOptions) -> Result<Enclosure, EnclosureFault> {
    if !std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1) {
        return Err(EnclosureFault::Threads);
    }
    if let Some(range) = options.guests.iter().find(|range| !forward::showable(**range)) {
        return Err(EnclosureFault::Unshowable(*range));
    }
    let system = |doing| move |source| EnclosureFault::System { doing, source };
    obstacle::tun().map_err(EnclosureFault::Forbidden)?;
    let broker = Broker::start().map_err(system("start the broker"))?;
    let rejoined = match namespaces::rejoin(&options.record) {
        Some(joined) => {
            joined.map_err(system("enter the namespaces of the guests that are running"))?;
            true
        }
        None => {
            namespaces::make().map_err(|refused| EnclosureFault::Forbidden(refused.into()))?;
            namespaces::record(&options.record).map_err(system("record the enclosure"))?;
            false
        }
    };
    capability::keep_only_the_networks().map_err(system("give up privileges"))?;
    let (uplink, unwatched) = match connect(&broker, &options.guests) {
        Ok((network, process)) => (Ok(network), Some(process)),
        Err(why) => (Err(why), None),
    };
    let unwatched = Mutex::new(unwatched);
    Ok(Enclosure { broker: Arc::new(broker), uplink, unwatched, rejoined })
}

impl Enclosure {
    /// The name server to tell guests of; none if they cannot reach the world.
    pub fn name_server(&self) -> Option<Ipv4Addr> {
        self.uplink.as_ref().ok()?.nth(NAME_SERVER)
    }

    /// Why guests cannot reach the world, in words; none if they can.
    pub fn without_uplink(&self) -> Option<&str> {
        self.uplink.as_ref().err().map(String::as_str)
    }

    /// Whether an earlier process's enclosure, with its guests, was found.
    pub fn rejoined(&self) -> bool {
        self.rejoined
    }

    /// Has the way out made anew whenever it is lost, and says so when that cannot be done. Starts
    /// a thread, once.
    pub fn watch(&self) -> io::Result<()> {
        let unwatched = self.unwatched.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (&self.uplink, unwatched) {
            (Ok(network), Some(process)) => {
                watch::start(Arc::clone(&self.broker), *network, process)
            }
            // It was told of at the start, or is watched.
            _ => Ok(()),
        }
    }

    pub fn forwarder(&self) -> io::Result<forward::Forwarder> {
        forward::Forwarder::start(Arc::clone(&self.broker))
    }
}

fn connect(broker: &Broker, guests: &[Cidr]) -> Result<(Cidr, OwnedFd), String> {
    let networks = UPLINK_NETWORKS
        .iter()
        .map(|text| text.parse::<Cidr>().expect("the uplink's networks are written as ranges are"));
    let network = networks
        .clone()
        .find(|network| !guests.iter().any(|range| range.overlaps(*network)))
        .ok_or("guests' addresses leave no range for the uplink")?;
    namespaces::wait_until_gone(UPLINK);
    broker.connect(network).map(|process| (network, process))
}

impl From<Refused> for Obstacle {
    fn from(refused: Refused) -> Obstacle {
        obstacle::of_namespaces(refused)
    }
}
