//! All figures at one moment, as Prometheus reads them: names, labels and units are made here and
//! nowhere else.

use super::{
    Meters, Roles,
    histogram::Reading,
    overlay::{self, Overlay},
    questions::Mailbox,
};
use crate::domain::{
    capacity::NodeCapacity,
    cloud_state::CloudState,
    id::{GroupName, NodeName},
    instance::InstanceState,
    resources::Resources,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::{Registry, Unit},
};
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

/// What is to be shown. What is a state comes with it.
#[derive(Debug)]
pub struct Scrape {
    pub meters: Arc<Meters>,
    /// In the cloud's process: its groups, and its state.
    pub cloud: Option<(Vec<GroupName>, Arc<CloudState>)>,
    pub links: Vec<Link>,
    /// Of a process that has a switch.
    pub overlay: Option<Overlay>,
}

/// A link to another process, or to another role of this one.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// As its certificate has it; unknown to one who dials and never got through.
    pub peer: Option<String>,
    /// Who of the two dialed: the same peer may be above one role here and below another.
    pub direction: Direction,
    pub connected: bool,
    pub round_trip: Option<Duration>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub reconnects: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    In,
    Out,
}

/// Of the text that `show` makes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) type Labels = Vec<(&'static str, String)>;

/// What is said of a family of figures.
#[derive(Clone, Copy)]
pub(super) struct About(pub &'static str, pub &'static str, pub Option<&'static Unit>);

pub(super) const SECONDS: Option<&Unit> = Some(&Unit::Seconds);
pub(super) const BYTES: Option<&Unit> = Some(&Unit::Bytes);

const MIB: f64 = 1024.0 * 1024.0;
const GIB: f64 = 1024.0 * MIB;

impl Scrape {
    pub fn show(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("mallee");
        registry.register_collector(Box::new(self));
        let mut shown = String::new();
        text::encode(&mut shown, &registry)?;
        Ok(shown)
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        self.requests(&mut page)?;
        self.questions(&mut page)?;
        self.meters.with(|roles| {
            mailboxes(&roles.mailboxes, &mut page)?;
            commits(roles, &mut page)
        })?;
        links(&self.links, &mut page)?;
        if let Some(overlay) = &self.overlay {
            overlay::show(overlay, &mut page)?;
        }
        if let Some((groups, state)) = &self.cloud {
            capacity(groups, state, &mut page)?;
            instances(groups, state, &mut page)?;
        }
        Ok(())
    }
}

impl Scrape {
    fn requests(&self, page: &mut Page<'_>) -> fmt::Result {
        let requests = &self.meters.requests;
        let counts = requests.counts().into_iter().map(|(action, code, count)| {
            (vec![("action", action.to_owned()), ("code", code.to_owned())], count)
        });
        let about =
            About("api_requests", "Requests answered; without a code they were granted", None);
        page.counters(about, counts)?;
        let durations = requests.durations().into_iter();
        let durations = durations.map(|(action, took)| (vec![("action", action.to_owned())], took));
        let about = About("api_request_duration", "From a request's head to its answer", SECONDS);
        page.histograms(about, durations)
    }

    fn questions(&self, page: &mut Page<'_>) -> fmt::Result {
        let asked = self.meters.asked.read().into_iter().map(|(question, outcome, took)| {
            (vec![("question", question.to_owned()), ("outcome", outcome.to_owned())], took)
        });
        let help = "From asking another role to its answer, by who asks";
        page.histograms(About("question_duration", help, SECONDS), asked)
    }
}

fn mailboxes(mailboxes: &[Arc<Mailbox>], page: &mut Page<'_>) -> fmt::Result {
    let each = |figure: fn(&Mailbox) -> i64| {
        mailboxes
            .iter()
            .map(move |mailbox| (whose(mailbox.role, &mailbox.name), figure(mailbox) as f64))
    };
    let about = About("mailbox_depth", "Questions in a role's mailbox", None);
    page.gauges(about, each(Mailbox::waiting))?;
    let about =
        About("questions_in_progress", "Questions a role has taken up and not answered", None);
    page.gauges(about, each(Mailbox::in_progress))?;
    let handled = mailboxes.iter().flat_map(|mailbox| {
        mailbox.handled().map(|(question, took)| {
            let mut labels = whose(mailbox.role, &mailbox.name);
            labels.push(("question", question.to_owned()));
            (labels, took)
        })
    });
    let help = "From taking a question out of the mailbox to its answer";
    page.histograms(About("handling_duration", help, SECONDS), handled)
}

fn commits(roles: &Roles, page: &mut Page<'_>) -> fmt::Result {
    let commits = roles.commits.iter().flat_map(|commits| {
        let outcomes = [("durable", &commits.durable), ("failed", &commits.failed)];
        outcomes.into_iter().filter_map(|(outcome, took)| {
            let mut labels = whose(commits.role, &commits.name);
            labels.push(("outcome", outcome.to_owned()));
            Some((labels, took.read()?))
        })
    });
    let help = "Group commits of a role's journal, until they were on the disk";
    page.histograms(About("journal_commit_duration", help, SECONDS), commits)
}

fn links(links: &[Link], page: &mut Page<'_>) -> fmt::Result {
    let each = |figure: fn(&Link) -> Option<f64>| {
        links.iter().filter_map(move |link| Some((peer(link), figure(link)?)))
    };
    let counts = |count: fn(&Link) -> u64| links.iter().map(move |link| (peer(link), count(link)));
    let about = About("link_connected", "Whether the peer is connected", None);
    page.gauges(about, each(|link| Some(f64::from(u8::from(link.connected)))))?;
    let about = About("link_round_trip", "Of the latest ping that was answered", SECONDS);
    page.gauges(about, each(|link| Some(link.round_trip?.as_secs_f64())))?;
    page.counters(About("link_received", "From the peer", BYTES), counts(|link| link.bytes_in))?;
    page.counters(About("link_sent", "To the peer", BYTES), counts(|link| link.bytes_out))?;
    let about = About("link_reconnects", "Connections beyond the first", None);
    page.counters(about, counts(|link| link.reconnects))
}

fn capacity(groups: &[GroupName], state: &CloudState, page: &mut Page<'_>) -> fmt::Result {
    let nodes = || {
        groups.iter().flat_map(|group| {
            state.capacity.nodes_of(group).map(move |(node, capacity)| (group, node, capacity))
        })
    };
    let families: [(About, fn(Resources) -> f64); 3] = [
        (About("capacity_vcpus", "Of a node, by the cloud's books", None), |r| r.vcpus.into()),
        (About("capacity_memory", "Of a node, by the cloud's books", BYTES), |r| {
            r.memory_mib as f64 * MIB
        }),
        (About("capacity_disk", "Of a node, by the cloud's books", BYTES), |r| {
            r.disk_gib as f64 * GIB
        }),
    ];
    for (about, amount) in families {
        let values = nodes().flat_map(|(group, node, capacity)| {
            parts(capacity).into_iter().map(move |(part, resources)| {
                let mut labels = place(group, node);
                labels.push(("part", part.to_owned()));
                (labels, amount(resources))
            })
        });
        page.gauges(about, values)?;
    }
    let reported = nodes().filter_map(|(group, node, capacity)| {
        Some((place(group, node), capacity.quality.reported_at?.as_millis() as f64 / 1000.0))
    });
    let help = "When the node spoke last, since 1970";
    page.gauges(About("capacity_reported_timestamp", help, SECONDS), reported)
}

fn parts(capacity: &NodeCapacity) -> [(&'static str, Resources); 4] {
    [
        ("total", capacity.total),
        ("free", capacity.free()),
        ("held", capacity.held),
        ("foreign", capacity.foreign),
    ]
}

fn instances(groups: &[GroupName], state: &CloudState, page: &mut Page<'_>) -> fmt::Result {
    let mut by_state: BTreeMap<(&GroupName, InstanceState), u64> = BTreeMap::new();
    let mut unconfirmed: BTreeMap<&GroupName, u64> = BTreeMap::new();
    // What there is none of is told too: a figure that goes away looks like a failure.
    for group in groups {
        unconfirmed.insert(group, 0);
        by_state.extend(InstanceState::ALL.map(|state| ((group, state), 0)));
    }
    for instance in state.instances() {
        *by_state.entry((&instance.group, instance.state)).or_default() += 1;
        if instance.state.exists() && instance.node.is_none() {
            *unconfirmed.entry(&instance.group).or_default() += 1;
        }
    }
    let values = by_state.into_iter().map(|((group, state), count)| {
        let labels = vec![("group", group.to_string()), ("state", state.as_str().to_owned())];
        (labels, count as f64)
    });
    page.gauges(About("instances", "By the state that users see", None), values)?;
    let values = unconfirmed
        .into_iter()
        .map(|(group, count)| (vec![("group", group.to_string())], count as f64));
    let help = "Instances that room is kept for and no node has confirmed";
    page.gauges(About("reservations_outstanding", help, None), values)
}

fn whose(role: &str, name: &str) -> Labels {
    vec![("role", role.to_owned()), ("name", name.to_owned())]
}

fn place(group: &GroupName, node: &NodeName) -> Labels {
    vec![("group", group.to_string()), ("node", node.to_string())]
}

fn peer(link: &Link) -> Labels {
    let peer = link.peer.clone().unwrap_or_else(|| "unknown".to_owned());
    let direction = match link.direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    vec![("peer", peer), ("direction", direction.to_owned())]
}

/// One family after the other; one without figures is left out.
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    pub fn counters(
        &mut self,
        About(name, help, unit): About,
        values: impl Iterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Counter)?;
        values.try_for_each(|(labels, value)| {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, f64>(&value, None)
        })
    }

    pub fn gauges(
        &mut self,
        About(name, help, unit): About,
        values: impl Iterator<Item = (Labels, f64)>,
    ) -> fmt::Result {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        values.try_for_each(|(labels, value)| family.encode_family(&labels)?.encode_gauge(&value))
    }

    fn histograms(
        &mut self,
        About(name, help, unit): About,
        values: impl Iterator<Item = (Labels, Reading)>,
    ) -> fmt::Result {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Histogram)?;
        values.try_for_each(|(labels, Reading { sum_seconds, count, buckets })| {
            let mut figure = family.encode_family(&labels)?;
            figure.encode_histogram::<NoLabelSet>(sum_seconds, count, &buckets, None)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use crate::metrics::{questions::Asked, requests::Requests};

    #[test]
    fn figures_have_prometheus_s_names_and_units() {
        let meters = Meters::new(Requests::of(["Run"], ["Bad"]), Asked::of(["node.boot"]));
        meters.requests.answered(Some("Run"), Some("Bad"), Duration::from_millis(3));
        let mailbox = meters.mailbox(Mailbox::of("node", "n", ["node.boot"]));
        let _waiting = mailbox.receive();
        let group: GroupName = "g".parse().unwrap();
        let mut state = CloudState::default();
        let total = Resources { vcpus: 4, memory_mib: 2, disk_gib: 1 };
        let at = Timestamp(1500);
        state.capacity.report(&group, &"n".parse().unwrap(), total, Resources::NONE, at);
        let link = Link {
            peer: Some("mallee://lab/node/g/n".to_owned()),
            direction: Direction::In,
            connected: true,
            round_trip: Some(Duration::from_millis(2)),
            bytes_in: 7,
            bytes_out: 8,
            reconnects: 0,
        };
        let cloud = Some((vec![group], Arc::new(state)));
        let shown = Scrape { meters: Arc::new(meters), cloud, links: vec![link], overlay: None }
            .show()
            .unwrap();
        for line in [
            "# TYPE mallee_api_requests counter",
            "mallee_api_requests_total{action=\"Run\",code=\"Bad\"} 1",
            "# UNIT mallee_api_request_duration_seconds seconds",
            "mallee_api_request_duration_seconds_sum{action=\"Run\"} 0.003",
            "mallee_api_request_duration_seconds_bucket{le=\"0.0025\",action=\"Run\"} 0",
            "mallee_api_request_duration_seconds_bucket{le=\"+Inf\",action=\"Run\"} 1",
            "mallee_mailbox_depth{role=\"node\",name=\"n\"} 1.0",
            "mallee_capacity_memory_bytes{group=\"g\",node=\"n\",part=\"free\"} 2097152.0",
            "mallee_capacity_vcpus{group=\"g\",node=\"n\",part=\"total\"} 4.0",
            "mallee_capacity_reported_timestamp_seconds{group=\"g\",node=\"n\"} 1.5",
            "mallee_link_received_bytes_total{peer=\"mallee://lab/node/g/n\",direction=\"in\"} 7",
            "mallee_link_round_trip_seconds{peer=\"mallee://lab/node/g/n\",direction=\"in\"} 0.002",
            "mallee_instances{group=\"g\",state=\"running\"} 0.0",
            "mallee_reservations_outstanding{group=\"g\"} 0.0",
            "# EOF",
        ] {
            assert!(shown.lines().any(|shown| shown == line), "no `{line}` in\n{shown}");
        }
    }
}
