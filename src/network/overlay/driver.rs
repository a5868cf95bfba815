//! The thread's own state, and its turns.

use super::{
    OverlayFault, OverlayOptions, OverlayStatus, UnderlayStatus, Wish,
    edges::Edges,
    exits::Exits,
    inbox::Inbox,
    outbox::Outbox,
    poll::{Bell, Clock, Poll, Token},
    socket,
};
use crate::{
    domain::{
        id::{InterfaceId, SecurityGroupId},
        overlay::{OverlayCharter, SwitchId},
        port_filter::{GroupMembers, Payload, PortFilter},
    },
    network::{
        cable::{CableEvent, Cables, Incarnation, Moment, Opened},
        fragments::Assembly,
        frame::{Frame, Offload},
        port::{Attachment, Batch},
        record::{Kind, RecordHeader},
        segments::{Join, is_transports},
        switch::{Limits, PortId, PortSpec, Switch, TraceStep},
    },
};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::AsFd,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

/// How often machines are told the time.
const TICK: Duration = Duration::from_millis(100);
/// How soon a port that is slow is asked again.
const SLOW: Duration = Duration::from_millis(1);
/// How often a port that went is looked for.
const REOPEN_TICKS: u64 = 10;

pub(super) struct Driver {
    began: Instant,
    granted: mpsc::Receiver<Wish>,
    bell: Arc<Bell>,
    clock: Clock,
    poll: Poll,
    socket: Arc<UdpSocket>,
    listen: SocketAddr,
    /// Of the switch.
    incarnation: u64,
    limits: Limits,
    switch: Switch,
    cables: Cables,
    edges: Edges,
    outbox: Outbox,
    inbound: Inbound,
    batch: Batch,
    /// Told again to a switch that has to begin anew.
    members: BTreeMap<SecurityGroupId, GroupMembers>,
    own: Option<SwitchId>,
    own_name: String,
    charter_revision: u64,
    unsendable: u64,
    ticks: u64,
    is_ending: bool,
}

/// What comes in by the socket, on its way to being frames.
struct Inbound {
    inbox: Inbox,
    joins: Joins,
    assembly: Assembly,
    datagrams: u64,
    bytes: u64,
    malformed: u64,
}

/// Segments being joined, by the neighbour that sends their pieces. Few neighbours send at once.
#[derive(Default)]
struct Joins(Vec<(SwitchId, Join)>);

impl Driver {
    pub fn new(
        options: OverlayOptions,
        incarnation: Incarnation,
        granted: mpsc::Receiver<Wish>,
        bell: Arc<Bell>,
    ) -> Result<Driver, OverlayFault> {
        let OverlayOptions { listen: address, mut chance, limits, cables, .. } = options;
        let listen = |source| OverlayFault::Listen { address, source };
        let socket = Arc::new(socket::open(address).map_err(listen)?);
        let bound = socket.local_addr().map_err(listen)?;
        let poll = Poll::new().map_err(OverlayFault::Kernel)?;
        poll.add(bell.as_fd(), Token::Bell).map_err(OverlayFault::Kernel)?;
        let clock = Clock::new(TICK).map_err(OverlayFault::Kernel)?;
        poll.add(clock.as_fd(), Token::Clock).map_err(OverlayFault::Kernel)?;
        poll.add(socket.as_fd(), Token::Underlay).map_err(OverlayFault::Kernel)?;
        let number = incarnation.distinct(&mut *chance);
        let inbound = Inbound {
            inbox: Inbox::new(),
            joins: Joins::default(),
            assembly: Assembly::default(),
            datagrams: 0,
            bytes: 0,
            malformed: 0,
        };
        Ok(Driver {
            began: Instant::now(),
            granted,
            bell,
            clock,
            poll,
            outbox: Outbox::new(socket.clone(), address.is_ipv6()),
            socket,
            listen: bound,
            incarnation: number,
            switch: Switch::new(SwitchId::default(), number, limits.clone()),
            limits,
            cables: Cables::new(incarnation, chance, cables),
            edges: Edges::default(),
            inbound,
            batch: Batch::default(),
            members: BTreeMap::new(),
            own: None,
            own_name: String::new(),
            charter_revision: 0,
            unsendable: 0,
            ticks: 0,
            is_ending: false,
        })
    }

    pub fn run(&mut self) {
        let mut is_slow = false;
        let mut tokens = Vec::new();
        while !self.is_ending {
            tokens.clear();
            let ready = self.poll.wait(is_slow.then_some(SLOW));
            tokens.extend(ready.expect("a wait on an open descriptor ends, if only by a signal"));
            self.turns(&tokens);
            is_slow = self.edges.flush();
        }
        self.end();
    }

    /// One for everybody who has something to say.
    fn turns(&mut self, tokens: &[Token]) {
        let mut is_more_coming = false;
        for token in tokens {
            match token {
                Token::Bell => self.grant(),
                Token::Clock => self.tick(),
                Token::Underlay => is_more_coming = self.turn_of_underlay(),
                Token::Edge(index) => self.turn_of_port(PortId(*index)),
            }
            self.outbox.flush();
        }
        if !is_more_coming {
            self.deliver_joined();
            self.outbox.flush();
        }
        self.tell_too_long();
    }

    fn turn_of_port(&mut self, port: PortId) {
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        self.edges.read(&self.poll, port, &mut batch);
        let (switch, mut exits) = self.sides();
        for frame in batch.frames() {
            switch.from_port(exits.now, port, frame, &mut exits);
        }
        self.batch = batch;
    }

    /// True if there may be more.
    fn turn_of_underlay(&mut self) -> bool {
        let count = match self.inbound.inbox.receive(&self.socket) {
            Ok(count) => count,
            // Nothing there after all; or news of a datagram that a host refused, which the cables
            // find out for themselves.
            Err(_) => return false,
        };
        let now = self.now();
        for number in 0..count {
            let Inbound { inbox, joins, assembly, datagrams, bytes, malformed } = &mut self.inbound;
            let Some((from, parts)) = inbox.message(number) else { continue };
            for datagram in parts {
                *datagrams += 1;
                *bytes += datagram.len() as u64;
                let opened = self.cables.open(now, from, datagram);
                while let Some(event) = self.cables.next_event() {
                    let mut exits = Exits {
                        now,
                        cables: &mut self.cables,
                        outbox: &mut self.outbox,
                        edges: &mut self.edges,
                        unsendable: &mut self.unsendable,
                    };
                    tell(&mut self.switch, event, &mut exits);
                }
                let Opened::Record { neighbour, header, payload } = opened else { continue };
                let mut exits = Exits {
                    now,
                    cables: &mut self.cables,
                    outbox: &mut self.outbox,
                    edges: &mut self.edges,
                    unsendable: &mut self.unsendable,
                };
                let mut deliver = |header: RecordHeader, frame: Frame<'_>| {
                    self.switch.from_cable(now, neighbour, header, frame, &mut exits);
                };
                let join = joins.of(neighbour);
                if header.kind == Kind::Piece && join.extend(&header, payload) {
                    if join.is_whole()
                        && let Some((header, frame)) = join.take()
                    {
                        deliver(header, frame);
                    }
                    continue;
                }
                // What came before goes before.
                if let Some((header, frame)) = join.take() {
                    deliver(header, frame);
                }
                match header.kind {
                    Kind::Piece => {
                        *malformed += u64::from(join.begin(&header, payload).is_err());
                    }
                    Kind::Fragment => {
                        if let Some((header, whole)) =
                            assembly.add(now, neighbour, &header, payload)
                        {
                            match frame_of(&header, &whole) {
                                Some(frame) => deliver(header, frame),
                                None => *malformed += 1,
                            }
                        }
                    }
                    Kind::Frame | Kind::Routing => match frame_of(&header, payload) {
                        Some(frame) => deliver(header, frame),
                        None => *malformed += 1,
                    },
                    Kind::Cable => {}
                }
            }
        }
        self.send_cables_own();
        Inbox::is_full(count)
    }

    /// What no further piece has come for.
    fn deliver_joined(&mut self) {
        let now = self.now();
        let Inbound { joins, .. } = &mut self.inbound;
        for (neighbour, join) in &mut joins.0 {
            if let Some((header, frame)) = join.take() {
                let mut exits = Exits {
                    now,
                    cables: &mut self.cables,
                    outbox: &mut self.outbox,
                    edges: &mut self.edges,
                    unsendable: &mut self.unsendable,
                };
                self.switch.from_cable(now, *neighbour, header, frame, &mut exits);
            }
        }
    }

    fn tick(&mut self) {
        self.clock.silence();
        let now = self.now();
        self.ticks += 1;
        self.cables.tick(now);
        self.follow_cables();
        let (switch, mut exits) = self.sides();
        switch.tick(now, &mut exits);
        self.inbound.assembly.tick(now);
        if self.ticks.is_multiple_of(REOPEN_TICKS) {
            self.edges.reopen(&self.poll);
        }
    }

    fn tell_too_long(&mut self) {
        let refused = self.outbox.take_too_long();
        if refused.is_empty() {
            return;
        }
        for (to, length) in refused {
            self.cables.too_large(to, length);
        }
        self.follow_cables();
        self.outbox.flush();
    }

    /// Does what the cables ask for after something happened to them.
    fn follow_cables(&mut self) {
        while let Some(event) = self.cables.next_event() {
            let (switch, mut exits) = self.sides();
            tell(switch, event, &mut exits);
        }
        self.send_cables_own();
    }

    fn send_cables_own(&mut self) {
        while let Some((to, datagram)) = self.cables.next_datagram() {
            let added: Result<(), std::convert::Infallible> = self.outbox.add(|into| {
                into.extend_from_slice(&datagram);
                Ok(to)
            });
            let Ok(()) = added;
        }
    }

    fn grant(&mut self) {
        self.bell.silence();
        while let Ok(wish) = self.granted.try_recv() {
            match wish {
                Wish::Do(wish) => wish(self),
                Wish::End => self.is_ending = true,
            }
        }
    }

    fn end(&mut self) {
        self.cables.close();
        self.send_cables_own();
        self.outbox.flush();
    }

    fn now(&self) -> Moment {
        self.began.elapsed()
    }

    fn sides(&mut self) -> (&mut Switch, Exits<'_>) {
        let exits = Exits {
            now: self.began.elapsed(),
            cables: &mut self.cables,
            outbox: &mut self.outbox,
            edges: &mut self.edges,
            unsendable: &mut self.unsendable,
        };
        (&mut self.switch, exits)
    }
}

/// What the handle asks for.
impl Driver {
    pub fn attach(&mut self, spec: PortSpec, to: Attachment) -> Result<PortId, OverlayFault> {
        let interface = spec.interface.clone();
        let before = self.edges.find(&interface);
        let opened = self.edges.open(&self.poll, spec.clone(), to.clone());
        let now_open = opened.as_ref().ok().copied();
        if let Some(gone) = before.filter(|id| Some(*id) != now_open) {
            let (switch, mut exits) = self.sides();
            switch.detach(exits.now, gone, &mut exits);
        }
        let port =
            opened.map_err(|source| OverlayFault::Port { interface, attachment: to, source })?;
        let (switch, mut exits) = self.sides();
        switch.attach(exits.now, port, spec, &mut exits);
        Ok(port)
    }

    pub fn detach(&mut self, interface: &InterfaceId) {
        let Some(port) = self.edges.find(interface) else { return };
        let (switch, mut exits) = self.sides();
        switch.detach(exits.now, port, &mut exits);
        self.edges.close(&self.poll, port);
    }

    pub fn has(&self, interface: &InterfaceId) -> bool {
        self.edges.find(interface).is_some()
    }

    pub fn set_filter(&mut self, interface: &InterfaceId, filter: PortFilter) -> bool {
        let Some(port) = self.edges.find(interface) else { return false };
        if let Some(spec) = self.edges.spec_mut(port) {
            spec.filter = filter.clone();
        }
        self.switch.set_filter(port, filter);
        true
    }

    pub fn set_members(&mut self, members: GroupMembers) {
        self.switch.set_members(&members);
        self.members.insert(members.group.clone(), members);
    }

    pub fn set_charter(&mut self, charter: &OverlayCharter) {
        let now = self.now();
        if self.own != Some(charter.own) {
            self.begin_anew(charter.own);
        }
        self.own_name.clone_from(&charter.own_name);
        self.charter_revision = self.charter_revision.max(charter.revision);
        self.cables.set_charter(now, charter);
        self.follow_cables();
    }

    /// A switch of another number is another switch, with the same ports.
    fn begin_anew(&mut self, own: SwitchId) {
        self.own = Some(own);
        self.switch = Switch::new(own, self.incarnation, self.limits.clone());
        for members in self.members.values() {
            self.switch.set_members(members);
        }
        let specs: Vec<_> = self.edges.all().map(|(id, edge)| (id, edge.spec.clone())).collect();
        let (switch, mut exits) = self.sides();
        for (port, spec) in specs {
            switch.attach(exits.now, port, spec, &mut exits);
        }
    }

    pub fn status(&self) -> OverlayStatus {
        let Inbound { assembly, datagrams, bytes, malformed, .. } = &self.inbound;
        OverlayStatus {
            own: self.own,
            own_name: self.own_name.clone(),
            charter_revision: self.charter_revision,
            switch: self.switch.status(),
            cables: self.cables.status(),
            refused: self.cables.refused().clone(),
            edges: self.edges.all().map(|(id, edge)| edge.status(id)).collect(),
            underlay: UnderlayStatus {
                received_datagrams: *datagrams,
                received_bytes: *bytes,
                unsendable: self.unsendable,
                incomplete: assembly.dropped,
                malformed: *malformed,
                ..UnderlayStatus::of(self.listen, self.outbox.sent)
            },
        }
    }

    pub fn trace(&self, from: &InterfaceId, to: Ipv4Addr, payload: Payload) -> Vec<TraceStep> {
        self.switch.trace(from, to, payload)
    }
}

fn tell(switch: &mut Switch, event: CableEvent, exits: &mut Exits<'_>) {
    let now = exits.now;
    match event {
        CableEvent::Up { neighbour, cost } | CableEvent::Cost { neighbour, cost } => {
            switch.cable_up(now, neighbour, cost, exits);
        }
        CableEvent::Down { neighbour, why } => {
            log::info!("the cable to switch `{neighbour}` is down: {why}");
            switch.cable_down(now, neighbour, exits);
        }
    }
}

/// What a record carries. None if its checksum would be made where no checksum belongs.
fn frame_of<'a>(header: &RecordHeader, bytes: &'a [u8]) -> Option<Frame<'a>> {
    if header.checksum.is_some_and(|place| !is_transports(bytes, place)) {
        return None;
    }
    Some(Frame { bytes, offload: Offload { checksum: header.checksum, segmentation: None } })
}

impl Joins {
    fn of(&mut self, neighbour: SwitchId) -> &mut Join {
        let place = self.0.iter().position(|(known, _)| *known == neighbour);
        let place = place.unwrap_or_else(|| {
            self.0.push((neighbour, Join::default()));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }
}
