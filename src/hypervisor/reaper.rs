//! A small parent process that reaps what our guests leave behind.
//!
//! QEMU daemonizes, so when it ends it is a child of the nearest subreaper, usually process 1.
//! Where process 1 reaps slowly or never (many containers), libvirt sees the zombie, waits for it
//! to go, and every destroy takes two seconds instead of 0.2. So Mallee splits in two at its very
//! start: the parent becomes a subreaper and does nothing but wait, the child is the program.
//!
//! The parent passes signals on and ends with the child's exit code, so that a service manager or
//! a shell cannot tell the difference. It does not restart the child, and it ends no guest: they
//! are meant to outlive us. If the parent is killed outright, the child is asked to terminate.

use std::{io, ptr};

/// The signals a service manager or a terminal sends to ask something of a program.
const FORWARDED: [libc::c_int; 6] =
    [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// Why the process could not be split.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseFault {
    #[error("the process has threads already, so it cannot be forked safely")]
    Threads,
    #[error("cannot {doing}")]
    System {
        doing: &'static str,
        #[source]
        source: io::Error,
    },
}

/// Forks. Returns in the child, which goes on as the real program; the parent never returns.
///
/// To be called first thing in `main`, before any thread exists: a forked copy of a process with
/// threads may hold locks nobody will ever release.
pub fn supervise() -> Result<(), SuperviseFault> {
    if !single_threaded() {
        return Err(SuperviseFault::Threads);
    }
    // Signals that arrive between the fork and the parent's first wait stay pending.
    let signals = signal_set();
    let mut before = empty_set();
    // SAFETY: plain system calls on memory of our own; the process has one thread, so the child
    // is a complete copy.
    unsafe {
        check("become a subreaper", libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))?;
        check("block signals", libc::sigprocmask(libc::SIG_BLOCK, &signals, &mut before))?;
        let parent = libc::getpid();
        let child = check("fork", libc::fork())?;
        if child != 0 {
            wait_for(child, &signals);
        }
        check("set the parent's death signal", libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM))?;
        if libc::getppid() != parent {
            libc::_exit(128 + libc::SIGTERM); // The parent died before the line above took effect.
        }
        check("restore signals", libc::sigprocmask(libc::SIG_SETMASK, &before, ptr::null_mut()))?;
    }
    Ok(())
}

/// Whether this process consists of one thread: true only when that is certain.
pub fn single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

/// The parent's whole life: forward signals, reap orphans, end when the child does.
fn wait_for(child: libc::pid_t, signals: &libc::sigset_t) -> ! {
    loop {
        let mut signal = 0;
        // SAFETY: both pointers are to live memory of our own.
        if unsafe { libc::sigwait(signals, &mut signal) } != 0 {
            continue;
        }
        if signal != libc::SIGCHLD {
            // SAFETY: `child` is our unreaped child, so the number cannot be anybody else's.
            unsafe { libc::kill(child, signal) };
            continue;
        }
        while let Some((pid, status)) = reap_one() {
            if pid == child {
                // SAFETY: nothing of ours needs its destructor; the child has done the work.
                unsafe { libc::_exit(exit_code(status)) }
            }
        }
    }
}

fn reap_one() -> Option<(libc::pid_t, libc::c_int)> {
    let mut status = 0;
    // SAFETY: `status` is live; `WNOHANG` keeps this from blocking.
    let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
    (pid > 0).then_some((pid, status))
}

/// A shell's convention: the code itself, or 128 and the signal.
fn exit_code(status: libc::c_int) -> libc::c_int {
    if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) }
}

fn signal_set() -> libc::sigset_t {
    let mut set = empty_set();
    for signal in FORWARDED.into_iter().chain([libc::SIGCHLD]) {
        // SAFETY: `set` is initialized and `signal` is a valid number.
        unsafe { libc::sigaddset(&mut set, signal) };
    }
    set
}

fn empty_set() -> libc::sigset_t {
    // SAFETY: `sigemptyset` initializes every byte it is given.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        set
    }
}

fn check(doing: &'static str, result: libc::c_int) -> Result<libc::c_int, SuperviseFault> {
    if result < 0 {
        return Err(SuperviseFault::System { doing, source: io::Error::last_os_error() });
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_is_not_split() {
        // The test harness runs this in a thread of its own.
        assert!(matches!(supervise(), Err(SuperviseFault::Threads)));
    }

    #[test]
    fn exit_codes_follow_the_shell() {
        assert_eq!(exit_code(3 << 8), 3);
        assert_eq!(exit_code(libc::SIGKILL), 128 + libc::SIGKILL);
    }
}
