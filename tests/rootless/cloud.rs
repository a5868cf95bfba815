//! The whole program, run by the ordinary user, with a real guest.

use crate::ordinary_user::{Host, USER, eventually, processes};
use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    process::Command,
};

/// A `mallee` command, by the ordinary user.
fn mallee(host: &Host, words: &[&str]) -> String {
    let home = host.home.path();
    let output = Command::new(home.join("mallee"))
        .args(words)
        .env("HOME", home)
        .env("USER", "ann")
        .env_remove("XDG_DATA_HOME")
        // As a user's shell has it on Debian, without the administrator's programs.
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir(home)
        .uid(USER)
        .gid(USER)
        .output()
        .unwrap();
    let (said, complained) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "`mallee {words:?}` failed: {complained}");
    String::from_utf8(said).unwrap()
}

fn in_guest(host: &Host, instance: &str, command: &str) -> String {
    mallee(host, &["ssh", instance, "--", command]).trim().to_owned()
}

/// Launches one, waits for it and says what the command does.
fn run(host: &Host) -> serde_json::Value {
    let launched = mallee(host, &["run", "--output", "json"]);
    let launched: serde_json::Value = serde_json::from_str(&launched).unwrap();
    launched[0].clone()
}

/// The guest's address on the private network, which DHCP gave it.
fn private_address(host: &Host, instance: &str) -> String {
    let shown = in_guest(host, instance, "ip -4 -o addr show dev eth1");
    shown.split("inet ").nth(1).and_then(|rest| rest.split('/').next()).expect(&shown).to_owned()
}

pub fn story(host: &Host) {
    let home = host.home.path();
    fs::copy(env!("CARGO_BIN_EXE_mallee"), home.join("mallee")).unwrap();
    let disk = home.join("disk.qcow2");
    fs::copy(&host.image, &disk).unwrap();
    chown(&disk, Some(USER), Some(USER)).unwrap();

    let up = ["up", "--detach", "--hypervisor", "tcg"];
    mallee(host, &up);
    mallee(host, &["image", "add", disk.to_str().unwrap(), "--name", "mallee-demo"]);
    let (launched, other) = (run(host), run(host));
    let address = launched["address"].as_str().unwrap();
    assert!(address.starts_with("127.213."), "{launched}");
    assert!(launched["ssh"].as_str().unwrap().contains(" -p 20022 "), "{launched}");
    let one = launched["id"].as_str().expect("its id");
    let two = other["id"].as_str().expect("its id");
    let in_guest = |host: &Host, command: &str| in_guest(host, one, command);

    // The guest knows itself by its own address, and its name server by the uplink's.
    let own = address.replacen("127.", "10.", 1);
    assert!(in_guest(host, "ip addr show eth0").contains(&format!("inet {own}/")));
    assert_eq!(in_guest(host, "grep nameserver /etc/resolv.conf"), "nameserver 10.0.2.3");
    let boot = in_guest(host, "cat /proc/sys/kernel/random/boot_id");

    // On the private network they reach one another, by no device of any host.
    let goal = private_address(host, two);
    let reaches = format!("nc -w 5 {goal} 22 < /dev/null | head -c 4");
    assert_eq!(in_guest(host, &reaches), "SSH-");
    assert_eq!(in_guest(host, "cat /sys/class/net/eth1/mtu"), "1380");

    let everybody = processes(host);
    let qemu = everybody.iter().find(|(_, name)| name.starts_with("qemu")).unwrap();
    let facts = fs::read_to_string(format!("/proc/{}/status", qemu.0)).unwrap();
    assert!(facts.contains("CapEff:\t0000000000000000"), "a guest has no privileges: {facts}");
    let arguments = fs::read_to_string(format!("/proc/{}/cmdline", qemu.0)).unwrap();
    let netdevs = |kind: &str| arguments.split('\0').filter(|word| word.contains(kind)).count();
    // libvirt's JSON for the public one, our own words for the private one.
    assert_eq!((netdevs("\"type\":\"tap\""), netdevs("dgram,")), (1, 1), "{arguments}");

    let status = mallee(host, &["status"]);
    let process = status.split("process ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    assert!(Command::new("kill").args(["-9", process]).status().unwrap().success());
    eventually("its broker has followed it", || {
        !processes(host).iter().any(|(_, name)| name == "mallee-broker")
    });
    mallee(host, &up);
    assert_eq!(in_guest(host, "cat /proc/sys/kernel/random/boot_id"), boot, "the same guest");
    // The new process's switch took up the same sockets.
    assert_eq!(in_guest(host, &reaches), "SSH-");

    mallee(host, &["down", "--purge"]);
    eventually("every process is gone", || processes(host).is_empty());
    assert!(!home.join(".local/share/mallee").exists());
}
