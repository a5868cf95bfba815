//! How a user's command is carried out: decided, recorded, answered, acted upon.

use super::{CloudManager, Core, scope};
use crate::{
    actors::address::Call,
    domain::{draft::Draft, fault::CloudFault, scope::Scope},
    messages::{
        CallContext,
        cloud::{Command, Commanded, OpenScope},
    },
};
use actix::{Handler, ResponseFuture};
use serde::Serialize;
use std::rc::Rc;
use tracing::Instrument;

/// The decision behind a command: a pure function of the draft. Whatever it refuses, nothing has
/// happened; whatever it grants is in the draft.
pub trait Decide: Command {
    fn decide(self, draft: &mut Draft<'_>) -> Result<Self::Reply, CloudFault>;
}

impl<C: Decide> Handler<Call<Commanded<C>>> for CloudManager {
    type Result = ResponseFuture<Result<C::Reply, CloudFault>>;

    fn handle(&mut self, mut call: Call<Commanded<C>>, _: &mut Self::Context) -> Self::Result {
        let (span, core, handling) = (super::span(&call), self.core.clone(), call.begin());
        let carried_out = async move {
            let _handling = handling;
            core.carry_out(call.context, call.body).await
        };
        Box::pin(carried_out.instrument(span))
    }
}

/// Tells a request from another one under the same client token.
pub fn fingerprint(asked: &impl Serialize) -> String {
    let bytes = postcard::to_stdvec(asked).expect("a message serializes into memory");
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Core {
    async fn carry_out<C: Decide>(
        self: &Rc<Self>,
        context: CallContext,
        asked: Commanded<C>,
    ) -> Result<C::Reply, CloudFault> {
        self.journal.room().await;
        let (reply, decision) = {
            let book = self.book.borrow();
            let mut chance = self.ambient.chance("cloud");
            let scope =
                Scope { account: context.on_behalf_of.account.clone(), region: asked.region };
            let mut draft = Draft::new(
                &book.state,
                &self.settings,
                &context.on_behalf_of,
                scope,
                self.ambient.now(),
                &mut *chance,
            );
            scope::open(&mut draft);
            let reply = asked.command.decide(&mut draft);
            let decision = draft.decided();
            if reply.is_err() && !asked.dry_run {
                self.told.tell_refused(&decision.verdicts, &context.cause());
            }
            (reply?, decision)
        };
        if asked.dry_run {
            return Err(CloudFault::DryRun);
        }
        self.keep(decision, context).await?;
        Ok(reply)
    }
}

impl Decide for OpenScope {
    /// Every command opens its scope before it is decided, this one does nothing else.
    fn decide(self, _: &mut Draft<'_>) -> Result<(), CloudFault> {
        Ok(())
    }
}
