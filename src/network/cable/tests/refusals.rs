//! What is refused, that it changes nothing, and the bytes that are not.

use super::underlay::{Attack, World, at, keys, ms};
use crate::domain::overlay::SwitchId;
use crate::network::cable::{
    CableStatus, Refusal,
    datagram::{HELLO, HELLO_CLEAR, HelloClear, OUTER, Stage},
    note::{Note, Sign},
    sealing::{Direction, Salt, witness},
    session::{Half, Session, TheirHalf},
    window::Window,
};
use crate::network::record::{HOPS, Kind, RecordHeader};
use proptest::prelude::{any, prop, prop_assert_eq, proptest};
use std::{collections::BTreeSet, time::Duration};

/// Two switches, a cable that is up, and a datagram from 1 to 2 that did not arrive yet.
fn ready() -> (World, Vec<u8>) {
    let mut world = World::new(1, 2);
    world.start_all();
    world.run(ms(3000));
    (world, Vec::new())
}

fn sealed(world: &mut World, payload: &[u8]) -> Vec<u8> {
    let number = world.sent.get(&(1, 2)).copied().unwrap_or(0);
    world.sent.insert((1, 2), number + 1);
    let mut datagram = Vec::new();
    let payload = [&number.to_be_bytes(), payload].concat();
    world.cables(1).seal(SwitchId(2), &header(), &[&payload], &mut datagram).unwrap();
    datagram
}

fn header() -> RecordHeader {
    RecordHeader {
        kind: Kind::Frame,
        network: crate::domain::overlay::NetworkId::new(7),
        hops: HOPS,
        is_last: false,
        is_ipv6: false,
        index: 0,
        destination: SwitchId(2),
        source: SwitchId(1),
        sequence: 5,
        checksum: None,
    }
}

/// Everything that can be seen of a cable, but how often something was refused.
fn seen(status: CableStatus) -> CableStatus {
    CableStatus { refused: Default::default(), ..status }
}

/// Hands a datagram to 2: it must be refused so, and change nothing but the count.
fn refused(world: &mut World, bytes: &[u8], why: Refusal) {
    let from = world.hosts[&1].address;
    let before = (seen(world.status(2, 1)), world.hosts[&2].events.len());
    let count = world.cables(2).refused().count(why);
    let told = world.hand_over(2, from, &mut bytes.to_vec(), Some(Attack::Altered));
    assert_eq!(told, Some(why), "{bytes:02x?}");
    assert_eq!(world.cables(2).refused().count(why), count + 1);
    assert_eq!((seen(world.status(2, 1)), world.hosts[&2].events.len()), before);
    assert_eq!(world.cables(2).next_datagram(), None);
}

#[test]
fn a_record_is_accepted_as_it_was_sealed_once_and_in_no_other_way() {
    let (mut world, _) = ready();
    let datagram = sealed(&mut world, b"frame");
    for length in 0..datagram.len() {
        let why = if length < OUTER { Refusal::Truncated } else { Refusal::Altered };
        refused(&mut world, &datagram[..length], why);
    }
    refused(&mut world, &[&datagram[..], &[0]].concat(), Refusal::Altered);
    for bit in 0..8 * datagram.len() {
        let mut altered = datagram.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let whys: BTreeSet<_> = match bit / 8 {
            1 if altered[1] == 1 => [Refusal::Truncated].into(),
            0..4 => [Refusal::Version].into(),
            4..8 => [Refusal::UnknownIndex].into(),
            8..16 => [Refusal::Altered, Refusal::Replayed].into(),
            _ => [Refusal::Altered].into(),
        };
        let from = world.hosts[&1].address;
        let told = world.hand_over(2, from, &mut altered, Some(Attack::Altered)).unwrap();
        assert!(whys.contains(&told), "bit {bit}: {told:?}");
    }
    let from = world.hosts[&1].address;
    assert_eq!(world.hand_over(2, from, &mut datagram.clone(), None), None);
    assert_eq!(world.lost(1, 2), 0, "and then it is accepted");
    refused(&mut world, &datagram, Refusal::Replayed);
    let status = world.status(2, 1);
    assert!(status.refused.count(Refusal::Altered) > 300 && status.refused.total() > 300);
}

#[test]
fn a_record_for_another_switch_or_an_earlier_session_is_refused() {
    let mut world = World::new(1, 3);
    world.start_all();
    world.run(ms(3000));
    let datagram = sealed(&mut world, b"frame");
    let from = world.hosts[&1].address;
    let told = world.hand_over(3, from, &mut datagram.clone(), Some(Attack::Altered));
    assert!(matches!(told, Some(Refusal::UnknownIndex | Refusal::Altered)), "{told:?}");
    world.crash(2);
    world.start(2);
    world.run_until(ms(2000), World::all_up);
    let told = world.hand_over(2, from, &mut datagram.clone(), Some(Attack::Altered));
    assert!(matches!(told, Some(Refusal::UnknownIndex | Refusal::Altered)), "{told:?}");
}

#[test]
fn hellos_that_are_not_for_us_from_strangers_or_altered_are_refused() {
    let (mut world, _) = ready();
    let known = keys(1, 2, 1);
    let direction = Direction {
        secret: &known.sending,
        epoch: 1,
        sender: SwitchId(1),
        receiver: SwitchId(2),
        salt: Salt::new(9, [9; 8]),
    };
    let clear = HelloClear {
        sender: SwitchId(1),
        receiver: SwitchId(2),
        epoch: 1,
        salt: Salt::new(9, [9; 8]),
    };
    let hello =
        Half::new(Salt::new(9, [9; 8]), 1).hello(direction, Stage::First, false, Salt::NONE);
    let with = |clear: HelloClear| [&clear.write(0)[..], &hello[HELLO_CLEAR..]].concat();
    refused(&mut world, &with(HelloClear { receiver: SwitchId(3), ..clear }), Refusal::NotForUs);
    refused(&mut world, &with(HelloClear { sender: SwitchId(9), ..clear }), Refusal::UnknownPeer);
    refused(&mut world, &with(HelloClear { sender: SwitchId(2), ..clear }), Refusal::UnknownPeer);
    refused(&mut world, &with(HelloClear { epoch: 2, ..clear }), Refusal::UnknownEpoch);
    let salt = Salt::new(9, [8; 8]);
    refused(&mut world, &with(HelloClear { salt, ..clear }), Refusal::Altered);
    for at in HELLO_CLEAR..HELLO {
        let mut altered = hello.clone();
        altered[at] ^= 0x10;
        refused(&mut world, &altered, Refusal::Altered);
    }
    for length in OUTER..HELLO {
        refused(&mut world, &hello[..length], Refusal::Truncated);
    }
    for stage in [Stage::Answer, Stage::Finish] {
        let salt = Salt::new(9, [stage as u8; 8]);
        let direction = Direction { salt, ..direction };
        let echo = Salt::new(77, [7; 8]);
        let stale = Half::new(salt, 1).hello(direction, stage, true, echo);
        refused(&mut world, &stale, Refusal::Stale);
    }
}

#[test]
fn hellos_sent_again_bring_few_answers_none_longer_than_what_came_and_no_session() {
    // Hellos of forty lives that nobody heard.
    let mut world = World::new(1, 2);
    let mut hellos = Vec::new();
    for _ in 0..40 {
        world.crash(1);
        world.listens = true;
        world.heard.clear();
        world.start(1);
        world.run(ms(120));
        hellos.push(world.heard[..HELLO].to_vec());
    }
    world.crash(1);
    world.listens = false;
    world.start(2);
    world.run(Duration::from_secs(3));
    while world.cables(2).next_datagram().is_some() {}
    let now = world.now;
    let mut answers = 0;
    for round in 0..25 {
        for hello in &hellos {
            let from = at(&format!("203.0.113.{round}:99"));
            world.cables(2).open(now, from, &mut hello.clone());
            while let Some((to, answer)) = world.cables(2).next_datagram() {
                assert_eq!((to, answer.len()), (from, HELLO));
                answers += 1;
            }
        }
    }
    assert_eq!(answers, 20);
    assert_eq!(world.status(2, 1).candidates, [world.hosts[&1].address]);
    assert!(world.hosts[&2].up.is_empty());
    // The true one comes up all the same, once the second is over.
    world.start(1);
    world.run_until(ms(3000), World::all_up);
    world.run(ms(500));
    for hello in &hellos {
        let from = world.hosts[&1].address;
        let now = world.now;
        world.cables(2).open(now, from, &mut hello.clone());
    }
    world.run(ms(2000));
    assert_eq!(world.downs(2), []);
}

#[test]
fn hellos_sent_again_keep_no_session_from_being_renewed() {
    let mut world = World::new(1, 2);
    let mut hellos = Vec::new();
    for _ in 0..30 {
        world.crash(1);
        world.listens = true;
        world.heard.clear();
        world.start(1);
        world.run(ms(120));
        hellos.push(world.heard[..HELLO].to_vec());
    }
    world.listens = false;
    world.options.renew_after = ms(1000);
    world.start_all();
    world.run_until(ms(1000), World::all_up);
    let from = world.hosts[&1].address;
    for _ in 0..250 {
        for hello in &hellos {
            let now = world.now;
            world.cables(2).open(now, from, &mut hello.clone());
            while world.cables(2).next_datagram().is_some() {}
        }
        world.run(ms(40));
    }
    assert!(world.status(2, 1).refused.count(Refusal::TooMany) > 1000);
    assert!(world.status(2, 1).sessions >= 6, "{:?}", world.status(2, 1));
    assert_eq!(world.downs(2), []);
}

#[test]
fn strangers_get_no_answer_and_are_not_remembered() {
    let (mut world, _) = ready();
    let size = format!("{:?}", world.cables(2)).len();
    for number in 0..5000u32 {
        let mut stranger = HelloClear {
            sender: SwitchId(1000 + number),
            receiver: SwitchId(2),
            epoch: number,
            salt: Salt::new(u64::from(number), [1; 8]),
        }
        .write(u64::from(number))
        .to_vec();
        stranger.resize(HELLO, 0);
        refused(&mut world, &stranger, Refusal::UnknownPeer);
    }
    let now = format!("{:?}", world.cables(2)).len();
    assert!(now < size + 50, "{size} grew to {now}");
}

#[test]
fn each_kind_of_datagram_is_these_bytes() {
    witness::forget();
    let (ours, theirs) = (keys(1, 2, 3), keys(2, 1, 3));
    let (salt, peers) = (Salt::new(4, [5; 8]), Salt::new(6, [7; 8]));
    let sending = Direction {
        secret: &ours.sending,
        epoch: 3,
        sender: SwitchId(1),
        receiver: SwitchId(2),
        salt,
    };
    let receiving = Direction {
        secret: &theirs.sending,
        epoch: 3,
        sender: SwitchId(2),
        receiver: SwitchId(1),
        salt: peers,
    };
    let mut half = Half::new(salt, 0x0000_1009);
    let mut told = vec![
        ("first", half.hello(sending, Stage::First, false, Salt::NONE)),
        ("answer", half.hello(sending, Stage::Answer, false, peers)),
        ("finish", half.hello(sending, Stage::Finish, true, peers)),
    ];
    let theirs = TheirHalf { salt: peers, index: 0x0000_200a, hellos: Window::new() };
    let mut session = Session::new(Duration::ZERO, sending, receiving, half, theirs);
    let mut record = |name, header: &RecordHeader, payload: &[u8], padded| {
        let mut datagram = Vec::new();
        session.seal(&header.write(), &[payload], padded, &mut datagram);
        told.push((name, datagram));
    };
    record("frame", &header(), b"an Ethernet frame", 0);
    let own = RecordHeader { kind: Kind::Cable, network: None, hops: 0, sequence: 0, ..header() };
    let seen_at = at("192.0.2.1:4500");
    let sign = Sign { number: 1, heard: 2, time: 3, loss: 4, seen_at };
    record("ping", &own, &Note::Ping(sign).write(), 0);
    record("pong", &own, &Note::Pong(sign, 5).write(), 0);
    record("probe", &own, &Note::Probe { size: 80, number: 6 }.write(), 80);
    record("arrived", &own, &Note::ProbeArrived { size: 80, number: 6 }.write(), 0);
    record("ask", &own, &Note::Ask(vec![SwitchId(3)]).write(), 0);
    record("introduction", &own, &Note::Introduction(vec![(SwitchId(3), seen_at)]).write(), 0);
    record("farewell", &own, &Note::Farewell.write(), 0);
    let mut text = String::new();
    for (name, bytes) in told {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        text.push_str(&format!("{name} {hex}\n"));
    }
    assert_eq!(text, include_str!("golden.txt"));
}

proptest! {
    #[test]
    fn no_bytes_whatever_are_taken_for_a_datagram(
        bytes in prop::collection::vec(any::<u8>(), 0..300), tidy in 0u8..3, length in 0usize..120
    ) {
        thread_local! {
            static WORLD: std::cell::RefCell<World> = std::cell::RefCell::new(ready().0);
        }
        let mut bytes = bytes;
        if tidy > 0 && bytes.len() >= 32 {
            bytes[..4].copy_from_slice(&[1, tidy, 0, 0]);
            bytes[4..8].fill(0);
            bytes[16..24].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 2]);
            bytes[24..28].copy_from_slice(&[0, 0, 0, 1]);
            bytes.resize(length.max(HELLO), 0);
        }
        WORLD.with_borrow_mut(|world| {
            let events = world.hosts[&2].events.len();
            let told = world.hand_over(2, at("192.0.2.1:4500"), &mut bytes, Some(Attack::Altered));
            prop_assert_eq!((told.is_some(), world.hosts[&2].events.len()), (true, events));
            Ok(())
        })?;
    }
}
