//! Signs of life on a cable that is up: whether both ways still lead through, how long a round trip
//! takes, how much is lost.
//!
//! One end, the one with the lower number, pings five times a second, and the other answers; that
//! proves both ways to both, because every sign tells the highest sign that was heard. Whoever lacks
//! such a proof for longer than usual pings by itself, faster, until it has one or the cable is dead.

use super::{Moment, note::Sign, window::Window};
use std::{net::SocketAddr, time::Duration};

/// Between pings of the end that pings for both,
const REGULARLY: Duration = Duration::from_millis(200);
/// and of the other, which wants to know the round trip too.
const RARELY: Duration = Duration::from_secs(1);
/// Without a proof for so long, an end pings at each tick.
const SUSPICIOUS: Duration = Duration::from_millis(400);
const BETWEEN_ANXIOUS: Duration = Duration::from_millis(80);
/// Without a proof for so long, the cable is dead.
pub(super) const DEAD: Duration = Duration::from_millis(800);

const LOSS_OVER: Duration = Duration::from_secs(2);
const LOSS_OF_AT_LEAST: u64 = 10;

#[derive(Debug)]
pub(super) struct Keepalive {
    is_regular: bool,
    /// The last sign sent, and the last of the other's heard.
    sent: u32,
    heard: u32,
    /// The last of ours that the other is known to have heard, and when that was learned.
    proven: u32,
    proven_at: Moment,
    pinged_at: Option<Moment>,
    round_trip: Option<Duration>,
    seen_at: Option<SocketAddr>,
    loss_in: f32,
    loss_out: f32,
    /// What the loss is measured from: sealed by the far end, and opened here.
    measured: (Moment, u64, u64),
}

impl Keepalive {
    pub fn new(now: Moment, is_regular: bool) -> Keepalive {
        Keepalive {
            is_regular,
            sent: 0,
            heard: 0,
            proven: 0,
            proven_at: now,
            pinged_at: None,
            round_trip: None,
            seen_at: None,
            loss_in: 0.0,
            loss_out: 0.0,
            measured: (now, 0, 0),
        }
    }

    pub fn is_dead(&self, now: Moment) -> bool {
        now.saturating_sub(self.proven_at) >= DEAD
    }

    pub fn is_ping_due(&self, now: Moment) -> bool {
        let Some(pinged_at) = self.pinged_at else { return true };
        let usual = if self.is_regular { REGULARLY } else { RARELY };
        let is_suspicious = now.saturating_sub(self.proven_at) >= SUSPICIOUS;
        now.saturating_sub(pinged_at) >= if is_suspicious { BETWEEN_ANXIOUS } else { usual }
    }

    /// The sign in a ping to be sent to where the other end is seen.
    pub fn ping(&mut self, now: Moment, seen_at: SocketAddr) -> Sign {
        self.pinged_at = Some(now);
        self.sign(now.as_micros() as u64, seen_at)
    }

    /// The sign in the pong to a ping.
    pub fn pong(&mut self, ping: &Sign, seen_at: SocketAddr) -> Sign {
        self.sign(ping.time, seen_at)
    }

    fn sign(&mut self, time: u64, seen_at: SocketAddr) -> Sign {
        self.sent += 1;
        let loss = (self.loss_in * f32::from(u16::MAX)) as u16;
        Sign { number: self.sent, heard: self.heard, time, loss, seen_at }
    }

    /// A sign of the other end's came.
    pub fn hear(&mut self, now: Moment, sign: &Sign) {
        self.heard = self.heard.max(sign.number);
        self.loss_out = f32::from(sign.loss) / f32::from(u16::MAX);
        self.seen_at = Some(sign.seen_at);
        if sign.heard > self.proven && sign.heard <= self.sent {
            self.proven = sign.heard;
            self.proven_at = now;
        }
    }

    /// A pong came: `time` is what its ping said.
    pub fn answered(&mut self, now: Moment, time: u64) {
        let taken = now.saturating_sub(Duration::from_micros(time)).min(Duration::from_secs(10));
        self.round_trip = Some(match self.round_trip {
            None => taken,
            Some(usual) => (7 * usual + taken) / 8,
        });
    }

    /// Compares what the far end has sealed with what was opened here.
    pub fn measure_loss<const W: usize>(&mut self, now: Moment, window: &Window<W>, opened: u64) {
        let (since, sealed_then, opened_then) = self.measured;
        let sealed = window.next();
        if sealed < sealed_then {
            self.measured = (now, sealed, opened);
        } else if now.saturating_sub(since) >= LOSS_OVER && sealed - sealed_then >= LOSS_OF_AT_LEAST
        {
            let came = opened.saturating_sub(opened_then) as f32 / (sealed - sealed_then) as f32;
            let lost = (1.0 - came).clamp(0.0, 1.0);
            self.loss_in += (lost - self.loss_in) / 4.0;
            self.measured = (now, sealed, opened);
        }
    }

    /// The loss is measured from here: the session is another.
    pub fn measure_anew(&mut self, now: Moment) {
        self.measured = (now, 0, 0);
    }

    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }
    pub fn seen_at(&self) -> Option<SocketAddr> {
        self.seen_at
    }
    pub fn loss_in(&self) -> f32 {
        self.loss_in
    }
    pub fn loss_out(&self) -> f32 {
        self.loss_out
    }
}
