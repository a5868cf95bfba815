//! The end of a guest that nobody asked for here: whether it is true, and what it means.

use super::{GUEST_WENT_OFF, InstanceActor, Made, TRY_AGAIN_AFTER};
use crate::{
    actors::node::adoption,
    domain::{
        boot_phase::{BootPhase, Goal, Step},
        instance::{ShutdownBehavior, StateReason},
        trace::Cause,
    },
    hypervisor::OffReason,
};
use actix::{ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};

/// The guest went off, somebody says: it may have been an earlier guest of the same domain.
#[derive(Message)]
#[rtype(result = "()")]
pub struct WentOff(pub OffReason);

impl Handler<WentOff> for InstanceActor {
    type Result = ();

    fn handle(&mut self, WentOff(reason): WentOff, context: &mut Self::Context) {
        match self.under_way {
            Some(Step::StartDomain | Step::RestoreNetwork) => self.gone_early = Some(reason),
            Some(Step::ShutDown) | None if self.phase == BootPhase::Running => {
                self.look_into(reason, self.starts, context);
            }
            // It was taken its power, or is off: that is no news.
            Some(_) | None => {}
        }
    }
}

impl InstanceActor {
    /// Events come late, and a guest may have been started since: only what the hypervisor has now
    /// is believed.
    pub(super) fn look_into(
        &mut self,
        reason: OffReason,
        starts: u64,
        context: &mut Context<Self>,
    ) {
        let (host, instance) = (self.host.clone(), self.record.spec.instance.clone());
        let looked = self.host.threads.run(move || {
            let domains = host.hypervisor.domains().map_err(|fault| fault.to_string())?;
            Ok(!adoption::on(&domains).contains(&instance))
        });
        context.spawn(looked.into_actor(self).map(move |found, actor, context| {
            let found = found.unwrap_or_else(|_| Err("its thread ended without a word".to_owned()));
            actor.looked_into(reason, starts, found, context);
        }));
    }

    fn looked_into(
        &mut self,
        reason: OffReason,
        starts: u64,
        off: Result<bool, String>,
        context: &mut Context<Self>,
    ) {
        if self.starts != starts {
            return;
        }
        let instance = &self.record.spec.instance;
        match (off, self.under_way) {
            (Err(why), _) => {
                log::warn!("whether the guest of `{instance}` is off cannot be told yet: {why}");
                context.run_later(TRY_AGAIN_AFTER, move |actor, context| {
                    actor.look_into(reason, starts, context);
                });
            }
            (Ok(true), Some(Step::StartDomain)) => {
                self.under_way = None;
                self.phase = BootPhase::Running;
                self.went_off(reason, context);
            }
            (Ok(false), Some(Step::StartDomain)) => {
                self.finished(Step::StartDomain, Ok(Made::Nothing), context);
            }
            (Ok(true), Some(Step::ShutDown)) => self.stop_waiting(context),
            (Ok(true), Some(Step::RestoreNetwork)) => self.gone_early = Some(reason),
            (Ok(true), None) => self.went_off(reason, context),
            (Ok(true), Some(_)) => {}
            (Ok(false), _) => {
                log::info!("instance `{instance}` runs: what was told is of an earlier guest");
            }
        }
    }

    fn went_off(&mut self, reason: OffReason, context: &mut Context<Self>) {
        if self.phase != BootPhase::Running || self.record.goal != Goal::Run {
            self.go_on(context);
            return;
        }
        self.cause = Cause::occasion(GUEST_WENT_OFF);
        let (goal, why) = self.after_going_off(reason);
        log::info!("instance `{}` went off: {}", self.record.spec.instance, why.message);
        self.record.goal = goal;
        self.record.reboot_due = false;
        self.record.reason = Some(why);
        self.phase = BootPhase::Stopping;
        self.keep(context);
        self.go_on(context);
    }

    /// A guest that powers itself off does what the instance says it means. One that was killed or
    /// crashed keeps its disk: whoever killed it did not ask for the data.
    fn after_going_off(&self, reason: OffReason) -> (Goal, StateReason) {
        match reason {
            OffReason::Shutdown => {
                let goal = match self.record.spec.shutdown_behavior {
                    ShutdownBehavior::Stop => Goal::Stop,
                    ShutdownBehavior::Terminate => Goal::End,
                };
                (goal, StateReason::instance_initiated_shutdown())
            }
            OffReason::Destroyed => {
                (Goal::Stop, StateReason::internal_error("the guest was killed from outside"))
            }
            OffReason::Crashed => (Goal::Stop, StateReason::internal_error("the guest crashed")),
            OffReason::Failed => {
                (Goal::Stop, StateReason::internal_error("the guest's emulator ended"))
            }
        }
    }
}
