//! Real guests through an embedded libvirt, under TCG.
//!
//! The conformance suite, and what only this driver promises. Needs libvirt's QEMU driver and
//! QEMU, no privileges and no daemon. Not run by the usual harness: libvirt embeds once per
//! process, so all stories share one, and `reaper::supervise` must run before there is any thread.

#[path = "../../src/hypervisor/conformance.rs"]
mod conformance;
mod guest;
mod lives;
mod stories;

// The suite names these as the library's own code does.
use mallee::{domain, hypervisor};

use hypervisor::Hypervisor;
use std::{env, path::PathBuf, process::ExitCode, time::Instant};

/// Set for a process that starts guests in order to be killed: which of the lives it is …
const LIFE: &str = "MALLEE_TEST_LIFE";
/// … and the directory that it shares with those after it.
const DIRECTORY: &str = "MALLEE_TEST_DIRECTORY";

fn main() -> ExitCode {
    hypervisor::reaper::supervise().expect("no thread has been started yet");
    let inherited = env::var_os(DIRECTORY).map(PathBuf::from);
    let fresh = tempfile::tempdir().unwrap();
    let directory = inherited.as_deref().unwrap_or(fresh.path());
    hypervisor::libvirt::send_log_to(&directory.join("libvirt.log")).unwrap();
    env_logger::init();
    if let Ok(life) = env::var(LIFE) {
        lives::live(&life, directory);
    }
    let wanted: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part));
    if !stories::ALL.iter().any(|(name, _)| wants(name)) && !wants(lives::STORY) {
        return ExitCode::SUCCESS; // `cargo test some_other_name`
    }
    println!("test {} ...", lives::STORY);
    let begun = Instant::now();
    let bench = lives::guests_survive_and_half_started_ones_are_ended(directory);
    println!("test {} ... ok ({:.1?})", lives::STORY, begun.elapsed());
    for (name, story) in stories::ALL.iter().filter(|(name, _)| wants(name)) {
        println!("test {name} ...");
        let begun = Instant::now();
        story(&bench);
        println!("test {name} ... ok ({:.1?})", begun.elapsed());
    }
    let left = bench.hypervisor.domains().unwrap();
    assert!(left.is_empty(), "left behind: {left:?}");
    ExitCode::SUCCESS
}
