//! Network namespaces without names, which end with this process, and programs in them.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd, RawFd},
        unix::process::CommandExt,
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

pub const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    pub fn new() -> Namespace {
        let made = thread::spawn(|| {
            // SAFETY: no pointers are passed; it concerns this thread only.
            let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
            assert_eq!(result, 0, "this bench needs root: {}", io::Error::last_os_error());
            Namespace(File::open("/proc/thread-self/ns/net").expect("a thread has a namespace"))
        });
        let namespace = made.join().expect("the thread made a namespace");
        namespace.run("ip link set lo up");
        // Nobody's own words shall be in the way of what is measured.
        namespace.run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
        namespace
    }

    pub fn command(&self, line: &str) -> Command {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().expect("a command has a name"));
        command.args(words);
        self.place(&mut command);
        command
    }

    /// The command will run inside, and end with this process.
    pub fn place(&self, command: &mut Command) {
        let namespace = self.0.as_raw_fd();
        // SAFETY: both calls may be made between fork and exec, and the descriptor is open there.
        unsafe {
            command.pre_exec(move || {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                enter(namespace)
            });
        }
    }

    pub fn run(&self, line: &str) -> String {
        let output =
            self.command(line).output().unwrap_or_else(|error| panic!("`{line}`: {error}"));
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{line}` failed: {words}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn succeeds(&self, line: &str) -> bool {
        self.command(line).output().is_ok_and(|output| output.status.success())
    }

    pub fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                enter(self.0.as_raw_fd()).expect("the namespace is there");
                act()
            });
            inside.join().expect("what is done inside ends well")
        })
    }

    /// A path by which `ip` can be told of it.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

fn enter(namespace: RawFd) -> io::Result<()> {
    // SAFETY: no pointers are passed; it concerns this thread only.
    match unsafe { libc::setns(namespace, libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A program that ends when it is dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    /// What it makes and does not take away.
    leaves: Option<PathBuf>,
}

impl Program {
    /// Its input stays open, for programs that end with it.
    pub fn start(mut command: Command) -> Program {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Program { child, leaves: None }
    }

    /// It ends when this file is gone, and leaves it behind.
    pub fn leaving(mut self, file: String) -> Program {
        self.leaves = Some(file.into());
        self
    }

    /// CPU time so far, of all its threads.
    pub fn cpu(&self) -> f64 {
        let line = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))
            .expect("the program runs");
        let after_name = line.rsplit_once(')').expect("a name in parentheses").1;
        let ticks: Vec<f64> = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|word| word.parse().expect("a number of ticks"))
            .collect();
        // SAFETY: no pointers are passed.
        let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
        ticks.iter().sum::<f64>() / per_second
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself, and its file with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(file) = &self.leaves {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Asks until it is so.
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not in time");
        thread::park_timeout(Duration::from_millis(20));
    }
}
