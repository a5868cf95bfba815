//! Names to mailboxes: the receiving half of `Address::Remote`.

use super::address::{Call, Serves};
use crate::messages::{
    Ask,
    envelope::{Envelope, LinkFault},
};
use crate::metrics::questions::Mailbox;
use actix::{Addr, Handler, dev::ToEnvelope};
use futures_util::future::LocalBoxFuture;
use std::{cell::OnceCell, collections::BTreeMap, fmt, rc::Rc, sync::Arc};

type Line = Box<dyn Fn(Envelope) -> LocalBoxFuture<'static, Result<Vec<u8>, LinkFault>>>;

/// The questions that can be put through to actors of this process.
#[derive(Default)]
pub struct Switchboard {
    lines: BTreeMap<&'static str, Line>,
    /// What is put through is counted there, once that is known.
    mailbox: Rc<OnceCell<Arc<Mailbox>>>,
}

impl fmt::Debug for Switchboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.lines.keys()).finish()
    }
}

impl Switchboard {
    /// Puts questions of type `M` through to `addr`. Serving one name twice is a mistake in the
    /// wiring, not a condition of the world.
    pub fn serve<M, A>(&mut self, addr: Addr<A>)
    where
        M: Ask,
        A: Serves<M> + Handler<Call<M>>,
        A::Context: ToEnvelope<A, Call<M>>,
    {
        self.serve_if(addr, |_: &M| true);
    }

    /// The same for questions that whoever is at this board may ask.
    pub fn serve_if<M, A>(&mut self, addr: Addr<A>, may_ask: impl Fn(&M) -> bool + 'static)
    where
        M: Ask,
        A: Serves<M> + Handler<Call<M>>,
        A::Context: ToEnvelope<A, Call<M>>,
    {
        let may_ask = Rc::new(may_ask);
        let mailbox = self.mailbox.clone();
        let line: Line = Box::new(move |envelope| {
            let (addr, may_ask, mailbox) = (addr.clone(), may_ask.clone(), mailbox.clone());
            Box::pin(async move {
                let body: M = postcard::from_bytes(&envelope.body)
                    .map_err(|fault| LinkFault::NotDelivered(fault.to_string()))?;
                if !may_ask(&body) {
                    log::warn!("`{}` was asked by one who may not ask that", M::NAME);
                    let why = "it is not yours to ask".to_owned();
                    return Err(LinkFault::NotDelivered(why));
                }
                if !addr.connected() {
                    return Err(LinkFault::NotDelivered("the role has stopped".into()));
                }
                let waiting = mailbox.get().map(Mailbox::receive);
                let call = Call { context: envelope.context, body, waiting };
                let reply = addr.send(call).await.map_err(|_| LinkFault::Unanswered)?;
                postcard::to_stdvec(&reply).map_err(|_| LinkFault::Unanswered)
            })
        });
        let previous = self.lines.insert(M::NAME, line);
        assert!(previous.is_none(), "`{}` is served twice", M::NAME);
    }

    /// Counts from now on what is put through.
    pub fn counting(self, mailbox: Option<Arc<Mailbox>>) -> Switchboard {
        if let Some(mailbox) = mailbox {
            let counted = self.mailbox.set(mailbox);
            assert!(counted.is_ok(), "a board is of one role");
        }
        self
    }

    /// Takes a question off the board.
    pub fn without<M: Ask>(mut self) -> Switchboard {
        self.lines.remove(M::NAME);
        self
    }

    pub async fn put_through(&self, envelope: Envelope) -> Result<Vec<u8>, LinkFault> {
        match self.lines.get(envelope.name.as_str()) {
            Some(line) => line(envelope).await,
            None => {
                Err(LinkFault::NotDelivered(format!("nobody here answers `{}`", envelope.name)))
            }
        }
    }
}

/// A role's list of messages: gives the `Serves` markers and the wiring together.
macro_rules! serves {
    ($actor:ty: $($message:ty),+ $(,)?) => {
        $(impl $crate::actors::address::Serves<$message> for $actor {})+
        impl $actor {
            /// The names of all that may be asked of it.
            pub const QUESTIONS: &'static [&'static str] =
                &[$(<$message as $crate::messages::Ask>::NAME),+];

            /// Puts every question of this role through to `addr`.
            pub fn attach(
                addr: &actix::Addr<$actor>,
                board: &mut $crate::actors::switchboard::Switchboard,
            ) {
                $(board.serve::<$message, $actor>(addr.clone());)+
            }
        }
    };
}
pub(crate) use serves;
