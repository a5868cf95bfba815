//! One connection between two processes that know one another, from greeting to goodbye.
//!
//! Questions go both ways, and answers find their questions by number. A question is carried out
//! at most once for each time it was asked. Memory is bounded whatever the peer does: it is told
//! how many questions it may ask at a time, what it asks beyond that is declined unread, and one
//! that does not read its answers is cut. A connection that ended does not come back; `line` has
//! what does.

mod outbox;
mod questions;
mod writing;

#[cfg(test)]
mod tests;

use super::{
    Clock,
    budget::{Budget, Held},
    frame::{Frame, FrameFault},
    identity::Peer,
    limits::Limits,
    meter::{Meter, add},
};
use crate::messages::envelope::{BODY_LIMIT_BYTES, Envelope, LinkFault};
use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, Stream, StreamExt, future::LocalBoxFuture};
use outbox::{Outbox, Parcel};
use questions::Questions;
use std::{
    cell::{Cell, RefCell},
    fmt, io,
    rc::Rc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf},
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::codec::{
    Framed, FramedRead, FramedWrite, LengthDelimitedCodec, LengthDelimitedCodecError,
};

/// What stands at the near end: puts a peer's envelope through to whoever answers it, or refuses
/// for who the peer is.
pub type ReceiveFrom =
    Rc<dyn Fn(Rc<Peer>, Envelope) -> LocalBoxFuture<'static, Result<Vec<u8>, LinkFault>>>;

/// A fault may quote what the peer sent.
const FAULT_LETTERS_MAX: usize = 1000;

/// How long a goodbye may take: it is a courtesy.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

pub(super) struct Connection {
    pub peer: Rc<Peer>,
    pub meter: Rc<Meter>,
    limits: Limits,
    clock: Clock,
    outbox: Rc<Outbox>,
    questions: Questions,
    /// Of the peer's questions being answered, and the answers not yet written.
    answering: Rc<Budget>,
    answering_now: Cell<usize>,
    /// Since when the writer has had something to write.
    writing: Cell<Option<Instant>>,
    pinged: Cell<(u64, Instant)>,
    cut: RefCell<Option<String>>,
    cut_asked: Notify,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.peer.identity)
    }
}

/// What a connection is made of, once both ends have greeted.
pub(super) struct Greeted<S> {
    pub framed: Framed<S, LengthDelimitedCodec>,
    pub peer: Peer,
    /// How many questions the peer answers at one time.
    pub turns: usize,
    pub meter: Rc<Meter>,
}

impl Connection {
    pub fn new<S>(greeted: &Greeted<S>, limits: Limits, clock: Clock) -> Rc<Connection> {
        let outbox = Rc::new(Outbox::default());
        Rc::new(Connection {
            peer: Rc::new(greeted.peer.clone()),
            meter: greeted.meter.clone(),
            questions: Questions::new(outbox.clone(), &limits, greeted.turns),
            answering: Budget::new(limits.questions_max, limits.held_bytes_max),
            answering_now: Cell::new(0),
            writing: Cell::new(None),
            pinged: Cell::new((0, Instant::now())),
            cut: RefCell::default(),
            cut_asked: Notify::new(),
            outbox,
            limits,
            clock,
        })
    }

    pub async fn ask(&self, envelope: Envelope) -> Result<Vec<u8>, LinkFault> {
        self.questions.ask(envelope).await
    }

    /// Ends the connection at once. Nothing that comes from the peer after this is looked at.
    pub fn cut(&self, reason: &str) {
        self.cut.borrow_mut().get_or_insert_with(|| reason.to_owned());
        self.cut_asked.notify_one();
    }

    /// Whether it carries questions still: not while it says goodbye.
    pub fn is_live(&self) -> bool {
        self.cut.borrow().is_none() && !self.questions.has_ended()
    }

    /// Whether nobody waits for an answer, at either end.
    pub fn is_idle(&self) -> bool {
        self.questions.is_idle() && self.answering_now.get() == 0
    }

    /// Carries questions and answers until the connection ends. Why it did.
    pub async fn run<S>(
        self: Rc<Self>,
        framed: Framed<S, LengthDelimitedCodec>,
        receive: ReceiveFrom,
    ) -> String
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (stream, mut sink) = split(framed);
        // In this order: who is cut is not read from, and what has arrived is read before its
        // sender is taken for silent.
        let (reason, can_hear) = tokio::select! {
            biased;
            reason = self.was_cut() => (reason, true),
            reason = self.read(stream, &receive) => (reason, true),
            reason = self.write(&mut sink) => (reason, false),
            reason = self.watch() => (reason, false),
        };
        self.end(&reason);
        if can_hear {
            let goodbye = async {
                if let Ok(frame) = Frame::Goodbye(reason.clone()).encode() {
                    sink.send(frame).await?;
                }
                SinkExt::<Bytes>::close(&mut sink).await
            };
            // Whether it is heard makes no difference.
            let _: Result<io::Result<()>, _> = timeout(GOODBYE_WITHIN, goodbye).await;
        }
        reason
    }

    /// Every question asked has its answer after this. The first reason counts.
    pub fn end(&self, reason: &str) {
        self.questions.end(reason);
        self.outbox.clear();
    }

    async fn was_cut(&self) -> String {
        loop {
            if let Some(reason) = self.cut.borrow().clone() {
                return reason;
            }
            self.cut_asked.notified().await;
        }
    }

    async fn read(
        self: &Rc<Self>,
        mut stream: impl Stream<Item = io::Result<BytesMut>> + Unpin,
        receive: &ReceiveFrom,
    ) -> String {
        while let Some(bytes) = stream.next().await {
            let frame = match bytes {
                Ok(bytes) => Frame::decode(&bytes),
                Err(fault) => return told(&fault),
            };
            add(&self.meter.frames_in, 1);
            match frame {
                Ok(Frame::Question { id, envelope }) => {
                    self.answer(id, envelope, receive);
                    if self.outbox.declined() > self.limits.questions_max {
                        return "it asks without hearing that it asks too much".into();
                    }
                }
                Ok(Frame::Answer { id, answer }) => self.questions.answered(id, answer),
                Ok(Frame::Ping(number)) => self.outbox.put(Parcel::Pong(number)),
                Ok(Frame::Pong(number)) => self.heard_pong(number),
                Ok(Frame::Goodbye(reason)) => return format!("it hung up, saying `{reason}`"),
                Err(fault) => return format!("it sent {fault}"),
            }
        }
        "it closed the connection".into()
    }

    /// Has the peer's question answered, if there is room for it.
    fn answer(self: &Rc<Self>, id: u64, envelope: Envelope, receive: &ReceiveFrom) {
        let time_left = Duration::from_millis(envelope.context.time_left_ms);
        let Some(held) = self.answering.take(envelope.body.len()) else {
            return self.outbox.put(Parcel::Declined { id });
        };
        if envelope.body.len() > BODY_LIMIT_BYTES || time_left.is_zero() {
            drop(held);
            return self.outbox.put(Parcel::Declined { id });
        }
        let answer = receive(self.peer.clone(), envelope);
        let connection = self.clone();
        self.answering_now.set(self.answering_now.get() + 1);
        // Not part of `run`: what was begun is finished though the connection should end.
        tokio::task::spawn_local(async move {
            let answer = timeout(time_left, answer).await.unwrap_or(Err(LinkFault::Unanswered));
            connection.answering_now.set(connection.answering_now.get() - 1);
            connection.give(id, answer, held);
        });
    }

    fn give(&self, id: u64, answer: Result<Vec<u8>, LinkFault>, mut held: Held) {
        if self.questions.has_ended() {
            return;
        }
        let size = answer.as_ref().map_or(0, Vec::len);
        let fits = size <= BODY_LIMIT_BYTES && held.resize(size);
        if !fits {
            log::warn!(
                "an answer of {size} bytes for `{}` is not sent: there is no room for it",
                self.peer.identity
            );
        }
        let answer = match answer {
            // What was carried out cannot be said not to have been.
            Ok(_) if !fits => Err(LinkFault::Unanswered),
            Err(LinkFault::NotDelivered(why)) => {
                Err(LinkFault::NotDelivered(why.chars().take(FAULT_LETTERS_MAX).collect()))
            }
            answer => answer,
        };
        self.outbox.put(Parcel::Answer { id, answer, held });
    }

    fn heard_pong(&self, number: u64) {
        let (awaited, at) = self.pinged.get();
        if number == awaited {
            self.meter.round_trip.set(Some(at.elapsed()));
        }
    }

    /// Pings, and notices what only time shows.
    async fn watch(&self) -> String {
        let Limits { ping_every, silence_max, stall_max, .. } = self.limits;
        let shortest = ping_every.min(silence_max).min(stall_max);
        let mut tick = interval((shortest / 4).max(Duration::from_millis(1)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next_ping = Instant::now();
        let mut number = 0;
        loop {
            tick.tick().await;
            if self.meter.last_in.get().elapsed() > silence_max {
                return format!("nothing was heard of it for {silence_max:?}");
            }
            if let Some(since) = self.writing.get()
                && since.max(self.meter.last_out.get()).elapsed() > stall_max
            {
                return format!("it has not read for {stall_max:?}");
            }
            if (self.clock)() >= self.peer.valid_until {
                return "its certificate has expired".into();
            }
            if Instant::now() >= next_ping {
                next_ping = Instant::now() + ping_every;
                number += 1;
                self.outbox.put(Parcel::Ping(number));
            }
        }
    }
}

/// The halves of a connection. Not `StreamExt::split`, whose sink takes one frame more than it has
/// room for: that one would count as written.
fn split<S: AsyncRead + AsyncWrite>(
    framed: Framed<S, LengthDelimitedCodec>,
) -> (FramedRead<ReadHalf<S>, LengthDelimitedCodec>, FramedWrite<WriteHalf<S>, LengthDelimitedCodec>)
{
    let parts = framed.into_parts();
    let (read, write) = tokio::io::split(parts.io);
    let mut stream = FramedRead::new(read, parts.codec.clone());
    *stream.read_buffer_mut() = parts.read_buf;
    (stream, FramedWrite::new(write, parts.codec))
}

/// What an end of the stream means.
fn told(fault: &io::Error) -> String {
    if fault.get_ref().is_some_and(|inner| inner.is::<LengthDelimitedCodecError>()) {
        return format!("it sent {}", FrameFault::TooLarge);
    }
    match fault.kind() {
        io::ErrorKind::UnexpectedEof => "the connection broke off".into(),
        _ => format!("the connection failed: {fault}"),
    }
}
