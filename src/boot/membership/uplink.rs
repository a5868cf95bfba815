//! A child's way to its parent on another host: the link, and the certificate that renews itself.

use super::{
    super::topology::{Role, Seat},
    card::Card,
    desk::{CharterDesk, DeskFault, ReadCharter},
    dialing_limits,
    door::put_through,
    limits, system_clock,
};
use crate::{
    actors::{
        address::{Address, AskError},
        switchboard::Switchboard,
    },
    config::state_directory::StateDirectory,
    domain::{
        account::{Caller, Role as AccountRole},
        id::GroupName,
        settings::GroupCharter,
    },
    messages::{CallContext, envelope::Outbound},
    transport::{
        credentials::{Credentials, CurrentCredentials, ProcessKey},
        dial::Dial,
        identity::{Expected, Identity},
        join::{self, JoinFault},
        link::Link,
        renewal::Renewal,
    },
};
use actix::{Actor, Addr, ArbiterHandle, Recipient};
use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use tokio::sync::Notify;

/// How soon the charter is asked for again where there is no link yet.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
pub struct Uplink {
    card: Card,
    dial: Dial,
}

impl Uplink {
    pub fn of(card: Card) -> Uplink {
        let dial = Uplink::dial_of(&card.addresses, &card.credentials);
        Uplink { card, dial }
    }

    pub fn dial_of(addresses: &[String], credentials: &Credentials) -> Dial {
        let identity = &credentials.own().identity;
        let mut hasher = DefaultHasher::new();
        identity.hash(&mut hasher);
        Dial {
            addresses: addresses.to_vec(),
            expected: Expected::parent_of(identity.cloud(), identity.role(), identity.group()),
            credentials: CurrentCredentials::new(credentials.clone()),
            limits: dialing_limits(),
            clock: system_clock(),
            // So that many hosts do not come back at the same moments.
            seed: hasher.finish(),
            revoked: Arc::default(),
        }
    }

    pub fn identity(&self) -> &Identity {
        self.card.identity()
    }

    pub fn credentials(&self) -> &CurrentCredentials {
        &self.dial.credentials
    }

    /// For blobs and certificates, which take longer than a link may.
    pub fn patient_dial(&self) -> Dial {
        Dial { limits: limits(), ..self.dial.clone() }
    }

    /// Dials from now on; what the parent asks is put through to the child and to what is added.
    pub fn connect<C: Role>(
        &self,
        child: &Seat<C>,
        furnish: impl FnOnce(&mut Switchboard) + Send + 'static,
    ) -> Addr<Link> {
        let (addr, dial) = (child.started(), self.dial.clone());
        let mailbox = child.mailbox.clone();
        Link::start_in_arbiter(&child.on, move |_| {
            let mut board = C::for_parent(&addr).counting(mailbox);
            furnish(&mut board);
            let board = Rc::new(board);
            Link::dial(dial, Rc::new(move |_, envelope| put_through(board.clone(), envelope)))
        })
    }

    /// Told when the parent says that this host's certificate was revoked.
    pub fn revoked(&self) -> Arc<Notify> {
        self.dial.revoked.clone()
    }

    /// Renews the certificate for as long as the arbiter runs, and keeps it.
    pub fn renew_on(&self, on: &ArbiterHandle, state: &StateDirectory) {
        let (uplink, state) = (self.clone(), state.clone());
        on.spawn_fn(move || {
            actix_rt::spawn(uplink.go_on_renewing(state));
        });
    }

    async fn go_on_renewing(self, state: StateDirectory) {
        let renewal = Renewal {
            credentials: self.dial.credentials.clone(),
            clock: self.dial.clock.clone(),
            seed: self.dial.seed,
        };
        let dial = self.patient_dial();
        let renew = || {
            let dial = dial.clone();
            async move { Ok(join::renew(&dial, &ProcessKey::generate()).await?) }
        };
        let keep = |next: &Credentials| -> Result<(), RenewalFault> {
            let card = Card::find(&state)?.unwrap_or_else(|| self.card.clone());
            Ok(Card { credentials: Arc::new(next.clone()), ..card }.keep(&state)?)
        };
        renewal.go_on(renew, keep).await;
    }
}

#[derive(Debug, thiserror::Error)]
enum RenewalFault {
    #[error(transparent)]
    Join(#[from] JoinFault),
    #[error(transparent)]
    Card(#[from] super::card::CardFault),
}

/// What the group is, asked until somebody answers.
pub async fn read_charter(
    link: &Recipient<Outbound>,
    identity: &Identity,
) -> Result<GroupCharter, AskError<DeskFault>> {
    let group: GroupName =
        identity.group().unwrap_or_default().parse().map_err(|_| AskError::NotDelivered)?;
    let desk = Address::<CharterDesk>::Remote(link.clone());
    loop {
        let asked = ReadCharter { group: group.clone() };
        match desk.ask(own_context(identity, "charter"), asked).await {
            Err(AskError::NotDelivered | AskError::Unanswered) => {
                tokio::time::sleep(ASK_AGAIN_AFTER).await;
            }
            answer => return answer,
        }
    }
}

/// The circumstances of a host's own questions, which are nobody's wish.
pub fn own_context(identity: &Identity, what: &str) -> CallContext {
    let nobody = "000000000000".parse().expect("twelve digits are an account");
    CallContext {
        request_id: format!("{}-{what}", identity.name()),
        trace_id: None,
        time_left_ms: 10_000,
        on_behalf_of: Caller { account: nobody, role: AccountRole::User },
    }
}
