//! Programs under measurement: started, waited for, looked at, and ended with the value.

use super::request::Request;
use std::{
    env, fs, io,
    net::{SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

#[derive(Debug)]
pub struct Program {
    child: Child,
    begun: Instant,
    pub address: SocketAddr,
    log: PathBuf,
}

impl Program {
    /// Starts it; its words go to `log`.
    pub fn start(command: &mut Command, address: SocketAddr, log: &Path) -> Program {
        let file = fs::File::create(log).unwrap();
        let begun = Instant::now();
        end_with_us(command);
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Program { child, begun, address, log: log.to_owned() }
    }

    /// Asks until it answers, and says how long that took from its start on.
    pub fn wait(&mut self, request: &Request, patience: Duration) -> Duration {
        loop {
            let failure = match request.send(self.address) {
                Ok(_) => return self.begun.elapsed(),
                Err(error) => error,
            };
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || self.begun.elapsed() > patience {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                panic!("no answer ({failure}); ended: {ended:?}; {log}");
            }
            thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// Of the process and those it started.
    pub fn resident_mb(&self) -> f64 {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let children = children.split_whitespace().map(|child| child.parse().unwrap());
        children.chain([pid]).map(resident_kib).sum::<f64>() / 1024.0
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: a signal to a child that has not been waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        _ = self.child.wait();
    }
}

/// However the bench ends, even by a signal, what the command starts ends too.
pub fn end_with_us(command: &mut Command) {
    // SAFETY: `prctl` is safe between fork and exec.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
}

pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The cloud's program: this build's, or that of `MALLEE_BENCH_PROGRAM`, to compare two builds.
pub fn mallee() -> PathBuf {
    let given = env::var_os("MALLEE_BENCH_PROGRAM").map(PathBuf::from);
    given.unwrap_or_else(|| env!("CARGO_BIN_EXE_mallee").into())
}

/// On the disk of the build: the system's temporary directory may be memory, where nothing is
/// durable.
pub fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn resident_kib(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
