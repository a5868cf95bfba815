//! A cloud as processes: the real binary with simulated guests, to be told stories through EC2's
//! interface, killed and started again.

use crate::{
    client::{ACCESS_KEY, Client, Document, SECRET_KEY},
    hosts::Hosts,
    parts::{self, Part},
};
use std::{
    fs,
    io::{BufRead, BufReader, Lines, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How the managers reach one another: in one process, or with a bar between those of different
/// processes, which join by tokens. A story that must know which it is in is a bug.
pub const TOPOLOGIES: [&str; 6] = [
    "local",
    "loopback",
    "linked",
    "cloud group | node",
    "cloud | group node",
    "cloud | group | node",
];

/// Those in which a group's nodes are where it is, and configured there.
pub const NODES_CONFIGURED: [&str; 4] = ["local", "loopback", "linked", "cloud | group node"];

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Cloud {
    processes: Vec<(Part, Option<Child>)>,
    directory: tempfile::TempDir,
    topology: String,
    /// What is logged, as `RUST_LOG` says it.
    logging: &'static str,
    pub address: SocketAddr,
    /// Where managers meet those of other processes.
    ports: parts::Ports,
    /// Each process is on one, if there are any.
    hosts: Option<Hosts>,
}

impl Cloud {
    pub fn start(topology: &str) -> Cloud {
        Cloud::start_with(topology, "")
    }

    /// With lines of its own in the node's section of the configuration.
    pub fn start_with(topology: &str, node: &str) -> Cloud {
        let mut cloud = Cloud::configured(topology, "info", &section("laptop", node));
        cloud.begin();
        cloud
    }

    /// One that logs this, as `RUST_LOG` says it.
    pub fn start_logging(topology: &str, logging: &'static str) -> Cloud {
        let mut cloud = Cloud::configured(topology, logging, &section("laptop", ""));
        cloud.begin();
        cloud
    }

    pub fn configured(topology: &str, logging: &'static str, configuration: &str) -> Cloud {
        let mut cloud = Cloud {
            processes: Vec::new(),
            directory: tempfile::tempdir().unwrap(),
            topology: topology.to_owned(),
            logging,
            address: free_address(),
            ports: parts::Ports::default(),
            hosts: None,
        };
        cloud.configure(configuration);
        cloud
    }

    /// A cloud of three processes, each on a host of its own.
    pub fn on_hosts(logging: &'static str, configuration: &str) -> Cloud {
        let hosts = Hosts::lay();
        let mut cloud = Cloud {
            processes: Vec::new(),
            directory: tempfile::tempdir().unwrap(),
            topology: "cloud | group | node".to_owned(),
            logging,
            address: hosts.api(),
            ports: parts::Ports::on(&hosts),
            hosts: Some(hosts),
        };
        cloud.configure(configuration);
        cloud
    }

    /// The network namespace that a process is in.
    pub fn host(&self, index: usize) -> &str {
        &self.hosts.as_ref().expect("it is on hosts").names[index]
    }

    /// From its next beginning on.
    pub fn configure(&mut self, configuration: &str) {
        assert!(self.processes.iter().all(|(_, process)| process.is_none()), "it runs");
        let parts = parts::of(&self.topology, configuration, &mut self.ports);
        for part in &parts {
            fs::write(self.configuration_of(part), &part.configuration).unwrap();
        }
        self.processes = parts.into_iter().map(|part| (part, None)).collect();
    }

    fn configuration_of(&self, part: &Part) -> PathBuf {
        self.directory.path().join(format!("{}.toml", part.name))
    }

    fn state_of(&self, part: &Part) -> PathBuf {
        self.directory.path().join(&part.name)
    }

    /// Where the cloud's only node keeps things.
    pub fn node(&self) -> PathBuf {
        self.node_named("laptop")
    }

    pub fn node_named(&self, node: &str) -> PathBuf {
        self.state_of(&self.processes[self.index_of(node)].0).join("node").join(node)
    }

    pub fn client(&self) -> Client {
        self.client_in("eu-west-1")
    }

    pub fn client_in(&self, region: &str) -> Client {
        Client::of(self.address, region)
    }

    /// Starts every process, those below first if they are members already, and waits until the
    /// cloud answers and knows its nodes.
    pub fn begin(&mut self) {
        self.begin_but(None);
    }

    /// The same on a day when the host of one node is not there.
    pub fn begin_without(&mut self, node: &str) {
        self.begin_but(Some(self.index_of(node)));
    }

    fn begin_but(&mut self, absent: Option<usize>) {
        let mut last_first: Vec<usize> = (0..self.processes.len()).rev().collect();
        let is_member =
            |part: &Part| part.joins.is_none() || self.state_of(part).join("membership").exists();
        if !self.processes.iter().all(|(part, _)| is_member(part)) {
            last_first.reverse();
        }
        for index in last_first.into_iter().filter(|index| Some(*index) != absent) {
            self.start_process(index);
        }
        self.wait_until_nodes_report();
    }

    /// Those of the processes that run.
    pub fn wait_until_nodes_report(&mut self) {
        self.wait_until_it_answers();
        let here = self.processes.iter().filter(|(_, process)| process.is_some());
        let nodes: usize = here.map(|(part, _)| part.nodes.len()).sum();
        let client = self.client();
        self.wait("every node has reported", |_| {
            let verbose = [("ZoneName.1", "verbose")];
            let zones = client.ask("DescribeAvailabilityZones", &verbose).all("zoneState");
            let reported = zones.iter().filter(|state| state.starts_with("reported"));
            (reported.count() >= nodes).then_some(())
        });
    }

    /// The process of the cloud's manager joins a group, which is elsewhere, as a node, and is
    /// started again as both.
    pub fn join_beside_the_cloud(&mut self, group: &str, node: &str) {
        let token = self.mallee(0, &["token", "create", "--role", "node", "--group", group]);
        self.mallee(0, &["join", token.trim(), "--name", node]);
        self.kill_process(0);
        self.processes[0].0.run_node(node);
        let part = &self.processes[0].0;
        fs::write(self.configuration_of(part), &part.configuration).unwrap();
        self.start_process(0);
    }

    pub fn start_process(&mut self, index: usize) {
        let (part, process) = &self.processes[index];
        assert!(process.is_none(), "it runs already");
        if let Some(joins) = part.joins.clone() {
            if !self.state_of(part).join("membership").exists() {
                self.wait_until_it_answers();
                let token = self
                    .mallee(0, &["token", "create", "--role", joins.role, "--group", &joins.group]);
                self.mallee(index, &["join", token.trim(), "--name", &joins.name]);
            }
        }
        let (part, _) = &self.processes[index];
        let log = self.log_file();
        let mut command = self.command(index);
        command.arg("up").args(["--config".as_ref(), self.configuration_of(part).as_os_str()]);
        if part.joins.is_none() {
            command.args(["--listen", &self.address.to_string()]);
        }
        if parts::is_one_process(&self.topology) {
            command.args(["--topology", &self.topology]);
        }
        let child =
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        self.processes[index].1 = Some(child.unwrap());
    }

    fn command(&self, index: usize) -> Command {
        let part = &self.processes[index].0;
        let program = env!("CARGO_BIN_EXE_mallee");
        let mut command = match &self.hosts {
            None => Command::new(program),
            Some(hosts) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &hosts.names[index], program]);
                command
            }
        };
        command
            .args(["--state".as_ref(), self.state_of(part).as_os_str()])
            .env("RUST_LOG", self.logging)
            .env("MALLEE_ROOT_ACCESS_KEY_ID", ACCESS_KEY)
            .env("MALLEE_ROOT_SECRET_ACCESS_KEY", SECRET_KEY);
        command
    }

    /// Runs a command on the host of one of the processes.
    pub fn mallee(&self, index: usize, arguments: &[&str]) -> String {
        let done = self.command(index).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{arguments:?}: {said}\n{}", self.log());
        String::from_utf8(done.stdout).unwrap()
    }

    /// What `mallee events` shows on the hosts of all processes.
    pub fn events(&self, arguments: &[&str]) -> String {
        let arguments = [&["events"], arguments].concat();
        (0..self.processes.len()).map(|index| self.mallee(index, &arguments)).collect()
    }

    /// Of the process of the cloud.
    pub fn events_directory(&self) -> PathBuf {
        self.state_of(&self.processes[0].0).join("events")
    }

    pub fn follow_events(&self) -> Follower {
        let mut command = self.command(0);
        command.args(["events", "--follow", "--output", "json"]);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Follower { process, lines }
    }

    pub fn processes(&self) -> usize {
        self.processes.len()
    }

    /// What the switch of a process says of itself; null where there is none, or no process.
    pub fn overlay(&self, index: usize) -> serde_json::Value {
        let asked = ["overlay", "status", "--output", "json"];
        let done = self.command(index).args(asked).output().unwrap();
        match done.status.code() {
            Some(0) => serde_json::from_slice(&done.stdout).unwrap(),
            Some(3) => serde_json::Value::Null,
            _ => panic!("{}", String::from_utf8_lossy(&done.stderr)),
        }
    }

    /// The figures of one of the processes.
    pub fn metrics(&self, index: usize) -> String {
        let at = self.processes[index].0.metrics.expect("it is configured to have metrics");
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200"), "{answer}");
        body.to_owned()
    }

    fn log_file(&self) -> fs::File {
        let path = self.directory.path().join("log");
        fs::OpenOptions::new().create(true).append(true).open(path).unwrap()
    }

    pub fn wait_until_it_answers(&mut self) {
        let client = self.client();
        self.wait("the cloud answers", |cloud| {
            let log = cloud.log();
            for (part, process) in &mut cloud.processes {
                if let Some(status) = process.as_mut().and_then(|child| child.try_wait().unwrap()) {
                    panic!("`{}` ended with {status}:\n{log}", part.name);
                }
            }
            matches!(client.call("DescribeRegions", &[]), Ok(Ok(_))).then_some(())
        });
    }

    /// `kill -9` of every program, not of the parents that reap for them.
    pub fn kill(&mut self) {
        for index in 0..self.processes.len() {
            self.kill_process(index);
        }
    }

    pub fn kill_process(&mut self, index: usize) {
        let mut parent = self.processes[index].1.take().expect("it runs");
        // One that was started a moment ago may not have become two yet.
        let programs = self.wait("there is a program to be killed", |_| {
            let programs = children(parent.id());
            (!programs.is_empty() || parent.try_wait().unwrap().is_some()).then_some(programs)
        });
        for program in programs {
            // SAFETY: a system call on a process of our own making.
            unsafe { libc::kill(program, libc::SIGKILL) };
        }
        parent.wait().unwrap();
    }

    /// The process of a node stands still, as on a host that is cut off.
    pub fn freeze(&self, node: &str) {
        self.freeze_process(self.index_of(node));
    }

    pub fn thaw(&self, node: &str) {
        self.thaw_process(self.index_of(node));
    }

    pub fn freeze_process(&self, index: usize) {
        self.signal(index, libc::SIGSTOP);
    }

    pub fn thaw_process(&self, index: usize) {
        self.signal(index, libc::SIGCONT);
    }

    fn signal(&self, index: usize, signal: i32) {
        for program in self.programs(index) {
            // SAFETY: as above.
            unsafe { libc::kill(program, signal) };
        }
    }

    /// The processes below the parent that reaps for them.
    pub fn programs(&self, index: usize) -> Vec<i32> {
        children(self.processes[index].1.as_ref().expect("it runs").id())
    }

    fn index_of(&self, node: &str) -> usize {
        let runs = |(part, _): &(Part, _)| part.nodes.iter().any(|name| name == node);
        self.processes.iter().position(runs).expect("some process runs it")
    }

    /// The host of a node is emptied and joins anew, under the same name.
    pub fn rejoin(&mut self, node: &str) {
        let index = self.index_of(node);
        self.kill_process(index);
        fs::remove_dir_all(self.state_of(&self.processes[index].0)).unwrap();
        self.start_process(index);
    }

    /// As an operator does it.
    pub fn stop(&mut self) {
        for parent in self.processes.iter().filter_map(|(_, process)| process.as_ref()) {
            // SAFETY: as above.
            unsafe { libc::kill(parent.id() as i32, libc::SIGTERM) };
        }
        for process in self.processes.iter_mut().filter_map(|(_, process)| process.take()) {
            let mut process = process;
            process.wait().unwrap();
        }
    }

    /// Looks until there is something, or fails with what the cloud has logged.
    pub fn wait<T>(&mut self, what: &str, look: impl FnMut(&mut Cloud) -> Option<T>) -> T {
        self.wait_within(PATIENCE, look).unwrap_or_else(|| panic!("never: {what}\n{}", self.log()))
    }

    pub fn wait_within<T>(
        &mut self,
        patience: Duration,
        mut look: impl FnMut(&mut Cloud) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(found) = look(self) {
                return Some(found);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::yield_now();
            thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Waits until every instance named is in the state.
    pub fn wait_for(&mut self, client: &Client, instances: &[String], state: &str) {
        self.wait(&format!("{instances:?} {state}"), |_| {
            let described = states(&describe(client, instances));
            (described.len() == instances.len() && described.iter().all(|(_, s)| s == state))
                .then_some(())
        });
    }

    pub fn whole_log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The end of it.
    pub fn log(&self) -> String {
        let log = self.whole_log();
        let from = log.len().saturating_sub(8000);
        log.get(from..).unwrap_or(&log).to_owned()
    }
}

/// `mallee events --follow`.
pub struct Follower {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    /// All that it shows until the line that has this in it.
    pub fn until(&mut self, last: &str) -> Vec<String> {
        let mut shown = Vec::new();
        for line in self.lines.by_ref() {
            shown.push(line.unwrap());
            if shown.last().is_some_and(|line| line.contains(last)) {
                return shown;
            }
        }
        panic!("it ended before `{last}`: {shown:#?}");
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        for parent in self.processes.iter_mut().filter_map(|(_, process)| process.as_mut()) {
            // One that a story left frozen would never end. SAFETY: as above.
            children(parent.id())
                .iter()
                .for_each(|program| unsafe { _ = libc::kill(*program, libc::SIGCONT) });
            // SAFETY: as above.
            unsafe { libc::kill(parent.id() as i32, libc::SIGTERM) };
            let _ = parent.wait();
        }
    }
}

/// A node's section of a configuration.
pub fn section(name: &str, more: &str) -> String {
    format!("[[node]]\nname = \"{name}\"\ngroup = \"laptop\"\nhypervisor = \"simulated\"\n{more}\n")
}

pub fn describe(client: &Client, instances: &[String]) -> Document {
    let names: Vec<String> = (1..=instances.len()).map(|n| format!("InstanceId.{n}")).collect();
    let parameters: Vec<(&str, &str)> =
        names.iter().map(String::as_str).zip(instances.iter().map(String::as_str)).collect();
    client.ask("DescribeInstances", &parameters)
}

/// Each instance described, and the name of its state.
pub fn states(described: &Document) -> Vec<(String, String)> {
    let states = described.all("instanceState");
    let names = states.iter().map(|state| Document(state.clone()).first("name").unwrap());
    // An instance's id is told once in its element and again with each attachment elsewhere.
    let ids = described.all("instanceId");
    assert_eq!(ids.len(), states.len(), "{}", described.0);
    ids.into_iter().zip(names).collect()
}

/// Names in a directory that may not be there yet.
pub fn names_in(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What a simulated machine of a node has: its domains, or its ports.
pub fn kept_in(file: &Path) -> Vec<String> {
    mallee::ledger::Ledger::<String, serde_json::Value>::read(file).unwrap().into_keys().collect()
}

fn children(parent: u32) -> Vec<i32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let listed = fs::read_to_string(path).unwrap();
    listed.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
