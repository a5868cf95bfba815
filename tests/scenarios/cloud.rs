//! A cloud as a process: the real binary with simulated guests, to be told stories through EC2's
//! interface, killed and started again.

use crate::client::{ACCESS_KEY, Client, Document, SECRET_KEY};
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How the managers reach one another. A story that must know which it is in is a bug.
pub const TOPOLOGIES: [&str; 3] = ["local", "loopback", "linked"];

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Cloud {
    process: Option<Child>,
    directory: tempfile::TempDir,
    topology: String,
    /// What is logged, as `RUST_LOG` says it.
    logging: &'static str,
    pub address: SocketAddr,
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
        let cloud = Cloud {
            process: None,
            directory: tempfile::tempdir().unwrap(),
            topology: topology.to_owned(),
            logging,
            address: free_address(),
        };
        cloud.configure(configuration);
        cloud
    }

    /// From its next beginning on.
    pub fn configure(&self, configuration: &str) {
        fs::write(self.directory.path().join("cloud.toml"), configuration).unwrap();
    }

    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// Where the cloud's only node keeps things.
    pub fn node(&self) -> PathBuf {
        self.state().join("node/laptop")
    }

    pub fn client(&self) -> Client {
        self.client_in("eu-west-1")
    }

    pub fn client_in(&self, region: &str) -> Client {
        Client { address: self.address, region: region.to_owned() }
    }

    /// Starts the process and waits until it answers.
    pub fn begin(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.directory.path().join("log"))
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_mallee"))
            .arg("up")
            .args(["--config".as_ref(), self.directory.path().join("cloud.toml").as_os_str()])
            .args(["--state".as_ref(), self.state().as_os_str()])
            .args(["--listen", &self.address.to_string(), "--topology", &self.topology])
            .env("RUST_LOG", self.logging)
            .env("MALLEE_ROOT_ACCESS_KEY_ID", ACCESS_KEY)
            .env("MALLEE_ROOT_SECRET_ACCESS_KEY", SECRET_KEY)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(child);
        let client = self.client();
        self.wait("the cloud answers", |cloud| {
            let child = cloud.process.as_mut().unwrap();
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the cloud ended with {status}:\n{}", cloud.log());
            }
            matches!(client.call("DescribeRegions", &[]), Ok(Ok(_))).then_some(())
        });
    }

    /// `kill -9` of the program itself, not of the parent that reaps for it.
    pub fn kill(&mut self) {
        let mut parent = self.process.take().expect("it runs");
        for program in children(parent.id()) {
            // SAFETY: a system call on a process of our own making.
            unsafe { libc::kill(program, libc::SIGKILL) };
        }
        parent.wait().unwrap();
    }

    /// As an operator does it.
    pub fn stop(&mut self) {
        let mut parent = self.process.take().expect("it runs");
        // SAFETY: as above.
        unsafe { libc::kill(parent.id() as i32, libc::SIGTERM) };
        parent.wait().unwrap();
    }

    /// Looks until there is something, or fails with what the cloud has logged.
    pub fn wait<T>(&mut self, what: &str, mut look: impl FnMut(&mut Cloud) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "never: {what}\n{}", self.log());
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

impl Drop for Cloud {
    fn drop(&mut self) {
        if let Some(mut parent) = self.process.take() {
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

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
