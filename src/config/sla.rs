//! An `[[sla]]`: a policy of the cloud's, and what tunes it.

use super::GroupSection;
use crate::domain::{
    id::{AccountId, ZoneName},
    settings::ZoneChoice,
    sla::{Accounts, ErrorRate, Lifetime, Quota, SlaPolicy, StaleCapacity, ZoneRewrite},
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlaSection {
    pub policy: Policy,
    /// Whom it is for; without, everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts: Option<Vec<AccountId>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpus: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u64>,
    /// The name of a group or of a meta-zone, which no group has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ZoneName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ZoneName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Instances end after `seconds`.
    Lifetime,
    /// An account holds at most so much.
    Quota,
    /// A zone that has said nothing for `seconds` gets nothing new.
    StaleCapacity,
    /// A zone of which more than `percent` of the latest starts failed gets nothing new.
    ErrorRate,
    /// Launches in `from`, or in none, go to `to`.
    ZoneRewrite,
}

impl Policy {
    fn name(self) -> &'static str {
        match self {
            Policy::Lifetime => "lifetime",
            Policy::Quota => "quota",
            Policy::StaleCapacity => "stale-capacity",
            Policy::ErrorRate => "error-rate",
            Policy::ZoneRewrite => "zone-rewrite",
        }
    }

    /// The keys it has, those that it needs first.
    fn keys(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Policy::Lifetime => (&["seconds"], &["accounts"]),
            Policy::Quota => (&[], &["accounts", "instances", "vcpus", "memory_mib"]),
            Policy::StaleCapacity => (&["seconds"], &[]),
            Policy::ErrorRate => (&["percent"], &[]),
            Policy::ZoneRewrite => (&["to"], &["accounts", "from"]),
        }
    }
}

impl SlaSection {
    fn given(&self) -> Vec<&'static str> {
        let given = [
            ("accounts", self.accounts.is_some()),
            ("seconds", self.seconds.is_some()),
            ("instances", self.instances.is_some()),
            ("vcpus", self.vcpus.is_some()),
            ("memory_mib", self.memory_mib.is_some()),
            ("percent", self.percent.is_some()),
            ("from", self.from.is_some()),
            ("to", self.to.is_some()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(key, _)| key).collect()
    }

    /// What is wrong with it by itself: the key, and why.
    pub(super) fn faults(&self) -> Vec<(&'static str, String)> {
        let name = self.policy.name();
        let (needed, possible) = self.policy.keys();
        let given = self.given();
        let mut faults = Vec::new();
        for key in needed.iter().filter(|key| !given.contains(key)) {
            faults.push(("policy", format!("the policy `{name}` needs `{key}`")));
        }
        for key in given.iter().filter(|key| !needed.contains(key) && !possible.contains(key)) {
            faults.push((*key, format!("the policy `{name}` has no `{key}`")));
        }
        if self.policy == Policy::Quota && !given.iter().any(|key| *key != "accounts") {
            let message = "the policy `quota` needs `instances`, `vcpus` or `memory_mib`";
            faults.push(("policy", message.to_owned()));
        }
        if self.seconds == Some(0) {
            faults.push(("seconds", "`seconds` must be at least 1".to_owned()));
        }
        if self.percent.is_some_and(|percent| percent > 99) {
            faults.push(("percent", "`percent` must be from 0 to 99".to_owned()));
        }
        faults
    }

    /// Of a section without faults.
    pub(super) fn policy(&self, groups: &[GroupSection]) -> Arc<dyn SlaPolicy> {
        let choice = |name: &ZoneName| {
            let group = groups.iter().find(|group| group.name.as_str() == name.as_str());
            group.map_or_else(
                || ZoneChoice::MetaZone(name.clone()),
                |group| ZoneChoice::Group(group.name.clone()),
            )
        };
        let of = self.accounts.clone().map_or_else(Accounts::all, Accounts::only);
        let seconds = Duration::from_secs(self.seconds.unwrap_or_default());
        match self.policy {
            Policy::Lifetime => Arc::new(Lifetime { of, granted: seconds }),
            Policy::Quota => Arc::new(Quota {
                of,
                instances: self.instances,
                vcpus: self.vcpus,
                memory_mib: self.memory_mib,
            }),
            Policy::StaleCapacity => Arc::new(StaleCapacity { oldest: seconds }),
            Policy::ErrorRate => {
                let percent = self.percent.expect("`faults` has seen that it is there");
                Arc::new(ErrorRate { percent })
            }
            Policy::ZoneRewrite => Arc::new(ZoneRewrite {
                of,
                from: self.from.as_ref().map(choice),
                to: choice(self.to.as_ref().expect("`faults` has seen that it is there")),
            }),
        }
    }
}
