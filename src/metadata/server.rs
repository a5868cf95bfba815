//! The metadata service on a socket of the host.
//!
//! # Who is asking
//!
//! The peer's address says it, and is proof enough. A packet reaches this listener only from our
//! public bridge, through the redirection of 169.254.169.254:80 (the firewall drops every other);
//! a packet enters that bridge only by a guest's tap; and a tap admits only frames that bear its
//! own interface's MAC and IPv4 address. So the address names the tap, and the tap the instance. A
//! TCP connection moreover needs the answers to arrive, and they go to that tap alone. Nothing in
//! the request is believed, `X-Forwarded-For` least of all.
//!
//! # Who asks too much
//!
//! A guest has so many connections and no more, and so long to say what it wants: one that opens
//! many, or drips, keeps nobody else from being answered.

use super::{MetadataSource, Method, Request, TokenKey, answer};
use crate::domain::time::Timestamp;
use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::{Extensions, Server},
    http::StatusCode,
    rt::net::TcpStream,
    web,
};
use std::{
    any::Any,
    collections::HashMap,
    io,
    net::{IpAddr, TcpListener},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What the service needs from its node.
#[derive(Debug, Clone)]
pub struct Service {
    pub source: Arc<dyn MetadataSource>,
    pub tokens: Arc<TokenKey>,
    /// The time, from the node's clock.
    pub now: fn() -> Timestamp,
}

/// At once, of one guest. Programs in a guest that ask the service ask it one thing at a time.
pub const CONNECTIONS_MAX: usize = 32;
/// For the head of a request, and for a connection that is kept open.
const PATIENCE: Duration = Duration::from_secs(5);
/// For the rest of what nobody wants, after the answer: bodies are not read, and not kept.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// Serves on a listener bound to the public bridge's address. The future ends when the server is
/// stopped through its handle.
pub fn serve(listener: TcpListener, service: Service) -> io::Result<Server> {
    let guests = Arc::new(Guests::default());
    let server = HttpServer::new(move || {
        App::new().app_data(web::Data::new(service.clone())).default_service(web::to(respond))
    })
    .workers(1)
    .disable_signals()
    .client_request_timeout(PATIENCE)
    .client_disconnect_timeout(LAST_PATIENCE)
    .keep_alive(PATIENCE)
    .on_connect(move |connection, facts| greet(&guests, connection, facts))
    .listen(listener)?;
    Ok(server.run())
}

/// The connection's own socket, so that an answer can be given its hop limit. It is a duplicate of
/// the descriptor: whatever becomes of the connection, this one stays valid.
#[derive(Debug)]
struct Socket(OwnedFd);

fn greet(guests: &Arc<Guests>, connection: &dyn Any, facts: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
    let Ok(peer) = stream.peer_addr() else { return };
    match guests.admit(peer.ip()) {
        Some(place) => drop(facts.insert(place)),
        None => {
            // SAFETY: no pointers are passed, and the descriptor is open: `stream` is borrowed.
            unsafe { libc::shutdown(stream.as_raw_fd(), libc::SHUT_RDWR) };
            return;
        }
    }
    // SAFETY: the descriptor belongs to `stream`, which is borrowed for all of this call.
    let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(stream.as_raw_fd()) };
    if let Ok(duplicate) = descriptor.try_clone_to_owned() {
        facts.insert(Socket(duplicate));
    }
}

/// How many connections each guest has.
#[derive(Debug, Default)]
struct Guests(Mutex<HashMap<IpAddr, usize>>);

/// One of a guest's connections, for as long as that lives.
#[derive(Debug)]
struct Place {
    guests: Arc<Guests>,
    guest: IpAddr,
}

impl Guests {
    fn admit(self: &Arc<Guests>, guest: IpAddr) -> Option<Place> {
        let mut connections = self.connections();
        let count = connections.entry(guest).or_default();
        if *count == CONNECTIONS_MAX {
            return None;
        }
        *count += 1;
        Some(Place { guests: Arc::clone(self), guest })
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Every change is of one number, so a panic elsewhere leaves no half of one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut connections = self.guests.connections();
        if let Some(count) = connections.get_mut(&self.guest) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&self.guest);
            }
        }
    }
}

async fn respond(request: HttpRequest, service: web::Data<Service>) -> HttpResponse {
    let peer = match request.peer_addr().map(|peer| peer.ip()) {
        Some(IpAddr::V4(address)) => address,
        Some(IpAddr::V6(_)) | None => return HttpResponse::NotFound().finish(),
    };
    let Some(metadata) = service.source.by_address(peer) else {
        return HttpResponse::NotFound().finish();
    };
    let headers: Vec<(&str, &str)> = request
        .headers()
        .iter()
        // A value that is not text is no token; it stays visible as one that cannot be right.
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap_or("\u{fffd}")))
        .collect();
    let method = match request.method().as_str() {
        "GET" => Method::Get,
        "PUT" => Method::Put,
        _ => Method::Other,
    };
    let path = percent_decoded(request.path());
    let question = Request { method, path: &path, headers: &headers };
    let response = answer(&metadata, question, &service.tokens, (service.now)());
    if let Err(error) = limit_hops(&request, response.hop_limit) {
        // A token that might travel too far is not given at all.
        log::warn!("cannot limit the hops of a metadata answer: {error}");
        return HttpResponse::InternalServerError().finish();
    }
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = HttpResponse::build(status);
    reply.content_type(response.content_type);
    for header in response.headers {
        reply.insert_header(header);
    }
    reply.body(response.body)
}

/// Tags may have any name, and arrive percent-encoded. A malformed escape is left as it is.
fn percent_decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = match (byte, after) {
            (b'%', [high, low, ..]) => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The kernel's own default is asked for with -1, as on a connection that is used again.
fn limit_hops(request: &HttpRequest, hop_limit: Option<u8>) -> io::Result<()> {
    let Some(Socket(socket)) = request.conn_data::<Socket>() else {
        return match hop_limit {
            Some(_) => Err(io::Error::other("the connection's socket is unknown")),
            None => Ok(()),
        };
    };
    let hops: libc::c_int = hop_limit.map_or(-1, libc::c_int::from);
    // SAFETY: the descriptor is open, and the option's value is a `c_int` that outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_TTL,
            (&raw const hops).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_has_so_many_connections_and_each_that_ends_makes_room() {
        let guests = Arc::new(Guests::default());
        let [one, two] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from);
        let mut places: Vec<_> = (0..CONNECTIONS_MAX).map(|_| guests.admit(one).unwrap()).collect();
        assert!(guests.admit(one).is_none());
        assert!(guests.admit(two).is_some(), "another's are its own");
        places.pop();
        assert!(guests.admit(one).is_some());
        drop(places);
        assert!(guests.connections().is_empty(), "nobody is remembered");
    }

    #[test]
    fn escapes_are_decoded_and_broken_ones_kept() {
        assert_eq!(percent_decoded("/a%20b%2fc"), "/a b/c");
        assert_eq!(percent_decoded("/100%/%zz%4"), "/100%/%zz%4");
    }
}
