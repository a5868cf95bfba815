//! What switches say to each other over cables.

use super::{Seeds, frames};
use mallee_fuzz::{
    domain::overlay::{NetworkId, SwitchId},
    input::piece,
    network::{
        fragments::fragments,
        frame::{Frame, Offload, PartialChecksum, Segmentation, Segmented},
        record::{HOPS, Kind, RecordHeader},
        segments::cut,
    },
};

pub fn seeds() -> Vec<Seeds> {
    vec![
        ("record", records()),
        ("segments", segments()),
        ("join", joins()),
        ("fragments", parts()),
        ("cable_headers", cable_headers()),
        ("cable_note", cable_notes()),
        ("routing", mallee_fuzz::routing_bytes::examples()),
        ("cable", cables()),
        ("switch", switches()),
    ]
}

pub fn header(kind: Kind) -> RecordHeader {
    let carries_frames = matches!(kind, Kind::Frame | Kind::Piece | Kind::Fragment);
    RecordHeader {
        kind,
        network: NetworkId::new(7).filter(|_| carries_frames),
        hops: HOPS,
        is_last: kind == Kind::Frame,
        is_ipv6: false,
        index: 0,
        destination: SwitchId(2),
        source: SwitchId(1),
        sequence: 5,
        checksum: None,
    }
}

pub fn record(header: RecordHeader, payload: &[u8]) -> Vec<u8> {
    [&header.write()[..], payload].concat()
}

fn records() -> Vec<(&'static str, Vec<u8>)> {
    let undone = Some(PartialChecksum { start: 34, offset: 16 });
    let piece = RecordHeader { checksum: undone, index: 3, is_last: true, ..header(Kind::Piece) };
    vec![
        ("frame", record(header(Kind::Frame), &frames::udp())),
        ("frame-with-checksum-undone", record(RecordHeader { kind: Kind::Frame, ..piece }, b"")),
        ("last-piece", record(piece, b"")),
        ("fragment", record(RecordHeader { index: 151, ..header(Kind::Fragment) }, b"part")),
        ("routing", record(header(Kind::Routing), b"")),
        ("cable", record(header(Kind::Cable), &[7, 0, 0, 0])),
    ]
}

/// What the target `segments` reads.
fn offloaded(flags: u8, place: (u16, u16), size: u16, longer: u8, frame: &[u8]) -> Vec<u8> {
    const ROOM: u16 = 1400;
    let mut bytes = vec![flags];
    for number in [place.0, place.1, size, ROOM] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.push(longer);
    bytes.extend(frame);
    bytes
}

fn segments() -> Vec<(&'static str, Vec<u8>)> {
    let (tcp4, tcp6) = (frames::tcp4(&[1; 300]), frames::tcp6(&[1; 300]));
    vec![
        ("nothing-undone", offloaded(0, (0, 0), 0, 0, &frames::udp())),
        ("udp-checksum", offloaded(1, (34, 6), 0, 0, &frames::udp())),
        ("checksum-of-another-protocol", offloaded(1, (34, 2), 0, 0, &frames::icmp())),
        ("checksum-outside", offloaded(1, (34, 9000), 0, 0, &frames::icmp())),
        ("tcp4-segment", offloaded(3, (34, 16), 100, 0, &tcp4)),
        ("tcp4-segment-of-64-kib", offloaded(3, (34, 16), 1448, 255, &tcp4)),
        ("tcp6-segment", offloaded(5, (54, 16), 100, 0, &tcp6)),
        ("tcp4-segment-behind-a-vlan-tag", offloaded(3, (38, 16), 100, 0, &frames::tagged(&tcp4))),
        ("segment-shorter-than-a-piece", offloaded(3, (34, 16), 1448, 0, &tcp4)),
        ("pieces-too-small", offloaded(3, (34, 16), 8, 0, &tcp4)),
    ]
}

fn joins() -> Vec<(&'static str, Vec<u8>)> {
    let pieces = |frame: &[u8], protocol, start, headers| {
        let checksum = Some(PartialChecksum { start, offset: 16 });
        let segmentation = Some(Segmentation { protocol, size: 100, headers });
        let frame = Frame { bytes: frame, offload: Offload { checksum, segmentation } };
        let records = cut(frame, 1400).expect("the segment is sound").map(|part| {
            let header = RecordHeader {
                index: part.index,
                is_last: part.is_last,
                checksum,
                ..header(Kind::Piece)
            };
            piece(&record(header, &[part.headers(), part.payload].concat()))
        });
        records.collect::<Vec<_>>()
    };
    let tcp4 = pieces(&frames::tcp4(&[1; 250]), Segmented::Tcp4, 34, 54);
    let tcp6 = pieces(&frames::tcp6(&[1; 250]), Segmented::Tcp6, 54, 74);
    let missing = [&tcp4[0][..], &tcp4[2]].concat();
    vec![
        ("tcp4", tcp4.concat()),
        ("tcp6", tcp6.concat()),
        ("two-segments", [tcp4.concat(), tcp4.concat()].concat()),
        ("one-missing", missing),
    ]
}

fn parts() -> Vec<(&'static str, Vec<u8>)> {
    const ROOM: u16 = 128;
    let frame = frames::udp_of(300);
    let begin = [&ROOM.to_be_bytes()[..], &piece(&frame)].concat();
    let of_frame = |number: u8| piece(&[1, number]);
    let foreign = fragments(header(Kind::Frame), &frame, ROOM.into())
        .expect("there is room")
        .flat_map(|(header, part)| piece(&[&[0][..], &record(header, part)].concat()));
    let with = |steps: &[Vec<u8>]| [&begin[..], &steps.concat()].concat();
    vec![
        ("in-order", with(&[of_frame(0), of_frame(1), of_frame(2)])),
        ("backwards", with(&[of_frame(2), of_frame(1), of_frame(0)])),
        ("repeated", with(&[of_frame(0), of_frame(0), of_frame(1), of_frame(2)])),
        ("too-late", with(&[of_frame(0), piece(&[2, 2, 0]), of_frame(1), of_frame(2)])),
        ("from-another-switch", with(&[foreign.collect()])),
    ]
}

fn cable_headers() -> Vec<(&'static str, Vec<u8>)> {
    let outer = |kind: u8, index: u32, counter: u64| {
        [&[1, kind, 0, 0][..], &index.to_be_bytes(), &counter.to_be_bytes()].concat()
    };
    let clear = [&[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3][..], &[0x5a; 16]].concat();
    let body = |stage: u8, echo: u8| {
        [&[stage, 1, 0, 0, 0, 0, 0, 9][..], &[echo; 16], &[0, 0, 0x10, 1, 0, 0, 0, 0]].concat()
    };
    vec![
        ("record", [outer(2, 0x1001, 7), vec![0x77; 64]].concat()),
        ("hello", [outer(1, 0, 0), clear, vec![0x77; 48]].concat()),
        ("first-body", body(1, 0)),
        ("answer-body", body(2, 0x3c)),
        ("finish-body", body(3, 0x3c)),
    ]
}

pub fn cable_notes() -> Vec<(&'static str, Vec<u8>)> {
    let v4 = [&[4, 0, 0x11, 0x94, 192, 0, 2, 1][..], &[0; 12]].concat();
    let v6 = [&[6, 0, 0x11, 0x94, 0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1]].concat();
    let sign = |kind: u8, answers: u8, address: &[u8]| {
        let head = [kind, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, answers];
        [&head[..], &[0, 0, 0, 0, 0, 0, 3, 0xe8], address].concat()
    };
    vec![
        ("ping", sign(1, 0, &v4)),
        ("pong", sign(2, 2, &v6)),
        ("probe", [&[3, 0, 5, 0xc0, 0, 0, 0, 1][..], &[0; 200]].concat()),
        ("probe-arrived", vec![4, 0, 5, 0xc0, 0, 0, 0, 1]),
        ("ask", vec![5, 2, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4]),
        ("introduction", [&[6, 2, 0, 0, 0, 0, 0, 3][..], &v4, &[0, 0, 0, 4], &v6].concat()),
        ("farewell", vec![7, 0, 0, 0]),
    ]
}

fn steps(steps: &[&[u8]]) -> Vec<u8> {
    steps.iter().flat_map(|step| piece(step)).collect()
}

/// What the target `cable` reads.
fn cables() -> Vec<(&'static str, Vec<u8>)> {
    const BEGIN_DOWN: u8 = 2;
    const BEGIN_UP: u8 = 3;
    let story = |how: u8, told: &[&[u8]]| [&[how][..], &steps(told)].concat();
    let frame = [&[7, 0][..], &record(header(Kind::Frame), &frames::udp())].concat();
    let mut stories = vec![
        ("handshake", story(BEGIN_DOWN, &[&[0], &[0], &[0], &[0], &[6, 0, 100], &[0]])),
        ("lost-hello", story(BEGIN_DOWN, &[&[1], &[0], &[6, 1, 0], &[0], &[0]])),
        ("frame", story(BEGIN_UP, &[&frame, &[0]])),
        ("replayed", story(BEGIN_UP, &[&frame, &[0], &[2, 0, 0, 0], &[2, 0, 5, 0], &[2, 0, 9, 0]])),
        ("altered", story(BEGIN_UP, &[&frame, &[3, 0, 0, 0, 20, 1], &[3, 0, 9, 0, 4, 1]])),
        ("cut", story(BEGIN_UP, &[&frame, &[4, 0, 0, 0, 15], &[4, 0, 9, 0, 40]])),
        ("made-up", story(BEGIN_UP, &[&[&[5, 1, 0][..], &[1, 2, 0, 0], &[0; 30]].concat()])),
        ("from-elsewhere", story(BEGIN_UP, &[&frame, &[2, 0, 9, 7], &[6, 0, 100], &[0]])),
        ("killed", story(BEGIN_UP, &[&[8, 1], &frame, &[0], &[6, 0, 100], &[0], &[0], &[0]])),
        ("silent", story(BEGIN_UP, &[&[6, 2, 0], &[1], &[1], &[6, 2, 0], &[1], &[6, 2, 0]])),
        ("new-epoch", story(BEGIN_UP, &[&[9, 0, 3], &[9, 1, 3], &[0], &[0], &[0], &[9, 0, 2]])),
    ];
    for (name, note) in cable_notes() {
        // From the end with the number 1, as notes must be.
        let sealed = [&[7, 0][..], &record(RecordHeader { hops: 0, ..header(Kind::Cable) }, &note)];
        stories.push((name, story(BEGIN_UP, &[&sealed.concat(), &[0], &[0]])));
    }
    stories
}

/// What the target `switch` reads: its guests have the addresses of the frames' writer.
fn switches() -> Vec<(&'static str, Vec<u8>)> {
    const TIME: &[u8] = &[3, 0, 200];
    let from_port = |port: u8, frame: &[u8]| [&[0, port - 1], frame].concat();
    let from_cable = |record: &[u8]| [&[1, 0], record].concat();
    let routing = |record: &[u8]| [&[2, 0], record].concat();
    let there =
        RecordHeader { destination: SwitchId(1), source: SwitchId(2), ..header(Kind::Frame) };
    let for_all = RecordHeader { destination: SwitchId::EVERYBODY, ..there };
    let onwards = RecordHeader { destination: SwitchId(3), ..there };
    let known: Vec<_> = mallee_fuzz::routing_bytes::examples()
        .into_iter()
        .map(|(_, bytes)| routing(&bytes))
        .collect();
    let mut stories = Vec::new();
    for (name, frame) in frames::looked_at() {
        stories.push((name, steps(&[&from_port(1, &frame), TIME, &from_port(3, &frame)])));
    }
    let (udp, arp) = (frames::udp(), frames::arp(1, 3));
    stories.extend([
        ("dhcp", steps(&[&from_port(1, &frames::dhcp_discovery())])),
        ("unicast-over-a-cable", steps(&[&from_cable(&record(there, &udp))])),
        ("broadcast-over-a-cable", steps(&[&known[0], &from_cable(&record(for_all, &arp))])),
        ("relayed", steps(&[&from_cable(&record(onwards, &udp))])),
        ("known", steps(&[&known[0], &known[1], &known[2], TIME, &known[3], TIME])),
        ("cables-come-and-go", steps(&[&[4, 0, 0], &known[0], &[4, 0, 5], TIME, &[4, 2, 1]])),
        ("ports-come-and-go", steps(&[&[5, 0, 0], &from_port(2, &udp), &[5, 0, 1], &[5, 1, 3]])),
        ("flow", steps(&[&from_port(1, &udp), &[5, 1, 2], &from_port(2, &frames::back(&udp))])),
    ]);
    stories
}
