//! The overlay beside what one would otherwise use: a kernel bridge and kernel VXLAN in clear,
//! VDE's switch and UDP cable in clear, WireGuard in user space.
//!
//! Everything runs in network namespaces of this bench's own, which end with it, one path at a time
//! and in turn, so that a change of the machine's load meets all alike. Needs root, and Debian's
//! `iperf3`, `iproute2`, `ethtool`, `vde2`, `vdeplug`, `wireguard-tools` and `wireguard-go`; and
//! boringtun: `cargo install boringtun-cli`, on the path or named by `MALLEE_BENCH_BORINGTUN`.
//!
//! `cargo bench --bench overlay` measures all; a word after `--` measures the part of that name:
//! `local`, `cable`, `wire`, `crowd`, `flood`.

#[allow(dead_code, reason = "each bench uses its part")]
#[path = "../bed/table.rs"]
mod table;

mod beside;
mod lab;
mod ours;
mod paths;
mod traffic;

use paths::{Path, Underlay};
use std::collections::BTreeMap;
use table::{Target, figures, title};
use traffic::Measured;

/// Of each figure the median is taken.
const ROUNDS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // What `cargo test --benches` asks for is that it compiles.
    if arguments.iter().any(|argument| argument == "--test") {
        return;
    }
    // The bench starts itself again for each switch, as a process of its own.
    if arguments.first().is_some_and(|first| first == ours::WORD) {
        return ours::run(&arguments[1]);
    }
    let named = arguments.iter().find(|argument| !argument.starts_with("--"));
    let is_wanted = |part: &str| named.is_none_or(|named| named == part);
    if let Err(missing) = paths::programs_there() {
        eprintln!("{missing}");
        std::process::exit(1);
    }
    if is_wanted("local") {
        local();
    }
    if is_wanted("cable") {
        cable();
    }
    if is_wanted("wire") {
        wire();
    }
    if is_wanted("crowd") {
        beside::crowd();
    }
    if is_wanted("flood") {
        beside::flood();
    }
}

fn local() {
    let found = measure(&[Path::OursLocal, Path::VdeLocal, Path::Bridge], Underlay::Offload);
    title("one switch, two taps");
    print(&found);
    let (ours, vde) = (&found[&Path::OursLocal], &found[&Path::VdeLocal]);
    compare("TCP: ours | vde_switch", ours.gbits, vde.gbits, Target::AtLeast(3.0));
    let bridge = &found[&Path::Bridge];
    compare("TCP: ours | kernel bridge", ours.gbits, bridge.gbits, Target::None);
    compare("packets/s: ours | vde_switch", ours.pps, vde.pps, Target::None);
}

fn cable() {
    let paths = [
        Path::OursCable,
        Path::VdeCable,
        Path::Boringtun,
        Path::WireguardGo,
        Path::Vxlan,
        Path::Direct,
    ];
    let found = measure(&paths, Underlay::Offload);
    title("over a cable: the underlay is a veth with offloads");
    print(&found);
    against_peers(&found, 5.0, 6.0, 0.4);
    let (ours, boringtun) = (&found[&Path::OursCable], &found[&Path::Boringtun]);
    compare("CPU s per Gbit: ours | boringtun", ours.cpu, boringtun.cpu, Target::AtMost(0.25));
    compare("packets/s: ours | boringtun", ours.pps, boringtun.pps, Target::AtLeast(1.3));
    compare("RTT p50 µs: ours | boringtun", ours.p50, boringtun.p50, Target::AtMost(1.0));
}

fn wire() {
    let paths = [Path::OursCable, Path::VdeCable, Path::Boringtun, Path::WireguardGo, Path::Vxlan];
    let found = measure(&paths, Underlay::Wire);
    title("over a cable: the underlay as a real wire, nothing segmented by it, MTU 1500");
    print(&found);
    against_peers(&found, 4.0, 5.0, 0.55);
    let (ours, boringtun) = (&found[&Path::OursCable], &found[&Path::Boringtun]);
    compare("CPU s per Gbit: ours | boringtun", ours.cpu, boringtun.cpu, Target::None);
}

fn against_peers(found: &BTreeMap<Path, Measured>, vde: f64, wireguard: f64, vxlan: f64) {
    let ours = found[&Path::OursCable].gbits;
    let gbits = |path| found[&path].gbits;
    let better = gbits(Path::Boringtun).max(gbits(Path::WireguardGo));
    compare("TCP: ours | two vde_switches", ours, gbits(Path::VdeCable), Target::AtLeast(vde));
    compare("TCP: ours | the better WireGuard", ours, better, Target::AtLeast(wireguard));
    compare("TCP: ours | kernel VXLAN", ours, gbits(Path::Vxlan), Target::AtLeast(vxlan));
}

fn measure(paths: &[Path], underlay: Underlay) -> BTreeMap<Path, Measured> {
    let mut rounds: BTreeMap<Path, Vec<Measured>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for path in paths {
            let laid = path.lay(underlay);
            rounds.entry(*path).or_default().push(Measured::of(&laid));
        }
    }
    rounds.into_iter().map(|(path, rounds)| (path, Measured::median(&rounds))).collect()
}

fn print(found: &BTreeMap<Path, Measured>) {
    println!(
        "{:<34} {:>9} {:>10} {:>10} {:>8} {:>8}",
        "", "Gbit/s", "CPU s/Gbit", "packets/s", "p50 µs", "p99 µs"
    );
    for (path, measured) in found {
        let Measured { gbits, cpu, pps, p50, p99 } = measured;
        println!("{:<34} {gbits:>9.2} {cpu:>10.2} {pps:>10.0} {p50:>8.0} {p99:>8.0}", path.words());
    }
}

fn compare(what: &str, ours: f64, other: f64, target: Target) {
    let number = |value: f64| match value {
        value if value >= 1000.0 => format!("{value:.0}"),
        value => format!("{value:.2}"),
    };
    figures(what, &number(ours), &number(other), ours / other, target);
}
