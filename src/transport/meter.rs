//! What has passed over one connection, counted where the bytes are.
//!
//! Frames may take long to pass; bytes tell that a peer is alive before its frame is whole, and
//! that it still reads before what we write is through.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

#[derive(Debug)]
pub(super) struct Meter {
    pub bytes_in: Cell<u64>,
    pub bytes_out: Cell<u64>,
    pub frames_in: Cell<u64>,
    pub frames_out: Cell<u64>,
    pub last_in: Cell<Instant>,
    pub last_out: Cell<Instant>,
    pub round_trip: Cell<Option<Duration>>,
}

impl Meter {
    pub fn new() -> Rc<Meter> {
        let now = Instant::now();
        Rc::new(Meter {
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            frames_in: Cell::new(0),
            frames_out: Cell::new(0),
            last_in: Cell::new(now),
            last_out: Cell::new(now),
            round_trip: Cell::new(None),
        })
    }
}

/// Adds to a count.
pub(super) fn add(count: &Cell<u64>, more: u64) {
    count.set(count.get() + more);
}

/// A stream whose bytes are counted.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    meter: Rc<Meter>,
}

impl<S> Metered<S> {
    pub fn new(stream: S, meter: Rc<Meter>) -> Metered<S> {
        Metered { stream, meter }
    }

    fn written(&self, bytes: usize) {
        add(&self.meter.bytes_out, bytes as u64);
        self.meter.last_out.set(Instant::now());
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            add(&self.meter.bytes_in, bytes as u64);
            self.meter.last_in.set(Instant::now());
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(bytes)) = polled {
            self.written(bytes);
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        if let Poll::Ready(Ok(bytes)) = polled {
            self.written(bytes);
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
