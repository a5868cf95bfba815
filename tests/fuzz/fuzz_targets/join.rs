//! Pieces of large segments as a neighbour sends them, joined or not: what comes out is no longer
//! than a frame, holds what came in, and says of itself what a port may rely on.
//!
//! Input: (record: length 2 · header 24 · piece) …
#![no_main]

use mallee_fuzz::{
    input::Input,
    network::{
        frame::LARGEST,
        record::RecordHeader,
        segments::{Join, finish, settle},
    },
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let mut join = Join::default();
    let mut came = 0;
    while let Some(record) = input.piece() {
        let Some((header, piece)) = RecordHeader::read(record) else { continue };
        if join.extend(&header, piece) {
            came += piece.len();
            continue;
        }
        came = take(&mut join, came);
        if join.begin(&header, piece).is_ok() {
            came += piece.len();
        }
    }
    take(&mut join, came);
});

/// How much came for the next segment: nothing yet.
fn take(join: &mut Join, came: usize) -> usize {
    if let Some((header, joined)) = join.take() {
        assert!(joined.bytes.len() <= came.min(LARGEST));
        assert_eq!(header.checksum, joined.offload.checksum);
        let segmented = joined.offload.segmentation.map(|by| (by.protocol, by.size));
        let mut bytes = joined.bytes.to_vec();
        assert_eq!(settle(&mut bytes, joined.offload.checksum, segmented), Ok(joined.offload));
        let mut length = 0;
        finish(joined, &mut Vec::new(), &mut |whole| length += whole.len())
            .expect("what was joined can be cut again");
        assert!(length >= joined.bytes.len());
    }
    0
}
