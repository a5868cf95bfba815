//! The parent's end: who comes in, and the links to those who did.
//!
//! Whoever connects is a stranger until TLS has a certificate of it and `admit` lets it in; there
//! is a limit to how many strangers there are and how long they may take. Each peer has one link,
//! which can be asked for before the peer ever came. When `admit` changes its mind (a certificate
//! was revoked), [`Readmit`] cuts at once whom it would let in no more.

use super::{
    bulk::{self, Provide},
    connection::{Greeted, ReceiveFrom},
    credentials::CurrentCredentials,
    handshake::{greeting, welcome},
    identity::{Identity, Peer},
    join::{self, Register},
    limits::Limits,
    line::Line,
    link::Link,
    meter::{Meter, Metered},
    state::LinkState,
    tls::{self, Clock, Protocol},
};
use crate::messages::envelope::Outbound;
use actix::{Actor, Addr, Context, Handler, Message, MessageResult, Recipient};
use std::{
    cell::RefCell, collections::BTreeMap, fmt, io, net::SocketAddr, rc::Rc, sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

/// Whether a process of this cloud may come in here, for who it is; if not, why.
pub type Admit = Rc<dyn Fn(&Peer) -> Result<(), String>>;

/// What is done with those who come. Made where the listener runs.
pub struct Reception {
    pub admit: Admit,
    /// Answers what peers ask.
    pub receive: ReceiveFrom,
    /// Hears of each connection, with the link to ask the peer over.
    pub arrived: Rc<dyn Fn(&Peer, Recipient<Outbound>)>,
    pub register: Register,
    pub provide: Rc<dyn Provide>,
}

impl fmt::Debug for Reception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reception")
    }
}

/// Where strangers come, and who they find.
pub struct Door {
    /// Already bound: a busy port is the caller's news.
    pub listener: std::net::TcpListener,
    pub credentials: CurrentCredentials,
    pub limits: Limits,
    pub clock: Clock,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door({:?})", self.listener)
    }
}

pub struct Listener {
    hall: Rc<Hall>,
    accepting: JoinHandle<()>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({:?})", self.hall.links.borrow().keys())
    }
}

/// What those who came in share.
struct Hall {
    credentials: CurrentCredentials,
    limits: Limits,
    clock: Clock,
    reception: Reception,
    links: RefCell<BTreeMap<Identity, Peered>>,
    fetching: RefCell<Vec<Rc<Fetching>>>,
}

struct Peered {
    line: Rc<Line>,
    link: Addr<Link>,
}

/// A peer that is being sent a blob.
struct Fetching {
    peer: Rc<Peer>,
    cut: Notify,
}

impl Listener {
    /// Listens from now on, on the arbiter that this is called on.
    pub fn begin(door: Door, reception: Reception) -> io::Result<Listener> {
        let Door { listener, credentials, limits, clock } = door;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let hall = Rc::new(Hall {
            credentials,
            limits,
            clock,
            reception,
            links: RefCell::default(),
            fetching: RefCell::default(),
        });
        let accepting = tokio::task::spawn_local(hall.clone().accept(listener));
        Ok(Listener { hall, accepting })
    }
}

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Asks for the link to a peer, whether it has come yet or not.
#[derive(Debug, Message)]
#[rtype(result = "Addr<Link>")]
pub struct LinkTo(pub Identity);

impl Handler<LinkTo> for Listener {
    type Result = MessageResult<LinkTo>;

    fn handle(&mut self, LinkTo(identity): LinkTo, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.hall.link(&identity).1)
    }
}

/// Says that `admit` may judge otherwise than before: everybody here is judged again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Readmit;

impl Handler<Readmit> for Listener {
    type Result = ();

    fn handle(&mut self, _: Readmit, _: &mut Self::Context) {
        self.hall.readmit();
    }
}

/// Asks how all links are doing.
#[derive(Debug, Message)]
#[rtype(result = "Vec<LinkState>")]
pub struct InspectAll;

impl Handler<InspectAll> for Listener {
    type Result = MessageResult<InspectAll>;

    fn handle(&mut self, _: InspectAll, _: &mut Self::Context) -> Self::Result {
        let links = self.hall.links.borrow();
        MessageResult(links.values().map(|peered| peered.line.state()).collect())
    }
}

impl Hall {
    async fn accept(self: Rc<Self>, listener: TcpListener) {
        // Those who came in are gone when the listener is.
        let mut guests = JoinSet::new();
        let strangers = Arc::new(Semaphore::new(self.limits.strangers_max));
        loop {
            let place = strangers.clone().acquire_owned();
            let place = place.await.expect("nobody closes it");
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((tcp, from)) => {
                        guests.spawn_local(self.clone().meet(tcp, from, place));
                    }
                    Err(fault) => {
                        // Too many open files, most likely: trying at once would fail at once.
                        log::warn!("a connection cannot be accepted: {fault}");
                        sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = guests.join_next() => {}
            }
        }
    }

    async fn meet(self: Rc<Self>, tcp: TcpStream, from: SocketAddr, place: OwnedSemaphorePermit) {
        if let Err(fault) = tcp.set_nodelay(true) {
            return log::warn!("`{from}` was gone before it was met: {fault}");
        }
        let meter = Meter::new();
        let stream = Metered::new(tcp, meter.clone());
        let met = timeout(self.limits.connect_within, self.handshake(stream)).await;
        let outcome = match met {
            Ok(Ok((Protocol::Join, peer, stream))) => self.certify(stream, peer, from).await,
            Ok(Ok((Protocol::Link, Some(peer), stream))) => {
                self.link_with(stream, peer, meter, from, place).await
            }
            Ok(Ok((Protocol::Bulk, Some(peer), stream))) => {
                self.provide_to(stream, peer, place).await
            }
            Ok(Ok((Protocol::Link | Protocol::Bulk, None, _))) => {
                Err("it showed no certificate".into())
            }
            Ok(Err(why)) => Err(why),
            Err(_) => Err(format!("no handshake in {:?}", self.limits.connect_within)),
        };
        if let Err(why) = outcome {
            log::warn!("`{from}` was turned away: {why}");
        }
    }

    async fn handshake(
        &self,
        stream: Metered<TcpStream>,
    ) -> Result<(Protocol, Option<Peer>, TlsStream<Metered<TcpStream>>), String> {
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream)
            .await
            .map_err(|fault| tls::told(&fault))?;
        let protocol = hello
            .client_hello()
            .alpn()
            .and_then(Protocol::asked_for)
            .ok_or("it speaks no protocol of ours")?;
        let config = tls::server(protocol, &self.credentials.get(), &self.clock)
            .map_err(|fault| fault.to_string())?;
        let stream =
            hello.into_stream(Arc::new(config)).await.map_err(|fault| tls::told(&fault))?;
        let peer = tls::peer(stream.get_ref().1.peer_certificates())?;
        Ok((protocol, peer, stream))
    }

    async fn certify(
        &self,
        stream: TlsStream<Metered<TcpStream>>,
        member: Option<Peer>,
        from: SocketAddr,
    ) -> Result<(), String> {
        if let Some(member) = &member {
            self.admits(member).map_err(|why| format!("`{}`: {why}", member.identity))?;
        }
        let serve = join::serve(stream, member, &self.reception.register);
        match timeout(self.limits.connect_within, serve).await {
            Ok(Ok(name)) => {
                log::info!("`{name}` at `{from}` was given a certificate");
                Ok(())
            }
            Ok(Err(fault)) => Err(fault.to_string()),
            Err(_) => Err("it was not certified in time".into()),
        }
    }

    async fn link_with(
        self: &Rc<Self>,
        stream: TlsStream<Metered<TcpStream>>,
        peer: Peer,
        meter: Rc<Meter>,
        from: SocketAddr,
        place: OwnedSemaphorePermit,
    ) -> Result<(), String> {
        let name = peer.identity.to_string();
        let mut framed = greeting(stream);
        let greeted = welcome(&mut framed, self.limits.questions_max, self.admits(&peer));
        let turns = timeout(self.limits.connect_within, greeted)
            .await
            .map_err(|_| format!("`{name}`: it did not greet in time"))?
            .map_err(|fault| format!("`{name}`: {fault}"))?;
        drop(place);
        // It may have been revoked while it greeted.
        self.admits(&peer).map_err(|why| format!("`{name}`: {why}"))?;
        let (line, link) = self.link(&peer.identity);
        let greeted = Greeted { framed, peer, turns, meter };
        let connected = line.connect(&greeted);
        log::info!("`{name}` at `{from}` is linked");
        (self.reception.arrived)(&greeted.peer, link.recipient());
        let reason = connected.run(greeted.framed, self.reception.receive.clone()).await;
        log::warn!("the link of `{name}` at `{from}` ended: {reason}");
        Ok(())
    }

    async fn provide_to(
        &self,
        stream: TlsStream<Metered<TcpStream>>,
        peer: Peer,
        place: OwnedSemaphorePermit,
    ) -> Result<(), String> {
        let fetching = Rc::new(Fetching { peer: Rc::new(peer), cut: Notify::new() });
        let peer = &fetching.peer;
        let same = |other: &&Rc<Fetching>| other.peer.identity == peer.identity;
        let others = self.fetching.borrow().iter().filter(same).count();
        let may_fetch = self.admits(peer).and_then(|()| {
            let few = others < self.limits.bulk_max;
            few.then_some(()).ok_or_else(|| "it fetches too much at one time".into())
        });
        // Whoever may not stays a stranger until it has been told.
        let _place = may_fetch.is_err().then_some(place);
        self.fetching.borrow_mut().push(fetching.clone());
        let _leave = Leave { hall: self, fetching: fetching.clone() };
        let patience = self.limits.stall_max;
        let provider = &*self.reception.provide;
        let served = tokio::select! {
            biased;
            () = fetching.cut.notified() => self.admits(peer),
            served = bulk::serve(stream, peer.clone(), provider, may_fetch, patience) => {
                served.map_err(|fault| fault.to_string())
            }
        };
        served.map_err(|why| format!("`{}`: {why}", peer.identity))
    }

    /// Whether somebody certified may come in.
    fn admits(&self, peer: &Peer) -> Result<(), String> {
        let own = self.credentials.get();
        if peer.identity.cloud() != own.own().identity.cloud() {
            return Err("it is of another cloud".into());
        }
        (self.reception.admit)(peer)
    }

    fn readmit(&self) {
        for peered in self.links.borrow().values() {
            if let Some(peer) = peered.line.connected()
                && let Err(why) = self.admits(&peer)
            {
                peered.line.cut(&why);
            }
        }
        for fetching in self.fetching.borrow().iter() {
            if self.admits(&fetching.peer).is_err() {
                fetching.cut.notify_one();
            }
        }
    }

    fn link(&self, identity: &Identity) -> (Rc<Line>, Addr<Link>) {
        let mut links = self.links.borrow_mut();
        let Peered { line, link } = links.entry(identity.clone()).or_insert_with(|| {
            let line = Line::new(self.limits.clone(), self.clock.clone());
            Peered { link: Link::of(line.clone()).start(), line }
        });
        (line.clone(), link.clone())
    }
}

struct Leave<'a> {
    hall: &'a Hall,
    fetching: Rc<Fetching>,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.hall.fetching.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.fetching));
    }
}
