//! A host in namespaces of this test's own, and an ordinary user of it.

use crate::{
    guest::{Guest, Namespace},
    life::{Answer, Greeting, Order},
};
use mallee::domain::{
    elastic_address::{Egress, Elastic, ElasticAssignment},
    id::InterfaceId,
    interface::InterfaceSpec,
    port_filter::{Permit, PortFilter},
};
use mallee::imaging::demo::{DemoOptions, build_demo};
use std::{
    ffi::CString,
    fs,
    io::{BufRead, BufReader, Lines, Write},
    net::Ipv4Addr,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Set for the process that is to be inside: where it keeps its record.
pub const INSIDE: &str = "MALLEE_TEST_INSIDE";

pub const USER: u32 = 65534;
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Host {
    pub namespace: Namespace,
    pub home: TempDir,
    /// The demo image's disk, built once and again only when its inputs have changed.
    pub image: PathBuf,
}

impl Host {
    /// Takes this process, which must have no threads, into namespaces of its own.
    pub fn new() -> Host {
        // While the package archives can be reached.
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
        let options = DemoOptions { work: directory.join("work"), output: directory.join("demo") };
        let image = build_demo(&options, &mut |step| println!("  {step}")).unwrap().disk;
        // SAFETY: no pointers are passed.
        let left = unsafe { libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWNET) };
        assert_eq!(left, 0, "this test needs root: {}", std::io::Error::last_os_error());
        let home = TempDir::new().unwrap();
        let program = home.path().join("program");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        std::os::unix::fs::chown(home.path(), Some(USER), Some(USER)).unwrap();
        mount(None, Path::new("/"), libc::MS_REC | libc::MS_PRIVATE);
        let host = Host { namespace: Namespace::of("self"), home, image };
        host.namespace.run("ip link set lo up");
        let tun = host.tun();
        let number = libc::makedev(10, 200);
        let path = CString::new(tun.as_os_str().as_bytes()).unwrap();
        // SAFETY: the path is a C string.
        assert_eq!(unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | 0o666, number) }, 0);
        host.let_everybody_open_taps(true);
        mount(Some(&tun), Path::new("/dev/net/tun"), libc::MS_BIND);
        host
    }

    /// Our own node for the device.
    fn tun(&self) -> PathBuf {
        self.home.path().join("tun")
    }

    pub fn let_everybody_open_taps(&self, allowed: bool) {
        let mode = if allowed { 0o666 } else { 0o600 };
        fs::set_permissions(self.tun(), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// This program, to be run by the ordinary user.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.home.path().join("program"));
        command.env(INSIDE, self.home.path().join(name)).uid(USER).gid(USER).current_dir("/");
        command
    }

    pub fn live(&self, name: &str) -> Life {
        let mut command = self.command(name);
        let log = fs::File::create(self.log(name)).unwrap();
        command.env("RUST_LOG", "info").stderr(log);
        let life = Life::begin(command);
        life.unwrap_or_else(|fault| panic!("{fault}\n{}", self.said(name)))
    }

    /// What a life has said so far.
    pub fn said(&self, name: &str) -> String {
        fs::read_to_string(self.log(name)).unwrap()
    }

    fn log(&self, name: &str) -> PathBuf {
        self.home.path().join(format!("{name}.log"))
    }
}

/// The ordinary user's process.
pub struct Life {
    outermost: Child,
    orders: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    pub greeting: Greeting,
    pub network: Namespace,
}

impl Life {
    /// What it says if it cannot begin.
    pub fn begin(mut command: Command) -> Result<Life, String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut outermost = command.spawn().unwrap();
        let orders = outermost.stdin.take();
        let mut answers = BufReader::new(outermost.stdout.take().unwrap()).lines();
        let first = answers.next().expect("it says how it began").unwrap();
        match serde_json::from_str::<Result<Greeting, String>>(&first).unwrap() {
            Ok(greeting) => {
                let network = Namespace::of(&greeting.process.to_string());
                Ok(Life { outermost, orders, answers, greeting, network })
            }
            Err(fault) => {
                assert!(!outermost.wait().unwrap().success());
                Err(fault)
            }
        }
    }

    pub fn ask(&mut self, order: &Order) -> Answer {
        let line = serde_json::to_string(order).unwrap();
        writeln!(self.orders.as_mut().unwrap(), "{line}").unwrap();
        serde_json::from_str(&self.answers.next().unwrap().unwrap()).unwrap()
    }

    /// Attaches an interface and puts a guest at its end.
    pub fn guest(&mut self, interface: &InterfaceSpec) -> Guest {
        let tap = self.attach(interface);
        let guest = Guest::plugged_into(&self.network, &tap, interface);
        guest.configure(interface);
        guest
    }

    pub fn attach(&mut self, interface: &InterfaceSpec) -> String {
        let instance = "i-12345678".parse().unwrap();
        self.ask(&Order::Attach(instance, interface.clone())).unwrap()
    }

    pub fn admit(&mut self, interface: &InterfaceId, permits: Vec<Permit>) {
        self.ask(&Order::SetFilter(interface.clone(), PortFilter { permits })).unwrap();
    }

    /// Has the world find the interface at this address too, or no longer.
    pub fn assign(&mut self, interface: &InterfaceId, generation: u64, address: Option<Ipv4Addr>) {
        let egress = Egress::Masqueraded;
        let elastic = address.map(|address| Elastic { address, egress });
        let assignment = ElasticAssignment { generation, elastic };
        self.ask(&Order::SetElastic(interface.clone(), assignment)).unwrap();
    }

    /// Lets it end by itself.
    pub fn end(mut self) {
        drop(self.orders.take());
        assert!(self.outermost.wait().unwrap().success());
    }

    /// As `kill -9` does, of the program and not of its parent.
    pub fn kill(mut self) {
        // SAFETY: the process is a child of a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(self.greeting.process as i32, libc::SIGKILL) }, 0);
        assert!(!self.outermost.wait().unwrap().success());
    }

    /// The same of its parent, which only waits.
    pub fn kill_parent(mut self) {
        self.outermost.kill().unwrap();
        self.outermost.wait().unwrap();
    }
}

/// Processes of the ordinary user on this test's host, by the names they give themselves.
pub fn processes(host: &Host) -> Vec<(u32, String)> {
    let ours = fs::read_link(host.namespace.path()).unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let facts = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let user = format!("Uid:\t{USER}\t");
        let network = fs::read_link(entry.path().join("ns/net"));
        let is_here =
            network.is_ok_and(|network| network == ours || is_child_of_ours(&entry.path()));
        if facts.contains(&user) && is_here {
            let name = facts.lines().next().unwrap_or_default().replace("Name:\t", "");
            found.push((number, name));
        }
    }
    found
}

/// Whether it has this test's mounts, and so was started by it.
fn is_child_of_ours(process: &Path) -> bool {
    let own = fs::read_link("/proc/self/ns/mnt").unwrap();
    fs::read_link(process.join("ns/mnt")).is_ok_and(|mounts| mounts == own)
}

pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}");
        std::thread::yield_now();
    }
}

fn mount(source: Option<&Path>, target: &Path, flags: libc::c_ulong) {
    let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).unwrap();
    let source = source.map(text);
    let target = text(target);
    let source = source.as_ref().map_or(std::ptr::null(), |path| path.as_ptr());
    let null = std::ptr::null();
    // SAFETY: the paths are C strings that outlive the call, and no options are passed.
    let result = unsafe { libc::mount(source, target.as_ptr(), null, flags, null.cast()) };
    assert_eq!(result, 0, "mount: {}", std::io::Error::last_os_error());
}
