//! The switch's edges: what a guest's frames come in by and go out by.
//!
//! A `Port` is a descriptor that many frames are read from at each wake-up. A frame that the other
//! side cannot take is dropped and counted, as on a wire; nothing here waits. One test suite
//! (`tests/network/ports.rs`) holds all kinds to this.
//!
//! Not here: who may say what on a port. That is the switch's.

mod batch;
mod packet;
mod pipe;
mod socket;
mod tap;
mod vnet;

pub use batch::Batch;
pub use pipe::Pipe;

use super::frame::Frame;
use serde::Serialize;
use std::{
    fmt::{self, Debug},
    io,
    os::fd::BorrowedFd,
    path::PathBuf,
};

/// One guest's edge of the switch.
pub trait Port: Debug + Send {
    /// Readable when frames wait.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// Takes frames that wait, until there are no more or the batch is full. An error means that
    /// the port is of no use any more, and has to be opened anew.
    fn read(&mut self, into: &mut Batch) -> io::Result<()>;

    fn write(&mut self, frame: Frame<'_>);

    /// Hands over what was kept back for a side that was slow. True while it still is.
    fn flush(&mut self) -> bool {
        false
    }

    /// Whether it is still of use, for ports that may lose their device without being told. Asked
    /// now and then.
    fn check(&self) -> io::Result<()> {
        Ok(())
    }

    fn losses(&self) -> Losses;
}

/// Frames that came to a port and went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Losses {
    /// Came in, and were not what they said they were.
    pub malformed: u64,
    /// Were to go out, and the other side was not there, or had no room.
    pub undelivered: u64,
}

/// What a port is to be opened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attachment {
    /// A tap of our own, in the network namespace of the switch; made if there is none.
    Tap { name: String },
    /// A tap that QEMU has opened. The host's own stack must not listen on it: that is to be
    /// arranged by whoever made it.
    Packet { device: String },
    /// Unix datagrams, a frame each. For QEMU's `-netdev dgram` with `local.path=guests` and
    /// `remote.path=ours`; either side may be restarted.
    Socket { ours: PathBuf, guests: PathBuf },
    /// The other end is in this process.
    Pipe(Pipe),
}

impl Attachment {
    pub fn open(&self) -> io::Result<Box<dyn Port>> {
        Ok(match self {
            Attachment::Tap { name } => Box::new(tap::Tap::open(name)?),
            Attachment::Packet { device } => Box::new(packet::Packet::open(device)?),
            Attachment::Socket { ours, guests } => Box::new(socket::Socket::open(ours, guests)?),
            Attachment::Pipe(pipe) => Box::new(pipe.clone()),
        })
    }
}

/// As people are shown it.
impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attachment::Tap { name } => write!(f, "tap {name}"),
            Attachment::Packet { device } => write!(f, "device {device}"),
            Attachment::Socket { ours, .. } => write!(f, "socket {}", ours.display()),
            Attachment::Pipe(_) => f.write_str("pipe"),
        }
    }
}
