//! Behind the door: from a stranger's first byte to a link, a certificate or a blob.

use super::{
    super::{
        Clock, bulk,
        connection::Greeted,
        credentials::CurrentCredentials,
        handshake::{NotAdmitted, greeting, welcome},
        identity::{Identity, Peer},
        join,
        limits::Limits,
        line::Line,
        link::Link,
        meter::{Meter, Metered},
        state::LinkState,
        tls::{self, Protocol},
    },
    Reception,
};
use actix::{Actor, Addr};
use std::{
    cell::RefCell, collections::BTreeMap, net::SocketAddr, rc::Rc, sync::Arc, time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

/// What those who came in share.
pub(super) struct Hall {
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

impl Hall {
    pub fn new(
        credentials: CurrentCredentials,
        limits: Limits,
        clock: Clock,
        reception: Reception,
    ) -> Rc<Hall> {
        Rc::new(Hall {
            credentials,
            limits,
            clock,
            reception,
            links: RefCell::default(),
            fetching: RefCell::default(),
        })
    }

    /// Everybody who ever came or was asked for.
    pub fn states(&self) -> Vec<LinkState> {
        self.links.borrow().values().map(|peered| peered.line.state()).collect()
    }

    /// Meets whoever comes. Those who came in are gone when this is dropped.
    pub async fn accept(self: Rc<Self>, listener: TcpListener) {
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

    /// Judges everybody again who is here.
    pub fn readmit(&self) {
        for peered in self.links.borrow().values() {
            if let Some(peer) = peered.line.connected()
                && let Err(why) = self.admits(&peer)
            {
                peered.line.cut(&why.to_string());
            }
        }
        for fetching in self.fetching.borrow().iter() {
            if self.admits(&fetching.peer).is_err() {
                fetching.cut.notify_one();
            }
        }
    }

    /// The one link to a peer, and what is at its near end.
    pub fn link(&self, identity: &Identity) -> (Rc<Line>, Addr<Link>) {
        let mut links = self.links.borrow_mut();
        let Peered { line, link } = links.entry(identity.clone()).or_insert_with(|| {
            let line = Line::new(self.limits.clone(), self.clock.clone());
            Peered { link: Link::of(line.clone()).start(), line }
        });
        (line.clone(), link.clone())
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
        let admitted = self.admits(peer).map_err(|why| why.to_string());
        let may_fetch = admitted.and_then(|()| {
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
            () = fetching.cut.notified() => self.admits(peer).map_err(|why| why.to_string()),
            served = bulk::serve(stream, peer.clone(), provider, may_fetch, patience) => {
                served.map_err(|fault| fault.to_string())
            }
        };
        served.map_err(|why| format!("`{}`: {why}", peer.identity))
    }

    /// Whether somebody certified may come in.
    fn admits(&self, peer: &Peer) -> Result<(), NotAdmitted> {
        let own = self.credentials.get();
        if peer.identity.cloud() != own.own().identity.cloud() {
            return Err("it is of another cloud".to_owned().into());
        }
        (self.reception.admit)(peer)
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
