//! `mallee up`: start the cloud.
//!
//! In the foreground it is the cloud until SIGINT or SIGTERM. With `--detach` it starts itself
//! again in the background, waits until that answers a signed call, and returns. A cloud that runs
//! already is what was wanted, so saying so is success.

use super::{
    Context,
    client::{self, Client, Done, Request},
    configuration,
    fault::Fault,
    process::{self, Reign},
    progress::Progress,
};
use crate::ambient::Ambient;
use crate::boot::{self, BootFault, Front, membership::card::Card};
use crate::config::{
    Configuration, HypervisorChoice, NodeSection, Role, Topology,
    credentials::RootCredentials,
    state_directory::{StateDirectory, write_private},
};
use crate::enclosure::{self, Enclosure, EnclosureOptions};
use crate::hypervisor::libvirt;
use clap::{Args, ValueEnum};
use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Read, Seek, SeekFrom},
    net::{SocketAddr, TcpListener},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

#[derive(Debug, Args)]
pub struct Up {
    /// The configuration [default: one laptop, see config/laptop.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the API listens
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// What runs the guests, on every node
    #[arg(long, value_name = "NAME")]
    hypervisor: Option<Hypervisor>,
    /// How the managers reach one another
    #[arg(long, value_name = "KIND")]
    topology: Option<TopologyKind>,
    /// Return when the cloud answers, and leave it in the background
    #[arg(long)]
    pub detach: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Hypervisor {
    Auto,
    Kvm,
    Tcg,
    Simulated,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TopologyKind {
    Local,
    Loopback,
    Linked,
}

/// A first start makes records and probes the host; a slow one is still not stuck.
const START_PATIENCE: Duration = Duration::from_secs(60);
const LOG_TAIL_BYTES: i64 = 4096;
const LOG_TAIL_LINES: usize = 10;

impl Up {
    pub fn perform(self, context: &Context<'_>) -> Result<ExitCode, Fault> {
        let state = &context.state;
        let card = Card::find(state).map_err(|e| Fault::of(&e))?;
        let configuration = self.configuration(card.as_ref())?;
        state.create().map_err(Fault::io("make", state.root()))?;
        if process::find(state)?.is_some() {
            return already_running(state);
        }
        match self.detach {
            true => {
                let arguments = env::args_os().skip(1).filter(|argument| argument != "--detach");
                let arguments: Vec<OsString> = arguments.collect();
                start_detached(state, &arguments, &configuration)
            }
            false => be_a_part(configuration, card, context),
        }
    }

    /// The file, what the cloud says of a host that joined it, and the command line over both.
    fn configuration(&self, card: Option<&Card>) -> Result<Configuration, Fault> {
        let mut configuration = configuration::read(self.config.as_deref())?;
        if let Some(card) = card {
            configuration = card.configure(configuration).map_err(|e| Fault::of(&e))?;
        }
        if self.listen.is_some() && !configuration.topology.runs(Role::Cloud) {
            return Err(Fault::failed(
                "this host runs no cloud manager, so `--listen` is of no use",
            ));
        }
        if let Some(listen) = self.listen {
            configuration.cloud.listen = listen;
        }
        if let Some(hypervisor) = self.hypervisor {
            for node in &mut configuration.nodes {
                node.hypervisor = hypervisor.into();
            }
        }
        if let Some(topology) = self.topology {
            configuration.topology.kind = topology.into();
        }
        Ok(configuration)
    }
}

/// Starts this program again with these arguments in the background, and waits until it answers.
pub fn start_detached(
    state: &StateDirectory,
    arguments: &[OsString],
    configuration: &Configuration,
) -> Result<ExitCode, Fault> {
    let mut progress = Progress::begin();
    progress.step("starting the cloud");
    let log_begins = fs::metadata(state.log()).map_or(0, |metadata| metadata.len());
    let mut child = spawn_detached(state, arguments)?;
    let mut ended = None;
    let answers = process::wait_until(START_PATIENCE, || {
        ended = child.try_wait().map_err(|e| Fault::of(&e))?;
        Ok(ended.is_some() || answers(state, configuration)?)
    })?;
    progress.end();
    match (ended, answers) {
        // Another `up` may have been faster; its cloud is as good.
        (Some(status), _) if status.success() && process::find(state)?.is_some() => {
            already_running(state)
        }
        (Some(status), _) => {
            let tail = log_tail(&state.log(), log_begins);
            Err(Fault::failed(format!("the cloud ended ({status}); its last words: {tail}"))
                .remedy("`mallee doctor` looks for what this host lacks"))
        }
        (None, true) => {
            match read_serving(state)? {
                Some(parts) => eprintln!("mallee: this host is at work, as {parts}"),
                None => eprintln!("mallee: the cloud answers at {}", endpoint_shown(state)?),
            }
            Ok(ExitCode::SUCCESS)
        }
        (None, false) => {
            let log = state.log();
            Err(Fault::failed(format!(
                "the cloud does not answer after {} s; its last words: {}",
                START_PATIENCE.as_secs(),
                log_tail(&log, log_begins)
            ))
            .remedy(format!("it goes on trying; follow `{}`", log.display())))
        }
    }
}

/// Is the cloud, or the part of it that the configuration names, until it is asked to stop.
fn be_a_part(
    configuration: Configuration,
    card: Option<Card>,
    context: &Context<'_>,
) -> Result<ExitCode, Fault> {
    let state = &context.state;
    let Some(reign) = Reign::begin(state)? else { return already_running(state) };
    // libvirt's chat belongs in a file; it can be told so only before there are threads.
    if let Err(fault) = libvirt::send_log_to(&state.root().join("libvirt.log")) {
        log::warn!("{fault}");
    }
    configuration::keep(&configuration, state)?;
    remove_if_there(&state.endpoint())?;
    remove_if_there(&state.serving())?;
    let (front, place, told) = match configuration.topology.runs(Role::Cloud) {
        true => {
            let front = front(&configuration, context)?;
            let address = front.listener.local_addr().map_err(|e| Fault::of(&e))?;
            (Some(front), state.endpoint(), format!("http://{}", reachable(address)))
        }
        false => (None, state.serving(), parts(&configuration)),
    };
    // With the listener left behind on the host, where its clients are.
    let enclosure = enclosed(&configuration, state)?;
    let ready = Box::new(move || match write_private(&place, format!("{told}\n").as_bytes()) {
        Ok(()) => log::info!("it runs: {told}"),
        Err(error) => log::error!("cannot write `{}`: {error}", place.display()),
    });
    let start = boot::Start { configuration, state: state.clone(), front, card, enclosure, ready };
    let outcome = boot::run(start).map_err(|fault| {
        let told = Fault::of(&fault);
        match fault {
            BootFault::NotJoined => told.remedy(
                "`mallee token create` on the cloud's host makes a token, and `mallee join TOKEN` \
                 here uses it",
            ),
            _ => told,
        }
    });
    remove_if_there(&state.endpoint())?;
    remove_if_there(&state.serving())?;
    drop(reign);
    outcome?;
    eprintln!("mallee: the cloud has stopped; guests go on, and the next `mallee up` finds them");
    Ok(ExitCode::SUCCESS)
}

/// What the process of the cloud manager begins with.
fn front(configuration: &Configuration, context: &Context<'_>) -> Result<Front, Fault> {
    let wanted = &context.surroundings.root_credentials;
    let mut chance = Ambient::system().chance("root credentials");
    let credentials = RootCredentials::establish(&context.state, wanted, &mut *chance);
    let credentials = credentials.map_err(|e| Fault::of(&e))?;
    Ok(Front { credentials, listener: listen(configuration.cloud.listen)? })
}

/// What a process without the cloud manager is.
fn parts(configuration: &Configuration) -> String {
    let groups = configuration.groups_here().map(|group| format!("group `{}`", group.name));
    let nodes = configuration.nodes_here().iter();
    let nodes = nodes.map(|node| format!("node `{}` of group `{}`", node.name, node.group));
    groups.chain(nodes).collect::<Vec<_>>().join(", ")
}

/// Where the guests' network goes if this user may not touch the host's.
fn enclosed(
    configuration: &Configuration,
    state: &StateDirectory,
) -> Result<Option<Enclosure>, Fault> {
    let simulated = |node: &NodeSection| node.hypervisor == HypervisorChoice::Simulated;
    if configuration.nodes_here().iter().all(simulated) || !enclosure::lacks_net_admin() {
        return Ok(None);
    }
    let options =
        EnclosureOptions { record: state.enclosure(), guests: configuration.guests_ranges() };
    let enclosure = enclosure::enter(&options).map_err(|error| {
        let remedy = error.remedy().map(|remedy| format!("{remedy}; or run as root"));
        Fault::of(&error)
            .remedy(remedy.unwrap_or_else(|| "`mallee doctor` looks for what is missing".into()))
    })?;
    let where_from = if enclosure.rejoined() { "found again" } else { "made" };
    log::info!(
        "this user may not touch the host's network, so guests have one of their own \
         ({where_from}), and are reached at 127.x.y.z"
    );
    if let Some(why) = enclosure.without_uplink() {
        log::warn!("guests cannot reach the world: {why}");
    }
    Ok(Some(enclosure))
}

fn already_running(state: &StateDirectory) -> Result<ExitCode, Fault> {
    match read_serving(state)? {
        Some(parts) => eprintln!("mallee: this host is at work already, as {parts}"),
        None => eprintln!("mallee: the cloud runs already, at {}", endpoint_shown(state)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn endpoint_shown(state: &StateDirectory) -> Result<String, Fault> {
    Ok(client::read_endpoint(state)?.unwrap_or_else(|| "no address yet: it is starting".into()))
}

/// What a process without the cloud manager says that it is.
pub fn read_serving(state: &StateDirectory) -> Result<Option<String>, Fault> {
    let path = state.serving();
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fault::io("read", &path)(error)),
    }
}

/// Whether the cloud answers a signed call; of a process without the cloud manager, whether it runs.
fn answers(state: &StateDirectory, configuration: &Configuration) -> Result<bool, Fault> {
    if !configuration.topology.runs(Role::Cloud) {
        return Ok(read_serving(state)?.is_some() && process::find(state)?.is_some());
    }
    if client::read_endpoint(state)?.is_none() || process::find(state)?.is_none() {
        return Ok(false);
    }
    let region = configuration.cloud.default_region();
    let client = match Client::connect(state, Some(&region)) {
        // The address was that of a cloud that was killed, and the new one has just removed it.
        Err(fault) if fault.is_not_running() => return Ok(false),
        client => client?,
    };
    Ok(client.call::<Done>(&Request::new("DescribeRegions")).is_ok())
}

fn spawn_detached(state: &StateDirectory, arguments: &[OsString]) -> Result<Child, Fault> {
    let path = state.log();
    let log = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let log = log.map_err(Fault::io("open", &path))?;
    let also_log = log.try_clone().map_err(Fault::io("open", &path))?;
    let program = env::current_exe().map_err(|e| Fault::of(&e))?;
    let mut command = Command::new(&program);
    command.args(arguments).stdin(Stdio::null()).stdout(log).stderr(also_log);
    // SAFETY: `setsid` is safe between fork and exec, and cannot fail in a child that leads no
    // group. Without it the terminal that is closed later would take the cloud along.
    unsafe {
        command.pre_exec(|| match libc::setsid() {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    command.spawn().map_err(Fault::io("start", &program))
}

fn listen(address: SocketAddr) -> Result<TcpListener, Fault> {
    TcpListener::bind(address).map_err(|error| {
        let fault = Fault::failed(format!("cannot listen at {address}: {error}"));
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                fault.remedy("another program has that port; choose one with `--listen ADDR:PORT`")
            }
            io::ErrorKind::AddrNotAvailable => {
                fault.remedy("this host has no such address; `127.0.0.1` is always there")
            }
            _ => fault.remedy("choose another address or port with `--listen ADDR:PORT`"),
        }
    })
}

/// An address that a client on this host can use: "any" is none.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => [127, 0, 0, 1].into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn remove_if_there(path: &Path) -> Result<(), Fault> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Fault::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// The last lines of what was written since `begin`, in one line.
fn log_tail(path: &Path, begin: u64) -> String {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|mut log| {
        let end = log.seek(SeekFrom::End(0))?;
        log.seek(SeekFrom::Start(begin.max(end.saturating_sub(LOG_TAIL_BYTES as u64))))?;
        log.read_to_end(&mut bytes)
    });
    if let Err(error) = read {
        return format!("(cannot read `{}`: {error})", path.display());
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join(" | ")
}

impl From<Hypervisor> for HypervisorChoice {
    fn from(named: Hypervisor) -> HypervisorChoice {
        match named {
            Hypervisor::Auto => HypervisorChoice::Auto,
            Hypervisor::Kvm => HypervisorChoice::Kvm,
            Hypervisor::Tcg => HypervisorChoice::Tcg,
            Hypervisor::Simulated => HypervisorChoice::Simulated,
        }
    }
}

impl From<TopologyKind> for Topology {
    fn from(named: TopologyKind) -> Topology {
        match named {
            TopologyKind::Local => Topology::Local,
            TopologyKind::Loopback => Topology::Loopback,
            TopologyKind::Linked => Topology::Linked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_goes_before_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.toml");
        let text =
            "[cloud]\nlisten = \"127.0.0.1:1\"\n[[node]]\nname = \"n1\"\n[[node]]\nname = \"n2\"";
        fs::write(&file, text).unwrap();
        let up = Up {
            config: Some(file),
            listen: Some("127.0.0.1:2".parse().unwrap()),
            hypervisor: Some(Hypervisor::Simulated),
            topology: Some(TopologyKind::Loopback),
            detach: false,
        };
        let configuration = up.configuration(None).unwrap();
        assert_eq!(configuration.cloud.listen.port(), 2);
        assert_eq!(configuration.topology.kind, Topology::Loopback);
        let simulated = HypervisorChoice::Simulated;
        assert!(configuration.nodes.iter().all(|node| node.hypervisor == simulated));
    }

    #[test]
    fn a_port_in_use_is_refused_with_a_remedy() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let fault = listen(taken.local_addr().unwrap()).unwrap_err().to_string();
        assert!(fault.contains("in use") && fault.contains("--listen"), "{fault}");
    }

    #[test]
    fn clients_on_this_host_are_given_an_address_they_can_reach() {
        let reachable = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reachable("0.0.0.0:8773"), "127.0.0.1:8773");
        assert_eq!(reachable("[::]:8773"), "[::1]:8773");
        assert_eq!(reachable("10.0.0.1:8773"), "10.0.0.1:8773");
    }

    #[test]
    fn the_tail_of_the_log_is_of_this_start_only() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        fs::write(&log, "old line\nnew one\n\nnew two\n").unwrap();
        assert_eq!(log_tail(&log, 9), "new one | new two");
        assert_eq!(log_tail(&log, 1000), "");
    }
}
