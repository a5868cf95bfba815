//! What can be wrong with a link between two hosts.

use crate::cloud::Cloud;
use rand_chacha::rand_core::RngCore;
use std::{fmt, process::Command};

#[derive(Debug, Clone, Copy)]
pub struct Fault {
    link: Link,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Link {
    CloudToGroup,
    GroupToNode,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Cut,
    /// Only what comes to the group is lost, or only what it sends.
    DeafGroup,
    MuteGroup,
    /// Three packets of ten.
    Lossy,
    /// No more than so many packets each second.
    Slow,
    /// The group's host stands still, and every connection with it.
    Silent,
}

impl Fault {
    pub fn at_random(chance: &mut impl RngCore) -> Fault {
        let links = [Link::CloudToGroup, Link::GroupToNode];
        let kinds =
            [Kind::Cut, Kind::DeafGroup, Kind::MuteGroup, Kind::Lossy, Kind::Slow, Kind::Silent];
        let mut choose = |count: usize| chance.next_u32() as usize % count;
        Fault { link: links[choose(links.len())], kind: kinds[choose(kinds.len())] }
    }

    /// From now until what is returned is dropped.
    pub fn begin(self, cloud: &Cloud) -> Failing<'_> {
        let interface = match self.link {
            Link::CloudToGroup => "above",
            Link::GroupToNode => "below",
        };
        let rule = |hook: &str, side: &str, what: &str| {
            format!(
                "chain {hook} {{ type filter hook {hook} priority 0; {side} \"{interface}\" {what}; }}\n"
            )
        };
        let comes = |what: &str| rule("input", "iifname", what);
        let goes = |what: &str| rule("output", "oifname", what);
        let both = |what: &str| comes(what) + &goes(what);
        let rules = match self.kind {
            Kind::Cut => both("drop"),
            Kind::DeafGroup => comes("drop"),
            Kind::MuteGroup => goes("drop"),
            Kind::Lossy => both("numgen random mod 10 < 3 drop"),
            Kind::Slow => both("limit rate over 20/second drop"),
            Kind::Silent => {
                cloud.freeze_process(1);
                return Failing { cloud, frozen: true };
            }
        };
        nft(cloud, &format!("table inet faults {{\n{rules}}}\n"));
        Failing { cloud, frozen: false }
    }
}

/// A fault that lasts.
pub struct Failing<'a> {
    cloud: &'a Cloud,
    frozen: bool,
}

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        match self.frozen {
            true => self.cloud.thaw_process(1),
            false => nft(self.cloud, "delete table inet faults\n"),
        }
    }
}

fn nft(cloud: &Cloud, script: &str) {
    let done =
        Command::new("ip").args(["netns", "exec", cloud.host(1), "nft", script]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.link, self.kind)
    }
}
