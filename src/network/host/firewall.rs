//! What the kernel lets through, as two nftables tables of our own.
//!
//! **Who a guest may claim to be** is settled in the `bridge` table, on frames as they leave a tap:
//! IPv4 and ARP from the interface's own MAC and address, nothing else (no IPv6 for now, no VLAN
//! tags, no DHCP: that is answered at the tap before this table sees it).
//!
//! **What a guest may talk to** is settled in the `ip` table. Kernels need not have connection
//! tracking on bridges, so ports of the public bridge are isolated and every packet of a guest,
//! even to its neighbour, is routed by the host and passes `input`, `output` or `forward`. Maps
//! lead from a guest's address to the chains of its filter (`permits`), which all ports with an
//! equal filter share. So the cost of a packet, and of an attachment, does not grow with the number
//! of guests, and giving a port a filter that another one has is a change of elements only: a
//! script that names a chain makes `nft` read every rule of the host first.
//!
//! Filters are stateful but not sticky: a flow begins in the direction of a permit and is answered
//! in the other, and packets of both are judged by the filter of today. A revoked rule therefore
//! cuts the flows it had admitted, where EC2 would let tracked ones run on until idle, and a flow
//! still admitted never notices a change. ICMP that no tracking knows, such as an error that
//! belongs to no flow, is judged packet by packet.
//!
//! Frames of private interfaces are dropped here, one and all: the overlay's switch has heard them at
//! their tap, and nobody else is to.
//!
//! Elastic addresses are translated in the same table (`translation`), so that filters see guests'
//! own addresses only.
//!
//! Scripts are text rather than nft's JSON: they can be read, every value in them is typed, and a
//! script is applied wholly or not at all. Other tables are neither changed nor overruled.

use super::{
    HostOptions,
    changes::{Change, Changes, InForce, Pending},
    forwarding::{self, OPENED, WANTED},
    identity::Identity,
    name::Names,
    netlink::PUBLIC_BRIDGES,
    nft::{self, Nft},
    permits::{self, Judged, Rules},
    translation::{self, End},
};
use crate::domain::{elastic_address::Elastic, interface::Wire, port_filter::GroupMembers};
use std::{
    collections::BTreeSet,
    io, iter,
    net::Ipv4Addr,
    slice,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

#[derive(Debug)]
pub(super) struct Firewall {
    names: Names,
    nft: Arc<Nft>,
    changes: Changes,
    /// The fixed rules as they were made.
    fixed: Mutex<Vec<serde_json::Value>>,
}

impl Firewall {
    pub fn new(names: Names, nft: Arc<Nft>) -> Firewall {
        let changes = Changes::new(names.table(), Arc::clone(&nft));
        Firewall { changes, nft, names, fixed: Mutex::default() }
    }

    /// Puts the fixed rules in place. Ports already there stay in force throughout.
    pub fn install(&self, options: &HostOptions, opened: &[String]) -> io::Result<()> {
        self.nft.apply(&foundation(&self.names, options, opened))?;
        self.remember_fixed()?;
        self.changes.read()
    }

    /// Whether the fixed rules are still those that were made.
    pub fn is_untouched(&self) -> bool {
        self.read_fixed().is_ok_and(|found| found == *self.fixed())
    }

    fn remember_fixed(&self) -> io::Result<()> {
        *self.fixed() = self.read_fixed()?;
        Ok(())
    }

    /// The kernel gives each a number, and never one that another had: what is made again is told
    /// from what was there.
    fn read_fixed(&self) -> io::Result<Vec<serde_json::Value>> {
        let mut found = Vec::new();
        for family in ["bridge", "ip"] {
            found.extend(nft::list(&["table", family, self.names.table()])?);
        }
        found.retain(|object| {
            let chain = object["chain"]["name"].as_str().or(object["rule"]["chain"].as_str());
            !object["table"].is_null() || chain.is_some_and(|it| permits::filter_of(it).is_none())
        });
        Ok(found)
    }

    fn fixed(&self) -> MutexGuard<'_, Vec<serde_json::Value>> {
        // It is replaced as a whole.
        self.fixed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the tables anew, in one moment, whatever somebody else has made of them; with these
    /// ports and nobody else's.
    pub fn rebuild<'a>(
        &self,
        options: &HostOptions,
        opened: &[String],
        ports: impl Iterator<Item = (String, &'a Identity, Arc<Rules>)>,
    ) -> io::Result<()> {
        let empty = self.removal() + &foundation(&self.names, options, opened);
        let table = self.names.table().to_owned();
        let members = Box::new(move |in_force: &mut InForce| {
            let set = |(set, members): (&String, &BTreeSet<Ipv4Addr>)| {
                permits::declared(&table, set) + &changed("add", &table, set, members.iter())
            };
            let members: String = in_force.members.iter().map(set).collect();
            members + &in_force.translations.script(&table)
        });
        let admissions = ports.map(|(tap, identity, rules)| self.admission(&tap, identity, rules));
        let changes: Vec<Change> = iter::once(members as Change).chain(admissions).collect();
        self.changes.start_over(&empty, &changes)?;
        self.remember_fixed()
    }

    /// Brings a port into force, or replaces its filter; packets see the old or the new, whole.
    /// What was asked for first is in force first, and nothing is until it is waited for.
    pub fn admit(&self, tap: &str, identity: &Identity, rules: Arc<Rules>) -> Pending {
        self.changes.queue(self.admission(tap, identity, rules))
    }

    fn admission(&self, tap: &str, identity: &Identity, rules: Arc<Rules>) -> Change {
        let table = self.names.table().to_owned();
        let who = elements("add", &table, tap, identity);
        if identity.wire != Wire::Public {
            return Box::new(move |_| who.clone());
        }
        let address = identity.address;
        Box::new(move |in_force| {
            let mut script = String::new();
            if !in_force.filters.contains_key(rules.name()) {
                script += &rules.script(&table);
                in_force.filters.insert(rules.name().to_owned(), rules.sets().clone());
                for set in rules.sets() {
                    in_force.members.entry(set.clone()).or_default();
                }
            }
            script += &who;
            script += &in_force.translations.own(&table, address);
            let earlier = in_force.ports.insert(address, rules.name().to_owned());
            if earlier.as_deref() != Some(rules.name()) {
                script += &earlier.map(|_| unlinked(&table, address)).unwrap_or_default();
                script += &linked(&table, address, rules.name());
            }
            script
        })
    }

    /// Says who filters mean by a group. What changes is elements of one set.
    pub fn set_members(&self, members: &GroupMembers) -> io::Result<()> {
        let table = self.names.table().to_owned();
        let set = permits::members_set(&members.group);
        let wanted = members.addresses.clone();
        self.wait(self.changes.queue(Box::new(move |in_force| {
            if wanted.is_empty() && !in_force.members.contains_key(&set) {
                return String::new(); // As it is: a filter that speaks of the set declares it.
            }
            let known = in_force.members.insert(set.clone(), wanted.clone()).unwrap_or_default();
            permits::declared(&table, &set)
                + &changed("delete", &table, &set, known.difference(&wanted))
                + &changed("add", &table, &set, wanted.difference(&known))
        })))
    }

    /// Takes a port out of force. One that is not in force is no error.
    pub fn withdraw(&self, tap: &str, identity: &Identity) -> io::Result<()> {
        let table = self.names.table().to_owned();
        // What is added first can always be deleted, whether the port was there or not.
        let mut nobody = elements("add", &table, tap, identity);
        nobody += &elements("delete", &table, tap, identity);
        let public = Some(identity.address).filter(|_| identity.wire == Wire::Public);
        self.wait(self.changes.queue(Box::new(move |in_force| {
            let leaves = public.filter(|address| in_force.ports.remove(address).is_some());
            let mut script = nobody.clone();
            if let Some(address) = public {
                script += &in_force.translations.give(&table, address, None);
            }
            script + &leaves.map(|address| unlinked(&table, address)).unwrap_or_default()
        })))
    }

    /// Has the world find the guest with this address at an elastic one too, or no longer.
    pub fn translate(&self, own: Ipv4Addr, elastic: Option<Elastic>) -> io::Result<()> {
        let table = self.names.table().to_owned();
        self.wait(
            self.changes
                .queue(Box::new(move |in_force| in_force.translations.give(&table, own, elastic))),
        )
    }

    /// At which elastic address the world finds a guest.
    pub fn elastic(&self, own: Ipv4Addr) -> Option<Elastic> {
        self.changes.look(|in_force| in_force.translations.of(own))
    }

    /// Whether the world finds any guest at one.
    pub fn translates(&self) -> bool {
        self.changes.look(|in_force| !in_force.translations.is_empty())
    }

    pub fn wait(&self, pending: Pending) -> io::Result<()> {
        self.changes.settle(pending)
    }

    /// Takes everybody out of force but these: a process that was interrupted may have taken a tap
    /// away and not what led to it.
    pub fn sweep(&self, kept: &[(String, &Identity)]) -> io::Result<()> {
        let table = self.names.table();
        let taps: BTreeSet<&str> = kept.iter().map(|(tap, _)| tap.as_str()).collect();
        let mut strangers = String::new();
        for object in nft::list(&["table", "bridge", table])? {
            let set = &object["set"];
            let elements = set["elem"].as_array().into_iter().flatten();
            for element in elements {
                // Who is at a tap begins with its name; elsewhere the name is all there is.
                let words = element["concat"].as_array().map_or(slice::from_ref(element), |w| w);
                let words: Vec<&str> = words.iter().filter_map(|word| word.as_str()).collect();
                if let ([tap, who @ ..], Some(set)) = (&words[..], set["name"].as_str())
                    && !taps.contains(tap)
                {
                    let element = [&[format!("\"{tap}\"").as_str()], who].concat().join(" . ");
                    strangers += &format!("delete element bridge {table} {set} {{ {element} }}\n");
                }
            }
        }
        let public = kept.iter().filter(|(_, identity)| identity.wire == Wire::Public);
        let addresses: BTreeSet<Ipv4Addr> = public.map(|(_, identity)| identity.address).collect();
        let table = table.to_owned();
        self.wait(self.changes.queue(Box::new(move |in_force| {
            let mut script = strangers.clone();
            in_force.ports.retain(|address, _| {
                let is_kept = addresses.contains(address);
                if !is_kept {
                    script += &unlinked(&table, *address);
                }
                is_kept
            });
            script + &in_force.translations.keep_only(&table, &addresses)
        })))
    }

    pub fn remove(&self) -> io::Result<()> {
        self.nft.apply(&self.removal())?;
        self.changes.clear();
        Ok(())
    }

    fn removal(&self) -> String {
        let table = self.names.table();
        // Adding first makes deleting what is not there no error.
        let remove =
            |family| format!("add table {family} {table}\ndelete table {family} {table}\n");
        ["ip", "bridge"].map(remove).concat()
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
}

fn foundation(names: &Names, options: &HostOptions, opened: &[String]) -> String {
    let table = names.table();
    let bridge = names.public_bridge();
    let taps = names.taps();
    let HostOptions { subnet, gateway, metadata_port, .. } = options;
    let opened: String = opened.iter().map(|uplink| forwarding::elements(table, uplink)).collect();
    let maps =
        permits::ALL.map(|judged| format!("map {} {{ type ipv4_addr : verdict; }}", judged.map()));
    let maps = maps.join("\n    ");
    let elastic = translation::declared();
    let translated = translation::rules();
    let outbound = translation::outbound(&bridge, &subnet.to_string());
    let local = translation::local(&bridge);
    let by_detour = translation::by_detour(&bridge);
    let [detour, detoured] = names.detour();
    let [stale_from, stale_to] = [End::Source, End::Destination].map(translation::stale);
    let [inbound, inbound_local] = translation::CHAINS;
    // Declared, emptied and filled in one transaction, so that a newer version of these rules
    // replaces an older one without a moment in which there are none.
    format!(
        r#"
table bridge {table} {{
    set identity {{ type ifname . ether_addr . ipv4_addr; }}
    set private {{ type ifname; }}
    chain prerouting {{ type filter hook prerouting priority -300; policy accept; }}
    chain guest {{ }}
    chain guest_ip {{ }}
    chain guest_arp {{ }}
}}
table ip {table} {{
    {maps}
    {elastic}
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
flush chain bridge {table} guest
flush chain bridge {table} guest_ip
flush chain bridge {table} guest_arp
flush set ip {table} {OPENED}
flush set ip {table} {WANTED}
flush chain ip {table} untracked
flush chain ip {table} metadata
flush chain ip {table} {inbound}
flush chain ip {table} {inbound_local}
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
    chain guest {{
        iifname @private drop
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
    chain untracked {{
        {by_detour}
    }}
    chain metadata {{
        iifname "{bridge}" ip daddr 169.254.169.254 tcp dport 80 redirect to :{metadata_port}
    }}
    {translated}
    chain outbound {{
        {outbound}
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
        {local}
    }}
    # The last rule: an interface that forwards only because a cloud asked forwards for clouds only.
    chain forward {{
        iifname "{bridge}" ip daddr 169.254.0.0/16 drop
        iifname "{bridge}" jump from_guest
        oifname "{bridge}" jump to_guest
        iifname "{detoured}" oifname "{detour}" drop
        iifname @{OPENED} oifgroup != {PUBLIC_BRIDGES} drop
    }}
    chain from_guest {{
        {stale_from}
        ct state invalid ip protocol != icmp drop
        ct state related return
        ct direction reply ip saddr vmap @incoming_answered
        ip saddr vmap @outgoing
        drop
    }}
    chain to_guest {{
        {stale_to}
        ct state invalid ip protocol != icmp drop
        ct state related return
        ct direction reply ip daddr vmap @outgoing_answered
        ip daddr vmap @incoming
        drop
    }}
}}
"#
    )
}

/// Who is at a tap, or that it is not for this host to hear.
fn elements(verb: &str, table: &str, tap: &str, identity: &Identity) -> String {
    let Identity { mac, address, wire, .. } = identity;
    match wire {
        Wire::Public => {
            format!("{verb} element bridge {table} identity {{ \"{tap}\" . {mac} . {address} }}\n")
        }
        Wire::Private(_) => format!("{verb} element bridge {table} private {{ \"{tap}\" }}\n"),
    }
}

/// Addresses that come into a set, or leave it.
fn changed<'a>(
    verb: &str,
    table: &str,
    set: &str,
    addresses: impl Iterator<Item = &'a Ipv4Addr>,
) -> String {
    let addresses: Vec<String> = addresses.map(Ipv4Addr::to_string).collect();
    match addresses.is_empty() {
        true => String::new(),
        false => format!("{verb} element ip {table} {set} {{ {} }}\n", addresses.join(", ")),
    }
}

/// Leads an address's packets to the chains of a filter.
fn linked(table: &str, address: Ipv4Addr, filter: &str) -> String {
    let element = |judged: Judged| {
        let (map, chain) = (judged.map(), judged.chain(filter));
        format!("add element ip {table} {map} {{ {address} : goto {chain} }}\n")
    };
    permits::ALL.map(element).concat()
}

fn unlinked(table: &str, address: Ipv4Addr) -> String {
    let element =
        |judged: Judged| format!("delete element ip {table} {} {{ {address} }}\n", judged.map());
    permits::ALL.map(element).concat()
}
