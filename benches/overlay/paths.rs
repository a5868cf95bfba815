//! Ways between two ends, `10.9.0.1` and `10.9.0.2`, and the programs that make them.

use crate::{
    lab::{Namespace, Program, wait_for},
    ours::{self, Beside, Orders},
};
use std::{env, fs, os::unix::net::UnixStream, path::PathBuf, process::Command};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    OursLocal,
    OursCable,
    VdeLocal,
    VdeCable,
    Boringtun,
    WireguardGo,
    Bridge,
    Vxlan,
    Direct,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Underlay {
    /// As between namespaces of one host: large segments pass whole.
    Offload,
    /// As on a real wire with a plain NIC.
    Wire,
}

/// A way as it is there.
#[derive(Debug)]
pub struct Laid {
    pub a: Namespace,
    pub b: Namespace,
    /// Whose time the way costs, beside that of the ends themselves.
    pub programs: Vec<Program>,
    /// Kept while the way is used.
    _rest: (Option<Namespace>, tempfile::TempDir),
}

impl Path {
    pub fn words(self) -> &'static str {
        match self {
            Path::OursLocal => "our switch",
            Path::OursCable => "two of our switches, sealed cable",
            Path::VdeLocal => "vde_switch",
            Path::VdeCable => "two vde_switches, UDP, clear",
            Path::Boringtun => "boringtun",
            Path::WireguardGo => "wireguard-go",
            Path::Bridge => "kernel bridge, clear",
            Path::Vxlan => "kernel VXLAN, clear",
            Path::Direct => "veth, nothing between",
        }
    }

    pub fn lay(self, underlay: Underlay) -> Laid {
        let (a, b) = (Namespace::new(), Namespace::new());
        let directory = tempfile::tempdir().expect("a directory");
        let mut middle = None;
        let programs = match self {
            Path::OursLocal => {
                let (switch, program) = our_switch(&a, &b, Beside::Nothing);
                middle = Some(switch);
                vec![program]
            }
            Path::OursCable => {
                join(&a, &b, underlay);
                vec![our_end(&a, 1), our_end(&b, 2)]
            }
            Path::VdeLocal => {
                let switch = Namespace::new();
                let sock = directory.path().join("switch");
                let line = format!("vde_switch -s {} -t ta -t tb", sock.display());
                let program = Program::start(switch.command(&line));
                wait_for("vde_switch", || switch.succeeds("ip link show tb"));
                hand_over(&switch, "ta", &a, 1, 1500);
                hand_over(&switch, "tb", &b, 2, 1500);
                middle = Some(switch);
                vec![program]
            }
            Path::VdeCable => {
                join(&a, &b, underlay);
                let mut programs = vde_end(&a, 1, &directory.path().join("a"));
                programs.extend(vde_end(&b, 2, &directory.path().join("b")));
                programs
            }
            Path::Boringtun => {
                join(&a, &b, underlay);
                wireguard(&a, &b, &boringtun(), "--foreground --disable-drop-privileges wga")
            }
            Path::WireguardGo => {
                join(&a, &b, underlay);
                wireguard(&a, &b, &PathBuf::from("wireguard-go"), "-f wga")
            }
            Path::Bridge => {
                let switch = Namespace::new();
                switch.run("ip link add br0 type bridge");
                switch.run("ip link set br0 up");
                for (end, name, last) in [(&a, "ta", 1), (&b, "tb", 2)] {
                    switch.run(&format!("ip link add p{name} type veth peer name {name}"));
                    switch.run(&format!("ip link set p{name} master br0 up"));
                    hand_over(&switch, name, end, last, 1500);
                }
                middle = Some(switch);
                Vec::new()
            }
            Path::Vxlan => {
                join(&a, &b, underlay);
                for (end, last, other) in [(&a, 1, 2), (&b, 2, 1)] {
                    end.run(&format!(
                        "ip link add vx type vxlan id 7 remote 192.0.2.{other} dstport 4789 dev u0"
                    ));
                    give_address(end, "vx", last, 1450);
                }
                Vec::new()
            }
            Path::Direct => {
                a.run(&format!("ip link add ta type veth peer name tb netns {}", b.path()));
                give_address(&a, "ta", 1, 1500);
                give_address(&b, "tb", 2, 1500);
                Vec::new()
            }
        };
        let laid = Laid { a, b, programs, _rest: (middle, directory) };
        wait_for(self.words(), || laid.a.succeeds("ping -c 1 -W 1 -q 10.9.0.2"));
        laid
    }
}

/// Our switch with something beside the two ends.
pub fn lay_beside(beside: Beside) -> Laid {
    let (a, b) = (Namespace::new(), Namespace::new());
    let (switch, program) = our_switch(&a, &b, beside);
    let directory = tempfile::tempdir().expect("a directory");
    let laid = Laid { a, b, programs: vec![program], _rest: (Some(switch), directory) };
    wait_for("our switch", || laid.a.succeeds("ping -c 1 -W 1 -q 10.9.0.2"));
    laid
}

/// What is missing, with where to get it.
pub fn programs_there() -> Result<(), String> {
    let boringtun = boringtun();
    let wanted: [(&str, &str); 7] = [
        ("ip", "Debian's package `iproute2`"),
        ("iperf3", "Debian's package `iperf3`"),
        ("ethtool", "Debian's package `ethtool`"),
        ("vde_switch", "Debian's package `vde2`"),
        ("vde_plug", "Debian's package `vdeplug`"),
        ("wg", "Debian's package `wireguard-tools`"),
        ("wireguard-go", "Debian's package `wireguard-go`"),
    ];
    let mut missing: Vec<String> = Vec::new();
    for (program, place) in wanted {
        if !is_there(&PathBuf::from(program)) {
            missing.push(format!("`{program}` is missing: it is in {place}"));
        }
    }
    if !is_there(&boringtun) {
        missing.push(format!(
            "`{}` is missing: `cargo install boringtun-cli`, or name it by \
             `MALLEE_BENCH_BORINGTUN`",
            boringtun.display()
        ));
    }
    if missing.is_empty() { Ok(()) } else { Err(missing.join("\n")) }
}

fn is_there(program: &std::path::Path) -> bool {
    if program.components().count() > 1 {
        return program.exists();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|directory| directory.join(program).exists())
}

fn boringtun() -> PathBuf {
    env::var_os("MALLEE_BENCH_BORINGTUN").map_or_else(|| "boringtun-cli".into(), PathBuf::from)
}

/// The wire between two hosts.
fn join(a: &Namespace, b: &Namespace, underlay: Underlay) {
    a.run(&format!("ip link add u0 type veth peer name u0 netns {}", b.path()));
    for (host, last) in [(a, 1), (b, 2)] {
        host.run(&format!("ip addr add 192.0.2.{last}/24 dev u0"));
        if underlay == Underlay::Wire {
            host.run("ethtool -K u0 tso off gso off gro off tx-udp-segmentation off");
        }
        host.run("ip link set u0 up");
    }
    wait_for("the wire", || a.succeeds("ping -c 1 -W 1 -q 192.0.2.2"));
}

fn our_switch(a: &Namespace, b: &Namespace, beside: Beside) -> (Namespace, Program) {
    let switch = Namespace::new();
    let program = our_process(
        &switch,
        &Orders {
            number: 1,
            listen: "127.0.0.1:8777".parse().expect("an address"),
            peer: None,
            taps: vec![("ta".to_owned(), 1), ("tb".to_owned(), 2)],
            beside,
        },
    );
    wait_for("our switch", || switch.succeeds("ip link show tb"));
    hand_over(&switch, "ta", a, 1, 1500);
    hand_over(&switch, "tb", b, 2, 1500);
    (switch, program)
}

fn our_end(host: &Namespace, number: u8) -> Program {
    let address = |number: u8| format!("192.0.2.{number}:8777").parse().expect("an address");
    let other = 3 - number;
    let program = our_process(
        host,
        &Orders {
            number: u32::from(number),
            listen: address(number),
            peer: Some((u32::from(other), address(other))),
            taps: vec![("t0".to_owned(), number)],
            beside: Beside::Nothing,
        },
    );
    wait_for("our switch", || host.succeeds("ip link show t0"));
    give_address(host, "t0", number, 1400);
    program
}

fn our_process(place: &Namespace, orders: &Orders) -> Program {
    let mut command = Command::new(env::current_exe().expect("this program has a file"));
    let orders = serde_json::to_string(orders).expect("orders are plain data");
    command.args([ours::WORD, &orders]);
    place.place(&mut command);
    Program::start(command)
}

fn vde_end(host: &Namespace, number: u8, sock: &std::path::Path) -> Vec<Program> {
    let line = format!("vde_switch -s {} -t t0", sock.display());
    let switch = Program::start(host.command(&line));
    wait_for("vde_switch", || sock.join("ctl").exists() && host.succeeds("ip link show t0"));
    let other = 3 - number;
    let cable = format!("udp://8777->192.0.2.{other}:8777");
    let line = format!("vde_plug vde://{} {cable}", sock.display());
    let plug = Program::start(host.command(&line));
    give_address(host, "t0", number, 1400);
    vec![switch, plug]
}

fn wireguard(
    a: &Namespace,
    b: &Namespace,
    program: &std::path::Path,
    arguments: &str,
) -> Vec<Program> {
    let keys = [wireguard_key(), wireguard_key()];
    let mut programs = Vec::new();
    for (end, number) in [(a, 1u8), (b, 2)] {
        let device = format!("wg{}{number}", std::process::id() % 10_000);
        let line = format!("{} {}", program.display(), arguments.replace("wga", &device));
        let control = format!("/var/run/wireguard/{device}.sock");
        programs.push(Program::start(end.command(&line)).leaving(control.clone()));
        wait_for("WireGuard", || UnixStream::connect(&control).is_ok());
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("key");
        let (own, other) = (usize::from(number - 1), usize::from(2 - number));
        fs::write(&file, &keys[own].0).expect("a file");
        end.run(&format!(
            "wg set {device} listen-port 51820 private-key {} peer {} allowed-ips 0.0.0.0/0 \
             endpoint 192.0.2.{}:51820",
            file.display(),
            keys[other].1,
            3 - number
        ));
        give_address(end, &device, number, 1420);
    }
    programs
}

fn wireguard_key() -> (String, String) {
    let private = Command::new("wg").arg("genkey").output().expect("`wg` is there").stdout;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("key");
    fs::write(&file, &private).expect("a file");
    let input = fs::File::open(&file).expect("it was just written");
    let public = Command::new("wg").arg("pubkey").stdin(input).output().expect("as above").stdout;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("base64").trim().to_owned();
    (text(private), text(public))
}

/// Moves a device to an end.
fn hand_over(from: &Namespace, device: &str, to: &Namespace, last: u8, mtu: u16) {
    from.run(&format!("ip link set {device} netns {}", to.path()));
    give_address(to, device, last, mtu);
}

fn give_address(end: &Namespace, device: &str, last: u8, mtu: u16) {
    if !device.starts_with("wg") {
        end.run(&format!("ip link set {device} address {}", ours::mac(last)));
    }
    end.run(&format!("ip addr add 10.9.0.{last}/16 dev {device}"));
    end.run(&format!("ip link set {device} mtu {mtu} up"));
}
