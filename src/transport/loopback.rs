//! A link that ends where it begins: every question becomes bytes and is put through here.
//!
//! It shows in one process what a network would show: a message that does not survive encoding, or
//! is too large for a frame.

use crate::messages::envelope::{BODY_LIMIT_BYTES, Envelope, LinkFault, Outbound};
use actix::{Actor, Context, Handler, ResponseFuture};
use futures_util::future::LocalBoxFuture;
use std::fmt;

/// What stands at the far end: puts an envelope through to whoever answers it.
pub type Receive = Box<dyn Fn(Envelope) -> LocalBoxFuture<'static, Result<Vec<u8>, LinkFault>>>;

pub struct Loopback {
    receive: Receive,
}

impl fmt::Debug for Loopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Loopback")
    }
}

impl Loopback {
    pub fn new(receive: Receive) -> Loopback {
        Loopback { receive }
    }
}

impl Actor for Loopback {
    type Context = Context<Self>;
}

impl Handler<Outbound> for Loopback {
    type Result = ResponseFuture<Result<Vec<u8>, LinkFault>>;

    fn handle(&mut self, Outbound(envelope): Outbound, _: &mut Self::Context) -> Self::Result {
        let Ok(frame) = postcard::to_stdvec(&envelope) else {
            let fault = LinkFault::NotDelivered("the envelope cannot be written".into());
            return Box::pin(async move { Err(fault) });
        };
        let Ok(arrived) = postcard::from_bytes::<Envelope>(&frame) else {
            let fault = LinkFault::NotDelivered("the envelope cannot be read".into());
            return Box::pin(async move { Err(fault) });
        };
        let answer = (self.receive)(arrived);
        Box::pin(async move {
            let body = answer.await?;
            if body.len() > BODY_LIMIT_BYTES { Err(LinkFault::Unanswered) } else { Ok(body) }
        })
    }
}
