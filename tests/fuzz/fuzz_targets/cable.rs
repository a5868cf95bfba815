//! Two switches with a cable, and whoever owns the network between them: datagrams are lost, late,
//! repeated, altered, cut, made up, or come from elsewhere; and either end may seal anything, be
//! killed and begin anew, or learn of other keys.
//!
//! What opens is what was sealed, once. What was not sent so is refused, and nothing comes of it.
//! No nonce is used twice. Left alone, the two have their cable again.
//!
//! Input: how 1 (1: they begin with the cable up, 2: they are left alone in the end), then
//! (length 2 · step) …, where a step is
//!   0                            what has been under way longest arrives
//!   1                            and is lost
//!   2 which 2 · from 1           something sent at any time arrives (again), from an address
//!   3 which 2 · at 2 · mask 1    altered
//!   4 which 2 · length 2         cut, or lengthened
//!   5 to 1 · from 1 · datagram   made up
//!   6 milliseconds 2             time passes, and a tick
//!   7 who 1 · header 24 · payload    is sealed
//!   8 who 1                      is killed, and begins anew
//!   9 who 1 · epochs 1           has the keys of these of the epochs 1 to 3
#![no_main]

use mallee_fuzz::{
    domain::{
        chance::Chance,
        overlay::{CableKey, EpochKeys, NetworkId, OverlayCharter, OverlayPeer, SwitchId},
    },
    input::Input,
    network::{
        cable::{CableOptions, Cables, Incarnation, Opened},
        record::{HOPS, Kind, RecordHeader},
    },
};
use std::{
    collections::{BTreeSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

const TICK: Duration = Duration::from_millis(100);

/// Ends call each other often enough for this.
const HEALED_WITHIN: Duration = Duration::from_secs(15);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    run(Input(bytes));
});

fn run(mut input: Input<'_>) -> Option<()> {
    let how = input.byte()?;
    let mut world = World::new();
    if how & 1 != 0 {
        world.leave_alone();
    }
    while let Some(step) = input.piece() {
        world.step(Input(step));
    }
    if how & 2 != 0 {
        for who in 0..2 {
            world.set_epochs(who, 1);
        }
        world.leave_alone();
    }
    Some(())
}

struct World {
    now: Duration,
    ends: [End; 2],
    /// Everything that was ever sent, and what of it is under way.
    sent: Vec<Datagram>,
    under_way: VecDeque<usize>,
    nonces: BTreeSet<Vec<u8>>,
}

struct End {
    cables: Cables,
    lives: u64,
    epochs: u8,
    revision: u64,
}

struct Datagram {
    from: usize,
    bytes: Vec<u8>,
    sealed: Option<(RecordHeader, Vec<u8>)>,
    was_opened: bool,
}

impl World {
    fn new() -> World {
        let mut world = World {
            now: Duration::from_secs(1),
            ends: [0, 1].map(|_| End { cables: cables(0), lives: 0, epochs: 1, revision: 0 }),
            sent: Vec::new(),
            under_way: VecDeque::new(),
            nonces: BTreeSet::new(),
        };
        world.begin(0);
        world.begin(1);
        world
    }

    fn step(&mut self, mut step: Input<'_>) -> Option<()> {
        match step.byte()? % 10 {
            0 => {
                let which = self.under_way.pop_front()?;
                self.arrive(which, address(self.sent[which].from));
            }
            1 => {
                self.under_way.pop_front();
            }
            2 => {
                let which = self.which(step.half()?)?;
                self.arrive(which, address(step.byte()?.into()));
            }
            3 => {
                let which = self.which(step.half()?)?;
                let (at, mask) = (step.half()?, step.byte()?);
                let mut bytes = self.sent[which].bytes.clone();
                let at = usize::from(at) % bytes.len();
                bytes[at] ^= mask;
                self.refuse(1 - self.sent[which].from, address(self.sent[which].from), bytes);
            }
            4 => {
                let which = self.which(step.half()?)?;
                let length = usize::from(step.half()?);
                let mut bytes = self.sent[which].bytes.clone();
                bytes.resize(length, 0);
                self.refuse(1 - self.sent[which].from, address(self.sent[which].from), bytes);
            }
            5 => {
                let who = usize::from(step.byte()? & 1);
                let from = address(step.byte()?.into());
                self.refuse(who, from, step.0.to_vec());
            }
            6 => {
                self.now += Duration::from_millis(step.half()?.into());
                self.tick();
            }
            7 => self.seal(usize::from(step.byte()? & 1), step.0)?,
            8 => self.begin(usize::from(step.byte()? & 1)),
            _ => self.set_epochs(usize::from(step.byte()? & 1), step.byte()?),
        }
        Some(())
    }

    fn which(&self, number: u16) -> Option<usize> {
        usize::from(number).checked_rem(self.sent.len())
    }

    fn seal(&mut self, who: usize, record: &[u8]) -> Option<()> {
        let (header, payload) = RecordHeader::read(record)?;
        let mut bytes = Vec::new();
        let (a, b) = payload.split_at(payload.len() / 2);
        let cables = &mut self.ends[who].cables;
        let room = cables.room(switch(1 - who));
        match cables.seal(switch(1 - who), &header, &[a, b], &mut bytes) {
            Ok(to) => {
                assert!(payload.len() <= room);
                self.send(who, to, bytes, Some((header, payload.to_vec())));
            }
            Err(_) => assert!(bytes.is_empty()),
        }
        Some(())
    }

    fn send(
        &mut self,
        from: usize,
        to: SocketAddr,
        bytes: Vec<u8>,
        sealed: Option<(RecordHeader, Vec<u8>)>,
    ) {
        // Whose key: a hello's sender's salt, a record's session of the receiver's life.
        let is_hello = bytes[1] == 1;
        let key = if is_hello { bytes[28..44].to_vec() } else { bytes[4..8].to_vec() };
        let life = if is_hello { 0 } else { self.ends[1 - from].lives };
        let nonce =
            [&[from as u8, u8::from(is_hello), life as u8], &key[..], &bytes[8..16]].concat();
        assert!(self.nonces.insert(nonce), "a nonce is used twice");
        if to == address(1 - from) {
            self.under_way.push_back(self.sent.len());
        }
        self.sent.push(Datagram { from, bytes, sealed, was_opened: false });
    }

    /// What was sent arrives as it was sent.
    fn arrive(&mut self, which: usize, from: SocketAddr) {
        let datagram = &mut self.sent[which];
        let who = 1 - datagram.from;
        let mut bytes = datagram.bytes.clone();
        match self.ends[who].cables.open(self.now, from, &mut bytes) {
            Opened::Record { neighbour, header, payload } => {
                assert_eq!(neighbour, switch(1 - who));
                assert!(!datagram.was_opened, "opened twice");
                let (sealed, content) = datagram.sealed.as_ref().expect("it was for the switch");
                assert_eq!((header, &*payload), (*sealed, &content[..]));
                datagram.was_opened = true;
            }
            Opened::Handled | Opened::Refused(_) => {}
        }
        self.take(who);
    }

    /// What was not sent so arrives, unless it is after all what was.
    fn refuse(&mut self, who: usize, from: SocketAddr, mut bytes: Vec<u8>) {
        if self.sent.iter().any(|sent| sent.bytes == bytes) {
            return;
        }
        let End { cables, .. } = &mut self.ends[who];
        let refused = cables.refused().total();
        assert!(matches!(cables.open(self.now, from, &mut bytes), Opened::Refused(_)));
        assert_eq!(cables.refused().total(), refused + 1);
        assert_eq!(cables.next_event(), None);
        assert_eq!(cables.next_datagram(), None);
    }

    fn begin(&mut self, who: usize) {
        self.ends[who].lives += 1;
        self.ends[who].cables = cables(self.ends[who].lives);
        self.charter(who);
    }

    fn set_epochs(&mut self, who: usize, epochs: u8) {
        self.ends[who].epochs = epochs;
        self.charter(who);
    }

    fn charter(&mut self, who: usize) {
        let end = &mut self.ends[who];
        end.revision += 1;
        let epochs = (1..=3).filter(|epoch| end.epochs & 1 << (epoch - 1) != 0);
        let peer = OverlayPeer {
            switch: switch(1 - who),
            name: "the other".into(),
            endpoints: vec![address(1 - who)],
            keys: epochs.map(|epoch| keys(who, epoch)).collect(),
        };
        let charter = OverlayCharter {
            revision: end.revision,
            own: switch(who),
            own_name: "this".into(),
            peers: vec![peer],
        };
        end.cables.set_charter(self.now, &charter);
        self.take(who);
    }

    fn tick(&mut self) {
        for who in 0..2 {
            self.ends[who].cables.tick(self.now);
            self.take(who);
        }
    }

    fn take(&mut self, who: usize) {
        while self.ends[who].cables.next_event().is_some() {}
        while let Some((to, bytes)) = self.ends[who].cables.next_datagram() {
            assert!(bytes.len() <= 8972);
            self.send(who, to, bytes, None);
        }
    }

    /// Everything arrives at once, and before long so does a frame, both ways.
    fn leave_alone(&mut self) {
        let until = self.now + HEALED_WITHIN;
        loop {
            self.now += TICK;
            self.tick();
            while let Some(which) = self.under_way.pop_front() {
                self.arrive(which, address(self.sent[which].from));
            }
            if self.passes(0) && self.passes(1) {
                return;
            }
            assert!(self.now < until, "the cable stays down");
        }
    }

    /// Whether a frame arrives that an end seals now.
    fn passes(&mut self, from: usize) -> bool {
        let frame = RecordHeader {
            kind: Kind::Frame,
            network: NetworkId::new(1),
            hops: HOPS,
            is_last: false,
            is_ipv6: false,
            index: 0,
            destination: switch(1 - from),
            source: switch(from),
            sequence: 0,
            checksum: None,
        };
        self.seal(from, &frame.write());
        let Some(which) = self.under_way.pop_front() else { return false };
        self.arrive(which, address(from));
        self.sent[which].was_opened
    }
}

fn switch(who: usize) -> SwitchId {
    SwitchId(who as u32 + 1)
}

/// Where an end is; others are somebody else's.
fn address(who: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, (who as u8).wrapping_add(1)], 4500))
}

fn cables(life: u64) -> Cables {
    Cables::new(Incarnation::imagined(life), Box::new(Counted(life)), CableOptions::default())
}

fn keys(who: usize, epoch: u32) -> EpochKeys {
    let key = |from: usize| CableKey([(from as u8) << 4 | epoch as u8; 32]);
    EpochKeys { epoch, sending: key(who), receiving: key(1 - who) }
}

/// Chance that is the same each time, so that an input is.
#[derive(Debug)]
struct Counted(u64);

impl Chance for Counted {
    fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            part.copy_from_slice(&self.0.to_be_bytes()[..part.len()]);
        }
    }
}
