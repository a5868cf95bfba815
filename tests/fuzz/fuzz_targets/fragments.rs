//! Parts of frames too long for a cable, as a neighbour sends them: in any order, missing, repeated,
//! of others' frames. What is put together is made of what came, and no longer than a frame.
//!
//! Input: room on the cable 2 · a frame: length 2 · bytes · then records: length 2 · 0 and a part
//! (header 24 · bytes), or 1 and the number of a part of that frame, which is cut for the room, or 2
//! and milliseconds 2 that pass
#![no_main]

use mallee_fuzz::{
    domain::overlay::{NetworkId, SwitchId},
    input::Input,
    network::{
        fragments::{Assembly, fragments},
        frame::LARGEST,
        record::{HOPS, Kind, RecordHeader},
    },
};
use std::{collections::BTreeMap, time::Duration};

const NEIGHBOUR: SwitchId = SwitchId(1);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    run(Input(bytes));
});

fn run(mut input: Input<'_>) -> Option<()> {
    let room = usize::from(input.half()?);
    let frame = input.piece()?;
    let own: Vec<_> = fragments(own_header(), frame, room).into_iter().flatten().collect();
    check_fragments(frame, room, &own);

    let mut now = Duration::ZERO;
    let mut assembly = Assembly::default();
    let mut came = Came::default();
    while let Some(record) = input.piece() {
        let mut record = Input(record);
        let (header, part) = match record.byte()? {
            0 => match RecordHeader::read(record.0) {
                Some(read) => read,
                None => continue,
            },
            1 if own.is_empty() => continue,
            1 => own[usize::from(record.byte()?) % own.len()],
            _ => {
                now += Duration::from_millis(record.half()?.into());
                assembly.tick(now);
                continue;
            }
        };
        came.add(&header, part);
        if let Some((whole, bytes)) = assembly.add(now, NEIGHBOUR, &header, part) {
            assert_eq!(whole.kind, Kind::Frame);
            assert_eq!((whole.network, whole.source), (header.network, header.source));
            came.check(&header, &bytes);
        }
    }
    Some(())
}

fn check_fragments(frame: &[u8], room: usize, parts: &[(RecordHeader, &[u8])]) {
    let mut assembly = Assembly::default();
    for (number, (header, part)) in parts.iter().enumerate() {
        assert!(part.len() <= room);
        let whole = assembly.add(Duration::ZERO, NEIGHBOUR, header, part);
        let is_last = number + 1 == parts.len();
        assert_eq!(whole, is_last.then(|| (own_header(), frame.to_vec())));
    }
    assert_eq!(assembly.dropped, 0);
}

/// Every byte that came, by where it belongs.
#[derive(Default)]
struct Came(BTreeMap<(Option<NetworkId>, SwitchId, u32), BTreeMap<usize, Vec<u8>>>);

impl Came {
    fn add(&mut self, header: &RecordHeader, part: &[u8]) {
        let places = self.0.entry((header.network, header.source, header.sequence)).or_default();
        let start = usize::from(header.index) * 8;
        for (number, byte) in part.iter().enumerate() {
            places.entry(start + number).or_default().push(*byte);
        }
    }

    fn check(&self, header: &RecordHeader, frame: &[u8]) {
        assert!((1..=LARGEST).contains(&frame.len()));
        let places = &self.0[&(header.network, header.source, header.sequence)];
        for (number, byte) in frame.iter().enumerate() {
            assert!(places.get(&number).is_some_and(|came| came.contains(byte)));
        }
    }
}

fn own_header() -> RecordHeader {
    RecordHeader {
        kind: Kind::Frame,
        network: NetworkId::new(1),
        hops: HOPS,
        is_last: true,
        is_ipv6: false,
        index: 0,
        destination: SwitchId(2),
        source: SwitchId(3),
        sequence: 4,
        checksum: None,
    }
}
