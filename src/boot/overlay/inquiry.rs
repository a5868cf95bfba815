//! `mallee overlay` asks this process about its switch: one JSON question a connection, on a socket
//! in the state directory, which only its owner enters.

use crate::{
    domain::{id::InterfaceId, overlay::SwitchId, port_filter::Payload},
    network::{
        overlay::{Overlay, OverlayStatus},
        switch::TraceStep,
    },
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::Ipv4Addr,
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inquiry {
    Status,
    /// What would become of the first packet of a flow.
    Trace {
        /// An interface of this host, or an instance: its private one.
        from: String,
        /// An address, or an interface or instance of this host.
        to: String,
        payload: Protocol,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    Tcp(u16),
    Udp(u16),
    Ping,
}

/// The answer: what was asked for, or why not.
pub type Answer = Result<serde_json::Value, String>;

/// No question is longer, and none takes longer to be said.
const QUESTION_LIMIT: u64 = 4096;
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers until it is dropped.
#[derive(Debug)]
pub struct Desk {
    place: PathBuf,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Desk {
    pub fn open(place: &Path, overlay: Overlay) -> io::Result<Desk> {
        // Of an earlier process; whoever runs here has the directory to itself.
        match fs::remove_file(place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(place)?;
        fs::set_permissions(place, fs::Permissions::from_mode(0o600))?;
        let ended = Arc::new(AtomicBool::new(false));
        let seen = ended.clone();
        let thread =
            std::thread::Builder::new().name("overlay-asked".to_owned()).spawn(move || {
                for stream in listener.incoming() {
                    if seen.load(Ordering::Acquire) {
                        return;
                    }
                    if let Err(error) = stream.and_then(|stream| converse(&stream, &overlay)) {
                        log::debug!("a question about the overlay was not heard: {error}");
                    }
                }
            })?;
        Ok(Desk { place: place.to_owned(), ended, thread: Some(thread) })
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // It waits for somebody to come.
        let _ = UnixStream::connect(&self.place);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.place);
    }
}

/// Asks the process that answers there.
pub fn ask(place: &Path, inquiry: &Inquiry) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(place)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut question = serde_json::to_vec(inquiry)?;
    question.push(b'\n');
    stream.write_all(&question)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(serde_json::from_slice(&answer)?)
}

fn converse(stream: &UnixStream, overlay: &Overlay) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut question = String::new();
    BufReader::new(stream.take(QUESTION_LIMIT)).read_line(&mut question)?;
    let answer = match serde_json::from_str(&question) {
        Ok(inquiry) => answer(&inquiry, overlay),
        Err(fault) => Err(format!("it was not understood: {fault}")),
    };
    let mut stream = stream;
    stream.write_all(&serde_json::to_vec(&answer)?)
}

fn answer(inquiry: &Inquiry, overlay: &Overlay) -> Answer {
    let status = overlay.status();
    let json = match inquiry {
        Inquiry::Status => serde_json::to_value(status),
        Inquiry::Trace { from, to, payload } => {
            let from = interface(&status, from)
                .ok_or_else(|| format!("`{from}` has no private interface on this host"))?;
            let to = address(&status, to).ok_or_else(|| {
                format!("`{to}` is neither an address nor has it an interface on this host")
            })?;
            let steps = overlay.trace(&from, to, payload.payload());
            serde_json::to_value(Traced { steps, names: names(&status) })
        }
    };
    json.map_err(|fault| fault.to_string())
}

#[derive(Serialize)]
struct Traced {
    steps: Vec<TraceStep>,
    names: BTreeMap<SwitchId, String>,
}

fn names(status: &OverlayStatus) -> BTreeMap<SwitchId, String> {
    let others = status.cables.iter().map(|cable| (cable.neighbour, cable.name.clone()));
    others.chain([(status.switch.switch, status.own_name.clone())]).collect()
}

impl Protocol {
    fn payload(self) -> Payload {
        match self {
            Protocol::Tcp(port) => Payload::Tcp { port },
            Protocol::Udp(port) => Payload::Udp { port },
            Protocol::Ping => Payload::Icmp { kind: 8, code: 0 },
        }
    }
}

fn interface(status: &OverlayStatus, named: &str) -> Option<InterfaceId> {
    let is_meant = |interface: &InterfaceId, instance: &dyn ToString| {
        interface.to_string() == named || instance.to_string() == named
    };
    let mut ports = status.switch.ports.iter();
    ports.find(|port| is_meant(&port.interface, &port.instance)).map(|port| port.interface.clone())
}

fn address(status: &OverlayStatus, named: &str) -> Option<Ipv4Addr> {
    if let Ok(address) = named.parse() {
        return Some(address);
    }
    let interface = interface(status, named)?;
    let port = status.switch.ports.iter().find(|port| port.interface == interface)?;
    port.addresses.first().copied()
}
