//! The vocabulary of the log. Its names and units are a promise to whoever reads it: fields may be
//! added, none changes its meaning (`docs/events.md`).

use crate::domain::{
    id::{AccountId, GroupName, InstanceId, NodeName},
    resources::Resources,
    time::Timestamp,
    trace::{Cause, SpanId},
};
use serde::{Serialize, Serializer};
use std::sync::Arc;

/// A line of the log.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    #[serde(serialize_with = "rfc3339")]
    pub at: Timestamp,
    #[serde(flatten, serialize_with = "whose")]
    pub by: Arc<By>,
    #[serde(flatten)]
    pub cause: Option<Cause>,
    #[serde(flatten)]
    pub event: Event,
}

/// Who tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct By {
    /// `process`, `api`, `cloud`, `group`, `node`.
    pub role: &'static str,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The process.
    Started {
        version: &'static str,
        roles: Vec<String>,
    },
    Stopping,
    /// There was no room for so many.
    Dropped {
        count: u64,
    },
    Request(Request),
    Policy(Policy),
    Reservation(Reservation),
    Placement(Placement),
    Transition(Transition),
    Eviction(Eviction),
}

/// A client's request and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Request {
    /// None of what is not known of one that was refused early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// None if the request names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The client's own, if it said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<SpanId>,
    pub status: u16,
    /// EC2's code of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    pub duration_us: u64,
}

/// What a policy of the administrator's made of something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Policy {
    pub policy: &'static str,
    /// `request`, `commit`, `timer`, `capacity`.
    pub on: &'static str,
    /// `rejected`, `rewrote`, `changed`.
    pub outcome: &'static str,
    pub why: String,
}

/// Room that the cloud's books keep for an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reservation {
    /// `made`; `confirmed` by a node's taking it up; `rolled-back` if none ever did; `released`.
    pub outcome: &'static str,
    pub instance: InstanceId,
    pub group: GroupName,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    #[serde(flatten)]
    pub resources: Resources,
}

/// A group's choice of a node, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// `chosen`; then `accepted`, `refused`, `unanswered`, `not-placed` or `no-room`.
    pub outcome: &'static str,
    pub instance: InstanceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    pub policy: &'static str,
    /// Nodes that have been asked in vain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<NodeName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// From one state of an instance to another: as users see it if the cloud tells, as its node drives
/// it if that does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transition {
    pub instance: InstanceId,
    /// None of one that is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<&'static str>,
    pub to: &'static str,
    pub account: AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A node that an administrator says is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Eviction {
    /// By the cloud `begun` and `settled`; `taken` by the group; `fenced` by the node itself.
    pub outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    pub node: NodeName,
}

fn whose<S: Serializer>(by: &Arc<By>, serializer: S) -> Result<S::Ok, S::Error> {
    By::serialize(by, serializer)
}

fn rfc3339<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    let at = jiff::Timestamp::from_millisecond(at.as_millis())
        .map_err(|_| serde::ser::Error::custom("a time beyond the year 9999"))?;
    serializer.collect_str(&at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_flat_and_says_when_who_why_and_what() {
        let event = Event::Request(Request {
            action: Some("RunInstances".into()),
            account: Some("000000000001".parse().unwrap()),
            region: None,
            parent_span_id: None,
            status: 200,
            code: None,
            duration_us: 1500,
        });
        let by = Arc::new(By { role: "api", name: "mallee".into() });
        let cause = Some(Cause::occasion("r-1"));
        let told = Told { at: Timestamp(1_767_323_045_007), by, cause, event };
        assert_eq!(
            serde_json::to_string(&told).unwrap(),
            "{\"at\":\"2026-01-02T03:04:05.007Z\",\"role\":\"api\",\"name\":\"mallee\",\
             \"request_id\":\"r-1\",\"event\":\"request\",\"action\":\"RunInstances\",\
             \"account\":\"000000000001\",\"status\":200,\"duration_us\":1500}"
        );
    }
}
