//! What a port admits, as nftables rules.
//!
//! A filter becomes four chains. Two judge the packets of a flow in the direction it began, coming
//! in and going out; two judge the answers, by the same permits seen in a mirror, so that an answer
//! does not outlive the permit to ask.
//!
//! Permits that differ only in their peers, or only in their ports, become one rule with a set:
//! neither the kernel nor `nft` need care how many there were.

use crate::domain::{
    id::SecurityGroupId,
    port_filter::{Cidr, Direction, Peers, PortFilter, Traffic},
};
use ring::digest;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// The rules of a filter, and the name of the chains they belong in, which says what they are:
/// ports with equal filters share them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rules {
    name: String,
    /// The sets of members that the rules speak of.
    sets: BTreeSet<String>,
    chains: [Vec<String>; 4],
}

/// Whose packets a chain judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judged {
    Incoming,
    /// What the guest says to those who began.
    IncomingAnswered,
    Outgoing,
    /// What is said to the guest by those it began with.
    OutgoingAnswered,
}

pub(super) const ALL: [Judged; 4] =
    [Judged::Incoming, Judged::IncomingAnswered, Judged::Outgoing, Judged::OutgoingAnswered];

/// What the names of these chains begin with, and no others.
const BEGINNING: &str = "filter-";
/// To be another when the same conditions become other chains: an earlier version's may be there.
const RENDERING: &[u8] = b"1\n";
const NAME_BYTES: usize = 16;

/// What the names of sets of members begin with, and no others.
const MEMBERS: &str = "members-";

impl Rules {
    pub fn of(filter: &PortFilter) -> Rules {
        let [incoming, outgoing] =
            [Direction::Ingress, Direction::Egress].map(|direction| merged(filter, direction));
        let chains: [Vec<String>; 4] = ALL.map(|judged| {
            let flows = match judged {
                Judged::Incoming | Judged::IncomingAnswered => &incoming,
                Judged::Outgoing | Judged::OutgoingAnswered => &outgoing,
            };
            flows.iter().filter_map(|flow| flow.condition(judged)).collect()
        });
        let mut said = digest::Context::new(&digest::SHA256);
        said.update(RENDERING);
        for chain in &chains {
            // With its length first, it cannot be read as another's: a rule may have no condition.
            said.update(format!("{}\n", chain.len()).as_bytes());
            chain.iter().for_each(|rule| said.update(format!("{rule}\n").as_bytes()));
        }
        let digest = said.finish();
        let name = digest.as_ref()[..NAME_BYTES]
            .iter()
            .fold(BEGINNING.to_owned(), |name, byte| format!("{name}{byte:02x}"));
        let sets = filter.groups().map(members_set).collect();
        Rules { name, sets, chains }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn sets(&self) -> &BTreeSet<String> {
        &self.sets
    }

    /// Makes the chains.
    pub fn script(&self, table: &str) -> String {
        let mut script: String = self.sets.iter().map(|set| declared(table, set)).collect();
        for judged in ALL {
            // Infallible: a `String` takes whatever is written to it.
            let _ = writeln!(script, "add chain ip {table} {}", judged.chain(&self.name));
        }
        for (judged, rules) in ALL.into_iter().zip(&self.chains) {
            let rule = format!("add rule ip {table} {}", judged.chain(&self.name));
            for condition in rules {
                let _ = writeln!(script, "{rule} {condition}return");
            }
            let _ = match judged.otherwise() {
                None => writeln!(script, "{rule} drop"),
                Some(begins) => writeln!(script, "{rule} goto {}", begins.chain(&self.name)),
            };
        }
        script
    }
}

impl Judged {
    pub fn chain(self, name: &str) -> String {
        format!("{name}-{}", self.map())
    }

    /// The map that leads from a guest's address to its filter's chain.
    pub fn map(self) -> &'static str {
        match self {
            Judged::Incoming => "incoming",
            Judged::IncomingAnswered => "incoming_answered",
            Judged::Outgoing => "outgoing",
            Judged::OutgoingAnswered => "outgoing_answered",
        }
    }

    /// How what is no answer is judged: its sender might begin with it, as both ends do where
    /// neither has a port, or both the same.
    fn otherwise(self) -> Option<Judged> {
        match self {
            Judged::Incoming | Judged::Outgoing => None,
            Judged::IncomingAnswered => Some(Judged::Outgoing),
            Judged::OutgoingAnswered => Some(Judged::Incoming),
        }
    }

    /// Whether the packets come from the end that began.
    fn is_forth(self) -> bool {
        matches!(self, Judged::Incoming | Judged::Outgoing)
    }

    /// Where such a packet has the address of the guest's peer.
    fn peer(self) -> &'static str {
        match self {
            Judged::Incoming | Judged::OutgoingAnswered => "saddr",
            Judged::IncomingAnswered | Judged::Outgoing => "daddr",
        }
    }

    /// Where it has the port that the permit is about.
    fn port(self) -> &'static str {
        if self.is_forth() { "dport" } else { "sport" }
    }
}

/// Takes the chains of this name away.
pub(super) fn no_rules(table: &str, name: &str) -> String {
    let verbs = ["flush", "delete"];
    let commands = verbs.iter().flat_map(|verb| {
        ALL.map(|judged| format!("{verb} chain ip {table} {}\n", judged.chain(name)))
    });
    commands.collect()
}

/// The name of the filter that a chain belongs to.
pub(super) fn filter_of(chain: &str) -> Option<&str> {
    let digits = chain.strip_prefix(BEGINNING)?.split('-').next()?;
    Some(&chain[..BEGINNING.len() + digits.len()])
}

/// The set of a group's members.
pub(super) fn members_set(group: &SecurityGroupId) -> String {
    format!("{MEMBERS}{group}")
}

/// Whether that is the name of such a set.
pub(super) fn is_members_set(name: &str) -> bool {
    name.starts_with(MEMBERS)
}

/// The sets of members that a rule speaks of, wherever in `nft`'s JSON.
pub(super) fn sets_in(expression: &serde_json::Value, sets: &mut BTreeSet<String>) {
    match expression {
        serde_json::Value::String(word) => {
            let set = word.strip_prefix('@').filter(|name| is_members_set(name));
            sets.extend(set.map(str::to_owned));
        }
        serde_json::Value::Array(parts) => parts.iter().for_each(|part| sets_in(part, sets)),
        serde_json::Value::Object(parts) => parts.values().for_each(|part| sets_in(part, sets)),
        _ => {}
    }
}

/// Makes a set of addresses, if there is none.
pub(super) fn declared(table: &str, set: &str) -> String {
    format!("add set ip {table} {set} {{ type ipv4_addr; }}\n")
}

/// Permits as one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Flow {
    peers: Peers,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Any,
    /// By a protocol with ports, in these ranges.
    Ports(&'static str, Vec<(u16, u16)>),
    Icmp {
        kind: Option<u8>,
        code: Option<u8>,
    },
    Protocol(u8),
}

fn merged(filter: &PortFilter, direction: Direction) -> Vec<Flow> {
    let mut by_traffic: BTreeMap<Traffic, Vec<Cidr>> = BTreeMap::new();
    let mut of_members: BTreeSet<(Traffic, Peers)> = BTreeSet::new();
    for permit in filter.permits.iter().filter(|permit| permit.direction == direction) {
        match &permit.peers {
            Peers::Ranges(ranges) => by_traffic.entry(permit.traffic).or_default().extend(ranges),
            members => _ = of_members.insert((permit.traffic, members.clone())),
        }
    }
    let of_ranges = by_traffic
        .into_iter()
        .map(|(traffic, ranges)| (traffic, disjoint(ranges)))
        .filter(|(_, ranges)| !ranges.is_empty())
        .map(|(traffic, ranges)| (traffic, Peers::Ranges(ranges)));
    let mut by_peers: BTreeMap<(Peers, Kind), Vec<(u16, u16)>> = BTreeMap::new();
    for (traffic, peers) in of_ranges.chain(of_members) {
        let ports = |protocol, from, to| {
            // Ports the wrong way round are no ports, as in `Traffic::covers`.
            (from <= to).then(|| (Kind::Ports(protocol, Vec::new()), Some((from, to))))
        };
        let kind = match traffic {
            Traffic::Any => Some((Kind::Any, None)),
            Traffic::Tcp { from, to } => ports("tcp", from, to),
            Traffic::Udp { from, to } => ports("udp", from, to),
            Traffic::Icmp { kind, code } => Some((Kind::Icmp { kind, code }, None)),
            Traffic::Protocol(number) => Some((Kind::Protocol(number), None)),
            Traffic::Icmpv6 { .. } => None,
        };
        if let Some((kind, range)) = kind {
            by_peers.entry((peers, kind)).or_default().extend(range);
        }
    }
    let flow = |((peers, kind), ranges)| match kind {
        Kind::Ports(protocol, _) => Flow { peers, kind: Kind::Ports(protocol, joined(ranges)) },
        kind => Flow { peers, kind },
    };
    by_peers.into_iter().map(flow).collect()
}

impl Flow {
    /// The left side of a rule; none if no packet can be meant.
    fn condition(&self, judged: Judged) -> Option<String> {
        let peers = match &self.peers {
            Peers::Ranges(ranges) if ranges[..] == [Cidr::ANY] => String::new(),
            Peers::Ranges(ranges) => {
                format!("ip {} {} ", judged.peer(), set(ranges.iter().map(Cidr::to_string)))
            }
            Peers::Members(group) => format!("ip {} @{} ", judged.peer(), members_set(group)),
        };
        Some(peers + &self.kind.condition(judged)?)
    }
}

impl Kind {
    fn condition(&self, judged: Judged) -> Option<String> {
        Some(match self {
            Kind::Any => String::new(),
            Kind::Ports(protocol, ranges) if ranges[..] == [(0, u16::MAX)] => {
                format!("meta l4proto {protocol} ")
            }
            Kind::Ports(protocol, ranges) => {
                let ranges = ranges.iter().map(|(from, to)| match from == to {
                    true => from.to_string(),
                    false => format!("{from}-{to}"),
                });
                format!("{protocol} {} {} ", judged.port(), set(ranges))
            }
            Kind::Icmp { kind, code } => {
                let kind = match kind {
                    Some(kind) if !judged.is_forth() => Some(answer_to(*kind)?),
                    kind => *kind,
                };
                match (kind, code) {
                    (None, None) => "ip protocol 1 ".to_owned(),
                    (Some(kind), None) => format!("icmp type {kind} "),
                    (None, Some(code)) => format!("icmp code {code} "),
                    (Some(kind), Some(code)) => format!("icmp type {kind} icmp code {code} "),
                }
            }
            Kind::Protocol(number) => format!("ip protocol {number} "),
        })
    }
}

/// What answers an ICMP question, with the question's code. Other messages have no answers.
fn answer_to(kind: u8) -> Option<u8> {
    match kind {
        8 => Some(0),
        13 | 15 | 17 => Some(kind + 1),
        _ => None,
    }
}

fn set(elements: impl ExactSizeIterator<Item = String>) -> String {
    let alone = elements.len() == 1;
    let elements = elements.collect::<Vec<_>>().join(", ");
    if alone { elements } else { format!("{{ {elements} }}") }
}

/// The same addresses without overlaps, which nft's sets do not take. Ranges overlap only by one
/// holding the other, and the holder sorts first.
fn disjoint(mut ranges: Vec<Cidr>) -> Vec<Cidr> {
    ranges.sort();
    let mut kept: Vec<Cidr> = Vec::new();
    for range in ranges {
        if !kept.last().is_some_and(|last| last.overlaps(range)) {
            kept.push(range);
        }
    }
    kept
}

/// The same ports in the fewest ranges.
fn joined(mut ranges: Vec<(u16, u16)>) -> Vec<(u16, u16)> {
    ranges.sort();
    let mut kept: Vec<(u16, u16)> = Vec::new();
    for (from, to) in ranges {
        match kept.last_mut() {
            Some((_, last)) if from <= last.saturating_add(1) => *last = to.max(*last),
            _ => kept.push((from, to)),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::port_filter::Permit;

    fn permit(traffic: Traffic, peers: &[&str]) -> Permit {
        let peers = Peers::Ranges(peers.iter().map(|peer| peer.parse().unwrap()).collect());
        Permit { direction: Direction::Ingress, traffic, peers }
    }

    fn rules(permits: Vec<Permit>) -> [Vec<String>; 4] {
        Rules::of(&PortFilter { permits }).chains
    }

    /// The conditions for what comes in, and for what answers it.
    fn check(traffic: Traffic, peers: &[&str], forth: Option<&str>, back: Option<&str>) {
        let one = |condition: Option<&str>| condition.map(str::to_owned).into_iter().collect();
        let [incoming, answered, out, out_answered] = rules(vec![permit(traffic, peers)]);
        let expected: (Vec<String>, Vec<String>) = (one(forth), one(back));
        assert_eq!((incoming, answered), expected);
        assert!(out.is_empty() && out_answered.is_empty());
    }

    #[test]
    fn a_permit_becomes_a_condition_and_its_mirror_image() {
        let any = &["0.0.0.0/0"];
        let tcp = |from, to| Traffic::Tcp { from, to };
        check(Traffic::Any, any, Some(""), Some(""));
        check(Traffic::Any, &[], None, None);
        check(tcp(22, 22), any, Some("tcp dport 22 "), Some("tcp sport 22 "));
        check(tcp(0, 65535), any, Some("meta l4proto tcp "), Some("meta l4proto tcp "));
        check(Traffic::Udp { from: 9, to: 8 }, any, None, None);
        let ten = &["10.0.0.0/8"];
        let forth = "ip saddr 10.0.0.0/8 ip protocol 47 ";
        check(Traffic::Protocol(47), ten, Some(forth), Some("ip daddr 10.0.0.0/8 ip protocol 47 "));
        check(
            Traffic::Udp { from: 1, to: 9 },
            &["10.0.0.0/8", "192.0.2.1/32"],
            Some("ip saddr { 10.0.0.0/8, 192.0.2.1/32 } udp dport 1-9 "),
            Some("ip daddr { 10.0.0.0/8, 192.0.2.1/32 } udp sport 1-9 "),
        );
    }

    #[test]
    fn a_permit_for_a_group_speaks_of_the_set_of_its_members() {
        let peers = Peers::Members("sg-00000001".parse().unwrap());
        let ssh = Permit { peers, ..permit(Traffic::Tcp { from: 22, to: 22 }, &[]) };
        let rules = Rules::of(&PortFilter { permits: vec![ssh.clone(), ssh] });
        assert_eq!(rules.chains[0], ["ip saddr @members-sg-00000001 tcp dport 22 "]);
        assert_eq!(rules.chains[1], ["ip daddr @members-sg-00000001 tcp sport 22 "]);
        let script = rules.script("t");
        assert!(
            script.starts_with("add set ip t members-sg-00000001 { type ipv4_addr; }\n"),
            "{script}"
        );
    }

    #[test]
    fn icmp_is_answered_by_the_type_that_answers_and_by_no_other() {
        let any = &["0.0.0.0/0"];
        let check = |kind, code, forth: &str, back| {
            check(Traffic::Icmp { kind, code }, any, Some(forth), back);
        };
        check(None, None, "ip protocol 1 ", Some("ip protocol 1 "));
        check(Some(8), None, "icmp type 8 ", Some("icmp type 0 "));
        check(Some(8), Some(0), "icmp type 8 icmp code 0 ", Some("icmp type 0 icmp code 0 "));
        check(Some(13), None, "icmp type 13 ", Some("icmp type 14 "));
        check(Some(3), Some(4), "icmp type 3 icmp code 4 ", None);
    }

    #[test]
    fn permits_that_differ_in_one_thing_become_one_rule() {
        let tcp = |port, peer: &str| permit(Traffic::Tcp { from: port, to: port }, &[peer]);
        let peers = (1..=250).map(|last| tcp(22, &format!("192.0.2.{last}/32"))).collect();
        let [incoming, ..] = rules(peers);
        assert_eq!(incoming.len(), 1);
        let ports: Vec<Permit> = (1..=999).map(|port| tcp(port * 2, "10.0.0.0/8")).collect();
        let [incoming, ..] = rules([ports, vec![tcp(3, "10.0.0.0/8")]].concat());
        assert_eq!(incoming.len(), 1);
        assert!(incoming[0].starts_with("ip saddr 10.0.0.0/8 tcp dport { 2-4, 6, 8, "));
    }

    #[test]
    fn equal_filters_have_one_name_however_they_are_said() {
        let ssh = || permit(Traffic::Tcp { from: 22, to: 22 }, &["10.0.0.0/8", "10.1.0.0/16"]);
        let ping = || permit(Traffic::Icmp { kind: Some(8), code: None }, &["0.0.0.0/0"]);
        let name = |permits| Rules::of(&PortFilter { permits }).name;
        let one = name(vec![ssh(), ping()]);
        assert_eq!(one, name(vec![ping(), ssh(), ping()]));
        assert_ne!(one, name(vec![ssh()]));
        let out = Permit { direction: Direction::Egress, ..ssh() };
        assert_ne!(name(vec![ssh()]), name(vec![out]));
        let any = permit(Traffic::Any, &["0.0.0.0/0"]);
        let out = Permit { direction: Direction::Egress, ..any.clone() };
        assert_ne!(name(vec![any]), name(vec![out]), "rules without a condition");
        for judged in ALL {
            assert_eq!(filter_of(&judged.chain(&one)), Some(one.as_str()));
        }
        assert_eq!(filter_of("from_guest"), None);
    }

    #[test]
    fn overlapping_peers_are_named_once() {
        let ranges =
            ["10.1.0.0/16", "10.0.0.0/8", "10.0.0.0/8", "10.255.0.1/32", "11.0.0.0/8", "9.0.0.0/8"]
                .map(|range| range.parse().unwrap());
        let kept: Vec<String> = disjoint(ranges.to_vec()).iter().map(Cidr::to_string).collect();
        assert_eq!(kept, ["9.0.0.0/8", "10.0.0.0/8", "11.0.0.0/8"]);
        assert_eq!(disjoint([ranges.as_slice(), &[Cidr::ANY]].concat()), [Cidr::ANY]);
    }

    #[test]
    fn ports_are_joined_where_they_touch() {
        let ranges = vec![(65535, 65535), (5, 9), (1, 2), (3, 3), (7, 8), (11, 12), (65000, 65535)];
        assert_eq!(joined(ranges), [(1, 3), (5, 9), (11, 12), (65000, 65535)]);
    }
}
