//! Elastic addresses as nftables has them: translated to a guest's own address and back.
//!
//! What is sent to an elastic address is so for the guest's own one before anything is routed or
//! filtered, so the guest's filter holds for both alike. What the guest sends to the world leaves
//! with the elastic address where that is wanted; between guests of one host it is left alone, unless
//! one speaks to itself, which it would not believe of its own address.
//!
//! Connection tracking remembers for each flow how it was translated when it began. So besides the
//! maps there is a set of who goes with whom now, and a packet of a flow by an elastic address that
//! has gone elsewhere since is dropped; what was ever elastic is known from another set.

use crate::domain::elastic_address::{Egress, Elastic};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

/// From an elastic address to the guest's own.
const INBOUND: &str = "elastic";
/// From a guest's own address to its elastic one.
const OWN: &str = "elastic_own";
/// The same of guests whose packets leave with it.
const OUTBOUND: &str = "elastic_source";
/// Elastic and own addresses that go together.
const PAIRS: &str = "elastic_pairs";
/// Addresses that are or were elastic.
const KNOWN: &str = "elastic_known";

/// What is translated now, as far as we know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Translations {
    /// By the elastic address.
    inbound: BTreeMap<Ipv4Addr, Ipv4Addr>,
    /// By the guest's own address.
    outbound: BTreeMap<Ipv4Addr, Ipv4Addr>,
    known: BTreeSet<Ipv4Addr>,
}

impl Translations {
    /// The elastic address of a guest.
    pub fn of(&self, own: Ipv4Addr) -> Option<Elastic> {
        let (address, _) = self.inbound.iter().find(|(_, of)| **of == own)?;
        let egress = match self.outbound.contains_key(&own) {
            true => Egress::Elastic,
            false => Egress::Masqueraded,
        };
        Some(Elastic { address: *address, egress })
    }

    pub fn is_empty(&self) -> bool {
        self.inbound.is_empty()
    }

    /// Gives the guest that address and no other, whoever had it, or none.
    pub fn give(&mut self, table: &str, own: Ipv4Addr, elastic: Option<Elastic>) -> String {
        if self.of(own) == elastic {
            return String::new();
        }
        let mut script = self.take(table, own);
        let Some(Elastic { address, egress }) = elastic else { return script };
        if let Some(earlier) = self.inbound.get(&address).copied() {
            script += &self.take(table, earlier);
        }
        self.inbound.insert(address, own);
        script += &element("add", table, INBOUND, &format!("{address} : {own}"));
        script += &element("add", table, OWN, &format!("{own} : {address}"));
        script += &element("add", table, PAIRS, &format!("{address} . {own}"));
        if self.known.insert(address) {
            script += &element("add", table, KNOWN, &address.to_string());
        }
        if egress == Egress::Elastic {
            self.outbound.insert(own, address);
            script += &element("add", table, OUTBOUND, &format!("{own} : {address}"));
        }
        script
    }

    fn take(&mut self, table: &str, own: Ipv4Addr) -> String {
        let mut script = String::new();
        if let Some(Elastic { address, .. }) = self.of(own) {
            self.inbound.remove(&address);
            script += &element("delete", table, INBOUND, &address.to_string());
            script += &element("delete", table, OWN, &own.to_string());
            script += &element("delete", table, PAIRS, &format!("{address} . {own}"));
        }
        if self.outbound.remove(&own).is_some() {
            script += &element("delete", table, OUTBOUND, &own.to_string());
        }
        script
    }

    /// An address that is a guest's own is none that was elastic.
    pub fn own(&mut self, table: &str, address: Ipv4Addr) -> String {
        let mut script = String::new();
        if let Some(earlier) = self.inbound.get(&address).copied() {
            script += &self.take(table, earlier);
        }
        if self.known.remove(&address) {
            script += &element("delete", table, KNOWN, &address.to_string());
        }
        script
    }

    /// Takes away what is of no guest with one of these addresses.
    pub fn keep_only(&mut self, table: &str, own: &BTreeSet<Ipv4Addr>) -> String {
        let translated = self.inbound.values().chain(self.outbound.keys());
        let strangers: BTreeSet<Ipv4Addr> =
            translated.filter(|address| !own.contains(address)).copied().collect();
        strangers.into_iter().map(|stranger| self.take(table, stranger)).collect()
    }

    /// All of it, for tables in which there is nothing.
    pub fn script(&self, table: &str) -> String {
        let inbound = self.inbound.iter().flat_map(|(address, own)| {
            [
                element("add", table, INBOUND, &format!("{address} : {own}")),
                element("add", table, OWN, &format!("{own} : {address}")),
                element("add", table, PAIRS, &format!("{address} . {own}")),
            ]
        });
        let outbound = self
            .outbound
            .iter()
            .map(|(own, address)| element("add", table, OUTBOUND, &format!("{own} : {address}")));
        let known = self.known.iter().map(|known| element("add", table, KNOWN, &known.to_string()));
        inbound.chain(outbound).chain(known).collect()
    }

    /// What one of the objects in `nft`'s list of the table says.
    pub fn read(&mut self, object: &Value) {
        let pairs = |elements: &Value| -> Vec<(Ipv4Addr, Ipv4Addr)> {
            let elements = elements.as_array().into_iter().flatten();
            let address = |value: &Value| value.as_str()?.parse().ok();
            elements.filter_map(|pair| Some((address(&pair[0])?, address(&pair[1])?))).collect()
        };
        let map = &object["map"];
        match map["name"].as_str() {
            Some(INBOUND) => self.inbound.extend(pairs(&map["elem"])),
            Some(OUTBOUND) => self.outbound.extend(pairs(&map["elem"])),
            _ => {}
        }
        let set = &object["set"];
        if set["name"] == KNOWN {
            let elements = set["elem"].as_array().into_iter().flatten();
            self.known
                .extend(elements.filter_map(|known| known.as_str()?.parse::<Ipv4Addr>().ok()));
        }
    }
}

/// The maps and sets, and the chains that are translated in.
pub(super) fn declared() -> String {
    format!(
        r#"map {INBOUND} {{ type ipv4_addr : ipv4_addr; }}
    map {OWN} {{ type ipv4_addr : ipv4_addr; }}
    map {OUTBOUND} {{ type ipv4_addr : ipv4_addr; }}
    set {PAIRS} {{ type ipv4_addr . ipv4_addr; }}
    set {KNOWN} {{ type ipv4_addr; }}
    chain inbound {{ type nat hook prerouting priority dstnat; policy accept; }}
    chain inbound_local {{ type nat hook output priority -100; policy accept; }}"#
    )
}

pub(super) const CHAINS: [&str; 2] = ["inbound", "inbound_local"];

/// What the chains of translation say.
pub(super) fn rules() -> String {
    CHAINS
        .map(|chain| format!("chain {chain} {{\n        dnat to ip daddr map @{INBOUND}\n    }}"))
        .join("\n    ")
}

/// Before the rule by which packets leave with the host's address.
pub(super) fn outbound(bridge: &str, subnet: &str) -> String {
    format!(
        r#"oifname "{bridge}" ct original ip daddr . ip saddr @{PAIRS} snat to ip saddr map @{OWN}
        ip saddr {subnet} ip daddr != {subnet} oifname != "{bridge}" snat to ip saddr map @{OUTBOUND}"#
    )
}

/// Drops what belongs to a flow by an elastic address that is not the guest's any more. The guest's
/// own address stands where `end` says.
pub(super) fn stale(end: End) -> String {
    let (own, began, answers) = match end {
        End::Source => ("saddr", "reply", "original"),
        End::Destination => ("daddr", "original", "reply"),
    };
    // Towards the elastic address, and by flows that left with it.
    [(began, "original"), (answers, "reply")]
        .map(|(direction, tuple)| {
            format!(
                "ct direction {direction} ct {tuple} ip daddr @{KNOWN} \
                 ct {tuple} ip daddr . ip {own} != @{PAIRS} drop"
            )
        })
        .join("\n        ")
}

/// Where a packet has the guest's own address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
}

/// What guests send to elastic addresses is translated at the end of the detour (`elastic`), not where
/// it comes from.
pub(super) fn by_detour(bridge: &str) -> String {
    format!(r#"iifname "{bridge}" ip daddr @{KNOWN} notrack"#)
}

/// What the host itself sends to an elastic address is for a guest, whatever device it was routed to
/// before it was translated.
pub(super) fn local(bridge: &str) -> String {
    format!(r#"oifname != "{bridge}" ct status dnat ct original ip daddr @{KNOWN} jump to_guest"#)
}

fn element(verb: &str, table: &str, of: &str, element: &str) -> String {
    format!("{verb} element ip {table} {of} {{ {element} }}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 4);
    const TWO: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);

    fn elastic(last: u8, egress: Egress) -> Option<Elastic> {
        Some(Elastic { address: Ipv4Addr::new(203, 0, 113, last), egress })
    }

    #[test]
    fn an_address_that_moves_is_taken_from_one_and_given_to_the_other_in_one_script() {
        let mut translations = Translations::default();
        translations.give("t", ONE, elastic(7, Egress::Elastic));
        assert_eq!(translations.give("t", ONE, elastic(7, Egress::Elastic)), "");
        let script = translations.give("t", TWO, elastic(7, Egress::Masqueraded));
        let commands: Vec<&str> = script.lines().collect();
        assert_eq!(
            commands,
            [
                "delete element ip t elastic { 203.0.113.7 }",
                "delete element ip t elastic_own { 10.0.0.4 }",
                "delete element ip t elastic_pairs { 203.0.113.7 . 10.0.0.4 }",
                "delete element ip t elastic_source { 10.0.0.4 }",
                "add element ip t elastic { 203.0.113.7 : 10.0.0.5 }",
                "add element ip t elastic_own { 10.0.0.5 : 203.0.113.7 }",
                "add element ip t elastic_pairs { 203.0.113.7 . 10.0.0.5 }",
            ]
        );
        assert_eq!(
            (translations.of(ONE), translations.of(TWO)),
            (None, elastic(7, Egress::Masqueraded))
        );
        assert_eq!(translations.keep_only("t", &[TWO].into()), "");
        assert_eq!(translations.keep_only("t", &[ONE].into()).lines().count(), 3);
        assert_eq!(translations.of(TWO), None);
    }

    #[test]
    fn what_was_elastic_may_become_a_guests_own() {
        let mut translations = Translations::default();
        translations.give("t", ONE, elastic(7, Egress::Masqueraded));
        let script = translations.own("t", Ipv4Addr::new(203, 0, 113, 7));
        assert!(
            script.ends_with("delete element ip t elastic_known { 203.0.113.7 }\n"),
            "{script}"
        );
        assert_eq!(translations, Translations::default());
    }

    #[test]
    fn all_of_it_is_said_and_read_again() {
        let mut translations = Translations::default();
        translations.give("t", ONE, elastic(7, Egress::Elastic));
        translations.give("t", TWO, elastic(8, Egress::Masqueraded));
        assert_eq!(translations.script("t").lines().count(), 2 * 3 + 1 + 2);
        let mut read = Translations::default();
        let own = |address: Ipv4Addr| address.to_string();
        for object in [
            serde_json::json!({ "map": { "name": "elastic", "elem": [
                ["203.0.113.7", own(ONE)], ["203.0.113.8", own(TWO)],
            ] } }),
            serde_json::json!({ "map": { "name": "elastic_source", "elem": [
                [own(ONE), "203.0.113.7"],
            ] } }),
            serde_json::json!({ "set": { "name": "elastic_known", "elem": [
                "203.0.113.7", "203.0.113.8",
            ] } }),
        ] {
            read.read(&object);
        }
        assert_eq!(read, translations);
    }
}
