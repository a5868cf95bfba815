//! A frame with everything done to it that the next hop does not do itself.

use super::{Malformed, checksum, cut};
use crate::network::frame::Frame;

/// What the other side of a port does itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Large segments and frames without their checksum.
    Everything,
    /// Whole frames only.
    Whole,
}

/// Hands out the frame as whole frames. `scratch` is where they are made, if they must be.
pub fn finish(
    frame: Frame<'_>,
    scratch: &mut Vec<u8>,
    each: &mut dyn FnMut(&[u8]),
) -> Result<(), Malformed> {
    let Some(place) = frame.offload.checksum else {
        each(frame.bytes);
        return Ok(());
    };
    if frame.offload.segmentation.is_none() {
        scratch.clear();
        scratch.extend_from_slice(frame.bytes);
        checksum::complete(scratch, place).ok_or(Malformed)?;
        each(scratch);
        return Ok(());
    }
    for piece in cut(frame, usize::MAX)? {
        scratch.clear();
        scratch.extend_from_slice(piece.headers());
        scratch.extend_from_slice(piece.payload);
        checksum::complete(scratch, piece.checksum).ok_or(Malformed)?;
        each(scratch);
    }
    Ok(())
}
