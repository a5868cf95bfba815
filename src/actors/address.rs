//! Where an actor is: in this process, or behind a link.
//!
//! `ask` is the one way to question another role. Its failures are the same near and far:
//! `NotDelivered` is certainly not done, `Unanswered` is unknown (look again), `Refused` is the
//! role's own word.

use crate::messages::{
    Ask, CallContext,
    envelope::{BODY_LIMIT_BYTES, Envelope, LinkFault, Outbound},
};
use crate::metrics::questions::{Asked, Handling, Mailbox, Outcome, Waiting};
use actix::{Actor, Addr, Handler, Message, Recipient, WeakAddr, dev::ToEnvelope};
use std::{
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

/// What a mailbox receives: the question and the circumstances of asking.
#[derive(Debug)]
pub struct Call<M> {
    pub context: CallContext,
    pub body: M,
    /// It is counted as waiting until it is taken up.
    pub waiting: Option<Waiting>,
}

impl<M: Ask> Call<M> {
    /// To be held while it is worked on, which is measured if somebody wants to know.
    pub fn begin(&mut self) -> Option<Handling> {
        self.waiting.take().map(|waiting| waiting.begin(M::NAME))
    }
}

impl<M: Ask> Message for Call<M> {
    type Result = Result<M::Reply, M::Fault>;
}

/// `Self` answers `M`, near or far. Written only by `serves!`, so that a message missing from a
/// role's list cannot be asked even locally.
pub trait Serves<M: Ask>: Actor {}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError<F: std::error::Error + 'static> {
    #[error("not delivered")]
    NotDelivered,
    #[error("no answer in time; it may have been carried out")]
    Unanswered,
    #[error("the answer could not be read: {0}")]
    Garbled(String),
    #[error(transparent)]
    Refused(F),
}

/// An actor of type `A`, wherever it runs.
pub enum Address<A: Actor> {
    /// A child or a peer: kept alive by being known.
    Local(Addr<A>),
    /// A parent: known, and not kept alive.
    Parent(WeakAddr<A>),
    Remote(Recipient<Outbound>),
    /// Any of these, and what is asked there is counted.
    Measured(Box<Address<A>>, Asking),
}

/// Where questions are counted: at the asker, and in the mailbox if that is in this process.
#[derive(Debug, Clone)]
pub struct Asking {
    pub asked: Arc<Asked>,
    pub mailbox: Option<Arc<Mailbox>>,
}

impl<A: Actor> Clone for Address<A> {
    fn clone(&self) -> Self {
        match self {
            Address::Local(addr) => Address::Local(addr.clone()),
            Address::Parent(addr) => Address::Parent(addr.clone()),
            Address::Remote(link) => Address::Remote(link.clone()),
            Address::Measured(address, asking) => {
                Address::Measured(address.clone(), asking.clone())
            }
        }
    }
}

impl<A: Actor> fmt::Debug for Address<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Address::Local(_) => "Local",
            Address::Parent(_) => "Parent",
            Address::Remote(_) => "Remote",
            Address::Measured(..) => "Measured",
        })
    }
}

/// The answer to `M`, or why there is none.
pub type Answer<M> = Result<<M as Ask>::Reply, AskError<<M as Ask>::Fault>>;

impl<A: Actor> Address<A> {
    /// The same, and what is asked there is counted, if it is to be.
    pub fn measured(self, asking: Option<Asking>) -> Address<A> {
        match asking {
            Some(asking) => Address::Measured(Box::new(self), asking),
            None => self,
        }
    }

    pub fn ask<M>(
        &self,
        context: CallContext,
        body: M,
    ) -> impl Future<Output = Answer<M>> + use<A, M>
    where
        M: Ask,
        A: Serves<M> + Handler<Call<M>>,
        A::Context: ToEnvelope<A, Call<M>>,
    {
        let address = self.clone();
        async move {
            match address {
                Address::Measured(address, asking) => {
                    let begun = Instant::now();
                    let answer = ask_at(*address, asking.mailbox, context, body).await;
                    asking.asked.ended(M::NAME, outcome::<M>(&answer), begun.elapsed());
                    answer
                }
                address => ask_at(address, None, context, body).await,
            }
        }
    }
}

async fn ask_at<A, M>(
    address: Address<A>,
    mailbox: Option<Arc<Mailbox>>,
    context: CallContext,
    body: M,
) -> Answer<M>
where
    M: Ask,
    A: Serves<M> + Handler<Call<M>>,
    A::Context: ToEnvelope<A, Call<M>>,
{
    let waiting = || mailbox.as_ref().map(Mailbox::receive);
    match address {
        Address::Local(addr) => ask_local(addr, waiting(), context, body).await,
        Address::Parent(addr) => match addr.upgrade() {
            Some(addr) => ask_local(addr, waiting(), context, body).await,
            None => Err(AskError::NotDelivered),
        },
        Address::Remote(link) => ask_remote(link, context, body).await,
        // Counted already by who measured it first.
        Address::Measured(address, _) => Box::pin(ask_at(*address, mailbox, context, body)).await,
    }
}

fn outcome<M: Ask>(answer: &Answer<M>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Answered,
        Err(AskError::Refused(_)) => Outcome::Refused,
        Err(AskError::Unanswered | AskError::Garbled(_)) => Outcome::Unanswered,
        Err(AskError::NotDelivered) => Outcome::NotDelivered,
    }
}

async fn ask_local<A, M>(
    addr: Addr<A>,
    waiting: Option<Waiting>,
    context: CallContext,
    body: M,
) -> Answer<M>
where
    M: Ask,
    A: Serves<M> + Handler<Call<M>>,
    A::Context: ToEnvelope<A, Call<M>>,
{
    let limit = Duration::from_millis(context.time_left_ms);
    if !addr.connected() {
        return Err(AskError::NotDelivered);
    }
    match actix_rt::time::timeout(limit, addr.send(Call { context, body, waiting })).await {
        // A mailbox that closes after sending may have closed while answering: unknown, not undone.
        Err(_) | Ok(Err(_)) => Err(AskError::Unanswered),
        Ok(Ok(reply)) => reply.map_err(AskError::Refused),
    }
}

async fn ask_remote<M: Ask>(link: Recipient<Outbound>, context: CallContext, body: M) -> Answer<M> {
    let limit = Duration::from_millis(context.time_left_ms);
    let body = postcard::to_stdvec(&body).map_err(|_| AskError::NotDelivered)?;
    if body.len() > BODY_LIMIT_BYTES {
        return Err(AskError::NotDelivered);
    }
    let envelope = Envelope { name: M::NAME.to_owned(), context, body };
    match actix_rt::time::timeout(limit, link.send(Outbound(envelope))).await {
        Err(_) | Ok(Err(_)) | Ok(Ok(Err(LinkFault::Unanswered))) => Err(AskError::Unanswered),
        Ok(Ok(Err(LinkFault::NotDelivered(_)))) => Err(AskError::NotDelivered),
        Ok(Ok(Ok(bytes))) => postcard::from_bytes::<Result<M::Reply, M::Fault>>(&bytes)
            .map_err(|fault| AskError::Garbled(fault.to_string()))?
            .map_err(AskError::Refused),
    }
}
