//! The writing half of a connection: what waits becomes frames when there is room for them.

use super::{
    super::{frame::Frame, meter::add},
    Connection,
    outbox::Parcel,
    told,
};
use crate::messages::envelope::LinkFault;
use bytes::Bytes;
use futures_util::{Sink, SinkExt};
use std::{future::poll_fn, io, time::Duration};
use tokio::time::Instant;

impl Connection {
    /// Writes until that fails. Why it did.
    pub(super) async fn write(
        &self,
        mut sink: impl Sink<Bytes, Error = io::Error> + Unpin,
    ) -> String {
        loop {
            match self.write_what_there_is(&mut sink).await {
                Ok(()) => self.outbox.filled().await,
                Err(fault) => return told(&fault),
            }
        }
    }

    async fn write_what_there_is(
        &self,
        sink: &mut (impl Sink<Bytes, Error = io::Error> + Unpin),
    ) -> io::Result<()> {
        self.writing.set(Some(Instant::now()));
        loop {
            // Taken when it can go, so that what waits can still be said not to have gone.
            poll_fn(|context| sink.poll_ready_unpin(context)).await?;
            let Some(parcel) = self.outbox.take() else { break };
            let Some(frame) = self.frame(parcel) else { continue };
            sink.start_send_unpin(frame)?;
            add(&self.meter.frames_out, 1);
        }
        sink.flush().await?;
        self.writing.set(None);
        Ok(())
    }

    /// The frame that a parcel goes in, unless it is too late for it.
    fn frame(&self, parcel: Parcel) -> Option<Bytes> {
        let frame = match parcel {
            Parcel::Question { id, mut envelope, deadline, held } => {
                if !self.questions.write(id, deadline) {
                    return None;
                }
                let left = deadline.saturating_duration_since(Instant::now());
                envelope.context.time_left_ms = whole_millis(left);
                let frame = Frame::Question { id, envelope }.encode();
                // It waits no more: there is room for another.
                drop(held);
                if let Err(fault) = &frame {
                    self.questions.unwritable(id, format!("it would be {fault}"));
                }
                return frame.ok();
            }
            Parcel::Answer { id, answer, held } => {
                drop(held);
                Frame::Answer { id, answer }
            }
            Parcel::Declined { id } => {
                let fault = LinkFault::NotDelivered("there is no room for the question".into());
                Frame::Answer { id, answer: Err(fault) }
            }
            Parcel::Ping(number) => {
                self.pinged.set((number, Instant::now()));
                Frame::Ping(number)
            }
            Parcel::Pong(number) => Frame::Pong(number),
        };
        Some(frame.encode().expect("answers are measured and faults clipped when they are given"))
    }
}

/// Rounded up: a question that is written has time left, or it would not be.
fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
