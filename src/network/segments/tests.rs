use super::*;
use crate::{
    domain::overlay::{NetworkId, SwitchId},
    network::record::{Kind, RecordHeader},
};
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;

const SOURCE: [u8; 4] = [10, 0, 0, 1];
const DESTINATION: [u8; 4] = [10, 0, 0, 2];

/// What a large segment is made of.
#[derive(Debug, Clone)]
struct Sample {
    is_ipv6: bool,
    has_vlan: bool,
    options: Vec<u8>,
    payload: Vec<u8>,
    size: u16,
    sequence: u32,
    flags: u8,
    window: u16,
    id: u16,
}

prop_compose! {
    fn samples()(
        is_ipv6: bool,
        has_vlan: bool,
        words in 0usize..=10,
        payload in prop::collection::vec(any::<u8>(), 49..20_000),
        size in 48u16..9000,
        sequence: u32,
        flags: u8,
        window: u16,
        id: u16,
    ) -> Sample {
        // No-operations: what the options say does not matter here.
        let options = vec![1; words * 4];
        Sample { is_ipv6, has_vlan, options, payload, size, sequence, flags, window, id }
    }
}

impl Sample {
    /// The large segment's bytes, as a kernel hands them over.
    fn frame(&self) -> (Vec<u8>, Offload) {
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let builder = if self.has_vlan {
            builder.single_vlan(etherparse::VlanId::try_new(5).unwrap()).ip(self.ip())
        } else {
            builder.ip(self.ip())
        };
        builder
            .tcp(1000, 2000, self.sequence, self.window)
            .options_raw(&self.options)
            .unwrap()
            .write(&mut bytes, &self.payload)
            .unwrap();
        let place = TcpHeaders::find(&bytes).unwrap();
        bytes[usize::from(place.checksum().start) + 13] = self.flags;
        let pseudo = place.pseudo_sum(&bytes);
        place.set_lengths(&mut bytes[..place.length], pseudo, self.payload.len());
        let segmentation = (self.payload.len() > usize::from(self.size)).then_some(Segmentation {
            protocol: if self.is_ipv6 { Segmented::Tcp6 } else { Segmented::Tcp4 },
            size: self.size,
            headers: place.length as u16,
        });
        (bytes, Offload { checksum: Some(place.checksum()), segmentation })
    }

    fn ip(&self) -> etherparse::IpHeaders {
        if self.is_ipv6 {
            let header = etherparse::Ipv6Header {
                hop_limit: 64,
                source: [1; 16],
                destination: [2; 16],
                ..Default::default()
            };
            return etherparse::IpHeaders::Ipv6(header, Default::default());
        }
        let header = etherparse::Ipv4Header {
            identification: self.id,
            dont_fragment: true,
            time_to_live: 64,
            source: SOURCE,
            destination: DESTINATION,
            ..Default::default()
        };
        etherparse::IpHeaders::Ipv4(header, Default::default())
    }
}

/// Whether an implementation that is not ours finds all lengths and checksums right, and what it
/// finds: sequence number, the payload's length, and whether FIN is set.
fn looked_at(frame: &[u8]) -> (u32, Vec<u8>, bool) {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!("no TCP") };
    let header = tcp.to_header();
    let computed = match packet.net.unwrap() {
        NetSlice::Ipv4(ip) => {
            let ip = ip.header().to_header();
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            header.calc_checksum_ipv4(&ip, tcp.payload()).unwrap()
        }
        NetSlice::Ipv6(ip) => {
            header.calc_checksum_ipv6(&ip.header().to_header(), tcp.payload()).unwrap()
        }
        NetSlice::Arp(_) => panic!("no IP"),
    };
    // Zero and its complement are the same number to this sum.
    assert!(header.checksum == computed || computed == 0 && header.checksum == 0xffff);
    (header.sequence_number, tcp.payload().to_vec(), header.fin)
}

fn record(piece: &Piece<'_>) -> RecordHeader {
    RecordHeader {
        kind: Kind::Piece,
        network: NetworkId::new(1),
        hops: 5,
        is_last: piece.is_last,
        is_ipv6: false,
        index: piece.index,
        destination: SwitchId(2),
        source: SwitchId(1),
        sequence: 77,
        checksum: Some(piece.checksum),
    }
}

proptest! {
    #[test]
    fn a_segment_cut_and_joined_is_the_same_segment(sample in samples()) {
        let (bytes, offload) = sample.frame();
        prop_assume!(offload.segmentation.is_some());
        let mut join = Join::default();
        for piece in cut(Frame { bytes: &bytes, offload }, usize::MAX).unwrap() {
            let whole = [piece.headers(), piece.payload].concat();
            if piece.index == 0 {
                join.begin(&record(&piece), &whole).unwrap();
            } else {
                prop_assert!(join.extend(&record(&piece), &whole), "piece {}", piece.index);
            }
            prop_assert_eq!(join.is_whole(), piece.is_last);
        }
        let (header, frame) = join.take().unwrap();
        prop_assert_eq!(header.kind, Kind::Frame);
        prop_assert_eq!(frame, Frame { bytes: &bytes, offload });
        prop_assert!(join.take().is_none());
    }

    #[test]
    fn pieces_fit_the_room_there_is(sample in samples(), room in 200usize..3000) {
        let (bytes, offload) = sample.frame();
        prop_assume!(offload.segmentation.is_some());
        let mut payload = Vec::new();
        for piece in cut(Frame { bytes: &bytes, offload }, room).unwrap() {
            prop_assert!(piece.headers().len() + piece.payload.len() <= room);
            prop_assert!(piece.payload.len() <= usize::from(sample.size));
            payload.extend_from_slice(piece.payload);
        }
        prop_assert_eq!(payload, sample.payload);
    }

    #[test]
    fn finished_frames_are_right_to_another_implementation(sample in samples()) {
        let (bytes, offload) = sample.frame();
        let mut found = Vec::new();
        finish(Frame { bytes: &bytes, offload }, &mut Vec::new(), &mut |frame| {
            found.push(looked_at(frame));
        })
        .unwrap();
        let mut sequence = sample.sequence;
        let mut payload = Vec::new();
        for (index, (number, part, fin)) in found.iter().enumerate() {
            prop_assert_eq!(*number, sequence);
            prop_assert_eq!(*fin, sample.flags & 1 != 0 && index + 1 == found.len());
            sequence = sequence.wrapping_add(part.len() as u32);
            payload.extend_from_slice(part);
        }
        prop_assert_eq!(payload, sample.payload);
    }

    #[test]
    fn what_is_settled_can_be_cut_and_finished(sample in samples()) {
        let (mut bytes, offload) = sample.frame();
        let segmented = offload.segmentation.map(|found| (found.protocol, found.size));
        let before = bytes.clone();
        prop_assert_eq!(settle(&mut bytes, offload.checksum, segmented), Ok(offload));
        prop_assert_eq!(bytes, before);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        likely in any::<bool>(),
        start in 0u16..220,
        offset in 0u16..220,
        size: u16,
        is_large: bool,
        is_ipv6: bool,
    ) {
        if likely && bytes.len() > 24 {
            bytes[12..15].copy_from_slice(&[8, 0, 0x45]);
            bytes[20..24].copy_from_slice(&[0, 0, 64, 6]);
        }
        let protocol = if is_ipv6 { Segmented::Tcp6 } else { Segmented::Tcp4 };
        let checksum = PartialChecksum { start, offset };
        let mut settled = bytes.clone();
        let _ = settle(&mut settled, Some(checksum), is_large.then_some((protocol, size)));
        // And what nobody has settled.
        let segmentation = is_large.then_some(Segmentation { protocol, size, headers: start });
        let frame =
            Frame { bytes: &bytes, offload: Offload { checksum: Some(checksum), segmentation } };
        let _ = finish(frame, &mut Vec::new(), &mut |_| {});
        let mut join = Join::default();
        let header = RecordHeader { checksum: Some(checksum), ..record(&Piece {
            headers: [0; headers::LONGEST],
            length: 0,
            payload: &[],
            index: offset,
            is_last: false,
            checksum,
        }) };
        if join.begin(&header, &bytes).is_ok() {
            join.extend(&RecordHeader { index: header.index.wrapping_add(1), ..header }, &bytes);
            join.take();
        }
    }
}

fn sample() -> Sample {
    Sample {
        is_ipv6: false,
        has_vlan: false,
        options: Vec::new(),
        payload: vec![7; 5000],
        size: 1000,
        sequence: 1,
        flags: 0x19,
        window: 500,
        id: 9,
    }
}

#[test]
fn after_a_lost_piece_what_was_joined_and_what_follows_are_segments_of_their_own() {
    let (bytes, offload) = sample().frame();
    let pieces: Vec<_> = cut(Frame { bytes: &bytes, offload }, usize::MAX).unwrap().collect();
    let whole = |piece: &Piece<'_>| [piece.headers(), piece.payload].concat();
    let mut join = Join::default();
    join.begin(&record(&pieces[0]), &whole(&pieces[0])).unwrap();
    assert!(join.extend(&record(&pieces[1]), &whole(&pieces[1])));
    assert!(!join.extend(&record(&pieces[3]), &whole(&pieces[3])));
    assert_eq!(join.take().unwrap().1.bytes.len(), 54 + 2000);
    join.begin(&record(&pieces[3]), &whole(&pieces[3])).unwrap();
    assert!(join.extend(&record(&pieces[4]), &whole(&pieces[4])));
    let (_, frame) = join.take().unwrap();
    let mut found = Vec::new();
    finish(frame, &mut Vec::new(), &mut |frame| found.push(looked_at(frame).0)).unwrap();
    assert_eq!(found, [3001, 4001]);
}

#[test]
fn pieces_of_another_segment_are_not_joined() {
    let (bytes, offload) = sample().frame();
    let pieces: Vec<_> = cut(Frame { bytes: &bytes, offload }, usize::MAX).unwrap().collect();
    let whole = |piece: &Piece<'_>| [piece.headers(), piece.payload].concat();
    let mut join = Join::default();
    join.begin(&record(&pieces[0]), &whole(&pieces[0])).unwrap();
    let next = record(&pieces[1]);
    for other in [
        RecordHeader { sequence: 78, ..next },
        RecordHeader { source: SwitchId(3), ..next },
        RecordHeader { network: NetworkId::new(2), ..next },
    ] {
        assert!(!join.extend(&other, &whole(&pieces[1])));
    }
    let mut forged = whole(&pieces[1]);
    forged[26] ^= 1;
    assert!(!join.extend(&next, &forged), "another sender's address");
}

#[test]
fn a_checksum_anywhere_but_at_tcps_or_udps_place_is_made_at_once() {
    let (mut bytes, _) = Sample { payload: vec![7; 100], ..sample() }.frame();
    let before = bytes.clone();
    let on_the_source_address = PartialChecksum { start: 14, offset: 12 };
    assert_eq!(settle(&mut bytes, Some(on_the_source_address), None), Ok(Offload::default()));
    assert_ne!(bytes[26..28], before[26..28], "the filter sees what the receiver will");
    let outside = PartialChecksum { start: 14, offset: u16::MAX };
    assert_eq!(settle(&mut bytes, Some(outside), None), Err(Malformed));
}

#[test]
fn a_frame_that_ends_before_the_place_of_its_checksum_is_refused() {
    let (mut bytes, offload) = sample().frame();
    let place = offload.checksum.unwrap();
    let end = usize::from(place.start + place.offset) + 2;
    bytes.truncate(end);
    assert!(is_transports(&bytes, place));
    bytes.truncate(end - 1);
    assert!(!is_transports(&bytes, place));
    assert_eq!(settle(&mut bytes, Some(place), None), Err(Malformed));
}

#[test]
fn a_large_segment_must_be_one() {
    let (mut bytes, offload) = sample().frame();
    let tcp4 = Some((Segmented::Tcp4, 1000));
    assert_eq!(settle(&mut bytes, None, tcp4), Err(Malformed), "no checksum to be made");
    let tcp6 = Some((Segmented::Tcp6, 1000));
    assert_eq!(settle(&mut bytes, offload.checksum, tcp6), Err(Malformed));
    let tiny = Some((Segmented::Tcp4, 47));
    assert_eq!(settle(&mut bytes, offload.checksum, tiny), Err(Malformed));
    let elsewhere = Some(PartialChecksum { start: 34, offset: 6 });
    assert_eq!(settle(&mut bytes, elsewhere, tcp4), Err(Malformed));
    bytes[23] = 17;
    assert_eq!(settle(&mut bytes, offload.checksum, tcp4), Err(Malformed), "UDP");
    let roomy = Some((Segmented::Tcp4, 5000));
    let (mut bytes, offload) = sample().frame();
    let settled = settle(&mut bytes, offload.checksum, roomy).unwrap();
    assert_eq!(settled.segmentation, None, "one piece is no large segment");
}
