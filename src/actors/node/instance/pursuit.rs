//! Requests to an instance: taken up when they are newer than the last, and recorded before they are
//! answered.

use super::{InstanceActor, not_recorded};
use crate::{
    actors::node::record::InstanceRecord,
    domain::{
        boot_phase::{BootPhase, Goal},
        trace::Cause,
    },
    messages::node::{InstanceSpec, NodeFault},
};
use actix::{AsyncContext, Handler, Message, ResponseFuture};

/// A request taken up: recorded before this is answered.
#[derive(Message)]
#[rtype(result = "Result<(), NodeFault>")]
pub struct Pursue {
    pub goal: Goal,
    pub revision: u64,
    /// Do not wait for the guest.
    pub force: bool,
    /// For a start: as it is now wanted.
    pub spec: Option<Box<InstanceSpec>>,
    pub cause: Cause,
}

impl Handler<Pursue> for InstanceActor {
    type Result = ResponseFuture<Result<(), NodeFault>>;

    fn handle(&mut self, asked: Pursue, context: &mut Self::Context) -> Self::Result {
        if asked.revision < self.record.revision {
            let overtaken = NodeFault::Overtaken(self.record.spec.instance.clone());
            return Box::pin(async move { Err(overtaken) });
        }
        // A request that is repeated may have been answered by events already: a guest that went
        // off is not started again by it. It is recorded once more, if that failed at first.
        if asked.revision > self.record.revision {
            self.cause = asked.cause;
            self.record.revision = asked.revision;
            // What has ended stays so.
            if self.record.goal != Goal::End {
                self.record.goal = asked.goal;
            }
            self.record.forced = false;
            // A guest that is stopped, ended or started needs none.
            self.record.reboot_due = false;
            if let Some(spec) = asked.spec {
                self.record.take_spec(*spec);
            }
            if self.phase != BootPhase::Ended {
                self.record.reason = None;
            }
        }
        self.record.forced |= asked.force && self.record.goal == Goal::Stop;
        let recorded = self.host.record(&self.record);
        let myself = context.address();
        Box::pin(async move {
            recorded.await.map_err(not_recorded)?;
            myself.do_send(GoOn);
            Ok(())
        })
    }
}

/// To itself, once a request is recorded.
#[derive(Message)]
#[rtype(result = "()")]
struct GoOn;

impl Handler<GoOn> for InstanceActor {
    type Result = ();

    fn handle(&mut self, _: GoOn, context: &mut Self::Context) {
        if self.patience.is_some() && !self.waits_for_the_guest() {
            self.stop_waiting(context);
        } else {
            self.go_on(context);
        }
    }
}

/// Ends the actor; what it drove has ended before.
#[derive(Message)]
#[rtype(result = "InstanceRecord")]
pub struct Forget;

impl Handler<Forget> for InstanceActor {
    type Result = actix::MessageResult<Forget>;

    fn handle(&mut self, _: Forget, context: &mut Self::Context) -> Self::Result {
        use actix::ActorContext;
        context.stop();
        actix::MessageResult(self.record.clone())
    }
}
