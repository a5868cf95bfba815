//! Puts our tables back when somebody else has changed them.
//!
//! To many a program the packet filter is its own: a distribution's service begins by emptying all
//! of it. Without our tables guests would be admitted everything and might claim to be anybody. So
//! whatever another process does to one of them is heard, and the tables are made anew in one
//! moment, from what we know of every port.
//!
//! Meanwhile the public bridge forwards nothing, and it goes on so for as long as the tables cannot
//! be made: guests reach neither each other nor the world, and are not reached from there. What the
//! host itself says to its guests is not held up, nor what is said within a private network.
//!
//! Whose a change is the kernel says: the number of the socket that asked for it, which for `nft` is
//! its process's.

use super::{
    HostDatapath, HostOptions,
    firewall::Firewall,
    forwarding::{self, Forwarding},
    name::Names,
    netlink::{Heard, attributes, messages},
    news::Told,
    nft::Nft,
    ports::{self, Kernel},
};
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A message about nftables has this in the upper half of its kind; the lower says what happened.
const NFTABLES: u8 = libc::NFNL_SUBSYS_NFTABLES as u8;
/// Not about a table: a transaction has ended.
const NEW_GENERATION: u8 = libc::NFT_MSG_NEWGEN as u8;
/// What stands between a message's header and its attributes.
const FAMILY_BYTES: usize = 4;
/// In every message that is about something in a table, the attribute with the table's name.
const TABLE: u16 = 1;

#[derive(Debug)]
pub(super) struct Guard {
    options: HostOptions,
    names: Names,
    nft: Arc<Nft>,
    firewall: Arc<Firewall>,
    forwarding: Arc<Forwarding>,
    kernel: Arc<Mutex<Kernel>>,
    /// How long to wait until what failed is tried again, and what it failed for.
    failed: Option<(Duration, String)>,
}

impl Guard {
    pub fn new(datapath: &HostDatapath) -> Guard {
        Guard {
            options: datapath.options.clone(),
            names: datapath.names.clone(),
            nft: Arc::clone(&datapath.nft),
            firewall: Arc::clone(&datapath.firewall),
            forwarding: Arc::clone(&datapath.forwarding),
            kernel: Arc::clone(&datapath.kernel),
            failed: None,
        }
    }

    /// Puts back what was changed; if that fails, it wants to be called again.
    pub fn hear(&mut self, told: &Told) -> Option<Duration> {
        let table = self.names.table().to_owned();
        if let Some(process) = stranger(told, &table, &self.nft) {
            log::warn!("process {process} changed the table `{table}` of the packet filter");
        } else if told.is_incomplete && !self.firewall.is_untouched() {
            log::warn!("somebody changed the table `{table}` of the packet filter");
        } else if self.failed.is_none() {
            return None;
        }
        match self.put_back() {
            Ok(()) => {
                log::info!("the table `{table}` of the packet filter is as it was");
                self.failed = None;
            }
            Err(error) => {
                let why = error.to_string();
                let pause = match self.failed.take() {
                    Some((pause, known)) if known == why => LONGEST_PAUSE.min(pause * 2),
                    _ => {
                        log::error!(
                            "guests reach nobody but this host: the table `{table}` of the packet \
                             filter cannot be put back: {why}"
                        );
                        FIRST_PAUSE
                    }
                };
                self.failed = Some((pause, why));
            }
        }
        self.failed.as_ref().map(|(pause, _)| *pause)
    }

    fn put_back(&self) -> io::Result<()> {
        let bridge = self.names.public_bridge();
        // Before all else, and before waiting for whoever changes a port just now.
        forwarding::route_nothing(&bridge)?;
        let kernel = ports::held(&self.kernel);
        let needed = self.forwarding.needed()?;
        let ports = kernel.ports.values().filter_map(|port| {
            let rules = port.rules.as_ref().map(Arc::clone)?;
            Some((self.names.tap(&port.identity.interface), &port.identity, rules))
        });
        self.firewall.rebuild(&self.options, &needed, ports)?;
        needed.iter().try_for_each(|uplink| self.forwarding.settle(uplink))?;
        forwarding::route_between_ports(&bridge)
    }
}

/// The process of somebody else that changed something of ours.
fn stranger(told: &Told, table: &str, nft: &Nft) -> Option<u32> {
    let mut told = told.messages.iter().flat_map(|datagram| messages(datagram));
    told.find(|message| is_about(*message, table) && !nft.is_ours(message.sender))
        .map(|message| message.sender)
}

fn is_about(message: Heard<'_>, table: &str) -> bool {
    let [what, subject] = message.kind.to_le_bytes();
    let mut about = attributes(message.body.get(FAMILY_BYTES..).unwrap_or_default());
    subject == NFTABLES
        && what != NEW_GENERATION
        && about
            .any(|(kind, name)| kind == TABLE && name.strip_suffix(&[0]) == Some(table.as_bytes()))
}
