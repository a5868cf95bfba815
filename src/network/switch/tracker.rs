//! What a port has to do with whom: flows that its security groups have let begin.
//!
//! The packet that begins a flow is judged by the filter, and what follows in either direction
//! belongs to it until it ends or is silent for too long. ICMP errors about a flow belong to it.
//!
//! Filters are not sticky: when they change, flows that would not be let begin any more are cut. A
//! cut flow is remembered until it would have been forgotten anyway, so that what its ends still
//! send does not pass for a new flow in the other direction; only a new beginning (a TCP SYN) is
//! judged anew.
//!
//! TCP is followed as far as telling its beginning and its end, without sequence numbers. Time
//! limits are Linux' (`nf_conntrack`). UDP has no beginning, so a datagram of a forgotten flow
//! begins another.

use super::{
    Moment,
    filter::{Filter, Groups, packet},
    hash::FastMap,
    status::Refusal,
};
use crate::{
    domain::port_filter::{Direction, Payload},
    network::ethernet::{self, Ipv4, Part, Tcp, Transport},
};
use std::{collections::VecDeque, net::Ipv4Addr, time::Duration};

#[derive(Debug)]
pub struct Tracker {
    flows: FastMap<Key, Flow>,
    /// Flows that nobody has answered yet, oldest first, and some that have been since: what has
    /// to go when the table is full.
    young: VecDeque<Key>,
    fragmented: FastMap<Fragmented, Moment>,
    flow_limit: usize,
    fragmented_limit: usize,
}

/// A flow as its port sees it: own and far address and port, and the protocol. Of ICMP, the
/// identifier, and in place of the far port the question's kind and which way it was asked: both
/// ends may ask each other under one identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key(u128);

impl Key {
    fn new(protocol: u8, own: (Ipv4Addr, u16), far: (Ipv4Addr, u16)) -> Key {
        Key(u128::from(u32::from(own.0))
            | u128::from(u32::from(far.0)) << 32
            | u128::from(own.1) << 64
            | u128::from(far.1) << 80
            | u128::from(protocol) << 96)
    }
    fn far(self) -> Ipv4Addr {
        Ipv4Addr::from((self.0 >> 32) as u32)
    }
    fn own_port(self) -> u16 {
        (self.0 >> 64) as u16
    }
    fn far_port(self) -> u16 {
        (self.0 >> 80) as u16
    }
    fn protocol(self) -> u8 {
        (self.0 >> 96) as u8
    }

    /// What the filter was asked about when a flow began in this direction.
    fn payload(self, began: Direction) -> Payload {
        let port = match began {
            Direction::Ingress => self.own_port(),
            Direction::Egress => self.far_port(),
        };
        match self.protocol() {
            6 => Payload::Tcp { port },
            17 => Payload::Udp { port },
            1 => Payload::Icmp { kind: self.far_port() as u8, code: 0 },
            protocol => Payload::Other { protocol },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Fragmented {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    identification: u16,
    direction: u8,
}

#[derive(Debug)]
struct Flow {
    state: State,
    /// Which way its first packet went.
    began: Direction,
    is_cut: bool,
    /// In milliseconds.
    ends_at: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Of every protocol but TCP.
    Unanswered,
    Answered,
    SynSent,
    SynReceived,
    Established,
    /// One side has said its last; which.
    HalfClosed(Direction),
    /// Both have.
    Finished,
    Reset,
}

impl State {
    fn lasts(self, protocol: u8) -> Duration {
        const MINUTE: u64 = 60;
        let seconds = match self {
            State::Unanswered | State::Answered if protocol == 1 => 30,
            State::Unanswered if protocol == 17 => 30,
            State::Answered if protocol == 17 => 2 * MINUTE,
            State::Unanswered | State::Answered => 10 * MINUTE,
            State::SynSent => 2 * MINUTE,
            State::SynReceived => MINUTE,
            State::Established => 5 * 24 * 60 * MINUTE,
            State::HalfClosed(_) => 2 * MINUTE,
            State::Finished => 2 * MINUTE,
            State::Reset => 10,
        };
        Duration::from_secs(seconds)
    }
    fn is_young(self) -> bool {
        matches!(self, State::Unanswered | State::SynSent | State::SynReceived)
    }
    /// A new flow of the same ends may begin.
    fn is_over(self) -> bool {
        matches!(self, State::Finished | State::Reset)
    }
}

/// What a packet is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Law<'a> {
    pub filter: &'a Filter,
    pub groups: &'a Groups,
    /// A TCP flow may be met in its midst.
    pub picks_up: bool,
}

/// How a packet concerns a flow.
enum Sort {
    /// It may begin it.
    Flow(Key, Option<Tcp>),
    /// An answer or an error: judged by itself if there is no such flow.
    Within(Key, Payload),
    /// Judged by itself.
    Alone(Payload),
}

impl Tracker {
    pub fn new(flow_limit: usize, fragmented_limit: usize) -> Tracker {
        Tracker {
            flows: FastMap::default(),
            young: VecDeque::new(),
            fragmented: FastMap::default(),
            flow_limit,
            fragmented_limit,
        }
    }

    pub fn len(&self) -> usize {
        self.flows.len()
    }

    pub fn judge(
        &mut self,
        now: Moment,
        direction: Direction,
        ip: &Ipv4<'_>,
        law: Law<'_>,
    ) -> Result<(), Refusal> {
        match ip.part {
            Part::Whole => self.judge_whole(now, direction, ip, law),
            Part::First => {
                self.judge_whole(now, direction, ip, law)?;
                self.expect_fragments(now, fragmented(direction, ip));
                Ok(())
            }
            Part::Later => match self.fragmented.get(&fragmented(direction, ip)) {
                Some(until) if *until > now => Ok(()),
                _ => Err(Refusal::NoFlow),
            },
        }
    }

    fn judge_whole(
        &mut self,
        now: Moment,
        direction: Direction,
        ip: &Ipv4<'_>,
        law: Law<'_>,
    ) -> Result<(), Refusal> {
        let far = match direction {
            Direction::Ingress => ip.source,
            Direction::Egress => ip.destination,
        };
        let (key, tcp) = match sort(direction, ip) {
            Sort::Flow(key, tcp) => (key, tcp),
            Sort::Within(key, _) if self.is_live(now, key) => {
                let flow = self.flows.get_mut(&key);
                if let Some(flow) = flow.filter(|_| key.protocol() == 1 && is_answer(ip)) {
                    flow.state = State::Answered;
                }
                return Ok(());
            }
            Sort::Within(_, payload) | Sort::Alone(payload) => {
                return admitted(law, direction, far, payload);
            }
        };
        let now_ms = millis(now);
        if let Some(flow) = self.flows.get_mut(&key)
            && flow.ends_at > now_ms
        {
            let begins_again = match tcp {
                Some(tcp) => tcp.syn && !tcp.ack && (flow.is_cut || flow.state.is_over()),
                None => false,
            };
            if !begins_again {
                return follow(flow, now_ms, direction, key.protocol(), tcp);
            }
        }
        self.begin(now, direction, key, tcp, law)
    }

    fn begin(
        &mut self,
        now: Moment,
        direction: Direction,
        key: Key,
        tcp: Option<Tcp>,
        law: Law<'_>,
    ) -> Result<(), Refusal> {
        let (state, began) = match tcp {
            None => (State::Unanswered, direction),
            Some(tcp) if tcp.syn && !tcp.ack && !tcp.rst && !tcp.fin => (State::SynSent, direction),
            Some(tcp) if law.picks_up && tcp.ack && !tcp.syn && !tcp.rst => {
                (State::Established, likely_beginning(direction, key, law))
            }
            Some(_) => return Err(Refusal::NoFlow),
        };
        admitted(law, began, key.far(), key.payload(began))?;
        if self.flows.len() >= self.flow_limit && !self.flows.contains_key(&key) {
            self.make_room()?;
        }
        let ends_at = millis(now + state.lasts(key.protocol()));
        self.flows.insert(key, Flow { state, began, is_cut: false, ends_at });
        if state.is_young() {
            self.young.push_back(key);
        }
        Ok(())
    }

    /// A flow that nobody has answered goes first; answered ones are not sacrificed for new ones.
    fn make_room(&mut self) -> Result<(), Refusal> {
        while let Some(key) = self.young.pop_front() {
            if self.flows.get(&key).is_some_and(|flow| flow.state.is_young()) {
                self.flows.remove(&key);
                return Ok(());
            }
        }
        Err(Refusal::TooManyFlows)
    }

    fn is_live(&self, now: Moment, key: Key) -> bool {
        let flow = self.flows.get(&key);
        flow.is_some_and(|flow| !flow.is_cut && flow.ends_at > millis(now))
    }

    fn expect_fragments(&mut self, now: Moment, of: Fragmented) {
        /// As Linux waits for the rest of a datagram.
        const PATIENCE: Duration = Duration::from_secs(30);
        if self.fragmented.len() >= self.fragmented_limit {
            self.fragmented.retain(|_, until| *until > now);
        }
        if self.fragmented.len() < self.fragmented_limit {
            self.fragmented.insert(of, now + PATIENCE);
        }
    }

    /// Cuts what would not be let begin any more, and mends what would be again.
    pub fn judge_anew(&mut self, filter: &Filter, groups: &Groups) {
        for (key, flow) in &mut self.flows {
            let beginning = packet(flow.began, key.far(), key.payload(flow.began));
            flow.is_cut = !filter.admits(beginning, groups);
        }
        self.fragmented.clear();
    }

    /// Forgets what is over.
    pub fn sweep(&mut self, now: Moment) {
        let now_ms = millis(now);
        self.flows.retain(|_, flow| flow.ends_at > now_ms);
        let flows = &self.flows;
        self.young.retain(|key| flows.get(key).is_some_and(|flow| flow.state.is_young()));
        self.fragmented.retain(|_, until| *until > now);
    }
}

fn admitted(
    law: Law<'_>,
    direction: Direction,
    far: Ipv4Addr,
    what: Payload,
) -> Result<(), Refusal> {
    match (law.filter.admits(packet(direction, far, what), law.groups), direction) {
        (true, _) => Ok(()),
        (false, Direction::Ingress) => Err(Refusal::Ingress),
        (false, Direction::Egress) => Err(Refusal::Egress),
    }
}

/// Which way a flow began that is met in its midst: towards the lower port, if that is admitted. A
/// server's flows must not outlive the permit they came by because the server speaks first.
fn likely_beginning(direction: Direction, key: Key, law: Law<'_>) -> Direction {
    let would_begin = |way| admitted(law, way, key.far(), key.payload(way)).is_ok();
    let guess = match key.own_port() < key.far_port() {
        true => Direction::Ingress,
        false => Direction::Egress,
    };
    if would_begin(guess) { guess } else { direction }
}

/// A packet of a flow that is known.
fn follow(
    flow: &mut Flow,
    now_ms: u64,
    direction: Direction,
    protocol: u8,
    tcp: Option<Tcp>,
) -> Result<(), Refusal> {
    if flow.is_cut {
        return Err(match flow.began {
            Direction::Ingress => Refusal::Ingress,
            Direction::Egress => Refusal::Egress,
        });
    }
    let is_answer = direction != flow.began;
    let next = match tcp {
        Some(tcp) => next_of_tcp(flow.state, is_answer, direction, tcp).ok_or(Refusal::NoFlow)?,
        None if is_answer => State::Answered,
        None => flow.state,
    };
    // What comes after the end does not put the end off.
    if next != flow.state || !next.is_over() {
        flow.ends_at = now_ms + millis(next.lasts(protocol));
    }
    flow.state = next;
    Ok(())
}

/// None for what cannot belong to the flow.
fn next_of_tcp(state: State, is_answer: bool, direction: Direction, tcp: Tcp) -> Option<State> {
    if tcp.rst {
        return Some(State::Reset);
    }
    Some(match state {
        State::SynSent if tcp.syn => match (is_answer, tcp.ack) {
            // The answer; or both begin at once.
            (true, _) => State::SynReceived,
            (false, false) => State::SynSent,
            (false, true) => return None,
        },
        // Before the answer nobody has anything to say.
        State::SynSent => return None,
        State::SynReceived if tcp.fin => State::HalfClosed(direction),
        State::SynReceived if !is_answer && tcp.ack && !tcp.syn => State::Established,
        State::Established if tcp.fin => State::HalfClosed(direction),
        State::HalfClosed(first) if tcp.fin && first != direction => State::Finished,
        State::Unanswered | State::Answered => return None,
        State::SynReceived
        | State::Established
        | State::HalfClosed(_)
        | State::Finished
        | State::Reset => state,
    })
}

/// Without the 128 bits of `as_millis`.
fn millis(time: Duration) -> u64 {
    time.as_secs() * 1_000 + u64::from(time.subsec_millis())
}

fn fragmented(direction: Direction, ip: &Ipv4<'_>) -> Fragmented {
    Fragmented {
        source: ip.source,
        destination: ip.destination,
        protocol: ip.protocol,
        identification: ip.identification,
        direction: direction as u8,
    }
}

fn sort(direction: Direction, ip: &Ipv4<'_>) -> Sort {
    let key = |source_port, destination_port| match direction {
        Direction::Egress => {
            Key::new(ip.protocol, (ip.source, source_port), (ip.destination, destination_port))
        }
        Direction::Ingress => {
            Key::new(ip.protocol, (ip.destination, destination_port), (ip.source, source_port))
        }
    };
    match ip.transport {
        Transport::Tcp(tcp) => Sort::Flow(key(tcp.source, tcp.destination), Some(tcp)),
        Transport::Udp { source, destination } => Sort::Flow(key(source, destination), None),
        Transport::Opaque => Sort::Flow(key(0, 0), None),
        Transport::Icmp { kind, code, identifier, about } => {
            let payload = Payload::Icmp { kind, code };
            match (Message::of(kind), about) {
                // An odd code is not what a filter that names 0 admits, and is not answered.
                (Message::Question(_), _) if code != 0 => Sort::Alone(payload),
                (Message::Question(_), _) => {
                    Sort::Flow(icmp_key(direction, ip, kind, identifier), None)
                }
                (Message::Answer(_), _) => {
                    Sort::Within(icmp_key(direction, ip, kind, identifier), payload)
                }
                (Message::Other, Some(flow)) => Sort::Within(quoted_key(direction, flow), payload),
                (Message::Other, None) => Sort::Alone(payload),
            }
        }
    }
}

/// An ICMP message's kind; of an answer, with the kind of the question.
enum Message {
    Question(u8),
    Answer(u8),
    Other,
}

impl Message {
    fn of(kind: u8) -> Message {
        match kind {
            8 | 13 | 15 | 17 => Message::Question(kind),
            0 => Message::Answer(8),
            14 | 16 | 18 => Message::Answer(kind - 1),
            _ => Message::Other,
        }
    }
}

fn is_answer(ip: &Ipv4<'_>) -> bool {
    matches!(ip.transport, Transport::Icmp { kind, .. } if matches!(Message::of(kind), Message::Answer(_)))
}

fn icmp_key(direction: Direction, ip: &Ipv4<'_>, kind: u8, identifier: u16) -> Key {
    let (own, far) = match direction {
        Direction::Egress => (ip.source, ip.destination),
        Direction::Ingress => (ip.destination, ip.source),
    };
    let (question, asked) = match (Message::of(kind), direction) {
        (Message::Question(question), _) => (question, direction),
        (Message::Answer(question), Direction::Egress) => (question, Direction::Ingress),
        (Message::Answer(question), Direction::Ingress) => (question, Direction::Egress),
        (Message::Other, _) => (kind, direction),
    };
    Key::new(1, (own, identifier), (far, u16::from(question) | (asked as u16) << 8))
}

/// An error that comes in quotes what the port has sent, and one that goes out what it was sent.
fn quoted_key(direction: Direction, quoted: ethernet::Flow) -> Key {
    let source = (quoted.source, quoted.source_port);
    let destination = (quoted.destination, quoted.destination_port);
    let (way, own, far) = match direction {
        Direction::Ingress => (Direction::Egress, source, destination),
        Direction::Egress => (Direction::Ingress, destination, source),
    };
    if quoted.protocol != 1 {
        return Key::new(quoted.protocol, own, far);
    }
    let ip = Ipv4 {
        source: quoted.source,
        destination: quoted.destination,
        protocol: 1,
        identification: 0,
        part: Part::Whole,
        transport: Transport::Opaque,
        payload: &[],
    };
    icmp_key(way, &ip, quoted.destination_port as u8, quoted.source_port)
}
