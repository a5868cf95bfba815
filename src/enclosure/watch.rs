//! The thread that notices when the way to the world is lost.
//!
//! `slirp4netns` may end, by a fault of its own, for lack of memory, or with its broker. It is
//! asked for again, at the same network, so that guests keep their name server; connections
//! through the old one are lost. Between attempts that fail the pauses grow. When nobody is left to
//! ask, which takes the end of the broker and of its guard, the log says what to do.

use super::{UPLINK, broker::Broker, namespaces};
use crate::domain::port_filter::Cidr;
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
    thread,
    time::Duration,
};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

pub(super) fn start(broker: Arc<Broker>, network: Cidr, process: OwnedFd) -> io::Result<()> {
    let line = broker.line()?;
    thread::Builder::new()
        .name("uplink".to_owned())
        .spawn(move || watch(&broker, &line, network, process))
        .map(drop)
}

fn watch(broker: &Broker, line: &OwnedFd, network: Cidr, mut process: OwnedFd) {
    while has_ended(line, &process) {
        log::warn!("guests cannot reach the world: `slirp4netns` has ended; it is started again");
        match connect_again(broker, line, network) {
            Some(again) => process = again,
            None => break,
        }
        log::info!("guests can reach the world again");
    }
    log::error!(
        "the broker has ended: guests cannot reach the world, and ports that are authorized from \
         now on cannot be offered; `mallee down` and `mallee up` restore both, and guests go on \
         meanwhile"
    );
}

/// Tries until there is one, or nobody to ask.
fn connect_again(broker: &Broker, line: &OwnedFd, network: Cidr) -> Option<OwnedFd> {
    let mut pause = FIRST_PAUSE;
    let mut said = String::new();
    while !is_hung_up(line) {
        namespaces::wait_until_gone(UPLINK);
        match broker.connect(network) {
            Ok(process) => return Some(process),
            Err(why) if why != said => {
                log::warn!("guests cannot reach the world: {why}");
                said = why;
            }
            Err(_) => {}
        }
        thread::sleep(pause);
        pause = LONGEST_PAUSE.min(pause * 2);
    }
    None
}

/// Waits for the end of the process. False if the line hangs up first.
fn has_ended(line: &OwnedFd, process: &OwnedFd) -> bool {
    let [line, process] = wait([(line, 0), (process, libc::POLLIN)], -1);
    !line && process
}

fn is_hung_up(line: &OwnedFd) -> bool {
    let [line] = wait([(line, 0)], 0);
    line
}

/// What has happened of what is waited for; a hang-up always is.
fn wait<const N: usize>(what: [(&OwnedFd, i16); N], patience_ms: i32) -> [bool; N] {
    let mut waiting =
        what.map(|(fd, events)| libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 });
    // SAFETY: the array is live and its length is given. It fails only for being interrupted.
    while unsafe { libc::poll(waiting.as_mut_ptr(), N as libc::nfds_t, patience_ms) } < 0 {}
    waiting.map(|one| one.revents != 0)
}
