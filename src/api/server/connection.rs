//! A deadline for what happens on a connection between two requests.
//!
//! actix-web bounds the time for the head of a connection's first request only. Without this
//! watch, a client could send one good request and then the next one's head a byte a minute, and
//! keep the connection for ever.

use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use std::any::Any;
use std::cell::Cell;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::rc::{Rc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// What is known of a connection; lives as long as it does.
struct Connection {
    /// The connection's socket by another handle, to end it from outside.
    socket: std::net::TcpStream,
    requests: Cell<usize>,
    changed: Rc<Notify>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.changed.notify_one();
    }
}

/// Ends the connection if it ever goes longer than `between_requests_max` without a request being
/// worked on. Writing an answer is not work here, so a client must also take it within that time.
pub(super) fn watch(io: &dyn Any, extensions: &mut Extensions, between_requests_max: Duration) {
    let Some(stream) = io.downcast_ref::<TcpStream>() else { return };
    let socket = match stream.as_fd().try_clone_to_owned() {
        Ok(socket) => socket,
        // Out of file descriptors, most likely: serving unwatched is better than not serving.
        Err(error) => return log::warn!("cannot watch a connection: {error}"),
    };
    let changed = Rc::new(Notify::new());
    let connection = Rc::new(Connection {
        socket: socket.into(),
        requests: Cell::new(0),
        changed: changed.clone(),
    });
    actix_web::rt::spawn(end_when_idle(Rc::downgrade(&connection), changed, between_requests_max));
    extensions.insert(connection);
}

async fn end_when_idle(connection: Weak<Connection>, changed: Rc<Notify>, max: Duration) {
    loop {
        let waited = tokio::time::timeout(max, changed.notified()).await;
        let Some(connection) = connection.upgrade() else { return };
        if waited.is_err() && connection.requests.get() == 0 {
            // Fails only if the client has closed it already.
            let _ = connection.socket.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// Marks the request's connection as busy until dropped.
pub(super) fn busy(request: &HttpRequest) -> Option<Busy> {
    let connection = request.conn_data::<Rc<Connection>>()?.clone();
    connection.requests.set(connection.requests.get() + 1);
    connection.changed.notify_one();
    Some(Busy(connection))
}

pub(super) struct Busy(Rc<Connection>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.requests.set(self.0.requests.get() - 1);
        self.0.changed.notify_one();
    }
}
