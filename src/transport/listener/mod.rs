//! The parent's end: who comes in, and the links to those who did.
//!
//! Whoever connects is a stranger until TLS has a certificate of it and `admit` lets it in; there
//! is a limit to how many strangers there are and how long they may take. Each peer has one link,
//! which can be asked for before the peer ever came. When `admit` changes its mind (a certificate
//! was revoked), [`Readmit`] cuts at once whom it would let in no more.

mod hall;

use super::{
    Clock,
    bulk::Provide,
    connection::ReceiveFrom,
    credentials::CurrentCredentials,
    handshake::NotAdmitted,
    identity::{Identity, Peer},
    join::Register,
    limits::Limits,
    link::Link,
    state::LinkState,
};
use crate::messages::envelope::Outbound;
use actix::{Actor, Addr, ArbiterHandle, Context, Handler, Message, MessageResult, Recipient};
use hall::Hall;
use std::{fmt, io, rc::Rc};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// Whether a process of this cloud may come in here, for who it is; if not, why.
pub type Admit = Rc<dyn Fn(&Peer) -> Result<(), NotAdmitted>>;

/// What is done with those who come. Made where the listener runs.
pub struct Reception {
    pub admit: Admit,
    /// Answers what peers ask.
    pub receive: ReceiveFrom,
    /// Hears of each connection, with the link to ask the peer over.
    pub arrived: Rc<dyn Fn(&Peer, Recipient<Outbound>)>,
    pub register: Register,
    pub provide: Rc<dyn Provide>,
}

impl fmt::Debug for Reception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reception")
    }
}

/// Where strangers come, and who they find.
pub struct Door {
    /// Already bound: a busy port is the caller's news.
    pub listener: std::net::TcpListener,
    pub credentials: CurrentCredentials,
    pub limits: Limits,
    pub clock: Clock,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door({:?})", self.listener)
    }
}

pub struct Listener {
    hall: Rc<Hall>,
    accepting: JoinHandle<()>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.hall.states().iter().map(|state| &state.peer)).finish()
    }
}

impl Listener {
    /// Listens from now on, on the arbiter that this is called on.
    pub fn begin(door: Door, reception: Reception) -> io::Result<Listener> {
        let Door { listener, credentials, limits, clock } = door;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let hall = Hall::new(credentials, limits, clock, reception);
        let accepting = tokio::task::spawn_local(hall.clone().accept(listener));
        Ok(Listener { hall, accepting })
    }
}

/// Begins to listen on an arbiter, where the reception is made.
pub async fn start(
    on: &ArbiterHandle,
    door: Door,
    reception: impl FnOnce() -> Reception + Send + 'static,
) -> io::Result<Addr<Listener>> {
    let (tell, begun) = oneshot::channel();
    on.spawn_fn(move || {
        let begun = Listener::begin(door, reception()).map(Actor::start);
        // Whoever gave up waiting has no use for it: it stops with its address.
        let _ = tell.send(begun);
    });
    begun.await.map_err(|_| io::Error::other("the listener's thread has ended"))?
}

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Asks for the link to a peer, whether it has come yet or not.
#[derive(Debug, Message)]
#[rtype(result = "Addr<Link>")]
pub struct LinkTo(pub Identity);

impl Handler<LinkTo> for Listener {
    type Result = MessageResult<LinkTo>;

    fn handle(&mut self, LinkTo(identity): LinkTo, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.hall.link(&identity).1)
    }
}

/// Says that `admit` may judge otherwise than before: everybody here is judged again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Readmit;

impl Handler<Readmit> for Listener {
    type Result = ();

    fn handle(&mut self, _: Readmit, _: &mut Self::Context) {
        self.hall.readmit();
    }
}

/// Asks how all links are doing.
#[derive(Debug, Message)]
#[rtype(result = "Vec<LinkState>")]
pub struct InspectAll;

impl Handler<InspectAll> for Listener {
    type Result = MessageResult<InspectAll>;

    fn handle(&mut self, _: InspectAll, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.hall.states())
    }
}
