//! Hosts in a row, each a network namespace that reaches its neighbours and nobody else: the
//! clients' own, the cloud's, the group's, the node's.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    sync::atomic::{AtomicU8, Ordering},
};

pub struct Hosts {
    pub names: [String; 3],
    number: u8,
}

/// Several may be there at one time.
static NUMBER: AtomicU8 = AtomicU8::new(1);

impl Hosts {
    /// The interfaces of the group's host are `above` and `below`.
    pub fn lay() -> Hosts {
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let own = std::process::id();
        let names = ["c", "g", "n"].map(|role| format!("mlp{own}-{number}{role}"));
        let hosts = Hosts { names, number };
        for name in &hosts.names {
            ip(&["netns", "add", name]);
            ip(&["-n", name, "link", "set", "lo", "up"]);
        }
        let chain = [None, Some(&hosts.names[0]), Some(&hosts.names[1]), Some(&hosts.names[2])];
        for (index, pair) in chain.windows(2).enumerate() {
            let [left, right] = pair else { unreachable!("windows of two have two") };
            let ends = [format!("mlp{number}l{index}"), format!("mlp{number}r{index}")];
            ip(&["link", "add", &ends[0], "type", "veth", "peer", "name", &ends[1]]);
            for (end, (host, name, last)) in
                ends.iter().zip([(left, "below", 1), (right, "above", 2)])
            {
                let address = format!("{}/30", hosts.address(index as u8, last));
                let (inside, name): (&[&str], &str) = match host {
                    Some(host) => {
                        ip(&["link", "set", end, "netns", host, "name", name]);
                        (&["-n", host], name)
                    }
                    None => (&[], end),
                };
                ip(&[inside, &["addr", "add", &address, "dev", name]].concat());
                ip(&[inside, &["link", "set", name, "up"]].concat());
            }
        }
        hosts
    }

    fn address(&self, link: u8, end: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 216, self.number, 4 * link + end)
    }

    /// Where clients find the cloud.
    pub fn api(&self) -> SocketAddr {
        (self.address(0, 2), 8773).into()
    }

    /// Where the cloud meets groups, and a group its nodes.
    pub fn links(&self, manager: &str) -> SocketAddr {
        match manager {
            "the cloud" => (self.address(1, 1), 8774).into(),
            _ => (self.address(2, 1), 8776).into(),
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            ip(&["netns", "delete", name]);
        }
    }
}

fn ip(words: &[&str]) {
    let done = Command::new("ip").args(words).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {}: {said}", words.join(" "));
}
