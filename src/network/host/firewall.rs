//! What the kernel lets through, as two nftables tables of our own.
//!
//! **Who a guest may claim to be** is settled in the `bridge` table, on frames as they leave a tap:
//! IPv4 and ARP from the interface's own MAC and address, nothing else (no IPv6 for now, no VLAN
//! tags, no DHCP: that is answered at the tap before this table sees it).
//!
//! **What a guest may talk to** is settled in the `ip` table. Kernels need not have connection
//! tracking on bridges, so ports of the public bridge are isolated and every packet of a guest,
//! even to its neighbour, is routed by the host and passes `input`, `output` or `forward`. Two maps
//! lead from an address to the port's chains, and these to the chains of its filter (`permits`),
//! which all ports with an equal filter share. So the cost of a packet, and of an attachment, does
//! not grow with the number of guests, nor that of a change with the number of rules times theirs.
//!
//! Filters are stateful but not sticky: a flow begins in the direction of a permit and is answered
//! in the other, and packets of both are judged by the filter of today. A revoked rule therefore
//! cuts the flows it had admitted, where EC2 would let tracked ones run on until idle, and a flow
//! still admitted never notices a change. ICMP that no tracking knows, such as an error that
//! belongs to no flow, is judged packet by packet.
//!
//! Filters of private interfaces are not enforced here: their frames never leave their bridge.
//!
//! Scripts are text rather than nft's JSON: they can be read, every value in them is typed, and a
//! script is applied wholly or not at all. Other tables are neither changed nor overruled.

use super::{
    HostOptions,
    forwarding::{OPENED, WANTED},
    identity::Identity,
    name::Names,
    netlink::PUBLIC_BRIDGES,
    nft,
    permits::{self, Judged, Rules},
};
use crate::domain::{interface::Wire, port_filter::PortFilter};
use std::{
    collections::{BTreeSet, HashMap},
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

#[derive(Debug)]
pub(super) struct Firewall {
    names: Names,
    /// Which filter each tap's chains lead to, as far as this process has seen to it.
    in_force: Mutex<HashMap<String, String>>,
}

impl Firewall {
    pub fn new(names: Names) -> Firewall {
        Firewall { names, in_force: Mutex::default() }
    }

    /// Puts the fixed rules in place. Ports already there stay in force throughout.
    pub fn install(&self, options: &HostOptions, opened: &[String]) -> io::Result<()> {
        nft::apply(&foundation(&self.names, options, opened))
    }

    /// Brings a port into force, or replaces its filter; packets see the old or the new, whole.
    pub fn admit(&self, tap: &str, identity: &Identity, filter: &PortFilter) -> io::Result<()> {
        let table = self.names.table();
        if identity.wire != Wire::Public {
            return nft::apply(&elements("add", table, tap, identity));
        }
        let mut in_force = self.in_force();
        let rules = Rules::of(filter);
        let earlier = in_force.get(tap);
        let is_known = in_force.values().any(|name| name == rules.name());
        let mut script = if is_known { String::new() } else { rules.script(table) };
        script += &leads(table, tap, rules.name());
        script += &elements("add", table, tap, identity);
        if let Some(earlier) = earlier.filter(|name| *name != rules.name()) {
            script += &forgotten(table, earlier, tap, &in_force);
        }
        nft::apply(&script)?;
        in_force.insert(tap.to_owned(), rules.name().to_owned());
        Ok(())
    }

    /// Takes a port out of force. One that is not in force is no error.
    pub fn withdraw(&self, tap: &str, identity: &Identity) -> io::Result<()> {
        let table = self.names.table();
        let mut in_force = self.in_force();
        let mut script = no_port(table, tap, identity);
        if let Some(name) = in_force.get(tap) {
            script += &forgotten(table, name, tap, &in_force);
        }
        nft::apply(&script)?;
        in_force.remove(tap);
        Ok(())
    }

    /// Takes away the filters of an earlier process that no port has any more.
    pub fn sweep(&self) -> io::Result<()> {
        let in_force = self.in_force();
        let table = self.names.table();
        let chains = nft::list(&["chains", "ip"])?;
        let ours = chains.iter().map(|object| &object["chain"]).filter(|c| c["table"] == table);
        let stale: BTreeSet<&str> = ours
            .filter_map(|chain| permits::filter_of(chain["name"].as_str()?))
            .filter(|name| !in_force.values().any(|used| used == name))
            .collect();
        let script: String = stale.into_iter().map(|name| permits::no_rules(table, name)).collect();
        if script.is_empty() { Ok(()) } else { nft::apply(&script) }
    }

    pub fn remove(&self) -> io::Result<()> {
        let table = self.names.table();
        let mut script = String::new();
        for family in ["ip", "bridge"] {
            // Adding first makes deleting what is not there no error.
            script += &format!("add table {family} {table}\ndelete table {family} {table}\n");
        }
        nft::apply(&script)?;
        self.in_force().clear();
        Ok(())
    }

    /// Foreign chains whose policy drops what we would let through. We cannot overrule them.
    pub fn obstacles(&self) -> io::Result<Vec<String>> {
        let objects = nft::list(&["chains"])?;
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

    fn in_force(&self) -> MutexGuard<'_, HashMap<String, String>> {
        // It is changed by one insertion or removal, after the kernel has agreed.
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn foundation(names: &Names, options: &HostOptions, opened: &[String]) -> String {
    let table = names.table();
    let bridge = names.public_bridge();
    let (taps, private) = (names.taps(), names.private_bridges());
    let HostOptions { subnet, gateway, metadata_port, .. } = options;
    let opened: String = opened
        .iter()
        .map(|device| {
            format!(
                "add element ip {table} {OPENED} {{ \"{device}\" }}\n\
                 add element ip {table} {WANTED} {{ \"{device}\" }}\n"
            )
        })
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
    set {OPENED} {{ type ifname; }}
    set {WANTED} {{ type ifname; }}
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
flush set ip {table} {OPENED}
flush set ip {table} {WANTED}
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
        oifname "{bridge}" ip saddr {gateway} tcp sport {metadata_port} ct status dnat accept
        oifname "{bridge}" jump to_guest
    }}
    # The last rule: an interface that forwards only because a cloud asked forwards for clouds only.
    chain forward {{
        iifname "{bridge}" ip daddr 169.254.0.0/16 drop
        iifname "{bridge}" jump from_guest
        oifname "{bridge}" jump to_guest
        iifname @{OPENED} oifgroup != {PUBLIC_BRIDGES} drop
    }}
    chain from_guest {{
        ct state invalid ip protocol != icmp drop
        ct state related return
        ip saddr vmap @egress
        drop
    }}
    chain to_guest {{
        ct state invalid ip protocol != icmp drop
        ct state related return
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

/// Leads a port's packets to the chains of its filter. What comes out of a tap is either the
/// guest's own beginning or its answer, and likewise what goes in.
fn leads(table: &str, tap: &str, name: &str) -> String {
    let mut script = chains("add", table, tap) + &chains("flush", table, tap);
    for (chain, answers, begins) in [
        ("in", Judged::OutgoingAnswered, Judged::Incoming),
        ("out", Judged::IncomingAnswered, Judged::Outgoing),
    ] {
        let rule = format!("add rule ip {table} {chain}-{tap}");
        let (answers, begins) = (answers.chain(name), begins.chain(name));
        script += &format!("{rule} ct direction reply goto {answers}\n{rule} goto {begins}\n");
    }
    script
}

fn no_port(table: &str, tap: &str, identity: &Identity) -> String {
    let is_public = identity.wire == Wire::Public;
    // What is added first can always be deleted: the script succeeds whether the port was there,
    // was half there or was not.
    let mut script = if is_public { chains("add", table, tap) } else { String::new() };
    script += &elements("add", table, tap, identity);
    script += &elements("delete", table, tap, identity);
    if is_public {
        script += &(chains("flush", table, tap) + &chains("delete", table, tap));
    }
    script
}

/// Takes a filter's chains away if no other tap's lead to them.
fn forgotten(table: &str, name: &str, tap: &str, in_force: &HashMap<String, String>) -> String {
    let is_shared = in_force.iter().any(|(other, used)| other != tap && used == name);
    if is_shared { String::new() } else { permits::no_rules(table, name) }
}
