//! Roles of one process that reach one another as on different hosts: over TLS connections on the
//! loopback interface, with certificates of an authority that ends with the process.
//!
//! Each parent listens, each child dials, and what a child may ask is decided by who its certificate
//! says it is.

use super::{
    membership::door::{is_child, put_through, receive_from_children},
    topology::{Parent, Role, Seat},
};
use crate::{
    actors::address::Address,
    messages::envelope::Outbound,
    transport::{
        Clock,
        authority::{Authority, AuthorityFault},
        bulk::NoBlobs,
        credentials::{CredentialFault, Credentials, CurrentCredentials},
        dial::Dial,
        identity::{Expected, Identity},
        ledger::Refused,
        limits::Limits,
        link::Link,
        listener::{self, Door, LinkTo, Listener, Reception},
    },
};
use actix::{Actor, Addr, Recipient};
use std::{
    collections::BTreeMap,
    fmt, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::mpsc;

/// Longer than any process lives; nothing is kept of these certificates.
const VALID_FOR: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// How long a child of the same process may take to its parent.
const ARRIVAL_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum LinksFault {
    #[error(transparent)]
    Authority(#[from] AuthorityFault),
    #[error(transparent)]
    Credentials(#[from] CredentialFault),
    #[error("`{0}` cannot listen: {1}")]
    Listen(Identity, io::Error),
    #[error("`{0}` did not reach its parent")]
    NoArrival(Identity),
}

pub struct Links {
    authority: Authority,
    clock: Clock,
    desks: BTreeMap<Identity, Desk>,
}

/// Where a parent listens.
struct Desk {
    listener: Addr<Listener>,
    at: SocketAddr,
    arrivals: mpsc::UnboundedReceiver<Identity>,
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.desks.keys()).finish()
    }
}

impl Links {
    pub fn begin(cloud: &str) -> Result<Links, LinksFault> {
        let clock: Clock = Arc::new(SystemTime::now);
        let authority = Authority::create(cloud, clock())?;
        Ok(Links { authority, clock, desks: BTreeMap::new() })
    }

    pub fn doors(&self) -> Vec<Addr<Listener>> {
        self.desks.values().map(|desk| desk.listener.clone()).collect()
    }

    /// The address a parent, which may not have begun yet, has of its child.
    pub async fn child<P: Parent, C: Role>(
        &mut self,
        parent: &Seat<P>,
        child: &Seat<C>,
    ) -> Result<Address<C>, LinksFault> {
        let desk = self.desk(parent).await?;
        let ended = |_| LinksFault::Listen(parent.identity.clone(), io::Error::other("it ended"));
        let link = desk.listener.send(LinkTo(child.identity.clone())).await.map_err(ended)?;
        Ok(Address::Remote(link.recipient()))
    }

    /// The address a child has of its parent, once it is connected.
    pub async fn parent<P: Parent, C: Role>(
        &mut self,
        parent: &Seat<P>,
        child: &Seat<C>,
    ) -> Result<Address<P>, LinksFault> {
        let credentials = CurrentCredentials::new(self.credentials(&child.identity)?);
        let clock = self.clock.clone();
        let desk = self.desk(parent).await?;
        let identity = child.identity.clone();
        let dial = Dial {
            addresses: vec![desk.at.to_string()],
            expected: Expected::parent_of(identity.cloud(), identity.role(), identity.group()),
            credentials,
            limits: Limits::default(),
            clock,
            seed: 0,
            revoked: Arc::default(),
        };
        let (addr, mailbox) = (child.started(), child.mailbox.clone());
        let link = Link::start_in_arbiter(&child.on, move |_| {
            let board = Rc::new(C::for_parent(&addr).counting(mailbox));
            Link::dial(dial, Rc::new(move |_, envelope| put_through(board.clone(), envelope)))
        });
        let address = Address::Remote(link.recipient());
        loop {
            match tokio::time::timeout(ARRIVAL_WITHIN, desk.arrivals.recv()).await {
                Ok(Some(arrived)) if arrived == identity => return Ok(address),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Err(LinksFault::NoArrival(identity)),
            }
        }
    }

    fn credentials(&self, identity: &Identity) -> Result<Credentials, LinksFault> {
        Ok(Credentials::issued_by(&self.authority, identity, (self.clock)(), VALID_FOR)?)
    }

    async fn desk<P: Parent>(&mut self, parent: &Seat<P>) -> Result<&mut Desk, LinksFault> {
        let key = parent.identity.clone();
        if !self.desks.contains_key(&key) {
            let desk = self.listen(parent).await?;
            self.desks.insert(key.clone(), desk);
        }
        Ok(self.desks.get_mut(&key).expect("it was made if it was not there"))
    }

    async fn listen<P: Parent>(&self, parent: &Seat<P>) -> Result<Desk, LinksFault> {
        let failed = |fault| LinksFault::Listen(parent.identity.clone(), fault);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let at = listener.local_addr().map_err(failed)?;
        let door = Door {
            listener,
            credentials: CurrentCredentials::new(self.credentials(&parent.identity)?),
            limits: Limits::default(),
            clock: self.clock.clone(),
        };
        let (tell, arrivals) = mpsc::unbounded_channel();
        let (own, seat) = (parent.identity.clone(), parent.clone());
        let reception = move || Reception {
            admit: Rc::new(move |peer| is_child(&own, peer)),
            receive: receive_from_children(seat, |_, _| {}),
            arrived: Rc::new(move |peer, _: Recipient<Outbound>| {
                // Who no longer waits for arrivals needs none.
                let _ = tell.send(peer.identity.clone());
            }),
            register: Rc::new(|_| Box::pin(async { Err(Refused::UnknownToken) })),
            // They share their images' directory.
            provide: Rc::new(NoBlobs),
        };
        let listener = listener::start(&parent.on, door, reception).await.map_err(failed)?;
        Ok(Desk { listener, at, arrivals })
    }
}
