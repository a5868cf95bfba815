//! A cloud with one group, `east`, whose manager listens and whose nodes dial.

use super::log_lines;
use actix::{Actor, Addr, Recipient};
use futures_util::future::LocalBoxFuture;
use mallee::{
    domain::account::{Caller, Role},
    messages::{
        CallContext,
        envelope::{Envelope, LinkFault, Outbound},
    },
    transport::{
        Clock, NotAdmitted, ReceiveFrom,
        authority::Authority,
        bulk::{Blob, Provide},
        credentials::{Credentials, CurrentCredentials},
        dial::Dial,
        identity::{self, Expected, Identity, Peer},
        ledger::Ledger,
        limits::Limits,
        link::{Inspect, Link},
        listener::{Door, LinkTo, Listener, Readmit, Reception},
        registrar::Registrar,
        state::LinkState,
    },
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// The authority, and a clock that can be put forward.
pub struct Lab {
    pub registrar: Rc<RefCell<Registrar>>,
    ahead: Arc<AtomicU64>,
}

impl Lab {
    pub fn new() -> Lab {
        log_lines::begin();
        let registrar = Registrar {
            authority: Authority::create("lab", SystemTime::now()).unwrap(),
            ledger: Ledger::new("lab"),
            valid_for: 30 * DAY,
        };
        Lab { registrar: Rc::new(RefCell::new(registrar)), ahead: Arc::default() }
    }

    pub fn clock(&self) -> Clock {
        let ahead = self.ahead.clone();
        Arc::new(move || SystemTime::now() + Duration::from_secs(ahead.load(Ordering::SeqCst)))
    }

    pub fn now(&self) -> SystemTime {
        self.clock()()
    }

    pub fn put_forward(&self, by: Duration) {
        self.ahead.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    pub fn credentials(&self, identity: &Identity) -> Credentials {
        let registrar = self.registrar.borrow();
        Credentials::issued_by(&registrar.authority, identity, self.now(), 30 * DAY).unwrap()
    }

    pub fn parent(&self) -> Parent {
        self.parent_with(Limits::default(), echo())
    }

    /// The manager of `east`, which lets in its nodes.
    pub fn parent_with(&self, limits: Limits, receive: ReceiveFrom) -> Parent {
        let own = Identity::group_manager("lab", "east", "g1").unwrap();
        self.listening(self.credentials(&own), limits, receive)
    }

    /// Somebody who listens as the manager of `east` does, whoever it is.
    pub fn listening(
        &self,
        credentials: Credentials,
        limits: Limits,
        receive: ReceiveFrom,
    ) -> Parent {
        let revoked = Rc::new(RefCell::new(BTreeSet::new()));
        let arrivals = Rc::new(RefCell::new(Vec::new()));
        let blobs = Rc::new(RefCell::new(BTreeMap::new()));
        let reception = Reception {
            admit: {
                let revoked = revoked.clone();
                Rc::new(move |peer| {
                    if revoked.borrow().contains(&peer.identity) {
                        return Err(NotAdmitted::Revoked);
                    }
                    match (peer.identity.role(), peer.identity.group()) {
                        (identity::Role::Node, Some("east")) => Ok(()),
                        (role, _) => {
                            Err(format!("no {role} but the nodes of `east` comes here").into())
                        }
                    }
                })
            },
            receive,
            arrived: {
                let arrivals = arrivals.clone();
                Rc::new(move |peer, link| {
                    arrivals.borrow_mut().push((peer.identity.clone(), link));
                })
            },
            register: {
                let (registrar, clock) = (self.registrar.clone(), self.clock());
                Rc::new(move |application| {
                    let decision = registrar.borrow_mut().decide(&application, clock());
                    Box::pin(async move { decision })
                })
            },
            provide: Rc::new(Shelf(blobs.clone())),
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let current = CurrentCredentials::new(credentials);
        let door = Door { listener, credentials: current.clone(), limits, clock: self.clock() };
        let listener = Listener::begin(door, reception).unwrap().start();
        Parent { listener, at, credentials: current, revoked, arrivals, blobs }
    }

    /// How node `name` of `east` dials somebody at an address.
    pub fn dial(&self, name: &str, at: SocketAddr) -> Dial {
        let identity = Identity::node_manager("lab", "east", name).unwrap();
        self.dial_as(self.credentials(&identity), at)
    }

    pub fn dial_as(&self, credentials: Credentials, at: SocketAddr) -> Dial {
        Dial {
            addresses: vec![at.to_string()],
            expected: Expected::parent_of("lab", identity::Role::Node, Some("east")),
            credentials: CurrentCredentials::new(credentials),
            limits: quick(),
            clock: self.clock(),
            seed: 7,
            revoked: Arc::default(),
        }
    }

    /// Node `name` of `east`, which answers `receive`.
    pub fn child(&self, name: &str, at: SocketAddr) -> Addr<Link> {
        Link::dial(self.dial(name, at), echo()).start()
    }
}

/// Limits of those who connect again at once.
pub fn quick() -> Limits {
    Limits {
        retry_first: Duration::from_millis(5),
        retry_max: Duration::from_millis(20),
        ..Limits::default()
    }
}

pub struct Parent {
    pub listener: Addr<Listener>,
    pub at: SocketAddr,
    pub credentials: CurrentCredentials,
    pub revoked: Rc<RefCell<BTreeSet<Identity>>>,
    pub arrivals: Rc<RefCell<Vec<(Identity, Recipient<Outbound>)>>>,
    /// By name; one that has fewer bytes than it says is cut short.
    pub blobs: Rc<RefCell<BTreeMap<String, (u64, Vec<u8>)>>>,
}

impl Parent {
    pub async fn link_to(&self, name: &str) -> Addr<Link> {
        let identity = Identity::node_manager("lab", "east", name).unwrap();
        self.listener.send(LinkTo(identity)).await.unwrap()
    }

    pub async fn revoke(&self, name: &str) {
        let identity = Identity::node_manager("lab", "east", name).unwrap();
        self.revoked.borrow_mut().insert(identity);
        self.listener.send(Readmit).await.unwrap();
    }
}

struct Shelf(Rc<RefCell<BTreeMap<String, (u64, Vec<u8>)>>>);

impl Provide for Shelf {
    fn open(
        &self,
        peer: Rc<Peer>,
        name: String,
        offset: u64,
    ) -> LocalBoxFuture<'static, Result<Blob, String>> {
        assert_eq!(peer.identity.role(), identity::Role::Node);
        let found = self.0.borrow().get(&name).cloned();
        Box::pin(async move {
            let (length, bytes) = found.ok_or("there is no such blob")?;
            let from = bytes.len().min(usize::try_from(offset).unwrap());
            let content = Box::new(std::io::Cursor::new(bytes[from..].to_vec()));
            Ok(Blob { length, content })
        })
    }
}

/// Answers with the question's body.
pub fn echo() -> ReceiveFrom {
    Rc::new(|_, envelope| Box::pin(async move { Ok(envelope.body) }))
}

/// Answers with the asker's identity.
pub fn who_asks() -> ReceiveFrom {
    Rc::new(|peer, _| Box::pin(async move { Ok(peer.identity.to_string().into_bytes()) }))
}

pub fn question(body: &[u8]) -> Outbound {
    let context = CallContext {
        request_id: "r-1".into(),
        trace_id: None,
        time_left_ms: 20_000,
        on_behalf_of: Caller { account: "111122223333".parse().unwrap(), role: Role::User },
    };
    Outbound(Envelope { name: "test.echo".into(), context, body: body.into() })
}

pub async fn ask(link: &Addr<Link>, body: &[u8]) -> Result<Vec<u8>, LinkFault> {
    link.send(question(body)).await.unwrap()
}

pub async fn state(link: &Addr<Link>) -> LinkState {
    link.send(Inspect).await.unwrap()
}

pub async fn connected(link: &Addr<Link>) {
    until_state(link, "it is connected", |state| state.connected_since.is_some()).await;
}

/// Waits until the link failed for a reason that holds `part`.
pub async fn failed(link: &Addr<Link>, part: &str) {
    until_state(link, &format!("it failed with `{part}`"), |state| {
        state.last_failure.as_ref().is_some_and(|why| why.contains(part))
    })
    .await;
}

pub async fn until_state(link: &Addr<Link>, what: &str, holds: impl Fn(&LinkState) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let state = state(link).await;
        if holds(&state) {
            return;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}: {state:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits for a condition.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
