//! What a node says of itself, and when.

use super::{
    Core, NodeManager, adoption,
    inventory::{Known, News},
};
use crate::{
    domain::{boot_phase::BootPhase, id::InstanceId, resources::Resources},
    hypervisor::{DomainState, Ownership},
    messages::{
        group::ReportNode,
        report::{ForeignGuest, Heard, NodeReport},
    },
};
use actix::{Addr, AsyncContext, Context, Handler};
use std::{rc::Rc, time::Duration};
use tokio::time::Instant;

/// Changes that come this close together make one report.
const TOGETHER: Duration = Duration::from_millis(50);
const TOGETHER_MAX: Duration = Duration::from_secs(1);

/// Everything is told now and then, though it was heard: what those above could not do about it
/// then they try again.
const EVERYTHING_EVERY: Duration = Duration::from_secs(10);

const EVERYTHING_EVERY_MAX: Duration = Duration::from_secs(60);

/// A report of thousands of instances keeps everybody above busy for a while; it comes more rarely,
/// so that reports take a tenth of their time.
fn together(last_took: Duration) -> Duration {
    (9 * last_took).clamp(TOGETHER, TOGETHER_MAX)
}

/// How long everything that was told is waited for, before it is told once more.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// How soon a report that did not arrive is followed by another: a link that was cut is made anew
/// within about that.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What a report's answer asks for.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    Again,
    Rest,
    /// It did not arrive.
    Later,
}

/// From telling everything to telling it again: a twentieth of the time goes into that, unless the
/// answer was only late, or lost.
fn rest_after(everything_took: Duration) -> Duration {
    (20 * everything_took).clamp(EVERYTHING_EVERY, EVERYTHING_EVERY_MAX)
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
        book.instances.touch();
        if !book.report_due {
            book.report_due = true;
            myself.do_send(SendReport);
        }
    }

    /// Answered when those above have heard.
    pub(super) async fn send_report(self: &Rc<Self>) {
        let follow_up = self.send_reports().await == Then::Later
            && !std::mem::replace(&mut self.book.borrow_mut().following_up, true);
        if follow_up {
            let core = self.clone();
            actix_rt::spawn(async move {
                tokio::time::sleep(AGAIN_AFTER).await;
                while core.send_reports().await == Then::Later {
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
                core.book.borrow_mut().following_up = false;
            });
        }
    }

    async fn send_reports(self: &Rc<Self>) -> Then {
        loop {
            match self.send_one_report().await {
                Then::Again => {}
                then => return then,
            }
        }
    }

    async fn send_one_report(self: &Rc<Self>) -> Then {
        let begun = Instant::now();
        let (group, news) = {
            let mut book = self.book.borrow_mut();
            book.report_due = false;
            match book.told_all {
                // What changes meanwhile is told after it.
                Some((begun, None)) if begun.elapsed() < ANSWER_WITHIN => return Then::Rest,
                Some((begun, Some(took))) if begun.elapsed() < rest_after(took) => {}
                _ => book.instances.unheard(),
            }
            let Some(group) = book.group.clone() else { return Then::Rest };
            let news = book.instances.news();
            if news.since.is_none() {
                book.told_all = Some((begun, None));
            }
            (group, news)
        };
        let everything = news.since.is_none();
        let report = self.report(news);
        let generation = report.generation;
        let answer = group.ask(self.own_context("report"), ReportNode { report }).await;
        let mut book = self.book.borrow_mut();
        book.report_took = begun.elapsed();
        if everything {
            book.told_all = Some((begun, Some(begun.elapsed())));
        }
        match answer {
            Ok(Heard::Taken) => {
                book.instances.heard(generation);
                let changed = book.instances.generation() > generation;
                if everything && changed { Then::Again } else { Then::Rest }
            }
            Ok(Heard::TellAll) => {
                book.instances.unheard();
                book.instances.touch();
                Then::Again
            }
            Err(fault) => {
                if !book.following_up {
                    log::warn!("a report did not reach the group; it is told everything: {fault}");
                }
                book.instances.unheard();
                Then::Later
            }
        }
    }

    pub(super) fn report(&self, news: News) -> NodeReport {
        let book = self.book.borrow();
        let News { since, instances, gone } = news;
        NodeReport {
            node: self.name.clone(),
            generation: book.instances.generation(),
            made_at: self.host.ambient.now(),
            total: self.total,
            since,
            instances,
            gone,
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
            book.instances.iter().filter(runs).map(|k| k.report.instance.clone()).collect()
        };
        let host = self.host.clone();
        let listed = self.host.threads.run(move || host.hypervisor.domains()).await;
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
