//! The overlay's thread, and the handle by which the rest of the process holds it.
//!
//! One thread owns the switch, its ports and the cables' socket, and waits for all of them at once:
//!
//! ```text
//!   guests ── ports ──┐                        ┌── datagrams ── other switches
//!                     ├─ wake-up ─ switch ─ cables
//!   `Overlay` ─ wishes┘
//! ```
//!
//! At each wake-up every port that has frames gets one bounded turn, and so has the socket, so that
//! one that never ends takes no more than its share. What is sent is sent in batches. Calls of the
//! handle are carried out by the thread between turns; they wait until it has done them.
//!
//! Not here: what is allowed to whom (`switch`), how a datagram is sealed (`cable`), and who tells
//! this switch who it is (the managers, by `set_charter`). Without a charter ports of this switch
//! reach one another.

mod driver;
mod edges;
mod exits;
mod inbox;
mod outbox;
mod poll;
mod reassembly;
mod socket;
mod status;

pub use status::{EdgeStatus, OverlayStatus, UnderlayStatus};

use super::{
    cable::{CableOptions, Incarnation, IncarnationFault},
    port::Attachment,
    switch::{Limits, PortId, PortSpec, TraceStep},
};
use crate::domain::{
    chance::Chance,
    id::InterfaceId,
    overlay::OverlayCharter,
    port_filter::{GroupMembers, Payload, PortFilter},
};
use driver::Driver;
use poll::Bell;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

#[derive(Debug)]
pub struct OverlayOptions {
    /// UDP; unspecified in IPv6 (`[::]`) means all addresses of both kinds.
    pub listen: SocketAddr,
    /// Its own; no other process's at the same time. Made if there is none.
    pub state_dir: PathBuf,
    pub chance: Box<dyn Chance>,
    pub limits: Limits,
    pub cables: CableOptions,
}

#[derive(Debug, thiserror::Error)]
pub enum OverlayFault {
    #[error("cannot open the port of interface `{interface}` on {attachment:?}")]
    Port {
        interface: InterfaceId,
        attachment: Attachment,
        #[source]
        source: io::Error,
    },
    #[error("cannot listen on `{address}`")]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("cannot prepare the directory `{}`", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot begin another life of this switch")]
    Incarnation(#[from] IncarnationFault),
    #[error("the kernel refused what the overlay's thread needs")]
    Kernel(#[source] io::Error),
}

/// A hand on the running overlay, which ends with the last of them. Calls block for as long as a
/// turn of the thread takes.
#[derive(Debug, Clone)]
pub struct Overlay {
    thread: Arc<Thread>,
}

#[derive(Debug)]
struct Thread {
    wishes: mpsc::Sender<Wish>,
    bell: Arc<Bell>,
    handle: Option<JoinHandle<()>>,
}

/// What the thread is to do between two turns.
enum Wish {
    Do(Box<dyn FnOnce(&mut Driver) + Send>),
    End,
}

impl Overlay {
    /// Starts the thread, in the network namespace of the caller's.
    pub fn start(options: OverlayOptions) -> Result<Overlay, OverlayFault> {
        let directory = &options.state_dir;
        std::fs::create_dir_all(directory)
            .map_err(|source| OverlayFault::Directory { path: directory.clone(), source })?;
        let incarnation = Incarnation::begin(directory)?;
        let (wishes, granted) = mpsc::channel();
        let bell = Arc::new(Bell::new().map_err(OverlayFault::Kernel)?);
        let mut driver = Driver::new(options, incarnation, granted, bell.clone())?;
        let handle = std::thread::Builder::new()
            .name("overlay".to_owned())
            .spawn(move || driver.run())
            .map_err(OverlayFault::Kernel)?;
        Ok(Overlay { thread: Arc::new(Thread { wishes, bell, handle: Some(handle) }) })
    }

    /// Opens a port for an interface. Said again for the same interface, it replaces what the port
    /// is and what it is opened on; a port that is opened on what it was before stays open.
    pub fn attach(&self, spec: PortSpec, to: Attachment) -> Result<PortId, OverlayFault> {
        self.ask(move |driver| driver.attach(spec, to))
    }

    /// Takes a port away; one that is gone already is no error.
    pub fn detach(&self, interface: &InterfaceId) {
        let interface = interface.clone();
        self.ask(move |driver| driver.detach(&interface));
    }

    pub fn has(&self, interface: &InterfaceId) -> bool {
        let interface = interface.clone();
        self.ask(move |driver| driver.has(&interface))
    }

    /// Replaces what a port admits; false if there is no such port.
    pub fn set_filter(&self, interface: &InterfaceId, filter: PortFilter) -> bool {
        let interface = interface.clone();
        self.ask(move |driver| driver.set_filter(&interface, filter))
    }

    pub fn set_members(&self, members: &GroupMembers) {
        let members = members.clone();
        self.ask(move |driver| driver.set_members(members));
    }

    /// Says who this switch is, who the others are and with which keys they speak.
    pub fn set_charter(&self, charter: OverlayCharter) {
        self.ask(move |driver| driver.set_charter(&charter));
    }

    pub fn status(&self) -> OverlayStatus {
        self.ask(|driver| driver.status())
    }

    /// What would become of the first packet of a flow, as far as this switch knows.
    pub fn trace(&self, from: &InterfaceId, to: Ipv4Addr, payload: Payload) -> Vec<TraceStep> {
        let from = from.clone();
        self.ask(move |driver| driver.trace(&from, to, payload))
    }

    fn ask<T: Send + 'static>(&self, wish: impl FnOnce(&mut Driver) -> T + Send + 'static) -> T {
        let (reply, answer) = mpsc::sync_channel(1);
        let wish = Wish::Do(Box::new(move |driver| {
            // The asker waits below, so there is room and somebody who takes it.
            let _ = reply.send(wish(driver));
        }));
        self.thread.wishes.send(wish).expect("the thread takes wishes as long as it is held");
        self.thread.bell.ring();
        answer.recv().expect("the thread carries out what it was asked")
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // A thread that has panicked takes no wish, and has ended.
        let _ = self.wishes.send(Wish::End);
        self.bell.ring();
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}
