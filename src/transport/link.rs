//! The actor that questions for another process are given to, whichever end of the link it is at.
//!
//! It stays the same while connections come and go. A dialing link lives as long as somebody has
//! its address; one at the listening end belongs to its listener.

use super::{connection::ReceiveFrom, dial::Dial, line::Line, state::LinkState};
use crate::messages::envelope::{LinkFault, Outbound};
use actix::{Actor, Context, Handler, Message, MessageResult, ResponseFuture};
use std::{fmt, rc::Rc};
use tokio::task::JoinHandle;

pub struct Link {
    line: Rc<Line>,
    dialing: Option<Dialing>,
}

enum Dialing {
    Ready(Dial, ReceiveFrom),
    Begun(JoinHandle<()>),
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({:?})", self.line)
    }
}

impl Link {
    /// A link to a parent, which is dialed from the moment that the actor starts. What the parent
    /// asks over it goes to `receive`.
    pub fn dial(dial: Dial, receive: ReceiveFrom) -> Link {
        let line = Line::new(dial.limits.clone(), dial.clock.clone());
        Link { line, dialing: Some(Dialing::Ready(dial, receive)) }
    }

    /// The listener's end.
    pub(super) fn of(line: Rc<Line>) -> Link {
        Link { line, dialing: None }
    }
}

impl Actor for Link {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        if let Some(Dialing::Ready(dial, receive)) = self.dialing.take() {
            let keep = tokio::task::spawn_local(dial.keep(self.line.clone(), receive));
            self.dialing = Some(Dialing::Begun(keep));
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(Dialing::Begun(keep)) = &self.dialing {
            keep.abort();
        }
    }
}

impl Handler<Outbound> for Link {
    type Result = ResponseFuture<Result<Vec<u8>, LinkFault>>;

    fn handle(&mut self, Outbound(envelope): Outbound, _: &mut Self::Context) -> Self::Result {
        let line = self.line.clone();
        Box::pin(async move { line.ask(envelope).await })
    }
}

/// Asks how the link is doing.
#[derive(Debug, Message)]
#[rtype(result = "LinkState")]
pub struct Inspect;

impl Handler<Inspect> for Link {
    type Result = MessageResult<Inspect>;

    fn handle(&mut self, _: Inspect, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.line.state())
    }
}
