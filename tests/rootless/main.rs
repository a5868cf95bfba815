//! The data plane of a user who may not touch the host's network.
//!
//! The test itself is root, in a network namespace that stands for the host and a mount namespace
//! with a `/dev/net/tun` that anybody may open, so nothing of the machine's is changed. What it
//! tests is this program again, run by user 65534, driven over its standard input. It needs `nft`,
//! `ip` and `slirp4netns`, and fails without them. Not run by the usual harness: a process can only
//! change its user namespace before it has threads.

#[path = "../network/guest.rs"]
#[expect(dead_code, reason = "the tests of the host's data plane use the rest")]
mod guest;

mod cloud;
mod life;
mod ordinary_user;
mod stories;

use std::{env, process::ExitCode, time::Instant};

fn main() -> ExitCode {
    if let Some(record) = env::var_os(ordinary_user::INSIDE) {
        return life::live(record.into());
    }
    let wanted: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part));
    let wanted_stories: Vec<_> = stories::ALL.iter().filter(|(name, _)| wants(name)).collect();
    if wanted_stories.is_empty() {
        return ExitCode::SUCCESS; // `cargo test some_other_name`
    }
    let host = ordinary_user::Host::new();
    host.namespace.run(&format!("ip addr add {}/32 dev lo", stories::WORLD));
    host.namespace.serve(80, "world");
    for (name, story) in wanted_stories {
        let begun = Instant::now();
        println!("test {name} ...");
        story(&host);
        println!("test {name} ... ok ({:.1?})", begun.elapsed());
    }
    ExitCode::SUCCESS
}
