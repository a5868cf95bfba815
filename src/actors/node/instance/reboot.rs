//! The reboot of a running guest: recorded before it is answered, and then carried out at least once,
//! by the next process if this one ends before.
//!
//! What the record says is due is the guest's that runs: whatever takes that guest its power takes
//! the reboot with it.

use super::{InstanceActor, TRY_AGAIN_AFTER, not_recorded};
use crate::{
    domain::boot_phase::{BootPhase, Step},
    hypervisor::HypervisorFault,
    messages::node::NodeFault,
};
use actix::{
    ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseActFuture, WrapFuture,
};

/// Restart the guest, if it runs.
#[derive(Message)]
#[rtype(result = "Result<(), NodeFault>")]
pub struct Reboot {
    pub revision: u64,
}

impl Handler<Reboot> for InstanceActor {
    type Result = ResponseActFuture<Self, Result<(), NodeFault>>;

    fn handle(&mut self, Reboot { revision }: Reboot, _: &mut Self::Context) -> Self::Result {
        if revision < self.record.revision {
            let overtaken = NodeFault::Overtaken(self.record.spec.instance.clone());
            return Box::pin(async move { Err(overtaken) }.into_actor(self));
        }
        if revision > self.record.revision {
            self.record.revision = revision;
            self.record.reboot_due = self.runs();
        } else if !self.record.reboot_due {
            return Box::pin(async { Ok(()) }.into_actor(self));
        }
        // One that is repeated while it is due may not have been recorded at first.
        let recorded = self.host.record(&self.record);
        Box::pin(recorded.into_actor(self).map(|recorded, actor, context| {
            recorded.map_err(not_recorded)?;
            actor.tell();
            actor.reboot_if_due(context);
            Ok(())
        }))
    }
}

impl InstanceActor {
    /// Making known its ports once more does not concern the guest.
    fn runs(&self) -> bool {
        self.phase == BootPhase::Running
            && matches!(self.under_way, None | Some(Step::RestoreNetwork))
    }

    pub(super) fn reboot_if_due(&mut self, context: &mut Context<Self>) {
        if !self.record.reboot_due || self.rebooting || !self.runs() {
            return;
        }
        self.rebooting = true;
        let (host, instance) = (self.host.clone(), self.record.spec.instance.clone());
        let rebooted = self.host.threads.run(move || host.hypervisor.reboot(&instance));
        context.spawn(rebooted.into_actor(self).map(|outcome, actor, context| {
            actor.rebooting = false;
            let instance = &actor.record.spec.instance;
            match outcome {
                Ok(Ok(())) => {}
                Ok(Err(HypervisorFault::NotRunning(_) | HypervisorFault::NoSuchDomain(_))) => {
                    log::info!("instance `{instance}` went off before it was rebooted");
                }
                Ok(Err(fault)) => {
                    log::error!("instance `{instance}` is not rebooted yet: {fault}");
                    context.run_later(TRY_AGAIN_AFTER, Self::reboot_if_due);
                    return;
                }
                Err(_) => {
                    log::error!("instance `{instance}`: its reboot ended without a word");
                }
            }
            if actor.record.reboot_due {
                actor.record.reboot_due = false;
                actor.keep(context);
            }
        }));
    }
}
