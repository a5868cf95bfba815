//! What lasts when connections come and go: one peer, at most one connection to it.
//!
//! The newest connection is the peer's; the one before is cut, for it may be a ghost that its own
//! end has long given up. Nothing waits here for a connection: without one, a question is not
//! delivered, and whoever asked knows best when to ask again.

use super::{
    Clock,
    connection::{Connection, Greeted, ReceiveFrom},
    identity::{Identity, Peer},
    limits::Limits,
    meter::Meter,
    state::LinkState,
};
use crate::messages::envelope::{Envelope, LinkFault};
use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    time::SystemTime,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

pub(super) struct Line {
    limits: Limits,
    clock: Clock,
    current: RefCell<Option<(Rc<Connection>, SystemTime)>>,
    peer: RefCell<Option<Identity>>,
    connections: Cell<u64>,
    last_failure: RefCell<Option<String>>,
    /// Of connections that have ended.
    passed: RefCell<Passed>,
}

#[derive(Debug, Default)]
struct Passed {
    bytes_in: u64,
    bytes_out: u64,
    frames_in: u64,
    frames_out: u64,
}

impl Passed {
    fn add(&mut self, meter: &Meter) {
        self.bytes_in += meter.bytes_in.get();
        self.bytes_out += meter.bytes_out.get();
        self.frames_in += meter.frames_in.get();
        self.frames_out += meter.frames_out.get();
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({:?})", self.peer.borrow())
    }
}

impl Line {
    pub fn new(limits: Limits, clock: Clock) -> Rc<Line> {
        Rc::new(Line {
            limits,
            clock,
            current: RefCell::default(),
            peer: RefCell::default(),
            connections: Cell::new(0),
            last_failure: RefCell::default(),
            passed: RefCell::default(),
        })
    }

    pub async fn ask(&self, envelope: Envelope) -> Result<Vec<u8>, LinkFault> {
        let Some(connection) = self.current() else {
            let why = match &*self.last_failure.borrow() {
                Some(failure) => format!("there is no connection: {failure}"),
                None => "there is no connection yet".into(),
            };
            return Err(LinkFault::NotDelivered(why));
        };
        connection.ask(envelope).await
    }

    /// Makes a connection the peer's: questions go over it from now on, once it is run.
    pub fn connect<S>(self: &Rc<Self>, greeted: &Greeted<S>) -> Connected {
        let connection = Connection::new(greeted, self.limits.clone(), self.clock.clone());
        *self.peer.borrow_mut() = Some(connection.peer.identity.clone());
        self.connections.set(self.connections.get() + 1);
        let former = self.current.replace(Some((connection.clone(), (self.clock)())));
        if let Some((former, _)) = former {
            former.cut("a newer connection took its place");
        }
        Connected { line: self.clone(), connection }
    }

    pub fn failed(&self, reason: &str) {
        *self.last_failure.borrow_mut() = Some(reason.to_owned());
    }

    pub fn cut(&self, reason: &str) {
        if let Some(connection) = self.current() {
            connection.cut(reason);
        }
    }

    pub fn current(&self) -> Option<Rc<Connection>> {
        let current = self.current.borrow();
        let live = current.as_ref().filter(|(connection, _)| connection.is_live());
        live.map(|(connection, _)| connection.clone())
    }

    /// What the certificate of the peer connected says.
    pub fn connected(&self) -> Option<Rc<Peer>> {
        self.current().map(|connection| connection.peer.clone())
    }

    pub fn state(&self) -> LinkState {
        let passed = self.passed.borrow();
        let mut state = LinkState {
            peer: self.peer.borrow().clone(),
            connected_since: None,
            heard_ago: None,
            round_trip: None,
            bytes_in: passed.bytes_in,
            bytes_out: passed.bytes_out,
            frames_in: passed.frames_in,
            frames_out: passed.frames_out,
            reconnects: self.connections.get().saturating_sub(1),
            last_failure: self.last_failure.borrow().clone(),
        };
        if let Some((connection, since)) = &*self.current.borrow() {
            let meter = &connection.meter;
            if connection.is_live() {
                state.connected_since = Some(*since);
                state.heard_ago = Some(meter.last_in.get().elapsed());
                state.round_trip = meter.round_trip.get();
            }
            state.bytes_in += meter.bytes_in.get();
            state.bytes_out += meter.bytes_out.get();
            state.frames_in += meter.frames_in.get();
            state.frames_out += meter.frames_out.get();
        }
        state
    }
}

/// A connection in its line, and the peer's no more when this is dropped.
#[derive(Debug)]
pub(super) struct Connected {
    line: Rc<Line>,
    connection: Rc<Connection>,
}

impl Connected {
    /// Runs the connection until it ends. Why it did.
    pub async fn run<S>(
        self,
        framed: Framed<S, LengthDelimitedCodec>,
        receive: ReceiveFrom,
    ) -> String
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let reason = self.connection.clone().run(framed, receive).await;
        self.line.failed(&reason);
        reason
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.connection.end("the link was given up");
        self.line.passed.borrow_mut().add(&self.connection.meter);
        let mut current = self.line.current.borrow_mut();
        if current.as_ref().is_some_and(|(now, _)| Rc::ptr_eq(now, &self.connection)) {
            *current = None;
        }
    }
}
