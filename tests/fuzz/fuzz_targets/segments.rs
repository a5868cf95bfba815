//! What a guest or a kernel says is left to be done to a frame, believed or refused (`settle`); a
//! large segment cut into pieces, joined again, and finished.
//!
//! Input: flags (1: a checksum, 2: TCP over IPv4, 4: over IPv6) 1 · checksum start 2 · offset 2 ·
//! piece 2 · room on the cable 2 · 256s of bytes to lengthen the frame by 1 · frame
#![no_main]

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use mallee_fuzz::{
    domain::overlay::{NetworkId, SwitchId},
    input::Input,
    network::{
        frame::{Frame, LARGEST, Offload, PartialChecksum, Segmented},
        record::{HOPS, Kind, RecordHeader},
        segments::{Join, cut, finish, is_transports, settle},
    },
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    run(Input(bytes));
});

fn run(mut input: Input<'_>) -> Option<()> {
    let flags = input.byte()?;
    let place = PartialChecksum { start: input.half()?, offset: input.half()? };
    let (size, room) = (input.half()?, usize::from(input.half()?));
    let longer = usize::from(input.byte()?) * 256;
    let mut frame = input.0.to_vec();
    frame.extend((0..longer).map(|at| at as u8));
    frame.truncate(LARGEST - 4);

    let checksum = (flags & 1 != 0).then_some(place);
    let segmented = match flags & 6 {
        2 => Some((Segmented::Tcp4, size)),
        4 => Some((Segmented::Tcp6, size)),
        _ => None,
    };
    let given = frame.clone();
    let offload = settle(&mut frame, checksum, segmented).ok()?;
    check_settled(&given, &frame, place, offload);
    let frame = Frame { bytes: &frame, offload };
    check_finished(frame);
    check_cut(frame, room);
    Some(())
}

/// Nothing but a checksum is changed, and what stays undone is TCP's or UDP's own.
fn check_settled(given: &[u8], settled: &[u8], place: PartialChecksum, offload: Offload) {
    assert_eq!(given.len(), settled.len());
    if let Some(place) = offload.checksum {
        assert!(is_transports(settled, place));
        assert_eq!(given, settled);
    } else {
        assert_eq!(offload.segmentation, None);
        let at = usize::from(place.start) + usize::from(place.offset);
        let differs = |(number, (a, b)): (usize, (&u8, &u8))| (a != b).then_some(number);
        let mut changed = given.iter().zip(settled).enumerate().filter_map(differs);
        assert!(changed.all(|number| number == at || number == at + 1));
    }
}

/// Whole frames, no more than pieces of the size make; those that were cut are as another library
/// would have them.
fn check_finished(frame: Frame<'_>) {
    let mut scratch = Vec::new();
    let (mut count, mut length) = (0, 0);
    let done = finish(frame, &mut scratch, &mut |whole| {
        count += 1;
        length += whole.len();
        if frame.offload.segmentation.is_some() {
            check_piece(whole);
        }
    });
    done.expect("what is settled can be finished");
    match frame.offload.segmentation {
        None => assert_eq!((count, length), (1, frame.bytes.len())),
        Some(segmentation) => {
            let headers = usize::from(segmentation.headers);
            let payload = frame.bytes.len() - headers;
            assert_eq!(count, payload.div_ceil(usize::from(segmentation.size)));
            assert_eq!(length, payload + count * headers);
        }
    }
}

fn check_piece(piece: &[u8]) {
    let packet = SlicedPacket::from_ethernet(piece).expect("a piece is a TCP packet");
    let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!("a piece is TCP") };
    let checksum = match packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header().to_header();
            check_header(ip.header().slice());
            tcp.calc_checksum_ipv4(header.source, header.destination)
        }
        Some(NetSlice::Ipv6(ip)) => {
            let header = ip.header().to_header();
            tcp.calc_checksum_ipv6(header.source, header.destination)
        }
        _ => panic!("a piece is in an IP packet"),
    };
    // 0 and 0xffff are the same sum.
    let canonical = |sum: u16| if sum == 0 { 0xffff } else { sum };
    assert_eq!(canonical(tcp.checksum()), canonical(checksum.expect("a piece is short")));
}

/// With its own checksum a header's words make 0xffff (RFC 1071). The library leaves out a reserved
/// flag when it makes one.
fn check_header(header: &[u8]) {
    let words = header.as_chunks().0.iter().map(|word| u32::from(u16::from_be_bytes(*word)));
    let sum: u32 = words.sum();
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
}

/// Pieces fit, come in order, carry the payload and nothing else, and make the same segment again.
fn check_cut(frame: Frame<'_>, room: usize) {
    let Some(segmentation) = frame.offload.segmentation else {
        assert!(cut(frame, room).is_err());
        return;
    };
    let Ok(pieces) = cut(frame, room) else { return };
    let (headers, payload) = frame.bytes.split_at(segmentation.headers.into());
    let mut join = Join::default();
    let mut carried = 0;
    for (number, piece) in pieces.enumerate() {
        assert_eq!(usize::from(piece.index), number);
        assert!(piece.headers().len() + piece.payload.len() <= room);
        assert!(piece.payload.len() <= segmentation.size.into());
        assert_eq!(Some(piece.checksum), frame.offload.checksum);
        assert!(payload[carried..].starts_with(piece.payload));
        carried += piece.payload.len();
        assert_eq!(piece.is_last, carried == payload.len());

        let header = record_of(piece.index, piece.is_last, piece.checksum);
        let bytes = [piece.headers(), piece.payload].concat();
        if number == 0 {
            join.begin(&header, &bytes).expect("a piece is a TCP packet");
        } else {
            assert!(join.extend(&header, &bytes), "piece {number} continues the one before");
        }
        assert_eq!(join.is_whole(), piece.is_last);
    }
    assert_eq!(carried, payload.len());
    let (_, joined) = join.take().expect("it was begun");
    let mut bytes = joined.bytes.to_vec();
    assert_eq!(bytes.len(), frame.bytes.len());
    assert_eq!(&bytes[headers.len()..], payload);
    let offload = joined.offload;
    let segmented = offload.segmentation.map(|by| (by.protocol, by.size));
    assert_eq!(settle(&mut bytes, offload.checksum, segmented), Ok(offload));
}

fn record_of(index: u16, is_last: bool, checksum: PartialChecksum) -> RecordHeader {
    RecordHeader {
        kind: Kind::Piece,
        network: NetworkId::new(1),
        hops: HOPS,
        is_last,
        is_ipv6: false,
        index,
        destination: SwitchId(2),
        source: SwitchId(1),
        sequence: 1,
        checksum: Some(checksum),
    }
}
