//! A data plane killed at any moment leaves nothing that the next start or purge does not find.
//!
//! The victim is this program again, in the host's namespace, at work without a pause. When it is
//! killed is drawn from a seed, which a failure names.

use crate::{
    guest::{Host, Namespace, egress, open, options, private, public, tcp},
    residue::{check_same, state},
};
use mallee::network::{Datapath, host::HostDatapath};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// For the victim: where its state is.
const STATE: &str = "MALLEE_TEST_VICTIM_STATE";
const VICTIM: &str = "kills::the_victim_of_the_test_of_kills";
const KILLS: u64 = 60;
const SEED: u64 = 20_261_122;
/// Of one round of the victim's work, from nothing to nothing.
const LONGEST: Duration = Duration::from_millis(400);

/// SplitMix64.
fn draw(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[test]
#[ignore = "runs until it is killed, by the test below"]
fn the_victim_of_the_test_of_kills() {
    let state = std::env::var_os(STATE).expect("the test of kills says where");
    println!("at work");
    for round in 0..u64::MAX {
        work(Path::new(&state), round);
    }
}

/// Everything a data plane does, from nothing to nothing.
fn work(state: &Path, round: u64) {
    let datapath = open(options(state)).unwrap();
    let instance = "i-12345678".parse().unwrap();
    for number in 4..7 {
        let mut outer = public(number, vec![egress(), tcp(22, 22)]);
        let inner = private(number + 100, "vpc-11111111", number);
        datapath.attach(&instance, &outer).unwrap();
        datapath.attach(&instance, &inner).unwrap();
        outer.filter.permits.push(tcp(80, 80 + u16::from(number)));
        datapath.set_filter(&outer.id, &outer.filter).unwrap();
        if number == 5 {
            datapath.detach(&outer.id).unwrap();
            datapath.detach(&inner.id).unwrap();
        }
    }
    datapath.sweep().unwrap();
    // Guests that outlive it, one time in two.
    if round % 2 == 0 {
        datapath.purge().unwrap();
    }
}

fn kill_one(host: &Namespace, state: &Path, after: Duration) {
    let program = std::env::current_exe().unwrap();
    let words = ["--exact", VICTIM, "--ignored", "--nocapture"];
    let mut command: Command = host.command(program.to_str().unwrap());
    command.args(words).env(STATE, state).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut victim = command.spawn().unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("at work")), "the victim begins");
    // When it is killed is what is tested, so this is no waiting for anything.
    std::thread::sleep(after);
    let killed = victim.kill();
    let status = victim.wait().unwrap();
    assert!(killed.is_ok() && status.code().is_none(), "it worked until it was killed: {status}");
}

#[test]
fn a_kill_at_any_moment_leaves_nothing_that_the_next_start_or_purge_does_not_find() {
    let mut host = Host::bare();
    let _outside = host.outside();
    let untouched = state(&host.namespace);
    host.reopen();
    let idle = state(&host.namespace);
    host.datapath.take().unwrap().purge().unwrap();
    check_same(&untouched, &state(&host.namespace));
    let mut seed = SEED;
    for kill in 0..KILLS {
        let after = Duration::from_micros(draw(&mut seed) % LONGEST.as_micros() as u64);
        kill_one(&host.namespace, host.state.path(), after);
        println!("kill {kill} of seed {SEED}, after {after:?}");
        // Once in three the next start meets what this one left, too.
        match draw(&mut seed) % 3 {
            0 => continue,
            1 => {
                host.reopen();
                host.datapath().sweep().unwrap();
                assert_eq!(host.datapath().ports().unwrap(), []);
                check_same(&numberless(&idle), &numberless(&state(&host.namespace)));
                host.datapath = None;
            }
            _ => {
                HostDatapath::find(host.options()).unwrap().purge().unwrap();
                check_same(&untouched, &state(&host.namespace));
                assert_eq!(std::fs::read_dir(host.state.path()).unwrap().count(), 0);
            }
        }
    }
    HostDatapath::find(host.options()).unwrap().purge().unwrap();
    check_same(&untouched, &state(&host.namespace));
}

/// Without the numbers that the kernel gives out in order, and without the state that a bridge is
/// in when its last port has gone.
fn numberless(state: &str) -> String {
    let lines = state.lines().map(|line| {
        let line = line
            .split_once(": ")
            .filter(|(number, _)| number.parse::<u32>().is_ok())
            .map_or(line, |(_, rest)| rest);
        let words =
            line.split(' ').filter(|word| !matches!(*word, "UNKNOWN" | "DOWN" | "NO-CARRIER"));
        words.collect::<Vec<_>>().join(" ")
    });
    lines.map(|line| line + "\n").collect()
}

#[test]
fn a_bridge_that_was_half_made_is_finished() {
    let mut host = Host::new();
    let inner = private(4, "vpc-11111111", 4);
    let instance = "i-12345678".parse().unwrap();
    host.datapath().attach(&instance, &inner).unwrap();
    let bridges = host.namespace.run("ip -o link show type bridge");
    let half_made: Vec<String> = bridges
        .lines()
        .map(|line| {
            let name = line.split(": ").nth(1).unwrap();
            let mac = line.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap();
            format!("ip link add {name} address {mac} type bridge")
        })
        .collect();
    assert_eq!(half_made.len(), 2, "{bridges}");
    host.datapath.take().unwrap().purge().unwrap();
    half_made.iter().for_each(|line| drop(host.namespace.run(line)));
    host.reopen();
    let one = host.guest(&inner);
    let two = host.guest(&private(5, "vpc-11111111", 5));
    assert!(one.namespace.pings("172.31.0.5".parse().unwrap()));
    let three = host.guest(&public(6, vec![egress()]));
    assert!(three.namespace.pings(crate::guest::GATEWAY));
    drop((one, two, three));
    host.datapath().purge().unwrap();
    // One that somebody else made, with another MAC, is theirs.
    host.namespace.run("ip link add mallee-pub type bridge");
    assert!(open(host.options()).is_err());
}
