//! The thread's own state, and its turns.

use super::{
    OverlayFault, OverlayOptions, OverlayStatus, UnderlayStatus, Wish,
    edges::Edges,
    exits::Exits,
    inbox::Inbox,
    outbox::Outbox,
    poll::{Bell, Clock, Poll, Token},
    reassembly::Reassembly,
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
        port::{Attachment, Batch},
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
    exits: Exits,
    inbox: Inbox,
    reassembly: Reassembly,
    received: Received,
    batch: Batch,
    /// Told again to a switch that has to begin anew.
    members: BTreeMap<SecurityGroupId, GroupMembers>,
    own: Option<SwitchId>,
    own_name: String,
    charter_revision: u64,
    ticks: u64,
    is_ending: bool,
}

/// By the socket.
#[derive(Default)]
struct Received {
    datagrams: u64,
    bytes: u64,
}

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
        Ok(Driver {
            began: Instant::now(),
            granted,
            bell,
            clock,
            poll,
            exits: Exits {
                cables: Cables::new(incarnation, chance, cables),
                outbox: Outbox::new(socket.clone(), address.is_ipv6()),
                edges: Edges::default(),
                unsendable: 0,
            },
            socket,
            listen: bound,
            incarnation: number,
            switch: Switch::new(SwitchId::default(), number, limits.clone()),
            limits,
            inbox: Inbox::new(),
            reassembly: Reassembly::default(),
            received: Received::default(),
            batch: Batch::default(),
            members: BTreeMap::new(),
            own: None,
            own_name: String::new(),
            charter_revision: 0,
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
            is_slow = self.exits.edges.flush();
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
            self.exits.outbox.flush();
        }
        if !is_more_coming {
            self.deliver_joined();
            self.exits.outbox.flush();
        }
        self.tell_too_long();
    }

    fn turn_of_port(&mut self, port: PortId) {
        let now = self.now();
        self.batch.clear();
        self.exits.edges.read(&self.poll, port, &mut self.batch);
        for frame in self.batch.frames() {
            self.switch.from_port(now, port, frame, &mut self.exits);
        }
    }

    /// True if there may be more.
    fn turn_of_underlay(&mut self) -> bool {
        let count = match self.inbox.receive(&self.socket) {
            Ok(count) => count,
            // Nothing there after all; or news of a datagram that a host refused, which the cables
            // find out for themselves.
            Err(_) => return false,
        };
        let now = self.now();
        let Driver { inbox, received, reassembly, switch, exits, .. } = self;
        for number in 0..count {
            let Some((from, parts)) = inbox.message(number) else { continue };
            for datagram in parts {
                received.datagrams += 1;
                received.bytes += datagram.len() as u64;
                let opened = exits.cables.open(now, from, datagram);
                while let Some(event) = exits.cables.next_event() {
                    tell(switch, now, event, exits);
                }
                let Opened::Record { neighbour, header, payload } = opened else { continue };
                reassembly.take(now, neighbour, (header, payload), |header, frame| {
                    switch.from_cable(now, neighbour, header, frame, exits);
                });
            }
        }
        exits.send_cables_own();
        Inbox::is_full(count)
    }

    /// What no further piece has come for.
    fn deliver_joined(&mut self) {
        let now = self.now();
        let Driver { reassembly, switch, exits, .. } = self;
        reassembly.give_up_joining(|neighbour, header, frame| {
            switch.from_cable(now, neighbour, header, frame, exits);
        });
    }

    fn tick(&mut self) {
        self.clock.silence();
        let now = self.now();
        self.ticks += 1;
        self.exits.cables.tick(now);
        self.follow_cables();
        self.switch.tick(now, &mut self.exits);
        self.reassembly.tick(now);
        if self.ticks.is_multiple_of(REOPEN_TICKS) {
            self.exits.edges.reopen(&self.poll);
        }
    }

    fn tell_too_long(&mut self) {
        let refused = self.exits.outbox.take_too_long();
        if refused.is_empty() {
            return;
        }
        for (to, length) in refused {
            self.exits.cables.too_large(to, length);
        }
        self.follow_cables();
        self.exits.outbox.flush();
    }

    /// Does what the cables ask for after something happened to them.
    fn follow_cables(&mut self) {
        let now = self.now();
        while let Some(event) = self.exits.cables.next_event() {
            tell(&mut self.switch, now, event, &mut self.exits);
        }
        self.exits.send_cables_own();
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
        self.exits.cables.close();
        self.exits.send_cables_own();
        self.exits.outbox.flush();
    }

    fn now(&self) -> Moment {
        self.began.elapsed()
    }
}

/// What the handle asks for.
impl Driver {
    pub fn attach(&mut self, spec: PortSpec, to: Attachment) -> Result<PortId, OverlayFault> {
        let interface = spec.interface.clone();
        let before = self.exits.edges.find(&interface);
        let opened = self.exits.edges.open(&self.poll, spec.clone(), to.clone());
        let now_open = opened.as_ref().ok().copied();
        if let Some(gone) = before.filter(|id| Some(*id) != now_open) {
            self.switch.detach(self.now(), gone, &mut self.exits);
        }
        let port =
            opened.map_err(|source| OverlayFault::Port { interface, attachment: to, source })?;
        self.switch.attach(self.now(), port, spec, &mut self.exits);
        Ok(port)
    }

    pub fn detach(&mut self, interface: &InterfaceId) {
        let Some(port) = self.exits.edges.find(interface) else { return };
        self.switch.detach(self.now(), port, &mut self.exits);
        self.exits.edges.close(&self.poll, port);
    }

    pub fn has(&self, interface: &InterfaceId) -> bool {
        self.exits.edges.find(interface).is_some()
    }

    pub fn set_filter(&mut self, interface: &InterfaceId, filter: PortFilter) -> bool {
        let Some(port) = self.exits.edges.find(interface) else { return false };
        if let Some(spec) = self.exits.edges.spec_mut(port) {
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
        self.exits.cables.set_charter(now, charter);
        self.follow_cables();
    }

    /// A switch of another number is another switch, with the same ports.
    fn begin_anew(&mut self, own: SwitchId) {
        self.own = Some(own);
        self.switch = Switch::new(own, self.incarnation, self.limits.clone());
        for members in self.members.values() {
            self.switch.set_members(members);
        }
        let specs: Vec<_> =
            self.exits.edges.all().map(|(id, edge)| (id, edge.spec.clone())).collect();
        let now = self.now();
        for (port, spec) in specs {
            self.switch.attach(now, port, spec, &mut self.exits);
        }
    }

    pub fn status(&self) -> OverlayStatus {
        let Driver { received, reassembly, exits, .. } = self;
        OverlayStatus {
            own: self.own,
            own_name: self.own_name.clone(),
            charter_revision: self.charter_revision,
            switch: self.switch.status(),
            cables: exits.cables.status(),
            refused: exits.cables.refused().clone(),
            edges: exits.edges.all().map(|(id, edge)| edge.status(id)).collect(),
            underlay: UnderlayStatus {
                received_datagrams: received.datagrams,
                received_bytes: received.bytes,
                unsendable: exits.unsendable,
                incomplete: reassembly.incomplete(),
                malformed: reassembly.malformed,
                ..UnderlayStatus::of(self.listen, exits.outbox.sent)
            },
        }
    }

    pub fn trace(&self, from: &InterfaceId, to: Ipv4Addr, payload: Payload) -> Vec<TraceStep> {
        self.switch.trace(from, to, payload)
    }
}

fn tell(switch: &mut Switch, now: Moment, event: CableEvent, exits: &mut Exits) {
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
