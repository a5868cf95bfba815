//! What a node says of itself, and when.

use super::{Core, Known, NodeManager, adoption};
use crate::{
    domain::{boot_phase::BootPhase, id::InstanceId, resources::Resources},
    hypervisor::{DomainState, Ownership},
    messages::{
        group::ReportNode,
        report::{ForeignGuest, NodeReport},
    },
};
use actix::{Addr, AsyncContext, Context, Handler};
use std::{
    rc::Rc,
    time::{Duration, Instant},
};

/// Changes that come this close together make one report.
const TOGETHER: Duration = Duration::from_millis(50);
const TOGETHER_MAX: Duration = Duration::from_secs(1);

/// A report of thousands of instances keeps everybody above busy for a while; it comes more rarely,
/// so that reports take a tenth of their time.
fn together(last_took: Duration) -> Duration {
    (9 * last_took).clamp(TOGETHER, TOGETHER_MAX)
}

/// To itself: changes have been collected long enough.
#[derive(actix::Message)]
#[rtype(result = "()")]
struct SendReport;

impl Handler<SendReport> for NodeManager {
    type Result = ();

    fn handle(&mut self, _: SendReport, context: &mut Context<Self>) {
        let core = self.core.clone();
        let together = together(core.book.borrow().report_took);
        context.run_later(together, move |_, _| {
            actix_rt::spawn(async move { core.send_report().await });
        });
    }
}

impl Core {
    /// Something changed: the next report says so, and is of a new generation.
    pub(super) fn touch(&self, myself: &Addr<NodeManager>) {
        let mut book = self.book.borrow_mut();
        book.generation += 1;
        if !book.report_due {
            book.report_due = true;
            myself.do_send(SendReport);
        }
    }

    pub(super) async fn send_report(self: &Rc<Self>) {
        let group = {
            let mut book = self.book.borrow_mut();
            book.report_due = false;
            book.group.clone()
        };
        let Some(group) = group else { return };
        let begun = Instant::now();
        let report = self.report();
        // A lost one costs nothing: the next has everything in it, and comes soon.
        if let Err(fault) = group.ask(self.own_context("report"), ReportNode { report }).await {
            log::warn!("a report did not reach the group: {fault}");
        }
        self.book.borrow_mut().report_took = begun.elapsed();
    }

    pub(super) fn report(&self) -> NodeReport {
        let book = self.book.borrow();
        NodeReport {
            node: self.name.clone(),
            generation: book.generation,
            made_at: self.host.ambient.now(),
            total: self.total,
            instances: book.instances.values().map(|known| known.report.clone()).collect(),
            foreign: book.foreign.clone(),
            hypervisor: book.hypervisor.clone(),
        }
    }

    /// Counts the guests that are not ours, and notices those of ours whose end was not told.
    pub(super) async fn look_around(self: &Rc<Self>) {
        // Those that run before the hypervisor is asked: one that starts meanwhile is not missed.
        let running: Vec<InstanceId> = {
            let book = self.book.borrow();
            let runs = |known: &&Known| known.report.phase == BootPhase::Running;
            book.instances.values().filter(runs).map(|k| k.report.instance.clone()).collect()
        };
        let host = self.host.clone();
        let listed = tokio::task::spawn_blocking(move || host.hypervisor.domains()).await;
        let domains = match listed {
            Ok(Ok(domains)) => domains,
            Ok(Err(fault)) => {
                log::warn!("the guests of this host cannot be listed: {fault}");
                return;
            }
            Err(_) => {
                log::warn!("listing the guests of this host ended without a word");
                return;
            }
        };
        let on = adoption::on(&domains);
        for instance in running.iter().filter(|instance| !on.contains(instance)) {
            self.tell_off(instance);
        }
        let foreign = domains
            .into_iter()
            .filter_map(|domain| match domain.ownership {
                Ownership::Ours(_) => None,
                Ownership::Foreign { name } => Some(ForeignGuest {
                    name,
                    running: domain.state != DomainState::Off,
                    resources: Resources {
                        vcpus: domain.vcpus,
                        memory_mib: domain.memory_mib,
                        disk_gib: 0,
                    },
                }),
            })
            .collect();
        self.book.borrow_mut().foreign = foreign;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_that_take_long_come_rarely_but_come() {
        let after = |milliseconds| together(Duration::from_millis(milliseconds)).as_millis();
        assert_eq!([0, 5, 20, 100, 60_000].map(after), [50, 50, 180, 900, 1000]);
    }
}
