//! How two ends agree on a session, over hellos.
//!
//! ```text
//!   A                                                        B
//!   first  { salt a }  ───────────────────────────────────▶    (makes salt b, keeps nothing of a)
//!      ◀───────────────────────────────────  answer { salt b, echoes a }
//!   has session (a, b); B is there now
//!   finish { salt a, echoes b }  ─────────────────────────▶    has session (a, b); A is there now
//!      ◀───────────────────────────────────  first record of the session
//!   seals with the session from here on
//! ```
//!
//! Any hello may be lost, repeated or late. Both ends may begin at once: each then answers the other
//! and both make the same session. A salt of ours makes one session at most, so a hello that was
//! recorded earlier makes none.

use super::{
    Moment, Refusal,
    datagram::{HELLO_CLEAR, HelloBody, HelloClear, Stage},
    own::Own,
    peer::Peer,
    sealing::{Direction, Salt},
    session::{Half, Session, TheirHalf},
    window::Window,
};
use crate::domain::overlay::{EpochKeys, SwitchId};
use std::{net::SocketAddr, time::Duration};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
const BETWEEN_FINISHES: Duration = Duration::from_millis(200);
const FINISHES: u32 = 8;

/// Calls that were not answered are told to people after so many.
const IN_VAIN: u32 = 2;
const HINT_FOR: Duration = Duration::from_secs(30);

/// When the peer is called next.
#[derive(Debug, Default)]
pub(super) struct Calling {
    attempts: u32,
    at: Moment,
}

impl Calling {
    pub fn at(now: Moment) -> Calling {
        Calling { attempts: 0, at: now }
    }
    pub fn is_in_vain(&self) -> bool {
        self.attempts > IN_VAIN
    }
    /// The pause doubles, and varies by a quarter so that switches do not call in step.
    fn called(&mut self, own: &mut Own, now: Moment) {
        let pause = FIRST_PAUSE * (1 << self.attempts.min(8));
        self.attempts += 1;
        self.at = now + pause.min(LONGEST_PAUSE) * (75 + own.any() % 51) / 100;
    }
}

/// A session that is ours, and not yet known to be the peer's.
#[derive(Debug)]
pub(super) struct Unconfirmed {
    pub session: Session,
    /// The peer had the cable up when it answered.
    pub renews: bool,
    address: SocketAddr,
    finishes: u32,
    at: Moment,
}

/// Which hellos came of the last salt that made no session yet.
pub(super) type Stranger = Option<(Salt, Window<2>)>;

/// What unproven hellos look like: told to people, and trusted by nobody.
#[derive(Debug, Default)]
pub(super) struct Hints {
    unknown_epoch: Option<(u32, Moment)>,
    other_keys: Option<(u32, Moment)>,
}

impl Hints {
    pub fn unknown_epoch(&self, now: Moment) -> Option<u32> {
        self.unknown_epoch.filter(|(_, at)| now.saturating_sub(*at) < HINT_FOR).map(|(e, _)| e)
    }
    pub fn other_keys(&self, now: Moment) -> Option<u32> {
        self.other_keys.filter(|(_, at)| now.saturating_sub(*at) < HINT_FOR).map(|(e, _)| e)
    }
}

impl Peer {
    /// Calls the peer if it is time to: to bring the cable up, or to renew its session. True if it
    /// was called before and never answered.
    pub(super) fn call(&mut self, own: &mut Own, now: Moment) -> bool {
        if now < self.calling.at || self.next.is_some() {
            return false;
        }
        let epochs = self.epochs_to_call(own, now);
        if epochs.is_empty() {
            return false;
        }
        let epoch = epochs[self.calling.attempts as usize % epochs.len()];
        let (addresses, echo) = match &self.live {
            Some(live) => (vec![live.address], live.session.theirs.salt),
            None => (self.addresses.candidates(now), Salt::NONE),
        };
        for address in addresses {
            self.say(own, epoch, Stage::First, echo, address);
        }
        self.calling.called(own, now);
        !self.is_up() && self.calling.is_in_vain()
    }

    /// The newest first. None if there is no need to call.
    fn epochs_to_call(&self, own: &Own, now: Moment) -> Vec<u32> {
        let newest_first = self.keys.iter().rev().map(|keys| keys.epoch);
        let Some(live) = &self.live else { return newest_first.collect() };
        let session = &live.session;
        // One end is a little earlier, so that not both call.
        let patience = if own.switch < self.switch { 100 } else { 110 };
        let is_old = now.saturating_sub(session.since) >= own.options.renew_after * patience / 100;
        let has_sealed_much = session.sealed() >= own.options.renew_after_datagrams;
        if is_old || has_sealed_much {
            newest_first.collect()
        } else {
            newest_first.take(1).filter(|newest| *newest > session.epoch).collect()
        }
    }

    /// A hello that claims to be from the peer.
    pub(super) fn hello(
        &mut self,
        own: &mut Own,
        now: Moment,
        from: SocketAddr,
        (clear, counter): (HelloClear, u64),
        datagram: &mut [u8],
    ) -> Result<(), Refusal> {
        if self.hellos_of(clear.salt).is_some_and(|window| !window.admits(counter)) {
            return Err(Refusal::Replayed);
        }
        let Some(keys) = self.keys.iter().find(|keys| keys.epoch == clear.epoch) else {
            self.hints.unknown_epoch = Some((clear.epoch, now));
            return Err(Refusal::UnknownEpoch);
        };
        let receiving = receiving(keys, own.switch, self.switch, clear.salt);
        let Some(body) = receiving.hello_key().open(counter, datagram, HELLO_CLEAR) else {
            self.hints.other_keys = Some((clear.epoch, now));
            return Err(Refusal::Altered);
        };
        let body = HelloBody::read(body).ok_or(Refusal::Malformed)?;
        match self.hellos_of(clear.salt) {
            Some(window) => window.mark(counter),
            None => {
                let mut window = Window::new();
                window.mark(counter);
                self.stranger = Some((clear.salt, window));
            }
        }
        match body.stage {
            Stage::First => self.answer(own, now, from, clear, body.echo),
            Stage::Answer | Stage::Finish => self.agree(own, now, from, clear, body),
        }
    }

    /// Somebody with the peer's keys calls, now or at some earlier time.
    fn answer(
        &mut self,
        own: &mut Own,
        now: Moment,
        from: SocketAddr,
        clear: HelloClear,
        echo: Salt,
    ) -> Result<(), Refusal> {
        if self.session_of(clear.salt).is_some() {
            // Late: what it asks for is agreed already.
            return Ok(());
        }
        let is_of_our_session =
            self.live.as_ref().is_some_and(|live| live.session.ours.salt == echo);
        let hellos = match is_of_our_session {
            true => &mut self.known_hellos,
            false => &mut self.unknown_hellos,
        };
        if !hellos.take(now) {
            return Err(Refusal::TooMany);
        }
        self.say(own, clear.epoch, Stage::Answer, clear.salt, from);
        Ok(())
    }

    /// The peer answers a salt of ours.
    fn agree(
        &mut self,
        own: &mut Own,
        now: Moment,
        from: SocketAddr,
        clear: HelloClear,
        body: HelloBody,
    ) -> Result<(), Refusal> {
        let is_pending = self.pending.as_ref().is_some_and(|half| half.salt == body.echo);
        if is_pending && self.session_of(clear.salt).is_none() {
            let session = self.begin_session(own, now, clear, body).ok_or(Refusal::Stale)?;
            match body.stage {
                Stage::Finish => self.go_live(own, now, session, from, body.renews),
                Stage::First | Stage::Answer => {
                    self.next = Some(Unconfirmed {
                        session,
                        renews: body.renews,
                        address: from,
                        finishes: 0,
                        at: now,
                    });
                    self.finish_again(own, now);
                }
            }
            return Ok(());
        }
        if self.session_of(clear.salt).is_none_or(|session| session.ours.salt != body.echo) {
            return Err(Refusal::Stale);
        }
        // What we said last did not arrive, or arrives just now.
        if !self.known_hellos.take(now) {
            return Err(Refusal::TooMany);
        }
        let next = self.next.take_if(|next| next.session.theirs.salt == clear.salt);
        match (body.stage, next) {
            (Stage::Finish, Some(next)) => {
                self.go_live(own, now, next.session, from, body.renews);
            }
            (Stage::Finish, None) => {
                self.ping(own, now, from);
            }
            (Stage::First | Stage::Answer, next) => {
                self.next = next;
                self.say(own, clear.epoch, Stage::Finish, clear.salt, from);
            }
        }
        Ok(())
    }

    /// The session that our pending half makes with theirs. The half is spent by this.
    fn begin_session(
        &mut self,
        own: &Own,
        now: Moment,
        clear: HelloClear,
        body: HelloBody,
    ) -> Option<Session> {
        let keys = self.keys.iter().find(|keys| keys.epoch == clear.epoch)?;
        let hellos = match &self.stranger {
            Some((salt, window)) if *salt == clear.salt => window.clone(),
            _ => Window::new(),
        };
        let ours = self.pending.take()?;
        let (salt, index) = (clear.salt, body.index);
        let sending = sending(keys, own.switch, self.switch, ours.salt);
        let receiving = receiving(keys, own.switch, self.switch, salt);
        let theirs = TheirHalf { salt, index, hellos };
        Some(Session::new(now, sending, receiving, ours, theirs))
    }

    /// Says again that we have the session, until the peer uses it.
    pub(super) fn finish_again(&mut self, own: &mut Own, now: Moment) {
        let Some(next) = &mut self.next else { return };
        if now < next.at {
            return;
        }
        if next.finishes == FINISHES {
            self.next = None;
            self.calling = Calling::at(now);
            return;
        }
        next.finishes += 1;
        next.at = now + BETWEEN_FINISHES;
        let (epoch, salt, address) = (next.session.epoch, next.session.theirs.salt, next.address);
        self.say(own, epoch, Stage::Finish, salt, address);
    }

    /// Sends a hello: of the session that is agreed on, or of the one to come.
    fn say(&mut self, own: &mut Own, epoch: u32, stage: Stage, echo: Salt, to: SocketAddr) {
        let renews = self.is_up();
        if stage != Stage::Finish && self.pending.is_none() {
            let index = self.new_index();
            self.pending = Some(Half::new(own.salt(), index));
        }
        let Some(keys) = self.keys.iter().find(|keys| keys.epoch == epoch) else { return };
        let next = self.next.as_mut().map(|next| &mut next.session);
        let live = self.live.as_mut().map(|live| &mut live.session);
        let half = match stage {
            Stage::First | Stage::Answer => self.pending.as_mut(),
            Stage::Finish => {
                let mut agreed = next.into_iter().chain(live);
                agreed.find(|session| session.theirs.salt == echo).map(|session| &mut session.ours)
            }
        };
        let Some(half) = half else { return };
        let direction = sending(keys, own.switch, self.switch, half.salt);
        let hello = half.hello(direction, stage, renews, echo);
        own.send(to, hello);
    }

    /// The session, agreed on and not retired, that the peer has with this salt of its own.
    fn session_of(&mut self, theirs: Salt) -> Option<&mut Session> {
        let next = self.next.as_mut().map(|next| &mut next.session);
        let live = self.live.as_mut().map(|live| &mut live.session);
        next.into_iter().chain(live).find(|session| session.theirs.salt == theirs)
    }

    /// Which hellos with this salt of the peer's came.
    fn hellos_of(&mut self, theirs: Salt) -> Option<&mut Window<2>> {
        let next = self.next.as_mut().map(|next| &mut next.session.theirs);
        let live = self.live.as_mut().map(|live| &mut live.session.theirs);
        let agreed = next.into_iter().chain(live).map(|half| (&half.salt, &mut half.hellos));
        let stranger = self.stranger.as_mut().map(|(salt, hellos)| (&*salt, hellos));
        agreed.chain(stranger).find(|(salt, _)| **salt == theirs).map(|(_, hellos)| hellos)
    }
}

fn sending(keys: &EpochKeys, own: SwitchId, peer: SwitchId, salt: Salt) -> Direction<'_> {
    let (sender, receiver) = (own, peer);
    Direction { secret: &keys.sending, epoch: keys.epoch, sender, receiver, salt }
}

/// `salt` is the peer's.
fn receiving(keys: &EpochKeys, own: SwitchId, peer: SwitchId, salt: Salt) -> Direction<'_> {
    let (sender, receiver) = (peer, own);
    Direction { secret: &keys.receiving, epoch: keys.epoch, sender, receiver, salt }
}
