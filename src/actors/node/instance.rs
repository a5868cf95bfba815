//! One actor an instance: it owns the record, and drives the guest to where it is wanted.
//!
//! It does one step at a time (`BootPhase::step_towards`), each on a thread made for blocking and
//! with a deadline. A new goal takes effect when the step under way is done, except that a guest
//! being waited for is not waited for any longer. Where it comes to rest is recorded; what lies
//! between is begun again after a crash, since every step may be repeated.

mod amend;
mod going_off;
mod pursuit;
mod reboot;

pub use amend::Amend;
pub use going_off::WentOff;
pub use pursuit::{Forget, Pursue};
pub use reboot::Reboot;

use super::{
    Changed, NodeManager,
    host::Host,
    record::{InstanceRecord, not_recorded},
};
use crate::{
    blobs::disks::{BootFiles, Fetched},
    domain::{
        boot_phase::{BootPhase, Goal, Step},
        id::InstanceId,
        instance::StateReason,
        trace::Cause,
    },
    hypervisor::{Nic, OffReason},
    messages::report::InstanceReport,
};
use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, SpawnHandle, WrapFuture};
use std::{sync::Arc, time::Duration};
use tracing::{Instrument, Span, debug_span};

#[derive(Debug)]
pub struct InstanceActor {
    host: Arc<Host>,
    manager: Addr<NodeManager>,
    record: InstanceRecord,
    /// The last step completed, or where the instance rests.
    phase: BootPhase,
    /// The step under way.
    under_way: Option<Step>,
    /// Kept until the instance rests: they pin the images for the disk that is about to be made.
    images: Option<Fetched>,
    /// Kept as long as the disk: they pin the images it stands on.
    files: Option<BootFiles>,
    nics: Vec<Nic>,
    /// Running out means that the guest did not power off when asked.
    patience: Option<SpawnHandle>,
    /// The guest went off before its start was known to have succeeded.
    gone_early: Option<OffReason>,
    /// How often this actor has begun to start the guest: what was found out of an earlier one is
    /// not about this.
    starts: u64,
    /// The ports may not have the filters that the record says.
    filters_due: bool,
    /// Nor the elastic addresses.
    elastic_due: bool,
    /// Why the ports of the guest, which runs, are not known to the datapath; and how often that
    /// was tried in vain.
    unplugged: Option<String>,
    tries: u32,
    /// The guest is being rebooted just now.
    rebooting: bool,
    /// Whose request is being carried out, for the log.
    cause: Cause,
}

/// What a request's id is for what no request is being carried out for.
const AFTER_A_RESTART: &str = "after-restart";
const GUEST_WENT_OFF: &str = "guest-went-off";

/// Ports that could not be made known again are tried again after this long, and then after twice
/// as long each time, up to the second.
const REPLUG_AFTER: Duration = Duration::from_millis(500);
const REPLUG_AFTER_MAX: Duration = Duration::from_secs(60);

/// How long a failed tear-down or record waits before it is tried again.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);

impl InstanceActor {
    /// `phase` is where the instance is known to be; it goes on from there. `unplugged` says why a
    /// guest that runs has no ports, if it has none.
    pub fn new(
        host: Arc<Host>,
        manager: Addr<NodeManager>,
        record: InstanceRecord,
        phase: BootPhase,
        unplugged: Option<String>,
    ) -> InstanceActor {
        let directory = host.directory(&record.spec.instance);
        let files = host.disks.adopt(&record.spec.boot, &directory);
        InstanceActor {
            host,
            manager,
            record,
            phase,
            under_way: None,
            images: None,
            files,
            nics: Vec::new(),
            patience: None,
            gone_early: None,
            starts: 0,
            filters_due: false,
            elastic_due: false,
            unplugged,
            tries: 0,
            rebooting: false,
            cause: Cause::occasion(AFTER_A_RESTART),
        }
    }

    pub fn instance(&self) -> &InstanceId {
        &self.record.spec.instance
    }

    /// The request that the instance is there for.
    pub fn asked_by(self, cause: Cause) -> InstanceActor {
        InstanceActor { cause, ..self }
    }

    fn tell(&self) {
        let phase = self.under_way.map_or(self.phase, Step::phase);
        let impairment = self.unplugged.clone();
        let report = InstanceReport { impairment, ..self.record.report(phase) };
        self.manager.do_send(Changed(report, self.cause.clone()));
    }

    /// Does what is to be done next, if nothing is under way.
    fn go_on(&mut self, context: &mut Context<Self>) {
        if self.under_way.is_some() {
            return;
        }
        let mut next = self.phase.step_towards(self.record.goal);
        if next == Some(Step::ShutDown) && !self.waits_for_the_guest() {
            self.phase = BootPhase::Stopping;
            next = self.phase.step_towards(self.record.goal);
        }
        let Some(step) = next else {
            self.settle(context);
            return;
        };
        self.begin(step, context);
    }

    fn begin(&mut self, step: Step, context: &mut Context<Self>) {
        self.under_way = Some(step);
        self.gone_early = None;
        if step == Step::StartDomain {
            self.starts += 1;
        }
        self.tell();
        let (request_id, instance) = (&self.cause.request_id, &self.record.spec.instance);
        let trace_id = self.cause.trace_id.map(tracing::field::display);
        let span =
            debug_span!("step", %request_id, trace_id, %instance, step = step.phase().as_str());
        let work = self.work(step, span.clone());
        let done = within(step.deadline(), work).instrument(span);
        let request_id = request_id.clone();
        context.spawn(done.into_actor(self).map(move |outcome, actor, context| {
            if outcome.is_ok() {
                let instance = &actor.record.spec.instance;
                tracing::debug!(%request_id, %instance, "{}", step.done_as_str());
            }
            actor.finished(step, outcome, context);
        }));
    }

    fn work(&self, step: Step, span: Span) -> tokio::task::JoinHandle<Result<Made, String>> {
        let host = self.host.clone();
        let record = self.record.clone();
        let files = self.files.clone();
        let nics = self.nics.clone();
        let work = move || match step {
            Step::FetchImage => host.fetch_image(&record).map(Made::Images),
            Step::PrepareDisk => host.prepare_disk(&record).map(Made::Files),
            Step::AttachNetwork | Step::RestoreNetwork => {
                host.attach_network(&record).map(Made::Nics)
            }
            Step::StartDomain => {
                let files = files.ok_or("it has no disk")?;
                host.start_domain(&record, &files, nics).map(|()| Made::Nothing)
            }
            Step::ShutDown => {
                let asked = host.hypervisor.shut_down(&record.spec.instance);
                asked.map(|()| Made::Nothing).map_err(|fault| fault.to_string())
            }
            Step::SwitchOff => host.switch_off(&record).map(|()| Made::Nothing),
            Step::TearDown => host.tear_down(&record).map(|()| Made::Nothing),
        };
        self.host.threads.run(move || span.in_scope(work))
    }

    fn finished(&mut self, step: Step, outcome: Result<Made, String>, context: &mut Context<Self>) {
        // The guest went off, or was not waited for, while it was still being asked.
        if self.under_way != Some(step) {
            return;
        }
        match outcome {
            Ok(made) => {
                match made {
                    Made::Nothing => {}
                    Made::Images(images) => self.images = Some(images),
                    Made::Files(files) => self.files = Some(files),
                    Made::Nics(nics) => self.nics = nics,
                }
                if step == Step::ShutDown {
                    self.wait_for_the_guest(context);
                    return;
                }
                if step == Step::StartDomain
                    && let Some(reason) = self.gone_early.take()
                {
                    // The step lasts until that is known.
                    self.look_into(reason, self.starts, context);
                    return;
                }
                self.under_way = None;
                // Ports made with filters or addresses that have changed since are made once more.
                let plugged = matches!(step, Step::AttachNetwork | Step::RestoreNetwork);
                let again = plugged && self.take_due();
                if plugged {
                    // The step had the metadata of when it began.
                    self.host.metadata.insert(&self.record.spec.metadata);
                }
                if !again {
                    self.phase = step.done();
                    self.unplugged = None;
                }
                if self.phase == BootPhase::Ended {
                    self.files = None;
                }
                if let Some(reason) = self.gone_early.take() {
                    self.look_into(reason, self.starts, context);
                }
                self.go_on(context);
                self.replug(context);
            }
            Err(why) => self.failed(step, &why, context),
        }
    }

    fn waits_for_the_guest(&self) -> bool {
        self.record.goal == Goal::Stop && !self.record.forced
    }

    /// `under_way` stays `ShutDown`, so that nothing else begins until the guest is off or the
    /// patience has run out.
    fn wait_for_the_guest(&mut self, context: &mut Context<Self>) {
        if !self.waits_for_the_guest() {
            self.stop_waiting(context);
        } else if self.patience.is_none() {
            let limit = Step::ShutDown.deadline();
            self.patience = Some(context.run_later(limit, |actor, context| {
                log::info!(
                    "instance `{}` does not power off: it is taken its power",
                    actor.record.spec.instance
                );
                actor.stop_waiting(context);
            }));
        }
    }

    fn stop_waiting(&mut self, context: &mut Context<Self>) {
        if let Some(patience) = self.patience.take() {
            context.cancel_future(patience);
        }
        if self.under_way == Some(Step::ShutDown) {
            self.under_way = None;
            self.phase = BootPhase::Stopping;
        }
        self.go_on(context);
    }

    fn failed(&mut self, step: Step, why: &str, context: &mut Context<Self>) {
        let instance = &self.record.spec.instance;
        self.under_way = None;
        if step == Step::RestoreNetwork {
            log::error!("instance `{instance}` still runs without its network: {why}");
            self.unplugged = Some(why.to_owned());
            self.tries += 1;
            self.replug_later(context);
            if let Some(reason) = self.gone_early.take() {
                self.look_into(reason, self.starts, context);
            }
            self.go_on(context);
            return;
        }
        log::error!("instance `{instance}`: {} failed: {why}", step.phase().as_str());
        match step {
            Step::FetchImage | Step::PrepareDisk | Step::AttachNetwork | Step::StartDomain => {
                // Who has asked for something else meanwhile has that, whatever became of the start.
                if self.record.goal == Goal::Run {
                    let why = format!("{} failed: {why}", step.phase().as_str());
                    self.record.reason = Some(StateReason::internal_error(&why));
                    // An instance that ran before has a disk somebody may want.
                    self.record.goal = match self.record.settled {
                        BootPhase::Running | BootPhase::Stopped => Goal::Stop,
                        _ => Goal::End,
                    };
                }
                self.phase = step.phase();
                self.keep(context);
                self.go_on(context);
            }
            Step::ShutDown => {
                self.phase = BootPhase::Stopping;
                self.go_on(context);
            }
            Step::RestoreNetwork | Step::SwitchOff | Step::TearDown => {
                self.tell();
                context.run_later(TRY_AGAIN_AFTER, |actor, context| actor.go_on(context));
            }
        }
    }

    fn replug_later(&self, context: &mut Context<Self>) {
        let wait = REPLUG_AFTER * 2u32.saturating_pow(self.tries.min(16));
        context.run_later(wait.min(REPLUG_AFTER_MAX), |actor, context| actor.replug(context));
    }

    /// Makes the ports of a running guest known, if they are not. One that is being ended needs
    /// none, and one that is booted gets new ones.
    fn replug(&mut self, context: &mut Context<Self>) {
        let wanted = self.phase == BootPhase::Running && self.record.goal == Goal::Run;
        if self.unplugged.is_some() && wanted && self.under_way.is_none() {
            self.begin(Step::RestoreNetwork, context);
        }
    }

    /// Nothing more to be done: record it, and tell.
    fn settle(&mut self, context: &mut Context<Self>) {
        self.images = None;
        if self.phase == BootPhase::Running {
            self.record.reason = None;
        }
        self.tell();
        if self.record.settled == self.phase && !self.record.forced {
            return;
        }
        self.record.forced = false;
        self.record.settled = self.phase;
        self.keep(context);
    }

    /// Until it is recorded, a restart would go by an older record: it is tried again.
    fn keep(&self, context: &mut Context<Self>) {
        let recorded = self.host.record(&self.record);
        context.spawn(recorded.into_actor(self).map(|outcome, actor, context| {
            if let Err(fault) = outcome {
                let instance = &actor.record.spec.instance;
                log::error!("instance `{instance}` is not recorded yet: {fault}");
                context.run_later(TRY_AGAIN_AFTER, |actor, context| actor.keep(context));
            }
        }));
    }
}

/// What the work comes to, or that it took too long; said when it is over even then, since what is
/// done next must not meet what is still being done.
async fn within<T>(
    limit: Duration,
    mut work: tokio::task::JoinHandle<Result<T, String>>,
) -> Result<T, String> {
    match actix_rt::time::timeout(limit, &mut work).await {
        Ok(outcome) => outcome.unwrap_or_else(|_| Err("its thread ended without a word".into())),
        Err(_) => {
            log::error!("a step takes longer than {} s: it is waited for", limit.as_secs());
            let _ = work.await;
            Err(format!("it took longer than {} s", limit.as_secs()))
        }
    }
}

/// What a step leaves behind.
enum Made {
    Nothing,
    Images(Fetched),
    Files(BootFiles),
    Nics(Vec<Nic>),
}

impl Actor for InstanceActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        if self.unplugged.is_some() {
            self.replug_later(context);
        }
        self.go_on(context);
        self.reboot_if_due(context);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[actix_rt::test]
    async fn a_step_that_takes_too_long_fails_when_it_is_over_and_not_before() {
        let (release, released) = mpsc::channel();
        let work = tokio::task::spawn_blocking(move || {
            released.recv().map_err(|gone: mpsc::RecvError| gone.to_string())
        });
        let mut step = std::pin::pin!(within(Duration::from_millis(1), work));
        let early = actix_rt::time::timeout(Duration::from_millis(20), &mut step).await;
        assert!(early.is_err(), "its thread is still at work");
        release.send(()).unwrap();
        assert!(step.await.unwrap_err().contains("took longer"));
    }
}
