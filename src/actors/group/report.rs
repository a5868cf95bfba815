//! Nodes' reports: taken into the group's own figures and passed on to the cloud.

use super::{Core, placements::Placement, reported::Reported};
use crate::{
    actors::{address::Address, cloud::CloudManager},
    domain::id::{InstanceId, NodeName},
    messages::{
        CallContext,
        cloud::{ReportGroup, ReportPlacements},
        group::{GroupFault, ReportNode},
        report::{GroupReport, Heard, NodeReport, Reading},
    },
};
use std::{collections::BTreeMap, rc::Rc};

/// How often the cloud is told again of what has not changed.
const TICKS_BETWEEN_PLACEMENTS: u32 = 5;

impl Core {
    pub(super) async fn take_report(
        self: &Rc<Self>,
        _: CallContext,
        asked: ReportNode,
    ) -> Result<Heard, GroupFault> {
        let report = asked.report;
        let (cloud, adopted) = {
            let mut book = self.book.borrow_mut();
            if !book.nodes.contains_key(&report.node) {
                return Err(GroupFault::UnknownNode(report.node));
            }
            let mut known = book.reports.remove(&report.node);
            let reading = Reported::take(&mut known, &report);
            book.reports.extend(known.map(|known| (report.node.clone(), known)));
            match reading {
                Reading::Late => return Ok(Heard::Taken),
                Reading::Gap => return Ok(Heard::TellAll),
                Reading::News => {}
            }
            let foreign = report.foreign_total();
            book.capacity.report(&self.name, &report.node, report.total, foreign, report.made_at);
            let mut adopted = Vec::new();
            for stated in &report.instances {
                match book.placements.get(&stated.instance).map(|p| p.node == report.node) {
                    Some(true) => {
                        let holding = stated.held;
                        book.capacity.hold(&stated.instance, &self.name, &report.node, holding);
                    }
                    // Made before this node gave the instance up, or refused it.
                    Some(false) => {}
                    None => adopted.push(Placement {
                        instance: stated.instance.clone(),
                        node: report.node.clone(),
                        resources: stated.held,
                    }),
                }
            }
            (book.cloud.clone(), adopted)
        };
        // A node knows of an instance and the group does not: the group's record was lost, and the
        // node's word is as good.
        for placement in &adopted {
            self.place(placement.clone());
        }
        let recorded = self.record(&adopted).await;
        if let Some(cloud) = cloud {
            self.pass_on(&cloud, report).await;
        }
        // What was not recorded is to be told again, and the next report says only what changed.
        recorded.map(|()| Heard::Taken)
    }

    /// A cloud that has missed a report, because it was lost or the cloud is a new one, is told
    /// everything, which the group knows.
    async fn pass_on(&self, cloud: &Address<CloudManager>, report: NodeReport) {
        let node = report.node.clone();
        let _passing = self.book.borrow_mut().passing.entry(node.clone()).or_default().clone();
        let tell = |report| {
            let report = GroupReport { group: self.name.clone(), report };
            cloud.ask(self.own_context("report"), ReportGroup { report })
        };
        let mut answer = tell(report).await;
        if answer == Ok(Heard::TellAll) {
            let known = self.book.borrow().reports.get(&node).map(Reported::whole);
            if let Some(whole) = known {
                answer = tell(whole).await;
            }
        }
        let mut book = self.book.borrow_mut();
        match answer {
            // Nobody is to be told of a node that was evicted meanwhile.
            _ if !book.nodes.contains_key(&node) => {}
            Ok(_) => {
                book.untold.remove(&node);
            }
            Err(fault) => {
                if book.untold.insert(node) {
                    log::warn!("a report did not reach the cloud, which is told again: {fault}");
                }
            }
        }
    }

    /// What nodes said while the cloud was out of reach, which they do not say again.
    pub(super) async fn tell_again(&self) {
        let (cloud, untold): (_, Vec<NodeReport>) = {
            let book = self.book.borrow();
            let reports = book.untold.iter().filter_map(|node| book.reports.get(node));
            (book.cloud.clone(), reports.map(Reported::whole).collect())
        };
        let Some(cloud) = cloud else { return };
        for report in untold {
            self.pass_on(&cloud, report).await;
        }
    }

    /// What only the group knows: the cloud says which of it is over, and tells users what cannot be
    /// reached. Said when it has changed, and now and then, since the cloud may be a new one.
    pub(super) async fn report_placements(self: &Rc<Self>) {
        let (unstated, absent) = (self.unstated(), self.absent_nodes().into_keys().collect());
        let report = ReportPlacements { group: self.name.clone(), unstated, absent };
        let says_nothing = report.unstated.is_empty() && report.absent.is_empty();
        let cloud = {
            let mut book = self.book.borrow_mut();
            book.ticks_since_told += 1;
            let known = book.told.as_ref() == Some(&report);
            if known && (says_nothing || book.ticks_since_told < TICKS_BETWEEN_PLACEMENTS) {
                return;
            }
            book.ticks_since_told = 0;
            book.cloud.clone()
        };
        let Some(cloud) = cloud else { return };
        match cloud.ask(self.own_context("placements"), report.clone()).await {
            Ok(()) => self.book.borrow_mut().told = Some(report),
            Err(fault) => log::debug!("the cloud will be told again of the placements: {fault}"),
        }
    }

    /// Nodes that are on record to have instances and that nobody introduced: they were taken out
    /// of the configuration.
    fn absent_nodes(&self) -> BTreeMap<NodeName, Vec<InstanceId>> {
        let book = self.book.borrow();
        let mut absent: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for placement in book.placements.values() {
            if !book.nodes.contains_key(&placement.node) {
                absent.entry(placement.node.clone()).or_default().push(placement.instance.clone());
            }
        }
        absent
    }

    pub(super) fn warn_of_absent_nodes(&self) {
        for (node, instances) in self.absent_nodes() {
            let instances: Vec<String> = instances.iter().map(|id| format!("`{id}`")).collect();
            log::error!(
                "node `{node}` is not in the configuration of group `{}` any more: its instances \
                 ({}) stay as last known and cannot be reached until it is put back",
                self.name,
                instances.join(", ")
            );
        }
    }

    /// Room kept on a node that has spoken, and not of this: it was never asked, or has forgotten.
    /// Whether a boot is still on its way there only the cloud can tell, which wants it or does not.
    fn unstated(&self) -> Vec<InstanceId> {
        let book = self.book.borrow();
        let unstated = |placement: &&Placement| {
            let node = book.reports.get(&placement.node);
            node.is_some_and(|node| !node.speaks_of(&placement.instance))
        };
        book.placements
            .values()
            .filter(unstated)
            .map(|placement| placement.instance.clone())
            .filter(|instance| !book.placing.contains_key(instance))
            .collect()
    }
}
