//! Security groups: named sets of instances and the rules their ports follow.
//!
//! Rules are permits only; what no rule names is refused. A rule's peer may be another group,
//! which stands for the addresses of its members at every moment.

use super::{
    fault::CloudFault,
    id::{AccountId, SecurityGroupId, SecurityGroupRuleId, VpcId},
    port_filter::{Cidr, Direction, Traffic},
    scope::Scope,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::{fmt, net::Ipv6Addr, str::FromStr};

pub const DEFAULT_GROUP_NAME: &str = "default";

/// In each direction, of IPv4 and of IPv6 rules each; one that names a group counts as both.
pub const RULES_PER_DIRECTION: usize = 60;

/// Of names and descriptions.
const CHARACTERS: usize = 255;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    pub scope: Scope,
    pub id: SecurityGroupId,
    pub name: String,
    pub description: String,
    pub vpc: VpcId,
    pub rules: Vec<SecurityGroupRule>,
    pub created_at: Timestamp,
}

/// One rule has one peer, as EC2's rule ids (`sgr-`) count them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroupRule {
    pub id: SecurityGroupRuleId,
    pub direction: Direction,
    pub traffic: Traffic,
    pub peer: Peer,
    pub description: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Peer {
    Range(Cidr),
    /// IPv6 ranges are kept and shown (every client writes `::/0`); guests have no IPv6 yet, so
    /// they admit nothing.
    Ipv6Range(Ipv6Cidr),
    Group {
        account: AccountId,
        group: SecurityGroupId,
    },
}

impl SecurityGroup {
    pub fn is_default(&self) -> bool {
        self.name == DEFAULT_GROUP_NAME
    }

    pub fn rules(&self, direction: Direction) -> impl Iterator<Item = &SecurityGroupRule> {
        self.rules.iter().filter(move |rule| rule.direction == direction)
    }

    /// Whether some rule names this group as its peer.
    pub fn refers_to(&self, group: &SecurityGroupId) -> bool {
        self.rules
            .iter()
            .any(|rule| matches!(&rule.peer, Peer::Group { group: g, .. } if g == group))
    }
}

/// An IPv6 range, its host bits zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ipv6Cidr {
    address: Ipv6Addr,
    prefix_length: u8,
}

impl Ipv6Cidr {
    pub fn new(address: Ipv6Addr, prefix_length: u8) -> Option<Ipv6Cidr> {
        let mask = match prefix_length {
            0 => 0,
            1..=128 => u128::MAX << (128 - u32::from(prefix_length)),
            _ => return None,
        };
        Some(Ipv6Cidr { address: Ipv6Addr::from(u128::from(address) & mask), prefix_length })
    }
}

impl fmt::Display for Ipv6Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_length)
    }
}

impl FromStr for Ipv6Cidr {
    type Err = String;
    fn from_str(text: &str) -> Result<Ipv6Cidr, String> {
        let malformed = || format!("`{text}` is not an IPv6 CIDR range");
        let (address, length) = text.split_once('/').ok_or_else(malformed)?;
        let address = address.parse().map_err(|_| malformed())?;
        Ipv6Cidr::new(address, length.parse().map_err(|_| malformed())?).ok_or_else(malformed)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Range(range) => range.fmt(f),
            Peer::Ipv6Range(range) => range.fmt(f),
            Peer::Group { group, .. } => group.fmt(f),
        }
    }
}

/// A rule as EC2 spells it in its refusals.
pub fn spelled(traffic: Traffic, peer: &Peer) -> String {
    let ports = |protocol, from, to| format!("{protocol}, from port: {from}, to port: {to}");
    let or_all = |number: Option<u8>| number.map_or("ALL".to_owned(), |number| number.to_string());
    let icmp = |protocol, kind, code| {
        format!("{protocol}, type: {}, code: {}", or_all(kind), or_all(code))
    };
    let traffic = match traffic {
        Traffic::Any => "ALL".to_owned(),
        Traffic::Tcp { from, to } => ports("TCP", from, to),
        Traffic::Udp { from, to } => ports("UDP", from, to),
        Traffic::Icmp { kind, code } => icmp("ICMP", kind, code),
        Traffic::Icmpv6 { kind, code } => icmp("ICMPv6", kind, code),
        Traffic::Protocol(number) => number.to_string(),
    };
    format!("peer: {peer}, {traffic}, ALLOW")
}

/// A name that a user may give a group, without the spaces at its end, which EC2 takes off.
pub fn check_name(name: &str) -> Result<&str, CloudFault> {
    let name = name.trim_end();
    if name == DEFAULT_GROUP_NAME {
        return Err(CloudFault::SecurityGroupNameReserved(name.to_owned()));
    }
    if name.to_ascii_lowercase().starts_with("sg-") {
        return invalid(format!(
            "Invalid value '{name}' for groupName. Group names may not be in the format sg-*."
        ));
    }
    check_text(name, "GroupName", "security group name")?;
    Ok(name)
}

pub fn check_description(description: &str) -> Result<(), CloudFault> {
    check_text(description, "GroupDescription", "security group description")
}

/// A rule's description may be empty, which is none.
pub fn check_rule_description(description: &str) -> Result<(), CloudFault> {
    if description.is_empty() {
        return Ok(());
    }
    check_text(description, "Description", "rule description")
}

/// The characters of EC2's "Authorize…" and "CreateSecurityGroup" pages.
fn check_text(text: &str, parameter: &str, what: &str) -> Result<(), CloudFault> {
    let valid = |c: char| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c);
    if text.is_empty() {
        return Err(CloudFault::MissingParameter(format!(
            "The request must contain the parameter {parameter}"
        )));
    }
    if !text.is_ascii() {
        return invalid(format!(
            "Value for parameter {parameter} is invalid. Character sets beyond ASCII are not \
             supported."
        ));
    }
    if text.len() > CHARACTERS || !text.chars().all(valid) {
        return invalid(format!(
            "Invalid {what}. Valid values are strings less than 256 characters from the following \
             set: a-zA-Z0-9. _-:/()#,@[]+=&;{{}}!$*"
        ));
    }
    Ok(())
}

fn invalid<T>(message: String) -> Result<T, CloudFault> {
    Err(CloudFault::InvalidParameter(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fault::CloudFault::{
        InvalidParameter, MissingParameter, SecurityGroupNameReserved,
    };

    #[test]
    fn ipv6_ranges_are_normalised() {
        for (text, normal) in [
            ("::/0", "::/0"),
            ("2001:DB8:0:0::1/32", "2001:db8::/32"),
            ("2001:db8::0001/128", "2001:db8::1/128"),
        ] {
            assert_eq!(text.parse::<Ipv6Cidr>().unwrap().to_string(), normal);
        }
        for text in ["::", "::/129", "10.0.0.0/8", "x/1", "::/-1", ""] {
            assert!(text.parse::<Ipv6Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn rules_are_spelled_as_ec2_spells_them() {
        let anyone = Peer::Range(Cidr::ANY);
        for (traffic, spelling) in [
            (Traffic::Tcp { from: 22, to: 23 }, "TCP, from port: 22, to port: 23"),
            (Traffic::Udp { from: 0, to: 65535 }, "UDP, from port: 0, to port: 65535"),
            (Traffic::Any, "ALL"),
            (Traffic::Icmp { kind: None, code: None }, "ICMP, type: ALL, code: ALL"),
            (Traffic::Icmp { kind: Some(8), code: Some(0) }, "ICMP, type: 8, code: 0"),
            (Traffic::Protocol(47), "47"),
        ] {
            assert_eq!(spelled(traffic, &anyone), format!("peer: 0.0.0.0/0, {spelling}, ALLOW"),);
        }
    }

    #[test]
    fn names_have_ec2s_characters_and_length_and_no_reserved_form() {
        assert_eq!(check_name("web 1._-:/()#,@[]+=&;{}!$*  "), Ok("web 1._-:/()#,@[]+=&;{}!$*"));
        assert!(check_name(&"n".repeat(255)).is_ok());
        assert!(matches!(check_name("default"), Err(SecurityGroupNameReserved(_))));
        assert!(matches!(check_name("  "), Err(MissingParameter(_))));
        for name in ["sg-web", "SG-1", "a<b", "a\"b", "grün", "a\nb", &"n".repeat(256)] {
            assert!(matches!(check_name(name), Err(InvalidParameter(_))), "{name}");
        }
    }

    #[test]
    fn a_group_needs_a_description_and_a_rule_does_not() {
        assert!(matches!(check_description(""), Err(MissingParameter(_))));
        assert!(check_rule_description("").is_ok());
        for check in [check_description, check_rule_description] {
            assert!(check("from the office (until 18:00)").is_ok());
            assert!(matches!(check("a'b"), Err(InvalidParameter(_))));
            assert!(matches!(check(&"d".repeat(256)), Err(InvalidParameter(_))));
        }
    }
}
