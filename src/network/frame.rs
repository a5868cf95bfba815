//! An Ethernet frame on its way through the switch, with what a virtio NIC left undone.
//!
//! A guest or a kernel may hand over a TCP segment of 64 KiB to be cut later, and packets without
//! their checksum (virtio 1.2, section 5.1.6). Both are kept as they are for as long as the next
//! hop can take them, because cutting early costs a system call a segment.

/// The checksum from `start` to the frame's end is still to be stored at `start + offset`, where the
/// pseudo header's sum stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartialChecksum {
    pub start: u16,
    pub offset: u16,
}

/// Which protocol a large segment is cut by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segmented {
    Tcp4,
    Tcp6,
}

/// The frame's payload is to be cut into pieces of `size` bytes, each behind a copy of the headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segmentation {
    pub protocol: Segmented,
    pub size: u16,
    /// Ethernet, IP and TCP together.
    pub headers: u16,
}

/// What is left to be done to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Offload {
    pub checksum: Option<PartialChecksum>,
    /// Only together with `checksum`.
    pub segmentation: Option<Segmentation>,
}

/// A frame without its check sequence, from the destination's address on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    pub bytes: &'a [u8],
    pub offload: Offload,
}

impl<'a> Frame<'a> {
    /// A frame with nothing left to be done.
    pub fn whole(bytes: &'a [u8]) -> Frame<'a> {
        Frame { bytes, offload: Offload::default() }
    }
}

/// The largest frame there is: an IP packet of 64 KiB behind an Ethernet header with a VLAN tag.
pub const LARGEST: usize = 65_535 + 18;
