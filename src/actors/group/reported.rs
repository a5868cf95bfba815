//! What a node has said, put together from its reports.

use crate::{
    domain::id::InstanceId,
    messages::report::{InstanceReport, NodeReport, Reading},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

#[derive(Debug)]
pub struct Reported {
    /// The newest report, without its instances.
    last: NodeReport,
    instances: BTreeMap<InstanceId, InstanceReport>,
    heard_at: Instant,
}

impl Reported {
    /// Takes a report up, if it goes on from what is known.
    pub fn take(known: &mut Option<Reported>, report: &NodeReport) -> Reading {
        let reading = report.after(known.as_ref().map(|known| known.last.generation));
        if reading == Reading::News {
            let mut instances = known.take().map(|known| known.instances).unwrap_or_default();
            report.apply(&mut instances);
            let last = NodeReport {
                since: None,
                instances: Vec::new(),
                gone: Vec::new(),
                ..report.clone()
            };
            *known = Some(Reported { last, instances, heard_at: Instant::now() });
        }
        reading
    }

    /// How long the node has said nothing new.
    pub fn silence(&self) -> Duration {
        self.heard_at.elapsed()
    }

    pub fn speaks_of(&self, instance: &InstanceId) -> bool {
        self.instances.contains_key(instance)
    }

    /// Everything, as the node itself would say it.
    pub fn whole(&self) -> NodeReport {
        NodeReport { instances: self.instances.values().cloned().collect(), ..self.last.clone() }
    }
}
