//! What the kernel lets through, as two nftables tables of our own.
//!
//! **Who a guest may claim to be** is settled in the `bridge` table, on frames as they leave a tap:
//! IPv4 and ARP from the interface's own MAC and address, nothing else (no IPv6 for now, no VLAN
//! tags, no DHCP: that is answered at the tap before this table sees it).
//!
//! **What a guest may talk to** is settled in the `ip` table. Kernels need not have connection
//! tracking on bridges, so ports of the public bridge are isolated and every packet of a guest,
//! even to its neighbour, is routed by the host and passes `input`, `output` or `forward`. Two maps
//! from address to chain find the port's permits, so the cost of a packet, and of an attachment,
//! does not grow with the number of guests.
//!
//! Filters are stateful but not sticky: only the *answers* of a flow pass as such; packets in the
//! direction it began are judged by the filter of today. A revoked rule therefore cuts the flows it
//! had admitted, where EC2 would let tracked ones run on until idle, and a flow still admitted
//! never notices a change.
//!
//! Filters of private interfaces are not enforced here: their frames never leave their bridge.
//!
//! Scripts are text rather than nft's JSON: they can be read, every value in them is typed, and a
//! script is applied wholly or not at all. Other tables are neither changed nor overruled.

use super::{HostOptions, capability::keep_net_admin, identity::Identity, name::Names};
use crate::domain::{
    interface::Wire,
    port_filter::{Cidr, Direction, Permit, PortFilter, Traffic},
};
use std::{
    fmt::Write as _,
    io::{self, Write as _},
    process::{Command, Stdio},
};

#[derive(Debug)]
pub(super) struct Firewall {
    names: Names,
}

impl Firewall {
    pub fn new(names: Names) -> Firewall {
        Firewall { names }
    }

    /// Puts the fixed rules in place. Ports already there stay in force throughout.
    pub fn install(&self, options: &HostOptions, opened: &[String]) -> io::Result<()> {
        apply(&foundation(&self.names, options, opened))
    }

    /// Brings a port into force, or replaces its filter; packets see the old or the new, whole.
    pub fn admit(&self, tap: &str, identity: &Identity, filter: &PortFilter) -> io::Result<()> {
        apply(&port(self.names.table(), tap, identity, filter))
    }

    /// Takes a port out of force. One that is not in force is no error.
    pub fn withdraw(&self, tap: &str, identity: &Identity) -> io::Result<()> {
        apply(&no_port(self.names.table(), tap, identity))
    }

    pub fn remove(&self) -> io::Result<()> {
        let table = self.names.table();
        let mut script = String::new();
        for family in ["ip", "bridge"] {
            // Adding first makes deleting what is not there no error.
            script += &format!("add table {family} {table}\ndelete table {family} {table}\n");
        }
        apply(&script)
    }

    /// Foreign chains whose policy drops what we would let through. We cannot overrule them.
    pub fn obstacles(&self) -> io::Result<Vec<String>> {
        let listing = nft(&["-j", "list", "chains"], "")?;
        let listing: serde_json::Value = serde_json::from_str(&listing)?;
        let objects = listing["nftables"].as_array().cloned().unwrap_or_default();
        let chains = objects.iter().filter_map(|object| object.get("chain"));
        Ok(chains
            .filter(|chain| {
                chain["policy"] == "drop"
                    && matches!(chain["hook"].as_str(), Some("forward" | "input" | "output"))
                    && matches!(chain["family"].as_str(), Some("ip" | "inet" | "bridge"))
                    && chain["table"] != self.names.table()
            })
            .map(|chain| {
                let word = |key: &str| chain[key].as_str().unwrap_or_default().to_owned();
                format!(
                    "chain `{} {} {}` drops `{}` packets that no rule of it accepts",
                    word("family"),
                    word("table"),
                    word("name"),
                    word("hook")
                )
            })
            .collect())
    }
}

fn foundation(names: &Names, options: &HostOptions, opened: &[String]) -> String {
    let table = names.table();
    let bridge = names.public_bridge();
    let (taps, private) = (names.taps(), names.private_bridges());
    let HostOptions { subnet, gateway, metadata_port, .. } = options;
    let opened: String = opened
        .iter()
        .map(|device| format!("add element ip {table} opened {{ \"{device}\" }}\n"))
        .collect();
    // Declared, emptied and filled in one transaction, so that a newer version of these rules
    // replaces an older one without a moment in which there are none.
    format!(
        r#"
table bridge {table} {{
    set identity {{ type ifname . ether_addr . ipv4_addr; }}
    set private {{ type ifname; }}
    chain prerouting {{ type filter hook prerouting priority -300; policy accept; }}
    chain input {{ type filter hook input priority -300; policy accept; }}
    chain guest {{ }}
    chain guest_ip {{ }}
    chain guest_arp {{ }}
}}
table ip {table} {{
    map ingress {{ type ipv4_addr : verdict; }}
    map egress {{ type ipv4_addr : verdict; }}
    set opened {{ type ifname; }}
    chain untracked {{ type filter hook prerouting priority raw; policy accept; }}
    chain metadata {{ type nat hook prerouting priority dstnat; policy accept; }}
    chain outbound {{ type nat hook postrouting priority srcnat; policy accept; }}
    chain input {{ type filter hook input priority -5; policy accept; }}
    chain output {{ type filter hook output priority -5; policy accept; }}
    chain forward {{ type filter hook forward priority -5; policy accept; }}
    chain from_guest {{ }}
    chain to_guest {{ }}
}}
flush chain bridge {table} prerouting
flush chain bridge {table} input
flush chain bridge {table} guest
flush chain bridge {table} guest_ip
flush chain bridge {table} guest_arp
flush set ip {table} opened
flush chain ip {table} untracked
flush chain ip {table} metadata
flush chain ip {table} outbound
flush chain ip {table} input
flush chain ip {table} output
flush chain ip {table} forward
flush chain ip {table} from_guest
flush chain ip {table} to_guest
{opened}
table bridge {table} {{
    chain prerouting {{
        iifname "{taps}*" goto guest
    }}
    # A private network has no host in it, not even one without an address.
    chain input {{
        iifname @private drop
    }}
    chain guest {{
        ether type ip goto guest_ip
        ether type arp goto guest_arp
        drop
    }}
    chain guest_ip {{
        udp dport {{ 67, 68 }} drop
        udp sport 67 drop
        iifname . ether saddr . ip saddr @identity accept
        drop
    }}
    chain guest_arp {{
        arp htype 1 arp ptype ip arp hlen 6 arp plen 4 iifname . arp saddr ether . arp saddr ip @identity iifname . ether saddr . arp saddr ip @identity accept
        drop
    }}
}}
table ip {table} {{
    # Where br_netfilter sends bridged frames through here, equal addresses of different private
    # networks must not meet in the connection table.
    chain untracked {{
        iifname "{private}*" notrack
    }}
    chain metadata {{
        iifname "{bridge}" ip daddr 169.254.169.254 tcp dport 80 redirect to :{metadata_port}
    }}
    chain outbound {{
        ip saddr {subnet} ip daddr != {subnet} oifname != "{bridge}" masquerade
    }}
    # The metadata service answers every guest, whatever its filter, and nobody else; and only
    # under its own address.
    chain input {{
        iifname "{bridge}" ip daddr {gateway} tcp dport {metadata_port} ct status dnat accept
        ip daddr {gateway} tcp dport {metadata_port} drop
        iifname "{bridge}" jump from_guest
    }}
    chain output {{
        oifname "{bridge}" icmp type redirect drop
        oifname "{bridge}" jump to_guest
    }}
    # The last rule: an interface that forwards only because we asked forwards for us only.
    chain forward {{
        iifname "{bridge}" ip daddr 169.254.0.0/16 drop
        iifname "{bridge}" jump from_guest
        oifname "{bridge}" jump to_guest
        iifname @opened oifname != "{bridge}" drop
    }}
    chain from_guest {{
        ct state invalid drop
        ct state related return
        ct state established ct direction reply return
        ip saddr vmap @egress
        drop
    }}
    chain to_guest {{
        ct state invalid drop
        ct state related return
        ct state established ct direction reply return
        ip daddr vmap @ingress
        drop
    }}
}}
"#
    )
}

fn elements(verb: &str, table: &str, tap: &str, identity: &Identity) -> String {
    let Identity { mac, address, wire, .. } = identity;
    let who =
        format!("{verb} element bridge {table} identity {{ \"{tap}\" . {mac} . {address} }}\n");
    match wire {
        Wire::Public => format!(
            "{who}{verb} element ip {table} ingress {{ {address} : goto in-{tap} }}\n\
             {verb} element ip {table} egress {{ {address} : goto out-{tap} }}\n"
        ),
        Wire::Private(_) => format!("{who}{verb} element bridge {table} private {{ \"{tap}\" }}\n"),
    }
}

fn chains(verb: &str, table: &str, tap: &str) -> String {
    format!("{verb} chain ip {table} in-{tap}\n{verb} chain ip {table} out-{tap}\n")
}

fn port(table: &str, tap: &str, identity: &Identity, filter: &PortFilter) -> String {
    let mut script = String::new();
    if identity.wire == Wire::Public {
        script += &(chains("add", table, tap) + &chains("flush", table, tap));
        for permit in &filter.permits {
            let chain = match permit.direction {
                Direction::Ingress => "in",
                Direction::Egress => "out",
            };
            if let Some(condition) = condition(permit) {
                // Infallible: a `String` takes whatever is written to it.
                let _ = writeln!(script, "add rule ip {table} {chain}-{tap} {condition}return");
            }
        }
        for chain in ["in", "out"] {
            let _ = writeln!(script, "add rule ip {table} {chain}-{tap} drop");
        }
    }
    script + &elements("add", table, tap, identity)
}

fn no_port(table: &str, tap: &str, identity: &Identity) -> String {
    let mut script = String::new();
    if identity.wire == Wire::Public {
        script += &chains("add", table, tap);
    }
    // What is added first can always be deleted: the script succeeds whether the port was there,
    // was half there or was not.
    script += &elements("add", table, tap, identity);
    script += &elements("delete", table, tap, identity);
    if identity.wire == Wire::Public {
        script += &(chains("flush", table, tap) + &chains("delete", table, tap));
    }
    script
}

/// A permit as the left side of an nft rule; none if it names no peer at all.
fn condition(permit: &Permit) -> Option<String> {
    let side = match permit.direction {
        Direction::Ingress => "saddr",
        Direction::Egress => "daddr",
    };
    let peers = disjoint(&permit.peers);
    let peers = match peers.as_slice() {
        [] => return None,
        [Cidr::ANY] => String::new(),
        [peer] => format!("ip {side} {peer} "),
        peers => {
            let peers: Vec<String> = peers.iter().map(Cidr::to_string).collect();
            format!("ip {side} {{ {} }} ", peers.join(", "))
        }
    };
    Some(peers + &traffic(permit.traffic)?)
}

fn traffic(traffic: Traffic) -> Option<String> {
    Some(match traffic {
        Traffic::Any => String::new(),
        Traffic::Tcp { from, to } => ports("tcp", from, to)?,
        Traffic::Udp { from, to } => ports("udp", from, to)?,
        Traffic::Icmp { kind: None, code: None } => "ip protocol 1 ".to_owned(),
        Traffic::Icmp { kind: Some(kind), code: None } => format!("icmp type {kind} "),
        Traffic::Icmp { kind: None, code: Some(code) } => format!("icmp code {code} "),
        Traffic::Icmp { kind: Some(kind), code: Some(code) } => {
            format!("icmp type {kind} icmp code {code} ")
        }
        Traffic::Protocol(number) => format!("ip protocol {number} "),
        Traffic::Icmpv6 { .. } => return None,
    })
}

/// Ports the wrong way round are no ports, as in `Traffic::covers`.
fn ports(protocol: &str, from: u16, to: u16) -> Option<String> {
    match (from, to) {
        (0, u16::MAX) => Some(format!("meta l4proto {protocol} ")),
        _ if from == to => Some(format!("{protocol} dport {from} ")),
        _ if from < to => Some(format!("{protocol} dport {from}-{to} ")),
        _ => None,
    }
}

/// The same addresses without overlaps, which nft's sets do not take. Ranges overlap only by one
/// holding the other, and the holder sorts first.
fn disjoint(ranges: &[Cidr]) -> Vec<Cidr> {
    let mut sorted = ranges.to_vec();
    sorted.sort();
    let mut kept: Vec<Cidr> = Vec::new();
    for range in sorted {
        if !kept.last().is_some_and(|last| last.overlaps(range)) {
            kept.push(range);
        }
    }
    kept
}

fn apply(script: &str) -> io::Result<()> {
    nft(&["-f", "-"], script).map(drop)
}

fn nft(arguments: &[&str], input: &str) -> io::Result<String> {
    let mut command = Command::new("nft");
    keep_net_admin(&mut command);
    let mut child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // nft reads all of its input before it says anything, so neither waits for the other. If it
    // ends early, its own words below say more than our broken pipe.
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("`nft` refused: {}", words.trim())));
    }
    written?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(traffic: Traffic, peers: &[&str], expected: Option<&str>) {
        let peers = peers.iter().map(|peer| peer.parse().unwrap()).collect();
        let permit = Permit { direction: Direction::Ingress, traffic, peers };
        assert_eq!(condition(&permit).as_deref(), expected);
    }

    #[test]
    fn a_permit_becomes_one_condition() {
        let any = &["0.0.0.0/0"];
        check(Traffic::Any, any, Some(""));
        check(Traffic::Any, &[], None);
        check(Traffic::Tcp { from: 22, to: 22 }, any, Some("tcp dport 22 "));
        check(Traffic::Tcp { from: 0, to: 65535 }, any, Some("meta l4proto tcp "));
        check(Traffic::Udp { from: 9, to: 8 }, any, None);
        check(
            Traffic::Icmp { kind: Some(8), code: Some(0) },
            any,
            Some("icmp type 8 icmp code 0 "),
        );
        check(Traffic::Protocol(47), &["10.0.0.0/8"], Some("ip saddr 10.0.0.0/8 ip protocol 47 "));
        check(
            Traffic::Udp { from: 1, to: 9 },
            &["10.0.0.0/8", "192.0.2.1/32"],
            Some("ip saddr { 10.0.0.0/8, 192.0.2.1/32 } udp dport 1-9 "),
        );
    }

    #[test]
    fn overlapping_peers_are_named_once() {
        let ranges =
            ["10.1.0.0/16", "10.0.0.0/8", "10.0.0.0/8", "10.255.0.1/32", "11.0.0.0/8", "9.0.0.0/8"]
                .map(|range| range.parse().unwrap());
        let kept: Vec<String> = disjoint(&ranges).iter().map(Cidr::to_string).collect();
        assert_eq!(kept, ["9.0.0.0/8", "10.0.0.0/8", "11.0.0.0/8"]);
        let all: Vec<Cidr> = [ranges.as_slice(), &[Cidr::ANY]].concat();
        assert_eq!(disjoint(&all), [Cidr::ANY]);
    }
}
